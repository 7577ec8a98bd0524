"""`sealroom contract`: read it, compare it, sign it, verify it. Building one stands with the scenarios."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parties.cli import files
from parties.cli.options import HERE, Config, Json, PartyFile
from parties.cli.screen import PASSED, grid, plain, show, show_data, tell, typed

if TYPE_CHECKING:
    from mpc.contract.page import Explanation
    from mpc.contract.terms import Contract
    from parties.config import Config as PartyConfig

app = typer.Typer(no_args_is_help=True, help="Read, compare, sign and verify contracts.")

File = Annotated[Path, typer.Argument(help="The contract's exact bytes.")]

TYPED_DIGITS = 8


@app.command(epilog="Example: sealroom contract explain contract.json --party rotterdam")
def explain(
    contract: File,
    party: Annotated[str | None, typer.Option(help="Explain it to this party: its columns, its rights.")] = None,
    config: Config = None,
    previous: Annotated[Path | None, typer.Option(help="The contract signed before, to show what changed.")] = None,
    as_json: Json = False,
) -> None:
    """Say in plain words what signing would mean: the page a data officer reads before."""
    reader = party or (_own_name(config) if config else None)
    explanation = _explained(files.read(contract, "the contract"), reader, previous)
    if as_json:
        show_data(explanation.as_data())
    else:
        _show_page(explanation)


@app.command(epilog="Example: sealroom contract diff old.json new.json")
def diff(
    old: Annotated[Path, typer.Argument(help="The contract that stands.")],
    new: Annotated[Path, typer.Argument(help="The one that would take its place.")],
    as_json: Json = False,
) -> None:
    """Show every difference between two contracts, in words."""
    from mpc.contract.diff import diff as differences
    from mpc.contract.document import parse_contract

    before, after = (parse_contract(files.read(path, "the contract")) for path in (old, new))
    changes = differences(before, after)
    if as_json:
        show_data([change.as_data() for change in changes])
    elif not changes:
        show("The two contracts say the same.")
    else:
        rows = [(change.path, _side(change.old), _side(change.new), change.words) for change in changes]
        show(grid(None, ("where", "before", "after", "in words"), rows))


@app.command(epilog="Example: sealroom contract amend contract.json --enclave enclave.json -o contract2.json")
def amend(
    contract: File,
    enclave: Annotated[list[Path], typer.Option(help="Reference values of an enclave that is accepted from now on.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the new contract's exact bytes go.")],
    as_json: Json = False,
) -> None:
    """Write a contract that takes this one's place and accepts other enclaves; nothing else changes.

    What is not named is accepted no more. Every party has to sign the new contract, and rows are uploaded anew; the
    history of answers and the numbers of runs follow.
    """
    from mpc.canonical import canonical_json, sha256
    from mpc.contract.diff import only_enclaves_differ
    from mpc.contract.document import contract_bytes, parse_contract, parse_reference
    from mpc.contract.terms import Superseded
    from mpc.errors import Misconfigured

    raw = files.read(contract, "the contract")
    before = parse_contract(raw)
    named = (parse_reference(files.read(path, "the reference values")) for path in enclave)
    enclaves = tuple(sorted(named, key=canonical_json))
    superseded = Superseded(contract=sha256(raw).hex(), history="follows")
    after = before.model_copy(update={"enclaves": enclaves, "supersedes": superseded})
    if not only_enclaves_differ(before, after):
        raise Misconfigured(
            "contract.amend.same", "there is nothing to amend", why="the contract accepts exactly these enclaves",
            remedy="name reference values that differ, from `sealroom measure`", field="--enclave",
        )  # fmt: skip
    amended = contract_bytes(after)
    files.write(output, amended, "the contract")
    digest = sha256(amended).hex()
    if as_json:
        show_data({"contract": str(output), "digest": digest, "supersedes": superseded.contract})
    else:
        tell(f"[green]{PASSED}[/] wrote {plain(str(output))}: {digest}")
        tell(f"What changes: sealroom contract diff {plain(str(contract))} {plain(str(output))}")


@app.command(epilog="Example: sealroom contract sign contract.json --config party.toml")
def sign(
    contract: File,
    config: Config = None,
    key: Annotated[Path | None, typer.Option(help="Sign with this key file; nothing is sent anywhere.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the signature to this file.")] = None,
    yes_digest: Annotated[
        str | None,
        typer.Option(help="The digest's first eight characters, for scripts: the contract was read elsewhere."),
    ] = None,
) -> None:
    """Read the contract, type its digest's first eight characters, and sign it.

    With --config, the other parties' keys are compared with your known_parties, and your running daemon signs and
    takes part. With --key, the signature is only written to a file.
    """
    from mpc.errors import Misconfigured

    raw = files.read(contract, "the contract")
    if (config is None) == (key is None) or (key is not None and output is None):
        raise Misconfigured(
            "argument.signer", "it is not clear who signs", why="one of --config and --key says it",
            remedy="give --config party.toml, or --key FILE and -o FILE",
        )  # fmt: skip
    if config is not None:
        _sign_by_daemon(raw, config, yes_digest)
    elif key is not None and output is not None:
        _sign_by_key(raw, key, output, yes_digest)


@app.command(epilog="Example: sealroom contract add contract.json gbsg.consent --config party.toml")
def add(
    contract: File,
    consents: Annotated[list[Path] | None, typer.Argument(help="Other parties' signatures that came as files.")] = None,
    config: PartyFile = HERE,
    as_json: Json = False,
) -> None:
    """Hand a contract to your running daemon without signing it, and other parties' signatures with it."""
    from parties.cli.daemon import connected

    raw = files.read(contract, "the contract")
    signatures = [files.read(path, "the signature") for path in consents or []]
    with connected(config) as daemon:
        held = daemon.add_contract(raw)
        for signature in signatures:
            held = daemon.add_consent(held["digest"], signature)
    if as_json:
        show_data(held)
        return
    missing = ", ".join(held["missing"]) or "nobody"
    tell(f"[green]{PASSED}[/] your daemon holds [bold]{plain(held['title'])}[/]; signatures are missing of: {missing}")


