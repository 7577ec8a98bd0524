"""Each check of a quote meets the one false Intel whose quote it has to refuse, and nothing else is wrong with it."""

import base64
import json
from typing import Any

import pytest

from mpc.canonical import sha256
from mpc.errors import Malformed, Refusal
from mpc.evidence.claims import Claims, Given
from mpc.evidence.intel import SGX_FORMAT, TDX_FORMAT, careful
from mpc.evidence.verdict import examine
from tests.evidence.intel_forge import (
    BEGIN,
    END,
    FMSPC,
    FORGE,
    NEXT,
    NOW,
    PLATFORM_CA,
    PROCESSOR_CA,
    ROOT,
    ROOT_DER,
    SIGNER,
    SVNS,
    IntelForge,
    enclave_report,
    level,
    new_key,
    pem,
    point,
    svn_level,
    td_report,
    timestamp,
)

TD15 = td_report(later=bytes(16 + 48))
QUOTES = {
    "sgx v3": (FORGE.quote(enclave_report(), version=3, tee=0), "SGX"),
    "sgx v4": (FORGE.quote(enclave_report(), version=4, tee=0), "SGX"),
    "sgx v5": (FORGE.quote(enclave_report(), version=5, tee=0), "SGX"),
    "td10 v4": (FORGE.quote(), "TDX"),
    "td10 v5": (FORGE.quote(version=5), "TDX"),
    "td15 v5": (FORGE.quote(TD15, version=5), "TDX"),
}
COLLATERAL = {tee: FORGE.collateral(tee) for tee in ("SGX", "TDX")}
QUOTE = QUOTES["td10 v4"][0]


def believe(quote: bytes = QUOTE, collateral: bytes | None = None, **changed: Any) -> Claims:
    chosen = TDX_FORMAT if quote[4] else SGX_FORMAT
    given = COLLATERAL["TDX" if quote[4] else "SGX"] if collateral is None else collateral
    evidence = chosen.parse(quote)
    claims = chosen.verify(evidence, (given,), **({"roots": (ROOT_DER,), "at": NOW} | changed))
    assert isinstance(claims, Claims)
    return claims


def refused(quote: bytes = QUOTE, collateral: bytes | None = None, **changed: Any) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        believe(quote, collateral, **changed)
    return caught.value.code.removeprefix("evidence."), caught.value.why.partition(":")[0]


@pytest.mark.parametrize("kind", QUOTES)
def test_what_a_false_intel_makes_is_whole(kind: str) -> None:
    claims = believe(QUOTES[kind][0])
    assert claims.facts["tcb_status"] == "UpToDate"
    assert claims.valid_until == NEXT
    assert all(check.passed for check in careful(claims, frozenset()))
    assert claims.bound == bytes(range(64))


def test_a_quote_in_hex_base64_or_json_is_the_same_quote() -> None:
    spellings = (
        QUOTE,
        QUOTE.hex().encode(),
        b"0x" + QUOTE.hex().encode() + b"\n",
        base64.b64encode(QUOTE),
        base64.urlsafe_b64encode(QUOTE).rstrip(b"="),
        json.dumps({"quote": base64.urlsafe_b64encode(QUOTE).decode()}).encode(),
    )
    for raw in spellings:
        verdict = examine(raw, at=NOW, endorsements=[COLLATERAL["TDX"]], roots=[ROOT_DER])
        assert (verdict.format, verdict.accepted) == ("tdx", True), verdict.refusal


def test_the_report_data_is_what_was_asked_for() -> None:
    for nonce, accepted in ((bytes(range(64)), True), (bytes(64), False), (bytes(range(32)), False)):
        verdict = examine(QUOTE, at=NOW, endorsements=[COLLATERAL["TDX"]], roots=[ROOT_DER], given=Given(nonce=nonce))
        assert verdict.accepted is accepted
        assert accepted or (verdict.stage, verdict.reason.partition(":")[0]) == ("verify", "wrong nonce")


def test_without_the_false_root_nothing_is_believed() -> None:
    assert refused(roots=TDX_FORMAT.pinned) == ("certificate_path", "wrong root")
    assert refused(roots=(IntelForge().root_certificate(),))[0] == "certificate_path"
    assert refused(roots=())[0] == "certificate_path"


