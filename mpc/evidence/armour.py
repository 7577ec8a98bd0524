"""PEM, in the one spelling in which no byte can be changed unseen (RFC 7468, 3).

Around a block stands what will, and its lines are as long as they like; but its two labels are the same, between them
stands canonical base64 and white space, and no block is left unread.
"""

import re
from base64 import b64encode
from binascii import Error, a2b_base64

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,64})-----([A-Za-z0-9+/= \t\r\n]*)-----END \1-----")
_BEGIN = b"-----BEGIN"
_WHITE = b" \t\r\n"


def unarmoured(data: bytes) -> list[tuple[str, bytes]]:
    """Return label and content of every block of a file, in its order. Raises ``ValueError`` when one is misspelled."""
    blocks = _BLOCK.findall(data)
    if not blocks or len(blocks) != data.count(_BEGIN):
        raise ValueError("it is not PEM")
    return [(label.decode(), _decoded(body.translate(None, _WHITE))) for label, body in blocks]


def _decoded(text: bytes) -> bytes:
    try:
        content = a2b_base64(text, strict_mode=True)
    except Error:
        content = b""
    if not content or b64encode(content) != text:
        raise ValueError("its base64 is not canonical")
    return content
