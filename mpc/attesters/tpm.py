"""The machine's half of TPM 2.0 attestation: a restricted key, one register for the code, quotes, enrolment.

The register must be one that software cannot reset and the boot chain leaves alone: 8, or 10 to 15 (16 and 23 can be
reset by anybody). It is extended once
a boot, by a launcher that the boot chain measured, or, where there is none, by the coordinator itself: the latter is
what ``measured_by = "self"`` means, and proves nothing against a coordinator that lies.

The attestation key is a primary key of the endorsement hierarchy: the same TPM makes the same key again from its own
seed, so that no key is stored anywhere.
"""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mpc.attesters import Settings
from mpc.canonical import sha256
from mpc.errors import Misconfigured, OutOfOrder, Unavailable
from mpc.evidence import tpm
from mpc.evidence.binding import Transcript
from mpc.evidence.certificate import certificates_of
from mpc.evidence.claims import BOOT_PCRS, Attestation
from mpc.evidence.enrolment import Challenge, EnrolmentRequest
from mpc.evidence.tpm_structures import parse_attest

CODE_PCRS = frozenset(range(8, 16)) - BOOT_PCRS
_READ_AT_ONCE = 8  # digests in one TPM2_PCR_Read
_ATTEMPTS = 5
_ENDORSEMENT_HANDLE_RSA = 0x01C00002  # EK Credential Profile, 2.2.1.4: certificate of the RSA-2048 key


class TpmAttester:
    """Quotes the boot chain's registers and the code's, with the key that a party's authority certified."""

    format = tpm.FORMAT

    def __init__(self, settings: Settings) -> None:
        _check_register(settings.code_pcr)
        if not settings.certificates:
            raise Misconfigured(
                "attester.certificate", "the attestation key has no certificate", why="nobody vouches for it",
                remedy="enrol the machine with a party (`sealroom tpm enrol`) and give the certificate's file",
            )  # fmt: skip
        self._settings = settings
        self._certificates = tuple(der for given in settings.certificates for der in certificates_of(given))
        self._registers = sorted(BOOT_PCRS | {settings.code_pcr})

    def measure(self, code_digest: bytes) -> None:
        """Extend the code's register from zero; do nothing when a launcher already did so with this very digest."""
        extend_once(self._settings.tcti, self._settings.code_pcr, code_digest)

    def attest(self, transcript: Transcript) -> Attestation:
        """Return a fresh quote that binds ``transcript``, or raise ``Refusal``."""
        with _opened(self._settings.tcti) as (library, esapi):
            if not any(_read(esapi, [self._settings.code_pcr])[self._settings.code_pcr]):
                raise OutOfOrder(
                    "attester.unmeasured", "nothing was measured yet", why="evidence speaks of measured code",
                    remedy="measure the code first",
                )  # fmt: skip
            with _attestation_key(library, esapi) as (key, public):
                attest, signature, pcrs = self._quote(esapi, key, transcript.qualifying_data())
        evidence = tpm.pack(attest, signature, public, pcrs, self._certificates)
        return Attestation(self.format, evidence, (), transcript.to_bytes())

    def _quote(self, esapi: Any, key: Any, qualifying: bytes) -> tuple[bytes, bytes, dict[int, bytes]]:  # noqa: ANN401 - tpm2_pytss is untyped
        selection = f"{tpm.BANK}:{','.join(map(str, self._registers))}"
        for _ in range(_ATTEMPTS):
            quoted, signature = esapi.quote(key, selection, qualifying)
            attest = bytes(quoted)
            pcrs = _read(esapi, self._registers)
            # Somebody may extend a register between the two commands.
            if parse_attest(attest).pcr_digest == sha256(b"".join(pcrs[index] for index in self._registers)):
                return attest, signature.marshal(), pcrs
        raise Unavailable(
            "attester.registers",
            "the quote cannot be made",
            why="the registers change all the time",
            remedy="find what extends the boot chain's registers on the running machine",
        )


def start(settings: Settings) -> TpmAttester:
    """Return the attester, or raise ``Misconfigured`` when the ``tpm`` extra or the TPM is missing."""
    attester = TpmAttester(settings)
    with _opened(settings.tcti):
        return attester


def extend_once(tcti: str, register: int, code_digest: bytes) -> None:
    """Extend the code's digest into a register that holds zeros; ``OutOfOrder`` when it holds anything else.

    A launcher does this before it starts the coordinator. To do it again with the same digest changes nothing.
    """
    _check_register(register)
    expected = tpm.extended(bytes(tpm.PCR_BYTES), code_digest)
    with _opened(tcti) as (library, esapi):
        if not any(_read(esapi, [register])[register]):
            _extend(library, esapi, register, code_digest)
        found = _read(esapi, [register])[register]
    if found != expected:
        raise OutOfOrder(
            "attester.measured", "other code was measured in this boot", why="a register cannot be set back",
            remedy="boot the machine again", field=f"pcr{register}", expected=expected.hex(), found=found.hex(),
        )  # fmt: skip


def extend(tcti: str, register: int, digest: bytes) -> None:
    """Extend a SHA-256 digest into a register, as a boot chain or a launcher does."""
    with _opened(tcti) as (library, esapi):
        _extend(library, esapi, register, digest)


def read_registers(tcti: str, registers: list[int]) -> dict[int, bytes]:
    """Return the values of registers of the SHA-256 bank."""
    with _opened(tcti) as (_, esapi):
        return _read(esapi, sorted(registers))


def enrolment_request(tcti: str, endorsement: tuple[bytes, ...] = ()) -> EnrolmentRequest:
    """Return the machine's first message: its endorsement certificate, out of the TPM unless given, and its key."""
    with _opened(tcti) as (library, esapi):
        with _attestation_key(library, esapi) as (_, public):
            pass
        return EnrolmentRequest(endorsement or (_endorsement_certificate(library, esapi),), public)


