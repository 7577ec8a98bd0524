"""A software TPM whose attestation key a party's authority vouches for: what a coordinator's machine looks like."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mpc.attesters import Settings
from mpc.attesters.tpm import answer, enrolment_request
from mpc.evidence.enrolment import Authority, challenge, issue
from tests.swtpm_machine import Machine, manufactured


@dataclass(frozen=True)
class Enrolled:
    """The machine, the party's authority, and the attestation key's DER certificate."""

    machine: Machine
    authority: Authority
    certificate: bytes

    def settings(self, tcti: str) -> Settings:
        return Settings(tcti=tcti, code_pcr=8, certificates=(self.certificate,))


def der(pem: Path) -> bytes:
    return x509.load_pem_x509_certificate(pem.read_bytes()).public_bytes(Encoding.DER)


@contextmanager
def enrolled(folder: Path) -> Iterator[Enrolled]:
    """Manufacture a TPM below ``folder`` and enrol it with a new authority, by the three messages."""
    with manufactured(folder) as machine:
        now = datetime.now(UTC)
        authority = Authority.create("Attestation keys of hospital a", at=now)
        with machine.booted() as tcti:
            asked, pending = challenge(
                enrolment_request(tcti),
                roots=(der(machine.endorsement_roots),),
                endorsements=(der(machine.endorsement_intermediates),),
                at=now,
                random=os.urandom,
            )
            certificate = issue(pending, answer(tcti, asked), authority, at=now)
        yield Enrolled(machine, authority, certificate)
