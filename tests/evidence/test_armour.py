"""PEM has one spelling: what nobody signs of it cannot be changed unseen."""

from base64 import b64encode

import pytest

from mpc.evidence.armour import unarmoured

CONTENT = bytes(range(100))
BODY = b64encode(CONTENT)


def armoured(body: bytes = BODY, begin: str = "CERTIFICATE", end: str = "CERTIFICATE") -> bytes:
    return f"-----BEGIN {begin}-----\n".encode() + body + f"\n-----END {end}-----\n".encode()


@pytest.mark.parametrize("line", [4, 64, 1000])
@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b" \n"])
def test_lines_are_as_long_as_they_like(line: int, separator: bytes) -> None:
    lines = separator.join(BODY[at : at + line] for at in range(0, len(BODY), line))
    assert unarmoured(armoured(lines)) == [("CERTIFICATE", CONTENT)]


def test_blocks_come_in_order_with_white_space_around_them() -> None:
    both = b"\n" + armoured() + b" \r\n\t" + armoured(begin="X509 CRL", end="X509 CRL")
    assert unarmoured(both) == [("CERTIFICATE", CONTENT), ("X509 CRL", CONTENT)]


@pytest.mark.parametrize(
    "file",
    [
        b"", b"no block", armoured(b""), armoured(end="CERTIFICATF"), armoured(BODY.replace(b"A", b"\x0c", 1)),
        armoured(BODY[:-1]), armoured(BODY + BODY), armoured() + b"-----BEGIN CERTIFICATE-----\n",
        armoured(begin="certificate", end="certificate"), armoured().replace(b"-----END", b"-----AND"),
        armoured(b64encode(CONTENT)[:-3] + b"B=="), b"the root:\n" + armoured(), armoured() + b"the root" + armoured(),
        armoured() + armoured().replace(b"N CERT", b"M CERT"), armoured() + b"\0",
    ],
)  # fmt: skip
def test_another_spelling_is_refused(file: bytes) -> None:
    with pytest.raises(ValueError, match=r"it is not PEM|its base64 is not canonical"):
        unarmoured(file)