def answer(tcti: str, challenge: Challenge) -> bytes:
    """Return the challenge's secret, which only the TPM with both keys can decrypt, or raise ``Unavailable``."""
    with _opened(tcti) as (library, esapi), _attestation_key(library, esapi) as (key, _):
        _, template = library.utils.create_ek_template("EK-RSA2048", library.utils.NVReadEK(esapi))
        endorsement = esapi.create_primary(None, template, library.ESYS_TR.ENDORSEMENT)[0]
        session = esapi.start_auth_session(
            library.ESYS_TR.NONE, library.ESYS_TR.NONE, library.TPM2_SE.POLICY,
            library.TPMT_SYM_DEF(algorithm=library.TPM2_ALG.NULL), library.TPM2_ALG.SHA256,
        )  # fmt: skip
        try:
            esapi.policy_secret(library.ESYS_TR.ENDORSEMENT, session)
            secret = esapi.activate_credential(
                key, endorsement, library.TPM2B_ID_OBJECT(challenge.credential),
                library.TPM2B_ENCRYPTED_SECRET(challenge.encrypted_seed),
                session1=library.ESYS_TR.PASSWORD, session2=session,
            )  # fmt: skip
        finally:
            esapi.flush_context(session)
            esapi.flush_context(endorsement)
        return bytes(secret)


def _check_register(register: int) -> None:
    if register not in CODE_PCRS:
        raise Misconfigured(
            "attester.code_pcr", "the register for the code cannot be used",
            why="software can reset it, or the boot chain writes it", remedy="choose one of those expected",
            field="code_pcr", expected="8 or 10 to 15", found=str(register),
        )  # fmt: skip


@contextmanager
def _opened(tcti: str) -> Iterator[tuple[Any, Any]]:
    """Yield the library and a connection to the TPM; every error of either is a refusal."""
    os.environ.setdefault("TSS2_LOG", "all+none")  # the C library writes to the terminal otherwise
    try:
        library = importlib.import_module("tpm2_pytss")
        importlib.import_module("tpm2_pytss.utils")
    except ImportError:
        raise Misconfigured(
            "attester.library", "the TPM cannot be used", why="tpm2-pytss is not installed",
            remedy='install the extra: pip install "sealroom[tpm]" (needs libtss2-dev)',
        ) from None  # fmt: skip
    try:
        with library.ESAPI(tcti) as esapi:
            yield library, esapi
    except library.TSS2_Exception as failure:
        raise Unavailable(
            "attester.tpm", "the TPM refused a command or cannot be reached", why=str(failure),
            remedy="check the device and that this user may open it", field="tcti", expected="a TPM 2.0", found=tcti,
        ) from None  # fmt: skip


@contextmanager
def _attestation_key(library: Any, esapi: Any) -> Iterator[tuple[Any, bytes]]:  # noqa: ANN401 - tpm2_pytss is untyped
    template = library.TPM2B_PUBLIC(
        library.TPMT_PUBLIC.parse(
            "ecc256:ecdsa-sha256:null",
            objectAttributes=(
                library.TPMA_OBJECT.RESTRICTED | library.TPMA_OBJECT.SIGN_ENCRYPT | library.TPMA_OBJECT.FIXEDTPM
                | library.TPMA_OBJECT.FIXEDPARENT | library.TPMA_OBJECT.SENSITIVEDATAORIGIN
                | library.TPMA_OBJECT.USERWITHAUTH | library.TPMA_OBJECT.NODA
            ),
        )
    )  # fmt: skip
    key, public, *_ = esapi.create_primary(None, template, library.ESYS_TR.ENDORSEMENT)
    try:
        yield key, public.publicArea.marshal()
    finally:
        esapi.flush_context(key)  # a TPM has room for three


def _extend(library: Any, esapi: Any, register: int, digest: bytes) -> None:  # noqa: ANN401 - tpm2_pytss is untyped
    value = library.TPMT_HA(hashAlg=library.TPM2_ALG.SHA256, digest=library.TPMU_HA(sha256=digest))
    esapi.pcr_extend(library.ESYS_TR(register), library.TPML_DIGEST_VALUES([value]))


def _read(esapi: Any, registers: list[int]) -> dict[int, bytes]:  # noqa: ANN401 - tpm2_pytss is untyped
    values: dict[int, bytes] = {}
    for first in range(0, len(registers), _READ_AT_ONCE):
        asked = registers[first : first + _READ_AT_ONCE]
        _, _, digests = esapi.pcr_read(f"{tpm.BANK}:{','.join(map(str, asked))}")
        values.update(zip(asked, map(bytes, digests), strict=True))
    return values


def _endorsement_certificate(library: Any, esapi: Any) -> bytes:  # noqa: ANN401 - tpm2_pytss is untyped
    try:
        raw = library.utils.NVReadEK(esapi)(_ENDORSEMENT_HANDLE_RSA)
    except library.utils.NoSuchIndex:
        raise Misconfigured(
            "attester.endorsement", "the TPM holds no certificate of its endorsement key",
            why="its maker did not store one", remedy="get the certificate from the maker and give its file",
        ) from None  # fmt: skip
    return _first_der(raw)


def _first_der(raw: bytes) -> bytes:
    """Return the first DER element: makers fill the rest of the index with zeros or ones."""
    length_bytes = raw[1] & 0x7F if raw[1] & 0x80 else 0
    length = int.from_bytes(raw[2 : 2 + length_bytes]) if length_bytes else raw[1]
    return raw[: 2 + length_bytes + length]
