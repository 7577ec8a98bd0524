"""An attester without any hardware: ANYBODY CAN FORGE what it says. For trying things out."""

from mpc.attesters import Settings
from mpc.errors import OutOfOrder
from mpc.evidence import simulated
from mpc.evidence.binding import Transcript
from mpc.evidence.claims import Attestation


class SimulatedAttester:
    """Signs with the published test key whatever code digest it was told."""

    format = simulated.FORMAT

    def __init__(self) -> None:
        self._code_digest: bytes | None = None

    def measure(self, code_digest: bytes) -> None:
        """Keep the code digest; a second, different one refuses as real hardware would."""
        if self._code_digest not in {None, code_digest}:
            raise OutOfOrder(
                "attester.measured", "other code was measured in this boot", why="a measurement cannot be taken back",
                remedy="start a new instance",
            )  # fmt: skip
        self._code_digest = code_digest

    def attest(self, transcript: Transcript) -> Attestation:
        """Return simulated evidence that binds ``transcript``."""
        if self._code_digest is None:
            raise OutOfOrder(
                "attester.unmeasured", "nothing was measured yet", why="evidence speaks of measured code",
                remedy="measure the code first",
            )  # fmt: skip
        evidence = simulated.forge(self._code_digest, debug=False, report_data=transcript.report_data())
        return Attestation(self.format, evidence, (), transcript.to_bytes())


def start(settings: Settings) -> SimulatedAttester:
    """Return the attester; it has no settings."""
    del settings
    return SimulatedAttester()
