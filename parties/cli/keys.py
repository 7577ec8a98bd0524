"""`sealroom keys`: a party's keys, and the fingerprints that people compare."""

from pathlib import Path
from typing import Annotated

import typer

from parties.cli.options import Json
from parties.cli.screen import plain, show, show_data

app = typer.Typer(no_args_is_help=True, help="Make a party's keys, and compare fingerprints.")


@app.command(epilog="Example: sealroom keys new rotterdam --label 'Rotterdam tumour bank' -o rotterdam.key")
def new(
    name: Annotated[str, typer.Argument(help="The party's short name: lower case letters, digits, underscores.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The private key file; the card goes to FILE.pub.")],
    label: Annotated[str | None, typer.Option(help="The organisation's name, for people.")] = None,
    as_json: Json = False,
) -> None:
    """Make a signing key and a sealing key, for this party alone, and a public card to give to the others."""
    from parties.keys import card_path, new_keys, spoken

    _check_name(name)
    card = new_keys(name, label or name, output)
    if as_json:
        show_data({"key": str(output), "card": str(card_path(output)), "fingerprint": card.fingerprint})
        return
    show(
        f"Private key   [bold]{plain(str(output))}[/]   keep it: it signs in your name",
        f"Public card   [bold]{plain(str(card_path(output)))}[/]   give it to the other parties",
        "Fingerprint   compare it with them on another channel, by telephone for instance:\n",
        "\n".join(f"    [bold cyan]{line}[/]" for line in spoken(card.fingerprint).splitlines()),
    )


@app.command(epilog="Example: sealroom keys fingerprint rotterdam.key.pub")
def fingerprint(
    card: Annotated[Path, typer.Argument(help="A party's public card.")],
    as_json: Json = False,
) -> None:
    """Show the fingerprint of a party's card, and the line for your party.toml."""
    from parties.keys import load_card, spoken

    loaded = load_card(card)
    if as_json:
        show_data({"name": loaded.name, "label": loaded.label, "fingerprint": loaded.fingerprint})
        return
    show(
        f"[bold]{plain(loaded.label)}[/] ({loaded.name})\n",
        "\n".join(f"    [bold cyan]{line}[/]" for line in spoken(loaded.fingerprint).splitlines()),
        "\nOnce it is confirmed on another channel, write into your party.toml:\n",
        f'    \\[known_parties]\n    {loaded.name} = "{loaded.fingerprint}"',
    )


def _check_name(name: str) -> None:
    import re

    from mpc.errors import Misconfigured

    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name):
        raise Misconfigured(
            "argument.name", "the name cannot stand in a contract", why="it is not a short lower-case word",
            remedy="use a letter, then letters, digits and underscores, at most 63", field="NAME",
            expected="for example rotterdam", found=name,
        )  # fmt: skip
