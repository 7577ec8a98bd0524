"""The token of a Veracruz runtime on plain Linux: a PSA attestation token (COSE_Sign1, ES256) that proves nothing.

Its key is published in Veracruz's source. The labels of the claims are those of draft-tschofenig-rats-psa-token and
of Arm's CCA; the ones that are read:

=======  ==================================================================================================
10       challenge of the proxy attestation server; once more under -75008
-75009   instance: 1 and the SHA-256 of the public key (65 bytes)
25102    debug
-75006   software components: 2 measurement of the runtime manager, 1 ``ARoT``, 5 SHA-256 of the certificate request
=======  ==================================================================================================
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from mpc.errors import Malformed
from mpc.evidence.cbor import CBORTag, read_cbor

TOKEN_MAX_BYTES = 16 << 10
SIGNATURE_BYTES = 64
DIGEST_BYTES = 32
_SIGN1 = 18
_PROTECTED = {1: -7}  # ES256, and nothing else (RFC 9052, 3.1)
_KEY_ID = 4
_CHALLENGE, _NONCE, _INSTANCE, _DEBUG, _COMPONENTS, _LIFECYCLE = 10, -75008, -75009, 25102, -75006, -75002
_CHALLENGE_MAX_BYTES = 64
_INSTANCE_BYTES = 33
_WHAT = "the PSA token"


@dataclass(frozen=True)
class PsaToken:
    """A token as it came. ``protected`` and ``payload`` are the bytes under ``signature`` (r and s, 32 bytes each).

    ``runtime`` is the measurement of the runtime manager, ``request`` the digest of the certificate request.
    """

    protected: bytes
    payload: bytes
    signature: bytes
    challenge: bytes
    instance: bytes
    lifecycle: int
    debug: bool
    runtime: bytes
    request: bytes


def parse_token(raw: bytes) -> PsaToken:
    """Return the token that ``raw`` spells, or raise ``Malformed``."""
    value = read_cbor(raw, max_bytes=TOKEN_MAX_BYTES, what=_WHAT)
    if isinstance(value, CBORTag) and value.tag == _SIGN1:
        value = value.value
    match value:
        case [bytes(protected), dict(unprotected), bytes(payload), bytes(signature)] if len(
            signature
        ) == SIGNATURE_BYTES and unprotected.keys() <= {_KEY_ID}:
            pass
        case _:
            _refuse("it is not a COSE_Sign1 with nothing but a key's name in its unprotected header")
    if read_cbor(protected, max_bytes=TOKEN_MAX_BYTES, what=_WHAT) != _PROTECTED:
        _refuse("unknown signature algorithm: its protected header is not that of ES256 alone")
    claims = read_cbor(payload, max_bytes=TOKEN_MAX_BYTES, what=_WHAT)
    if not isinstance(claims, dict):
        _refuse("its payload is not a map")
    return _parsed(protected, payload, signature, claims)


def _parsed(protected: bytes, payload: bytes, signature: bytes, claims: Mapping[Any, Any]) -> PsaToken:
    challenge, lifecycle, debug = claims.get(_CHALLENGE), claims.get(_LIFECYCLE), claims.get(_DEBUG)
    if type(lifecycle) is not int or type(debug) is not bool:
        _refuse("security lifecycle or debug is missing, or of another type")
    if not isinstance(challenge, bytes) or len(challenge) > _CHALLENGE_MAX_BYTES or claims.get(_NONCE) != challenge:
        _refuse("its two challenges are not one, of at most 64 bytes")
    match claims.get(_COMPONENTS):
        case [{2: bytes(runtime), 5: bytes(request)}] if len(runtime) == len(request) == DIGEST_BYTES:
            pass
        case _:
            _refuse("it does not have one software component with two digests of 32 bytes")
    instance = claims.get(_INSTANCE)
    if not isinstance(instance, bytes) or len(instance) != _INSTANCE_BYTES:
        _refuse("its instance is not of 33 bytes")
    return PsaToken(protected, payload, signature, challenge, instance, lifecycle, debug, runtime, request)


def _refuse(why: str) -> NoReturn:
    raise Malformed(
        "evidence.malformed", f"{_WHAT} is malformed", why=why, remedy="give the token as the runtime manager made it"
    )
