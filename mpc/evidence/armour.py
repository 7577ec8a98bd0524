"""PEM, in the one spelling in which no byte can be changed unseen (RFC 7468, 3).

Its lines are as long as they like; but the two labels of a block are the same, between them stands canonical base64
and white space, and around the blocks stands white space alone. The words that others let stand there (RFC 7468, 5.2)
are refused: a block whose label is damaged would be one of them, and left out unseen.
"""

import re
from base64 import b64encode
from binascii import Error, a2b_base64

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,64})-----([A-Za-z0-9+/= \t\r\n]*)-----END \1-----")
_WHITE = b" \t\r\n"


def unarmoured(data: bytes) -> list[tuple[str, bytes]]:
    """Return label and content of every block of a file, in its order. Raises ``ValueError`` when one is misspelled."""
    parts = _BLOCK.split(data)
    around, labels, bodies = parts[::3], parts[1::3], parts[2::3]
    if not labels or any(words.strip(_WHITE) for words in around):
        raise ValueError("it is not PEM, block after block with nothing else between them")
    return [
        (label.decode(), _decoded(body.translate(None, _WHITE))) for label, body in zip(labels, bodies, strict=True)
    ]


def _decoded(text: bytes) -> bytes:
    try:
        content = a2b_base64(text, strict_mode=True)
    except Error:
        content = b""
    if not content or b64encode(content) != text:
        raise ValueError("its base64 is not canonical")
    return content
