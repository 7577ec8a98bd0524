"""Reference values of SGX enclaves from the settings of others: Gramine's variables, Occlum's file of whom to believe.

What such settings leave open, reference values leave open; what they allow for trying things out becomes a waiver by
name. Settings that would believe any enclave make no reference values.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import ValidationError

from mpc.errors import Malformed
from mpc.evidence.ratls.gramine_settings import Allowance, GramineSettings
from mpc.evidence.reference_values.intel import SgxReference, TcbWaiver

DEBUG_FLAG, KSS_FLAG = 0x02, 0x80
_FLAGS_BYTES, _XFRM_BYTES = 8, 8

# As Gramine's verifier reads Intel's verdicts: every allowance that a status needs has to be given.
_NEEDS: Mapping[TcbWaiver, frozenset[Allowance]] = {
    "tcb:OutOfDate": frozenset({"RA_TLS_ALLOW_OUTDATED_TCB_INSECURE"}),
    "tcb:ConfigurationNeeded": frozenset({"RA_TLS_ALLOW_HW_CONFIG_NEEDED"}),
    "tcb:SWHardeningNeeded": frozenset({"RA_TLS_ALLOW_SW_HARDENING_NEEDED"}),
    "tcb:OutOfDateConfigurationNeeded": frozenset({
        "RA_TLS_ALLOW_OUTDATED_TCB_INSECURE", "RA_TLS_ALLOW_HW_CONFIG_NEEDED",
    }),
    "tcb:ConfigurationAndSWHardeningNeeded": frozenset({
        "RA_TLS_ALLOW_HW_CONFIG_NEEDED", "RA_TLS_ALLOW_SW_HARDENING_NEEDED",
    }),
}  # fmt: skip


def references_of_settings(settings: GramineSettings, *, minimum_evaluation: int) -> tuple[SgxReference, ...]:
    """Return what Gramine's settings accept: one entry, and a second one for debug enclaves where they are allowed.

    ``minimum_evaluation`` is the least ``tcbEvaluationDataNumber`` of the collateral. Raises ``Malformed`` for
    settings that name no enclave.
    """
    waivers: tuple[TcbWaiver, ...] = tuple(name for name, needed in _NEEDS.items() if needed <= settings.allows)
    modes = (False, True) if "RA_TLS_ALLOW_DEBUG_ENCLAVE_INSECURE" in settings.allows else (False,)
    return tuple(
        sgx_reference(
            mrenclave=None if settings.mrenclave is None else settings.mrenclave.hex(),
            mrsigner=None if settings.mrsigner is None else settings.mrsigner.hex(),
            isvprodid=settings.isv_prod_id,
            minimum_isvsvn=settings.isv_svn or 0,
            debug=debug,
            without_kss=False,
            waivers=waivers,
            minimum_evaluation=minimum_evaluation,
        )
        for debug in modes
    )


def sgx_reference(
    *,
    mrenclave: str | None,
    mrsigner: str | None,
    isvprodid: int | None,
    minimum_isvsvn: int,
    debug: bool,
    without_kss: bool,
    waivers: Iterable[TcbWaiver],
    minimum_evaluation: int,
) -> SgxReference:
    """Return the reference values, or raise ``Malformed`` where they would name no enclave.

    ``without_kss`` keeps out enclaves with a configuration of their own, so that its version is 0.
    """
    flags, mask = DEBUG_FLAG if debug else 0, DEBUG_FLAG | (KSS_FLAG if without_kss else 0)
    accepted: set[Literal["debug"] | TcbWaiver] = {*waivers, *(("debug",) if debug else ())}
    try:
        return SgxReference(
            format="sgx", mrenclave=mrenclave, mrsigner=mrsigner, isvprodid=isvprodid, minimum_isvsvn=minimum_isvsvn,
            attributes=_attributes(flags), attributes_mask=_attributes(mask), configid=None,
            accepted=tuple(sorted(accepted)), minimum_tcb_evaluation_data_number=minimum_evaluation,
            refused_advisories=(), platforms=None, measured_by="hardware", memory_protected=True,
        )  # fmt: skip
    except ValidationError as refusal:
        why = refusal.errors(include_url=False, include_input=False)[0]["msg"]
    raise Malformed(
        "evidence.settings_reference", "the settings make no reference values", why=why,
        remedy="name the enclave in the settings: its measurement, or its signer and product",
    )  # fmt: skip


def _attributes(flags: int) -> str:
    return (flags.to_bytes(_FLAGS_BYTES, "little") + bytes(_XFRM_BYTES)).hex()
