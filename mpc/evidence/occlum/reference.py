"""Reference values from Occlum's file of whom to believe (``ra_config.json``, alone or in ``init_ra_conf.json``).

Occlum compares everything for equality. Here a security version is the least one that is accepted, as everywhere
else: an enclave of a newer version passes where it is named by its signer. A configuration's version can only be held
at 0, by keeping enclaves with KSS out.
"""

from mpc.errors import Malformed
from mpc.evidence.occlum.documents import Accepted, OcclumFile, StartSettings, TrustSettings
from mpc.evidence.ratls.reference import sgx_reference
from mpc.evidence.reference_values.intel import SgxReference


def references_of(found: OcclumFile, *, minimum_evaluation: int) -> tuple[SgxReference, ...]:
    """Return one entry for each enclave that the file believes, or raise ``Malformed``.

    ``minimum_evaluation`` is the least ``tcbEvaluationDataNumber`` of the collateral. A file that compares neither
    program nor signer believes anybody, and makes no reference values.
    """
    trust = found.trust if isinstance(found, StartSettings) else found
    if not isinstance(trust, TrustSettings) or not trust.accepted:
        raise _refused("the file does not say whom to believe")
    if not trust.compares & {"verify_mr_enclave", "verify_mr_signer"}:
        raise _refused("the file believes any enclave: it compares neither program nor signer")
    return tuple(_reference(trust, one, minimum_evaluation) for one in trust.accepted)


def _reference(trust: TrustSettings, one: Accepted, minimum_evaluation: int) -> SgxReference:
    compares = trust.compares
    if "verify_config_svn" in compares and one.config_svn:
        raise _refused("the version of a configuration cannot be held at another value than 0")
    return sgx_reference(
        mrenclave=one.mr_enclave.lower() if "verify_mr_enclave" in compares else None,
        mrsigner=one.mr_signer.lower() if "verify_mr_signer" in compares else None,
        isvprodid=one.isv_prod_id if "verify_isv_prod_id" in compares else None,
        minimum_isvsvn=one.isv_svn if "verify_isv_svn" in compares else 0,
        debug="verify_enclave_debuggable" in compares and one.debuggable,
        without_kss="verify_config_svn" in compares,
        waivers=(),
        minimum_evaluation=minimum_evaluation,
    )


def _refused(why: str) -> Malformed:
    return Malformed(
        "evidence.settings_reference", "the settings make no reference values", why=why,
        remedy="name the enclave in the settings: its measurement, or its signer and product",
    )  # fmt: skip
