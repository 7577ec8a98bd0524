"""Results as a party holds them: release and receipt of its daemon, verified again before anything is shown."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mpc.evidence.appraisal import Exceptions
    from parties.client import Client
    from parties.config import Config
    from parties.report.view import Report


def answer(daemon: "Client", config: "Config", run: int) -> "tuple[Report, bytes]":
    """Return the report of a run, and its receipt; refuses what ``verify_receipt`` and ``build_report`` refuse."""
    from mpc.contract.document import parse_contract
    from mpc.receipts.verification import verify_receipt
    from parties.report.building import build_report, provenance_of

    receipt = daemon.receipt(run)
    verified = verify_receipt(
        receipt,
        known=known_parties(config),
        exceptions=exceptions(config),
        beneficiary=config.party.name,
    )
    raw = daemon.contract(verified.contract_digest.hex())
    report = build_report(
        parse_contract(raw),
        verified.contract_digest,
        daemon.release(run),
        computation=verified.computation.name,
        parameters=verified.parameters,
        provenance=provenance_of(receipt, verified),
    )
    return report, receipt


def known_parties(config: "Config") -> "Mapping[str, str]":
    """Return the fingerprints that a party knows, its own among them."""
    from parties.keys import load_keys

    return load_keys(config.party.key).known(config.known_parties)


def exceptions(config: "Config") -> "Exceptions":
    """Return the weaknesses of evidence that a party accepts by name."""
    from mpc.evidence.appraisal import Exceptions

    return Exceptions(config.trust.accept_self_measured, config.trust.accept_visible_memory)
