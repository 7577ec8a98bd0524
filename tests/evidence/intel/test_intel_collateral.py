"""Collateral comes in many wrappers and is one thing; by itself it is judged as well."""

import json
from base64 import b64encode, urlsafe_b64encode
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mpc.errors import Malformed, Refusal
from mpc.evidence.certificate import parse_certificate
from mpc.evidence.checks import Checks, NotBelieved
from mpc.evidence.intel import (
    COLLATERAL_FORMAT,
    Collateral,
    collateral_of,
    parse_quote,
    read_collateral,
    verify_quote,
)
from mpc.evidence.intel.certificates import verify_pck_chain, verify_signer_chain
from mpc.evidence.intel.collateral import LINES_MAX, LISTS_MAX
from mpc.evidence.intel.documents import parse_enclave_identity, parse_tcb_info
from mpc.evidence.intel.files import is_collateral, is_tdx, unwrapped
from mpc.evidence.intel.verify import Endorsed
from mpc.evidence.verdict import examine
from tests.evidence.intel_forge import (
    BEGIN,
    FORGE,
    NOW,
    PCK,
    PLATFORM_CA,
    ROOT_DER,
    IntelForge,
    enclave_report,
    level,
    new_key,
    pem,
    raw_signature,
    svn_level,
)
from tests.vectors import entries, needs_vectors, read

QUOTE = FORGE.quote()


def answer(kind: str, document: dict[str, Any]) -> bytes:
    body = json.dumps(document).encode()
    return b'{"%s":%s,"signature":"%s"}' % (kind.encode(), body, raw_signature(FORGE.signer, body).hex().encode())


TCB_INFO, IDENTITY = answer("tcbInfo", FORGE.tcb_info()), answer("enclaveIdentity", FORGE.identity())
ROOT_LIST, PCK_LIST = FORGE.revocation_list(), FORGE.revocation_list(PLATFORM_CA, FORGE.authority)
SIGNERS = pem(FORGE.signer_certificate(), ROOT_DER).encode()
LIST_PEM = x509.load_der_x509_crl(PCK_LIST).public_bytes(Encoding.PEM)


def endorsed(collateral: Collateral, quote: bytes = QUOTE, **changed: Any) -> Endorsed:
    return verify_quote(
        parse_quote(quote), collateral, roots=(ROOT_DER,), at=NOW, checks=Checks("not believed"), **changed
    )


