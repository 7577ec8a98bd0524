"""PEM has one spelling: what nobody signs of it cannot be changed unseen."""

from base64 import b64encode

import pytest

from mpc.evidence.armour import unarmoured

CONTENT = bytes(range(100))
BODY = b64encode(CONTENT)


def armoured(body: bytes = BODY, begin: str = "CERTIFICATE", end: str = "CERTIFICATE") -> bytes:
    return f"-----BEGIN {begin}-----\n".encode() + body + f"\n-----END {end}-----\n".encode()


OTHER = armoured(b64encode(bytes(8)))


@pytest.mark.parametrize("line", [4, 64, 1000])
@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b" \n"])
def test_lines_are_as_long_as_they_like(line: int, separator: bytes) -> None:
    lines = separator.join(BODY[at : at + line] for at in range(0, len(BODY), line))
    assert unarmoured(armoured(lines)) == [("CERTIFICATE", CONTENT)]


@pytest.mark.parametrize(("before", "between"), [
    (b"\n", b" \r\n\t"), (b"", b""), (b"subject=CN = a\n", b"\nsubject=CN = b\n  issuer: c\n\n"),
    ("Zürich:\r\n".encode(), b"\r\nthe list:\r\n"),
])  # fmt: skip
def test_blocks_come_in_order_with_lines_of_words_before_them(before: bytes, between: bytes) -> None:
    both = before + armoured().rstrip() + between + armoured(begin="X509 CRL", end="X509 CRL") + b" \n"
    assert unarmoured(both) == [("CERTIFICATE", CONTENT), ("X509 CRL", CONTENT)]


@pytest.mark.parametrize(
    "file",
    [
        b"", b"no block", armoured(b""), armoured(end="CERTIFICATF"), armoured(BODY.replace(b"A", b"\x0c", 1)),
        armoured(BODY[:-1]), armoured(BODY + BODY), armoured() + b"-----BEGIN CERTIFICATE-----\n",
        armoured(begin="certificate", end="certificate"), armoured().replace(b"-----END", b"-----AND"),
        armoured(b64encode(CONTENT)[:-3] + b"B=="), b"the root" + armoured(),
        armoured().rstrip() + b"the root\n" + OTHER, armoured() + OTHER + b"words",
        armoured() + b"the root" + OTHER, armoured() + b"\0\n" + OTHER, b"\0\n" + armoured(),
        armoured() + OTHER.replace(b"N CERT", b"M CERT"), armoured().replace(b"BEGIN", b"BEGIM") + OTHER,
        armoured().replace(b"-----B", b"--,--B") + OTHER, armoured() + b"\0", armoured() + armoured(),
    ],
)  # fmt: skip
def test_another_spelling_is_refused(file: bytes) -> None:
    with pytest.raises(ValueError, match=r"it is not PEM|its base64 is not canonical|a block stands there twice"):
        unarmoured(file)
