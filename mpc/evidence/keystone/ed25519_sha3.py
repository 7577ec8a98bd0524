"""Ed25519 with SHA3-512 in the place of SHA-512, as Keystone signs (RFC 8032, 5.1, with the one hash exchanged).

No library speaks this variant, so the verification stands here, and verification only: nothing secret is touched, so
nothing needs to run in constant time. Points are in extended coordinates (RFC 8032, 5.1.4).
"""

import hashlib

KEY_BYTES = 32
SIGNATURE_BYTES = 64

PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, PRIME) % PRIME
_ROOT_OF_MINUS_ONE = pow(2, (PRIME - 1) // 4, PRIME)

Point = tuple[int, int, int, int]
_IDENTITY: Point = (0, 1, 1, 0)


def verifies(key: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether ``signature`` (64 bytes) by the public ``key`` (32 bytes) covers ``message``.

    Stricter than Keystone's own verifier where that costs no honest signer anything: keys of small order, which
    "sign" anything, and second spellings of keys and signatures do not verify.
    """
    if len(key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    public, scalar = _decode(key), int.from_bytes(signature[32:], "little")
    if public is None or scalar >= ORDER or _is_identity(_multiply(8, public)):
        return False
    hashed = int.from_bytes(hashlib.sha3_512(signature[:32] + key + message).digest(), "little") % ORDER
    x, y, z, t = public
    return encode(_add(_multiply(scalar, BASE), _multiply(hashed, (-x % PRIME, y, z, -t % PRIME)))) == signature[:32]


def public_key(scalar: bytes) -> bytes:
    """Return the public key of a clamped secret scalar (32 bytes, little-endian)."""
    return encode(_multiply(int.from_bytes(scalar, "little"), BASE))


def encode(point: Point) -> bytes:
    """Return the 32 bytes of a point: y, and the lowest bit of x in the highest place (RFC 8032, 5.1.2)."""
    x, y, z, _ = point
    inverse = pow(z, -1, PRIME)
    return (y * inverse % PRIME | (x * inverse % PRIME & 1) << 255).to_bytes(32, "little")


def _decode(raw: bytes) -> Point | None:
    """Return the point that ``raw`` is the one spelling of, or None (RFC 8032, 5.1.3)."""
    number = int.from_bytes(raw, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    if y >= PRIME:
        return None
    numerator, denominator = (y * y - 1) % PRIME, (_D * y * y + 1) % PRIME
    x = numerator * pow(denominator, 3, PRIME) * pow(numerator * pow(denominator, 7, PRIME), (PRIME - 5) // 8, PRIME)
    x %= PRIME
    if (denominator * x * x + numerator) % PRIME == 0:
        x = x * _ROOT_OF_MINUS_ONE % PRIME
    if (denominator * x * x - numerator) % PRIME or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = PRIME - x
    return x, y, 1, x * y % PRIME


def _add(left: Point, right: Point) -> Point:
    x1, y1, z1, t1 = left
    x2, y2, z2, t2 = right
    a, b = (y1 - x1) * (y2 - x2) % PRIME, (y1 + x1) * (y2 + x2) % PRIME
    c, d = 2 * t1 * t2 * _D % PRIME, 2 * z1 * z2 % PRIME
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % PRIME, g * h % PRIME, f * g % PRIME, e * h % PRIME


def _multiply(scalar: int, point: Point) -> Point:
    result = _IDENTITY
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _is_identity(point: Point) -> bool:
    x, y, z, _ = point
    return x % PRIME == 0 and (y - z) % PRIME == 0


BASE = _decode((4 * pow(5, -1, PRIME) % PRIME).to_bytes(32, "little")) or _IDENTITY
