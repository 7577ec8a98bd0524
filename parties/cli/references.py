"""`sealroom evidence reference`: settings of Gramine, Occlum and Enarx's Steward as a contract's reference values."""

from pathlib import Path
from typing import Annotated

import typer

from parties.cli import files
from parties.cli.screen import plain, show


def write_references(
    file: Annotated[Path, typer.Argument(help="Settings of whom to believe: RA_TLS_*, ra_config.json, steward.toml.")],
    *,
    form: Annotated[str, typer.Option("--format", metavar="F", help="Whose: gramine, occlum or steward.")],
    minimum_evaluation: Annotated[
        int, typer.Option(min=1, help="Least tcbEvaluationDataNumber of Intel's collateral to accept.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write them.")],
) -> None:
    """Turn other systems' settings of whom to believe into reference values; read them before you agree to them.

    Settings that believe several enclaves make several files, numbered.
    """
    from mpc.errors import Misconfigured
    from mpc.evidence.reference_files import REFERENCE_FILES

    if form not in REFERENCE_FILES:
        raise Misconfigured(
            "argument.format", "there are no such settings", why="nothing here reads that format",
            remedy="choose one of those expected", field="--format", expected=" or ".join(REFERENCE_FILES),
            found=form[:64],
        )  # fmt: skip
    references = REFERENCE_FILES[form](files.read(file, "the settings"), minimum_evaluation)
    for number, reference in enumerate(references, 1):
        path = output if len(references) == 1 else output.with_stem(f"{output.stem}-{number}")
        files.write(path, reference.model_dump_json(indent=2) + "\n", "the reference values")
        show(plain(str(path)))
