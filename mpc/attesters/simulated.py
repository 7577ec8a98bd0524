"""An attester without any hardware: ANYBODY CAN FORGE what it says. For trying things out."""

from mpc.attesters import Settings
from mpc.attesters.measured import MeasuredOnce
from mpc.evidence import simulated
from mpc.evidence.binding import Transcript
from mpc.evidence.claims import Attestation


class SimulatedAttester(MeasuredOnce):
    """Signs with the published test key whatever code digest it was told."""

    format = simulated.FORMAT

    def attest(self, transcript: Transcript) -> Attestation:
        """Return simulated evidence that binds ``transcript``."""
        evidence = simulated.forge(self.require_measured(), debug=False, report_data=transcript.report_data())
        return Attestation(self.format, evidence, (), transcript.to_bytes())


def start(settings: Settings) -> SimulatedAttester:
    """Return the attester; it has no settings."""
    del settings
    return SimulatedAttester()
