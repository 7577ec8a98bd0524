"""PEM, in the one spelling in which no byte of a block can be changed unseen (RFC 7468, 3).

Its lines are as long as they like; but the two labels of a block are the same, between them stands canonical base64
and white space, and no block stands there twice. Before a block there may be lines of words, as OpenSSL writes them
(RFC 7468, 5.2), without the dashes of a label: a block whose label is damaged is no words. Behind the last block stands
nothing.
"""

import re
from base64 import b64encode
from binascii import Error, a2b_base64

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,64})-----([A-Za-z0-9+/= \t\r\n]*)-----END \1-----")
_WORDS = re.compile(rb"[ \t\r\n]*(?:[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*\n)?")
_WHITE = b" \t\r\n"


def unarmoured(data: bytes) -> list[tuple[str, bytes]]:
    """Return label and content of every block of a file, in its order. Raises ``ValueError`` when one is misspelled."""
    parts = _BLOCK.split(data)
    around, labels, bodies = parts[::3], parts[1::3], parts[2::3]
    if not labels or around[-1].strip(_WHITE) or not all(map(_are_words, range(len(labels)), around)):
        raise ValueError("it is not PEM, block after block with nothing but lines of words before them")
    blocks = [
        (label.decode(), _decoded(body.translate(None, _WHITE))) for label, body in zip(labels, bodies, strict=True)
    ]
    if len(set(blocks)) != len(blocks):
        raise ValueError("a block stands there twice")
    return blocks


def _are_words(place: int, text: bytes) -> bool:
    """Tell whether ``text`` before a block is white space, or words on lines of their own."""
    on_own_lines = place == 0 or text.lstrip(b" \t\r").startswith(b"\n") or not text.strip(_WHITE)
    return on_own_lines and b"-----" not in text and _WORDS.fullmatch(text) is not None


def _decoded(text: bytes) -> bytes:
    try:
        content = a2b_base64(text, strict_mode=True)
    except Error:
        content = b""
    if not content or b64encode(content) != text:
        raise ValueError("its base64 is not canonical")
    return content