def test_a_root_may_be_issued_again_and_given_as_its_key() -> None:
    key = ROOT_DER[ROOT_DER.index(bytes.fromhex("3059301306072a8648ce3d0201")) :][:91]
    assert believe(roots=(key,)).facts["tcb_status"] == "UpToDate"


def test_a_root_that_did_not_sign_itself_is_no_anchor_and_no_part_of_a_chain() -> None:
    key = ROOT_DER[ROOT_DER.index(bytes.fromhex("3059301306072a8648ce3d0201")) :][:91]
    odd = FORGE.certify(ROOT, FORGE.root, authority=True, by=new_key())
    quote = FORGE.quote(chain=(FORGE.pck_certificate(), FORGE.authority_certificate(), odd))
    assert refused(quote)[0] == "certificate_stray"
    alone = FORGE.collateral(tcb_info_issuer_chain=pem(FORGE.signer_certificate(), odd), pck_crl_issuer_chain=pem(odd))
    assert refused(quote, alone, roots=(key,))[0] == "certificate_path"


def test_a_stranger_in_the_chain_refuses() -> None:
    stranger = IntelForge().authority_certificate()
    chain = (*FORGE.chain(), stranger)
    assert refused(FORGE.quote(chain=chain)) == ("certificate_stray", "bad certificate signature")


