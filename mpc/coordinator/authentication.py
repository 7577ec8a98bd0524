"""Who is calling: a party proves its key on this very channel, and carries a short-lived token after that.

The answer names the SPKI that the *party* pinned. A man in the middle has another one, so what the party signs for
him is worth nothing here.
"""

import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from mpc.canonical import parse_json, sha256
from mpc.contract.statements import ChallengeAnswer
from mpc.contract.terms import Contract
from mpc.errors import Forbidden, Untrusted
from mpc.signing import Purpose, VerifyingKey, open_envelope

CHALLENGE_BYTES = 32
_BEARER = "Bearer "


@dataclass(frozen=True)
class TokenLimits:
    """How long and how many; seconds of a clock that only runs forward."""

    challenge_seconds: int = 60
    token_seconds: int = 600
    challenges: int = 1024
    tokens: int = 4096


class Authentication:
    """Challenges that wait for an answer, and tokens that are good for a while. ``clock`` gives seconds."""

    def __init__(self, spki: bytes, *, clock: Callable[[], float], limits: TokenLimits | None = None) -> None:
        self._spki = spki.hex()
        self._clock = clock
        self.limits = limits or TokenLimits()
        self._lock = threading.Lock()
        self._challenges: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._tokens: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def challenge(self, party: str) -> bytes:
        """Return a fresh challenge for ``party``, to be answered once and soon."""
        challenge = secrets.token_bytes(CHALLENGE_BYTES)
        with self._lock:
            self._challenges[challenge.hex()] = (party, self._clock() + self.limits.challenge_seconds)
            while len(self._challenges) > self.limits.challenges:
                self._challenges.popitem(last=False)
        return challenge

    def authenticate(self, envelope: bytes, contract: Contract, digest: bytes) -> tuple[str, str]:
        """Return the party that answered and its token, or raise ``Untrusted``."""
        keys = {VerifyingKey(bytes.fromhex(party.signing_key)): party.name for party in contract.parties}
        opened = open_envelope(envelope, Purpose.CHALLENGE, tuple(keys))
        answer = parse_json(ChallengeAnswer, opened.body, what="the answer to a challenge")
        party = keys[opened.key]
        with self._lock:
            asked, until = self._challenges.pop(answer.challenge, ("", 0.0))
        for field, expected, found in (
            ("party", party, answer.party),
            ("contract", digest.hex(), answer.contract),
            ("spki", self._spki, answer.spki),
            ("challenge", "one of mine", "one of mine" if asked == party and self._clock() < until else "another"),
        ):
            if expected != found:
                raise _refused(field, expected, found)
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._tokens[sha256(token.encode())] = (party, self._clock() + self.limits.token_seconds)
            while len(self._tokens) > self.limits.tokens:
                self._tokens.popitem(last=False)
        return party, token

    def party_of(self, header: str | None) -> str:
        """Return whose token ``header`` carries (``Bearer`` before it or not), or raise ``Untrusted``."""
        token = sha256((header or "").removeprefix(_BEARER).encode())
        with self._lock:
            party, until = self._tokens.get(token, ("", 0.0))
            if not party or self._clock() >= until:
                self._tokens.pop(token, None)
                raise Untrusted(
                    "authentication.token", "the caller is not known", why="its token is missing, unknown or too old",
                    remedy="answer a new challenge",
                )  # fmt: skip
        return party


def require_party(caller: str, named: str, what: str) -> None:
    """Refuse a statement that another party signed than the one that brings it."""
    if not hmac.compare_digest(caller, named):
        raise Forbidden(
            "authentication.party", f"the {what} is another party's", why="a party brings its own statements",
            remedy="let the party that signed it send it", field="party", expected=caller, found=named,
        )  # fmt: skip


def _refused(field: str, expected: str, found: str) -> Untrusted:
    remedies = {
        "spki": "somebody may stand between you and the enclave: fetch its certificate again and appraise it",
        "challenge": "ask for a new challenge and answer it once, within a minute",
    }
    return Untrusted(
        f"authentication.{field}", "the answer to the challenge is refused", why=f"it names another {field}",
        remedy=remedies.get(field, "sign for the contract and party at hand"), field=field,
        expected=expected, found=found,
    )  # fmt: skip
