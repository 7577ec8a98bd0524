"""`sealroom scenario` and `sealroom contract build`: from a study in Python to a rehearsal, and to a contract."""

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from parties.cli import files
from parties.cli.options import Json
from parties.cli.screen import PASSED, plain, show, show_data, tell, working

if TYPE_CHECKING:
    from mpc.evidence.reference_values import ReferenceValues
    from scenarios.rehearsal import Rehearsal

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Write studies in Python and rehearse them on synthetic rows."
)
contract_app = typer.Typer(no_args_is_help=True, add_completion=False)

TEMPLATE = Path(__file__).parent / "data" / "template.py.txt"

Study = Annotated[Path, typer.Argument(help="A Python file that defines `scenario = Scenario(…)`.")]


@app.callback()
def _scenario() -> None:
    """Write studies in Python and rehearse them on synthetic rows."""


@contract_app.callback()
def _contract() -> None:
    """Build contracts."""


@app.command(epilog="Example: sealroom scenario new lymph_nodes")
def new(
    name: Annotated[str, typer.Argument(help="The study's name; NAME.py is written into this folder.")],
) -> None:
    """Write a working study to start from."""
    path = Path(name if name.endswith(".py") else f"{name}.py")
    files.write(path, TEMPLATE.read_text(encoding="utf-8"), "the scenario")
    rehearse_it = f"sealroom scenario run {quote(str(path))}"
    tell(f"[green]{PASSED}[/] wrote {plain(str(path))}. Rehearse it with: {plain(rehearse_it)}")


@app.command(epilog="Example: sealroom scenario run scenarios/breast_cancer.py --rows 2000")
def run(
    study: Study,
    rows: Annotated[int, typer.Option(min=1, max=1_000_000, help="Synthetic rows of each owner.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="One seed gives the same rows again.")] = 1,
    as_json: Json = False,
) -> None:
    """Rehearse a study: synthetic rows drawn from its schema, the real engines and disclosure rules, no key.

    The numbers mean nothing; which questions are accepted, and what kinds of cells are withheld, does.
    """
    from scenarios.loading import load_scenario
    from scenarios.rehearsal import rehearse

    scenario = load_scenario(study)
    with working(f"rehearsing {scenario.title} on {rows} synthetic rows an owner"):
        rehearsal = rehearse(scenario, rows=rows, seed=seed)
    if as_json:
        show_data(_as_data(rehearsal))
    else:
        _show(rehearsal, rows)


@contract_app.command(
    epilog="Example: sealroom contract build study.py --party north=north.key.pub --party south=south.key.pub "
    "--enclave enclave.json -o contract.json"
)
def build(  # noqa: PLR0917 - typer's parameters are options
    study: Study,
    party: Annotated[list[str], typer.Option(help="NAME=FILE.pub, once for each party of the study.")],
    enclave: Annotated[list[Path], typer.Option(help="Reference values of an enclave, from `sealroom measure`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the contract's exact bytes go.")],
    supersedes: Annotated[Path | None, typer.Option(help="The contract that this one replaces.")] = None,
    history_begins_anew: Annotated[
        bool, typer.Option("--history-begins-anew", help="Forget what that contract answered; `explain` warns of it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Build the contract of a study from every party's public card and the accepted enclaves."""
    from mpc.canonical import sha256
    from mpc.contract.document import contract_bytes, parse_contract
    from mpc.contract.succession import check_owners_stay
    from parties.keys import load_card
    from scenarios.loading import load_scenario

    cards = {
        name: load_card(Path(path)).model_dump(mode="json") for name, path in files.pairs(party, "--party").items()
    }
    raw_earlier = None if supersedes is None else files.read(supersedes, "the earlier contract")
    earlier = None if raw_earlier is None else parse_contract(raw_earlier)
    contract = load_scenario(study).contract(
        parties=cards,
        enclaves=[_reference(path) for path in enclave],
        now=files.now(),
        supersedes=None if raw_earlier is None else sha256(raw_earlier),
        history_begins_anew=history_begins_anew,
    )
    if earlier is not None and contract.predecessor is not None:
        check_owners_stay(earlier, contract)
    raw = contract_bytes(contract)
    files.write(output, raw, "the contract")
    digest = sha256(raw).hex()
    if as_json:
        show_data({"contract": str(output), "digest": digest, "parties": [each.name for each in contract.parties]})
    else:
        tell(f"[green]{PASSED}[/] wrote {plain(str(output))}: {digest}")
        tell(f"Each party reads it with: sealroom contract explain {plain(str(output))} --party NAME")


def _reference(path: Path) -> "ReferenceValues":
    from mpc.contract.document import parse_reference

    return parse_reference(files.read(path, "the reference values"))


def _as_data(rehearsal: "Rehearsal") -> dict[str, object]:
    from parties.report.data import as_data

    return {"synthetic": True, "answers": [as_data(report) for report in rehearsal.reports()]}


def _show(rehearsal: "Rehearsal", rows: int) -> None:
    from parties.report.terminal import terminal

    for report in rehearsal.reports():
        show(terminal(report, trust=False))
    tell(f"[yellow]{rows} synthetic rows an owner: the numbers mean nothing.[/] No key and no real row was read.")
    for name, parameters in rehearsal.parameters.items():
        if parameters:
            tell(f"{plain(name)} was asked with {plain(_spelled(parameters))}")


def _spelled(parameters: Mapping[str, str]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in parameters.items())