CHAINS = {
    "another authority signed": ({"by": new_key()}, "certificate_path", "bad certificate signature"),
    "expired": ({"end": NOW.replace(year=2026, month=5, day=20)}, "certificate_validity", "certificate expired"),
    "of tomorrow": ({"begin": NEXT}, "certificate_validity", "certificate not yet valid"),
    "another name": ({"subject": SIGNER}, "pck_certificate", "wrong certificate"),
    "an authority": ({"authority": True}, "certificate_leaf", "a key that signs certificates does not attest"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHAINS)
def test_a_pck_certificate_has_to_be_right(kind: str) -> None:
    changed, *expected = CHAINS[kind]
    assert refused(FORGE.quote(chain=FORGE.chain(**changed))) == tuple(expected)


def test_a_pck_certificate_by_another_kind_of_authority_refuses() -> None:
    odd = "Intel SGX TCB Signing CA"
    chain = (FORGE.pck_certificate(issuer=odd), FORGE.authority_certificate(subject=odd), ROOT_DER)
    assert refused(FORGE.quote(chain=chain))[0] == "pck_certificate"


def test_a_processor_authority_is_as_good() -> None:
    chain = (FORGE.pck_certificate(issuer=PROCESSOR_CA), FORGE.authority_certificate(subject=PROCESSOR_CA), ROOT_DER)
    listed = FORGE.collateral(pck_crl=FORGE.revocation_list(PROCESSOR_CA, FORGE.authority).hex())
    assert believe(FORGE.quote(chain=chain), listed).facts["pck_authority"] == "processor"
    assert refused(FORGE.quote(chain=chain)) == ("revocation_lists", "no CRL")


SIGNATURES = {
    "the quote by another key": ({"attestation": new_key()}, "quote_signature", "bad quote signature"),
    "the report by another key": ({"pck": new_key()}, "qe_report_signature", "bad QE report signature"),
    "another key in the report": ({"qe_report_data": bytes(64)}, "qe_report_data", "attestation key not bound"),
    "another maker": ({"vendor": bytes(16)}, "qe_vendor", "unknown Quoting Enclave"),
    "another kind of key": ({"key_type": 3}, "qe_vendor", "unknown Quoting Enclave"),
    "bytes behind": ({"behind": bytes(9) + b"\1"}, "padding", "trailing bytes"),
    "another signer of the Quoting Enclave": ({"qe": {"mrsigner": bytes(32)}}, "qe_identity", "wrong Quoting Enclave"),
    "another product": ({"qe": {"isv_prod_id": 1}}, "qe_identity", "wrong Quoting Enclave"),
    "a Quoting Enclave in debug": ({"qe": {"attributes": "1300000000000000"}}, "qe_identity", "wrong Quoting Enclave"),
    "other attributes": ({"qe": {"attributes": "3100000000000000"}}, "qe_identity", "wrong Quoting Enclave"),
    "other state saved": ({"qe": {"misc_select": bytes([1, 0, 0, 0])}}, "qe_identity", "wrong Quoting Enclave"),
    "an ancient Quoting Enclave": ({"qe": {"isv_svn": 5}}, "qe_tcb_level", "no matching TCB level"),
}  # fmt: skip


@pytest.mark.parametrize("kind", SIGNATURES)
def test_a_quote_has_to_be_vouched_for_step_by_step(kind: str) -> None:
    changed, *expected = SIGNATURES[kind]
    assert refused(FORGE.quote(**changed)) == tuple(expected)


def test_a_quoting_enclave_in_debug_refuses_even_if_its_identity_does_not_look_there() -> None:
    blind = FORGE.collateral(qe_identity=FORGE.identity(attributesMask="f9" + "ff" * 7 + "00" * 8))
    assert believe(QUOTE, blind).facts["tcb_status"] == "UpToDate"
    debug = FORGE.quote(qe={"attributes": "1300000000000000"})
    assert refused(debug, blind) == ("qe_identity", "wrong Quoting Enclave")


def test_the_tail_of_the_quoting_enclaves_report_data_has_to_be_zero() -> None:
    bound = sha256(point(FORGE.attestation) + bytes(32))
    assert refused(FORGE.quote(qe_report_data=bound + bytes(31) + b"\1"))[0] == "qe_report_data"


def test_zeros_may_stand_behind_a_quote() -> None:
    assert believe(FORGE.quote(behind=bytes(3000))).facts["tcb_status"] == "UpToDate"


PARTS = {
    "nothing": ({"tcb_info": None}, "collateral", "no collateral"),
    "no identity": ({"qe_identity": None}, "collateral", "no collateral"),
    "no signer": ({"tcb_info_issuer_chain": None}, "collateral", "no collateral"),
    "no root list": ({"root_ca_crl": None}, "revocation_lists", "no CRL"),
    "no PCK list": ({"pck_crl": None}, "revocation_lists", "no CRL"),
    "TCB info by another": ({"tcb_info_signature": "11" * 64}, "tcb_info_signature", "bad collateral signature"),
    "identity by another": ({"qe_identity_signature": "11" * 64}, "qe_identity_signature", "bad collateral signature"),
    "TCB info expired": (
        {"tcb_info": FORGE.tcb_info(nextUpdate=timestamp(BEGIN))}, "tcb_info_validity", "collateral expired",
    ),
    "TCB info of tomorrow": (
        {"tcb_info": FORGE.tcb_info(issueDate=timestamp(NEXT))}, "tcb_info_validity", "collateral not yet valid",
    ),
    "identity expired": (
        {"qe_identity": FORGE.identity(nextUpdate=timestamp(BEGIN))}, "qe_identity_validity", "collateral expired",
    ),
    "identity of tomorrow": (
        {"qe_identity": FORGE.identity(issueDate=timestamp(NEXT))}, "qe_identity_validity", "collateral not yet valid",
    ),
    "another version": ({"tcb_info": FORGE.tcb_info(version=4)}, "tcb_info_version", "unknown collateral version"),
    "another identity version": (
        {"qe_identity": FORGE.identity(version=3)}, "qe_identity_version", "unknown collateral version",
    ),
    "another FMSPC": (
        {"tcb_info": FORGE.tcb_info(fmspc="00a0b0c00001")}, "tcb_info_platform", "collateral for another platform",
    ),
    "another PCE": ({"tcb_info": FORGE.tcb_info(pceId="0001")}, "tcb_info_platform", "collateral for another platform"),
    "the other TEE": ({"tcb_info": FORGE.tcb_info("SGX")}, "tcb_info_platform", "collateral for another platform"),
    "the other Quoting Enclave": ({"qe_identity": FORGE.identity(id="QE")}, "qe_identity", "wrong Quoting Enclave"),
    "root list by another": (
        {"root_ca_crl": FORGE.revocation_list(by=new_key()).hex()}, "crl_signature", "bad CRL signature",
    ),
    "PCK list by another": (
        {"pck_crl": FORGE.revocation_list(PLATFORM_CA).hex()}, "crl_signature", "bad CRL signature",
    ),
    "root list expired": (
        {"root_ca_crl": FORGE.revocation_list(end=BEGIN, begin=BEGIN.replace(month=1)).hex()},
        "crl_validity", "CRL expired",
    ),
    "PCK list of tomorrow": (
        {"pck_crl": FORGE.revocation_list(PLATFORM_CA, FORGE.authority, begin=NEXT, end=END).hex()},
        "crl_validity", "CRL not yet valid",
    ),
    "signed by a PCK key": (
        {"tcb_info_issuer_chain": pem(FORGE.signer_certificate(issuer=PLATFORM_CA, by=FORGE.authority),
                                      FORGE.authority_certificate(), ROOT_DER)},
        "collateral_signer", "wrong certificate",
    ),
    "signer by another": (
        {"tcb_info_issuer_chain": pem(FORGE.signer_certificate(by=new_key()), ROOT_DER)},
        "certificate_path", "bad certificate signature",
    ),
    "signer expired": (
        {"tcb_info_issuer_chain": pem(FORGE.signer_certificate(end=NOW.replace(day=1, hour=1)), ROOT_DER)},
        "certificate_validity", "certificate expired",
    ),
    "below all levels": (
        {"tcb_info": FORGE.tcb_info(tcbLevels=[level("UpToDate", sgx=[9] * 16, tdx=[0] * 16)])},
        "tcb_level", "no matching TCB level",
    ),
    "revoked level": (
        {"tcb_info": FORGE.tcb_info(tcbLevels=[level("Revoked", tdx=[0] * 16)])}, "tcb_revoked", "TCB revoked",
    ),
    "revoked Quoting Enclave": (
        {"qe_identity": FORGE.identity(tcbLevels=[svn_level(8, "Revoked")])}, "tcb_revoked", "TCB revoked",
    ),
    "unknown module": (
        {"tcb_info": FORGE.tcb_info(tdxModuleIdentities=[])}, "tdx_module", "wrong TDX module",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", PARTS)
def test_collateral_has_to_be_whole_current_and_of_this_platform(kind: str) -> None:
    changed, *expected = PARTS[kind]
    assert refused(QUOTE, FORGE.collateral(**changed)) == tuple(expected)


def test_no_certificate_of_the_collateral_is_an_anchor() -> None:
    other = IntelForge(authority=FORGE.authority, pck=FORGE.pck, attestation=FORGE.attestation)
    assert refused(other.quote(), other.collateral())[0] == "certificate_path"
    assert refused(QUOTE, other.collateral())[0] == "certificate_path"


def test_whatever_is_called_back_refuses() -> None:
    serial = 4711
    quote = FORGE.quote(chain=FORGE.chain(serial=serial))
    listed = FORGE.collateral(pck_crl=FORGE.revocation_list(PLATFORM_CA, FORGE.authority, revoked=[serial]).hex())
    assert refused(quote, listed) == ("revocation", "certificate revoked")
    chain = (FORGE.pck_certificate(), FORGE.authority_certificate(serial=serial), ROOT_DER)
    called_back = FORGE.revocation_list(revoked=[serial]).hex()
    assert refused(FORGE.quote(chain=chain), FORGE.collateral(root_ca_crl=called_back))[0] == "revocation"
    signer = pem(FORGE.signer_certificate(serial=serial), ROOT_DER)
    gone = FORGE.collateral(tcb_info_issuer_chain=signer, root_ca_crl=called_back)
    assert refused(QUOTE, gone) == ("revocation", "certificate revoked")


@pytest.mark.parametrize("index", range(16))
def test_every_component_of_a_level_counts(index: int) -> None:
    svns = [svn - (place == index) for place, svn in enumerate(SVNS)] if SVNS[index] else list(SVNS)
    wanted = [svn + (place == index) for place, svn in enumerate(SVNS)]
    low = FORGE.collateral(tcb_info=FORGE.tcb_info(tcbLevels=[level("UpToDate", sgx=wanted, tdx=[0] * 16)]))
    assert refused(QUOTE, low)[0] == "tcb_level"
    exact = FORGE.collateral(tcb_info=FORGE.tcb_info(tcbLevels=[level("UpToDate", sgx=svns, tdx=[0] * 16)]))
    assert believe(QUOTE, exact).facts["tcb_status"] == "UpToDate"


def test_the_pce_and_the_tdx_components_count_too() -> None:
    pce = FORGE.collateral(tcb_info=FORGE.tcb_info(tcbLevels=[level("UpToDate", pce=14, tdx=[0] * 16)]))
    assert refused(QUOTE, pce)[0] == "tcb_level"
    for index in range(16):
        wanted = [9 * (place == index) for place in range(16)]
        listed = FORGE.tcb_info(tcbLevels=[level("UpToDate", tdx=wanted)])
        if index < 2:  # the module's own SVN and version, which have levels of their own
            assert believe(QUOTE, FORGE.collateral(tcb_info=listed)).facts["tcb_status"] == "UpToDate"
        else:
            assert refused(QUOTE, FORGE.collateral(tcb_info=listed))[0] == "tcb_level"
    old = FORGE.quote(td_report(tee_tcb_svn=bytes((4, 0, 3)) + bytes(13)))
    strict = FORGE.tcb_info(tcbLevels=[level("UpToDate", tdx=[5] + [0] * 15)])
    assert refused(old, FORGE.collateral(tcb_info=strict))[0] == "tcb_level"
    assert believe(old, FORGE.collateral(tcb_info=FORGE.tcb_info(tcbLevels=[level("UpToDate", tdx=[4] + [0] * 15)])))


def test_the_worst_of_the_parts_is_the_status() -> None:
    stale = FORGE.quote(qe={"isv_svn": 7})
    assert believe(stale).facts["tcb_status"] == "OutOfDate"
    module = FORGE.quote(td_report(tee_tcb_svn=bytes((3, 1, 3)) + bytes(13)))
    assert believe(module).facts["tcb_status"] == "OutOfDate"
    configured = FORGE.tcb_info(tcbLevels=[level("ConfigurationNeeded", tdx=[0] * 16)])
    both = believe(stale, FORGE.collateral(tcb_info=configured))
    assert both.facts["tcb_status"] == "OutOfDateConfigurationNeeded"
    assert both.facts["advisories"] == ("INTEL-SA-00001",)
    ancient = FORGE.quote(td_report(tee_tcb_svn=bytes((1, 1, 3)) + bytes(13)))
    assert refused(ancient) == ("tdx_module_level", "no matching TCB level")


@pytest.mark.parametrize("changed", [{"mrsignerseam": bytes([1]) * 48}, {"seam_attributes": bytes([1]) + bytes(7)}])
@pytest.mark.parametrize("version", [0, 1])
def test_a_module_by_another_or_in_debug_refuses(changed: dict[str, bytes], version: int) -> None:
    quote = FORGE.quote(td_report(tee_tcb_svn=bytes((4, version, 3)) + bytes(13), **changed))
    assert refused(quote) == ("tdx_module", "wrong TDX module")


def test_the_least_evaluation_number_is_the_collaterals() -> None:
    older = FORGE.collateral(qe_identity=FORGE.identity(tcbEvaluationDataNumber=17))
    assert believe(QUOTE, older).facts["tcb_evaluation_data_number"] == 17


def test_a_quote_that_names_its_platform_takes_the_certificate_from_the_collateral() -> None:
    named = FORGE.quote(certification=(3, bytes(404)))
    assert refused(named) == ("pck_chain", "no collateral")
    beside = FORGE.collateral(pck_certificate_chain=pem(*FORGE.chain()))
    assert believe(named, beside).facts["fmspc"] == FMSPC.hex().upper()
    other = IntelForge(root=FORGE.root, authority=FORGE.authority)
    wrong = FORGE.collateral(pck_certificate_chain=pem(*other.chain()))
    assert refused(named, wrong)[0] == "qe_report_signature"


RESERVED = ("reserved_attributes", "reserved attribute bits")
CAREFUL: dict[str, tuple[bytes, str, str]] = {
    "SEPT_VE_DISABLE": (td_report(td_attributes=0), "sept_ve_disable", "SEPT_VE_DISABLE not set"),
    "service TD": (td_report(later=bytes(16) + bytes([9]) * 48), "service_td", "service TD bound"),
    "migratable": (td_report(td_attributes=1 << 28 | 1 << 29), "service_td", "service TD bound"),
    "reserved": (td_report(td_attributes=1 << 28 | 1 << 40), *RESERVED),
    "reserved in SGX": (enclave_report(attributes="0500010000000000"), *RESERVED),
    "not initialised": (enclave_report(attributes="0400000000000000"), *RESERVED),
}  # fmt: skip


@pytest.mark.parametrize("kind", CAREFUL)
def test_a_careful_default_stands_unless_it_is_waived_by_name(kind: str) -> None:
    body, name, why = CAREFUL[kind]
    quote = FORGE.quote(body, version=5, tee=0 if len(body) == 384 else 0x81)
    failed = [check for check in careful(believe(quote), frozenset()) if not check.passed]
    assert [(check.name, check.why.partition(":")[0]) for check in failed] == [(name, why)]
    waived = all(check.passed for check in careful(believe(quote), frozenset({name})))
    assert waived is (name != "reserved_attributes")


@pytest.mark.parametrize(
    "body",
    [*(td_report(td_attributes=1 << 28 | 1 << bit) for bit in range(8)), enclave_report(attributes="0700000000000000")],
)
def test_debug_is_seen_in_every_form(body: bytes) -> None:
    assert believe(FORGE.quote(body, tee=0 if len(body) == 384 else 0x81)).debug


def test_a_status_is_waived_by_its_name_and_by_no_other() -> None:
    listed = FORGE.tcb_info(tcbLevels=[level("OutOfDate", tdx=[0] * 16)])
    claims = believe(QUOTE, FORGE.collateral(tcb_info=listed))
    for accepted, passed in (((), False), (("tcb:SWHardeningNeeded",), False), (("tcb:OutOfDate",), True)):
        (check,) = [one for one in careful(claims, frozenset(accepted)) if one.name == "tcb_status"]
        assert check.passed is passed
        assert "INTEL-SA-00001" in check.why


MALFORMED = {
    "empty": b"",
    "reserved bytes of the report": FORGE.quote(enclave_report(reserved=bytes(11) + b"\1"), tee=0),
    "reserved bytes of the Quoting Enclave's report": FORGE.quote(qe={"reserved": b"\1" + bytes(11)}),
    "unknown version": b"\x06" + QUOTE[1:],
    "unknown TEE": QUOTE[:4] + b"\x82" + QUOTE[5:],
    "TDX in version 3": b"\x03" + QUOTE[1:],
    "unknown body": FORGE.quote(version=5, body_type=4),
    "a body of another TEE": FORGE.quote(enclave_report(), version=5),
    "a body of another size": FORGE.quote(version=5, body_type=3),
    "unknown certification": FORGE.quote(certification=(7, b"")),
    "no leaf": FORGE.quote(certification=(4, b"")),
    "no PEM": FORGE.quote(certification=(5, b"no PEM")),
    "text behind PEM": FORGE.quote(certification=(5, pem(*FORGE.chain()).encode() + b"more")),
    "nine certificates": FORGE.quote(certification=(5, pem(*[ROOT_DER] * 9).encode())),
    "no extension": FORGE.quote(chain=FORGE.chain(extension=None)),
    "an extension of nonsense": FORGE.quote(chain=FORGE.chain(extension=b"\x30\x03\x02\x01\x01")),
    "a number too large": FORGE.quote(chain=FORGE.chain(svns=(256, *SVNS[1:]))),
    "too few numbers": FORGE.quote(chain=FORGE.chain(svns=SVNS[1:])),
    "too long": QUOTE + bytes(16 << 10),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_what_is_no_quote_is_malformed(kind: str) -> None:
    for chosen in (SGX_FORMAT, TDX_FORMAT):
        with pytest.raises(Malformed):
            chosen.parse(MALFORMED[kind])