@app.command(epilog="Example: sealroom contract verify contract.json rotterdam.consent gbsg.consent")
def verify(
    contract: File,
    consents: Annotated[list[Path] | None, typer.Argument(help="The parties' signatures.")] = None,
    config: Config = None,
    at: Annotated[str | None, typer.Option(help="The time to judge validity at; now when left out.")] = None,
    as_json: Json = False,
) -> None:
    """Check that the contract is well formed, in force, and signed by every party and nobody else."""
    from mpc.canonical import sha256
    from mpc.contract.consent import agree, check_known
    from mpc.contract.document import parse_contract

    raw = files.read(contract, "the contract")
    parsed = parse_contract(raw)
    if config is not None:
        settings = _settings(config)
        check_known(parsed, settings.known_parties, settings.party.name)
    signatures = [files.read(path, "the signature") for path in consents or []]
    agree(raw, signatures, at=files.time_or_now(at))
    names = [party.name for party in parsed.parties]
    if as_json:
        show_data({"digest": sha256(raw).hex(), "signed_by": names, "valid_until": parsed.valid_until})
        return
    show(
        f"[green]{PASSED}[/] [bold]{plain(parsed.title)}[/] is signed by all: {', '.join(names)}",
        f"  digest {sha256(raw).hex()}",
        f"  in force until {parsed.valid_until}",
    )


def _sign_by_key(raw: bytes, key: Path, output: Path, yes_digest: str | None) -> None:
    from mpc.contract.consent import sign_consent
    from parties.keys import load_keys

    keys = load_keys(key)
    _confirm(raw, keys.name, yes_digest)
    files.write(output, sign_consent(raw, keys.signing), "the signature")
    tell(f"[green]{PASSED}[/] signed: {plain(str(output))}")


def _sign_by_daemon(raw: bytes, config: Path, yes_digest: str | None) -> None:
    from mpc.contract.consent import check_known
    from mpc.contract.document import parse_contract
    from parties.cli.daemon import connected

    settings = _settings(config)
    check_known(parse_contract(raw), settings.known_parties, settings.party.name)
    with connected(config) as daemon:
        typed = _confirm(raw, settings.party.name, yes_digest)
        daemon.sign(daemon.add_contract(raw)["digest"], typed)
    tell(f"[green]{PASSED}[/] signed; your daemon takes it from here: [bold]sealroom status[/]")


def _confirm(raw: bytes, party: str, yes_digest: str | None) -> str:
    """Show the page, and go on only when the digest's first characters are typed: who types them has seen it."""
    from mpc.canonical import sha256
    from mpc.errors import Forbidden

    digest = sha256(raw).hex()
    if yes_digest is None:
        _show_page(_explained(raw, party, None))
        tell(f"\nDigest  [bold]{digest[:TYPED_DIGITS]}[/]{digest[TYPED_DIGITS:]}")
        yes_digest = typed(
            f"Type its first {TYPED_DIGITS} characters to sign as {party}",
            what="nothing was signed", instead="--yes-digest after the contract was read elsewhere",
        )  # fmt: skip
    if yes_digest.strip().lower() != digest[:TYPED_DIGITS]:
        raise Forbidden(
            "contract.sign.digest", "nothing was signed", why="what was typed is not the beginning of the digest",
            remedy="read the contract again; sign only the digest that the other parties name, too", field="digest",
            expected=digest[:TYPED_DIGITS], found=yes_digest.strip()[:TYPED_DIGITS] or "nothing",
        )  # fmt: skip
    return digest[:TYPED_DIGITS]


def _show_page(explanation: "Explanation") -> None:
    from parties.cli.page import page

    if sys.stdout.isatty():
        show(page(explanation))
    else:
        sys.stdout.write(explanation.text)  # whole lines, however long: nothing of it may be cut


def _explained(raw: bytes, party: str | None, previous: Path | None) -> "Explanation":
    from mpc.canonical import sha256
    from mpc.contract.document import parse_contract
    from mpc.contract.explain import explain as explained
    from mpc.errors import Misconfigured

    contract = parse_contract(raw)
    if party is not None and contract.party(party) is None:
        raise Misconfigured(
            "contract.party.not_me", f"{party} is no party of this contract", why="there is nothing to explain to it",
            remedy="name one of its parties", field="--party", found=party, expected=_names(contract),
        )  # fmt: skip
    before = parse_contract(files.read(previous, "the previous contract")) if previous else None
    return explained(contract, sha256(raw), party=party, previous=before)


def _names(contract: "Contract") -> str:
    return " or ".join(party.name for party in contract.parties)


def _settings(config: Path) -> "PartyConfig":
    from parties.config import load_config

    return load_config(config)


def _own_name(config: Path) -> str:
    return _settings(config).party.name


def _side(value: object) -> str:
    return "-" if value is None else str(value)