PARTS = {
    "DER": (TCB_INFO, IDENTITY, SIGNERS, ROOT_LIST, PCK_LIST),
    "another order": (PCK_LIST, ROOT_LIST, SIGNERS, IDENTITY, TCB_INFO),
    "PEM and hex": (TCB_INFO, IDENTITY, SIGNERS, ROOT_LIST.hex().encode(), LIST_PEM),
    "ended by NUL": tuple(part + b"\0" for part in (TCB_INFO, IDENTITY, SIGNERS, ROOT_LIST, PCK_LIST.hex().encode())),
    "certificates in DER": (TCB_INFO, IDENTITY, FORGE.signer_certificate(), ROOT_DER, ROOT_LIST, PCK_LIST),
    "spaces in the answers": (
        TCB_INFO.replace(b'"tcbInfo":', b' "tcbInfo" : ').replace(b',"signature":', b'\n,\t"signature" : '),
        IDENTITY, SIGNERS, ROOT_LIST, PCK_LIST,
    ),
    "twice the same": (TCB_INFO, TCB_INFO, IDENTITY, SIGNERS, SIGNERS, ROOT_LIST, ROOT_LIST, PCK_LIST),
    "answers inside of JSON": (
        json.dumps({"tcb_info": TCB_INFO.decode(), "qe_identity": IDENTITY.decode(),
                    "tcb_info_issuer_chain": SIGNERS.decode()}).encode(), ROOT_LIST, PCK_LIST,
    ),
    "escaped as in a header": (TCB_INFO, IDENTITY, quote(SIGNERS.decode()).encode(), ROOT_LIST, PCK_LIST),
    "base64": tuple(b64encode(part) for part in (TCB_INFO, IDENTITY, SIGNERS, ROOT_LIST, PCK_LIST)),
    "a list and its chain": (
        TCB_INFO, IDENTITY, SIGNERS, ROOT_LIST,
        json.dumps({"crl": LIST_PEM.decode(), "ca_chain": [SIGNERS.decode()]}).encode(),
    ),
    "other names, under collateral": (
        json.dumps({"collateral": {"tcbInfo": TCB_INFO.decode(), "qeIdentity": IDENTITY.decode(),
                                   "tcbInfoIssuerChain": SIGNERS.decode(), "rootCaCrl": list(ROOT_LIST),
                                   "pckCrl": b64encode(PCK_LIST).decode()}}).encode(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", PARTS)
def test_the_parts_are_one_thing_in_any_wrapper(kind: str) -> None:
    assert endorsed(read_collateral(PARTS[kind])).status == "UpToDate"


def test_parts_from_another_wrapper_are_put_together() -> None:
    collateral = collateral_of(
        tcb_info=TCB_INFO, qe_identity=IDENTITY, chains=(SIGNERS + b"\0",), lists=(ROOT_LIST, PCK_LIST + b"\0")
    )
    assert endorsed(collateral).status == "UpToDate"
    with pytest.raises(Malformed):
        collateral_of(tcb_info=IDENTITY, qe_identity=None, chains=(), lists=())


def test_the_signed_bytes_are_those_that_came() -> None:
    body = json.dumps(FORGE.tcb_info(), indent=3).encode() + b"  "
    odd = b'{"tcbInfo":%s,"signature":"%s"}' % (body.strip(), raw_signature(FORGE.signer, body.strip()).hex().encode())
    assert endorsed(read_collateral((odd, *PARTS["DER"][1:]))).status == "UpToDate"
    again = json.dumps(json.loads(odd)).encode()  # the same value in other bytes
    with pytest.raises(Refusal, match="bad collateral signature"):
        endorsed(read_collateral((again, *PARTS["DER"][1:])))


MALFORMED: dict[str, tuple[bytes, ...]] = {
    "nonsense": (b"nonsense",),
    "an empty object": (b"{}",),
    "a list": (b"[]",),
    "no JSON": (b'{"tcb_info"',),
    "no signature": (b'{"tcb_info":"{}"}',),
    "a short signature": (b'{"tcb_info":"{}","tcb_info_signature":"00"}',),
    "a number for a text": (b'{"tcb_info":1,"tcb_info_signature":"00"}',),
    "half a character": (b'{"tcb_info":"\\ud800","tcb_info_signature":"%s"}' % (b"00" * 64),),
    "a name twice": (b'{"root_ca_crl":"","root_ca_crl":""}',),
    "a list of nonsense": (b'{"root_ca_crl":"30"}',),
    "a name in two spellings": (b'{"root_ca_crl":"","rootCaCrl":""}',),
    "a list that is longer": (ROOT_LIST + b"\1",),
    "two different": (TCB_INFO, answer("tcbInfo", FORGE.tcb_info(tcbEvaluationDataNumber=18))),
    "too many files": (ROOT_LIST,) * 33,
    "too long": (b" " * (1 << 20) + TCB_INFO,),
    "too many certificates": (pem(*(FORGE.root_certificate() for _ in range(9))).encode(),),
    "too many chains": (*(FORGE.root_certificate() for _ in range(31)), pem(*FORGE.chain()).encode()),
}


QUOTES = {
    "lines of hex": b"\n".join(QUOTE.hex()[at : at + 60].encode() for at in range(0, 2 * len(QUOTE), 60)),
    "numbers": json.dumps(list(QUOTE)).encode(),
    "a text": json.dumps("0x" + QUOTE.hex()).encode(),
    "deep inside": json.dumps({"evidence": {"tdx": {"quote": b64encode(QUOTE).decode(), "quoteSize": 1}}}).encode(),
    "configfs-tsm": json.dumps({"provider": "x", "outblob": urlsafe_b64encode(QUOTE).decode()}).encode(),
}


@pytest.mark.parametrize("form", QUOTES)
def test_a_quote_is_found_in_what_answers_carry_it(form: str) -> None:
    assert is_tdx(QUOTES[form])
    assert unwrapped(QUOTES[form]) == QUOTE


def test_of_two_quotes_in_one_answer_none_is_taken() -> None:
    both = json.dumps({"quote": QUOTE.hex(), "other": {"quote": (QUOTE[:-1] + b"\1").hex()}}).encode()
    assert not is_tdx(both)


@pytest.mark.parametrize("part", PARTS["DER"])
def test_parts_are_recognised_alone(part: bytes) -> None:
    assert is_collateral(part)


@pytest.mark.parametrize("kind", MALFORMED)
def test_what_is_no_collateral_is_malformed(kind: str) -> None:
    with pytest.raises(Malformed):
        read_collateral(MALFORMED[kind])


DOCUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "no version": ({"version": None}, "missing field"),
    "an impossible date": ({"issueDate": "2026-02-31T00:00:00Z"}, "malformed date"),
    "a date without zone": ({"nextUpdate": "2026-02-01T00:00:00"}, "malformed date"),
    "a short FMSPC": ({"fmspc": "00"}, "malformed hex"),
    "an unknown TCB type": ({"tcbType": 1}, "unknown TCB type"),
    "an unknown status": ({"tcbLevels": [level("Fine", tdx=[0] * 16)]}, "unknown TCB status"),
    "fifteen components": ({"tcbLevels": [level("UpToDate", sgx=[0] * 15, tdx=[0] * 16)]}, "value out of range"),
    "no TDX components": ({"tcbLevels": [level("UpToDate")]}, "missing field"),
    "a negative SVN": ({"tcbLevels": [level("UpToDate", sgx=[-1] * 16, tdx=[0] * 16)]}, "value out of range"),
    "a large PCE SVN": ({"tcbLevels": [level("UpToDate", pce=65536, tdx=[0] * 16)]}, "value out of range"),
    "levels of another type": ({"tcbLevels": [1]}, "wrong type"),
    "too many levels": ({"tcbLevels": [level("UpToDate", tdx=[0] * 16)] * 65}, "value out of range"),
    "a number that is true": ({"tcbEvaluationDataNumber": True}, "wrong type"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_tcb_information_is_read_strictly(kind: str) -> None:
    changed, why = DOCUMENTS[kind]
    document = {name: value for name, value in FORGE.tcb_info(**changed).items() if value is not None}
    with pytest.raises(Malformed) as caught:
        parse_tcb_info(json.dumps(document).encode())
    assert caught.value.why.startswith(why)


def test_an_identity_is_read_strictly_and_its_newest_level_stands_first() -> None:
    for name in FORGE.identity():
        document = {key: value for key, value in FORGE.identity().items() if key != name}
        with pytest.raises(Malformed, match="missing field"):
            parse_enclave_identity(json.dumps(document).encode())
    swapped = FORGE.identity(tcbLevels=[svn_level(6, "UpToDate"), svn_level(8, "OutOfDate")])
    with pytest.raises(Malformed, match="out of range"):
        parse_enclave_identity(json.dumps(swapped).encode())


def old_tcb_info() -> dict[str, Any]:
    names = {f"sgxtcbcomp{index:02d}svn": 0 for index in range(1, 17)}
    found = FORGE.tcb_info("SGX", version=2)
    found["tcbLevels"] = [{"tcb": names | {"pcesvn": 1}, "tcbDate": "2026-01-01T00:00:00Z", "tcbStatus": "UpToDate"}]
    del found["id"]
    return found


def test_tcb_information_of_version_2_is_for_sgx_alone() -> None:
    old = old_tcb_info()
    quote = FORGE.quote(enclave_report(), version=3, tee=0)
    assert endorsed(read_collateral((FORGE.collateral("SGX", tcb_info=old),)), quote).tcb_info_version == 2
    with pytest.raises(Refusal, match="another platform"):
        endorsed(read_collateral((FORGE.collateral("TDX", tcb_info=old),)))
    forged = FORGE.collateral(tcb_info=FORGE.tcb_info("TDX", version=2, tcbLevels=old["tcbLevels"]))
    with pytest.raises(Refusal):
        endorsed(read_collateral((forged,)))


def test_without_an_identity_signer_and_product_are_intels_own() -> None:
    bare = read_collateral((FORGE.collateral(qe_identity=None),))
    with pytest.raises(Refusal, match="no collateral"):
        endorsed(bare)
    with pytest.raises(Refusal, match="wrong Quoting Enclave"):
        endorsed(bare, identity_required=False)
    for changed, right in (({}, True), ({"isv_prod_id": 1}, False), ({"attributes": "1300000000000000"}, False)):
        signer = bytes.fromhex("dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5")
        quote = FORGE.quote(qe={"mrsigner": signer, **changed})
        if right:
            assert endorsed(bare, quote, identity_required=False).qe_status is None
        else:
            with pytest.raises(Refusal, match="wrong Quoting Enclave"):
                endorsed(bare, quote, identity_required=False)


def judged(raw: bytes) -> tuple[bool, str]:
    verdict = examine(raw, at=NOW, format="dcap-collateral", roots=[ROOT_DER])
    assert verdict.stage in {"parse", "verify"}
    return verdict.accepted, verdict.reason.partition(":")[0]


ALONE: dict[str, tuple[dict[str, Any], str]] = {
    "no authority": ({"pck_crl_issuer_chain": None}, "no collateral"),
    "no authority and no list": (
        {"pck_crl_issuer_chain": None, "pck_crl": None, "root_ca_crl": None}, "no collateral",
    ),
    "an authority by another": (
        {"pck_crl_issuer_chain": pem(FORGE.authority_certificate(by=new_key()))}, "bad certificate signature",
    ),
    "an authority that expired": (
        {"pck_crl_issuer_chain": pem(FORGE.authority_certificate(end=NOW.replace(day=1, hour=1)))},
        "certificate expired",
    ),
    "no root list": ({"root_ca_crl": None}, "no CRL"),
    "no PCK list": ({"pck_crl": None}, "no CRL"),
    "a PCK list by the root": ({"pck_crl": FORGE.revocation_list(PLATFORM_CA).hex()}, "bad CRL signature"),
    "a PCK list that expired": (
        {"pck_crl": FORGE.revocation_list(PLATFORM_CA, FORGE.authority, begin=BEGIN, end=NOW.replace(hour=1)).hex()},
        "CRL expired",
    ),
    "a list of a stranger": ({"pck_crl": IntelForge().revocation_list("stranger").hex()}, "no collateral"),
    "no identity": ({"qe_identity": None}, "no collateral"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ALONE)
def test_collateral_alone_is_judged_whole(kind: str) -> None:
    changed, why = ALONE[kind]
    assert judged(FORGE.collateral()) == (True, "")
    assert judged(FORGE.collateral(**changed)) == (False, why)


def test_an_authority_that_was_called_back_refuses() -> None:
    chain = pem(FORGE.authority_certificate(serial=99), ROOT_DER)
    listed = FORGE.collateral(pck_crl_issuer_chain=chain, root_ca_crl=FORGE.revocation_list(revoked=[99]).hex())
    assert judged(listed) == (False, "certificate revoked")


def test_collateral_shows_its_parts() -> None:
    assert COLLATERAL_FORMAT.roots(None) == ()
    assert len(COLLATERAL_FORMAT.describe(COLLATERAL_FORMAT.parse(FORGE.collateral()))) >= 6


@needs_vectors
def test_a_signer_that_was_issued_again_under_its_serial_is_not_mistaken() -> None:
    """Intel's two signers share serial and key; the one that covers the time is taken."""
    kept = [read(entry["file"]) for entry in entries("dcap-collateral")]
    signers = {one.der: one for raw in kept for one in read_collateral((raw,)).signers}
    assert len({one.serial for one in signers.values()}) < len(signers) == 2
    assert len({one.spki for one in signers.values()}) == 1


def test_a_certificate_in_der_may_end_with_a_zero_of_its_own() -> None:
    # Signatures are random: one in 256 ends so, and no byte of it is padding.
    minted = (FORGE.signer_certificate() for _ in range(10_000))
    der = next(certificate for certificate in minted if certificate.endswith(b"\0"))
    assert [found.der for found in read_collateral([der]).certificates] == [der]
    with pytest.raises(Malformed):
        read_collateral([der + b"\0"])


def test_more_lists_or_lines_than_any_chain_needs_are_malformed() -> None:
    lists = tuple(FORGE.revocation_list(revoked=[number]) for number in range(1, LISTS_MAX + 2))
    assert len(read_collateral(lists[1:]).lists) == LISTS_MAX
    lines = pem(FORGE.root_certificate()).replace("-----END", "\n" * LINES_MAX + "-----END").encode()
    for files in (lists, (lines,)):
        with pytest.raises(Malformed) as refused:
            read_collateral(files)
        assert refused.value.why.startswith("more ")


def test_a_chain_has_three_steps_and_a_signer_two_each_with_its_name() -> None:
    between = FORGE.certify("between", FORGE.attestation, authority=True)
    authority = FORGE.certify(PLATFORM_CA, FORGE.authority, "between", FORGE.attestation, authority=True)
    longer = [parse_certificate(der) for der in (FORGE.pck_certificate(), authority, between)]
    roots, checks = [parse_certificate(ROOT_DER)], Checks("the chain")
    with pytest.raises(NotBelieved) as refused:
        verify_pck_chain(longer, roots=roots, at=NOW, checks=checks)
    assert refused.value.code == "evidence.pck_certificate"
    with pytest.raises(NotBelieved) as refused:
        verify_signer_chain(
            parse_certificate(FORGE.signer_certificate(subject=PCK)), [], roots=roots, at=NOW, checks=checks
        )
    assert refused.value.code == "evidence.collateral_signer"
