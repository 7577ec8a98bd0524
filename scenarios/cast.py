"""The demo's cast: parties with keys, settings and, if they own rows, data in a folder of their own."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mpc.errors import Refusal
from parties.client import Client
from parties.config import Config, load_config
from parties.keys import Card, new_keys
from scenarios.scenario import Scenario
from scenarios.stage import Stage

ANALYST = "university"
BY_HAND = "gbsg"
"""The hospital whose person permits every run; the other's daemon may do it alone, within what the contract grants."""


@dataclass(frozen=True)
class Member:
    """One party on the stage: its folder, its settings, its public card."""

    name: str
    label: str
    folder: Path
    card: Card
    config: Config

    @property
    def config_file(self) -> Path:
        """Where its party.toml stands."""
        return self.folder / "party.toml"

    def is_served(self) -> bool:
        """Tell whether its daemon answers."""
        if not self.config.socket.exists():
            return False
        try:
            self.stage()
        except Refusal:
            return False
        return True

    def stage(self) -> str:
        """Return how far its daemon has come."""
        with Client.of(self.config) as client:
            return str(client.status()["stage"])

    def received(self) -> set[int]:
        """Return the runs whose results its daemon has opened."""
        with Client.of(self.config) as client:
            return {int(result["run"]) for result in client.results()}

    def is_vouched_for(self) -> bool:
        """Tell whether each receipt that its daemon holds shows a time for which another party vouches."""
        with Client.of(self.config) as client:
            return all(result["shown"] for result in client.results())


def cast(scene: Stage, scenario: Scenario, port: int, sources: Mapping[str, Path]) -> list[Member]:
    """Give every party of ``scenario`` keys, settings for a coordinator at ``port``, and its data.

    ``sources`` gives each owner's part of ``party.toml``, beside which its rows lie in a CSV file of the same name.
    """
    made = {
        party.name: new_keys(party.name, party.label, scene.folder / party.name / f"{party.name}.key")
        for party in scenario.parties
    }
    return [_member(scene.folder / name, made[name], made, port, sources.get(name)) for name in made]


def _member(folder: Path, card: Card, others: dict[str, Card], port: int, source: Path | None) -> Member:
    known = "".join(f'{name} = "{other.fingerprint}"\n' for name, other in others.items() if name != card.name)
    settings = (
        f"[party]\nname = {json.dumps(card.name)}\nlabel = {json.dumps(card.label)}\n"
        f'state = "state"\nkey = "{card.name}.key"\n\n[coordinator]\naddress = "127.0.0.1:{port}"\n\n'
        f"[known_parties]\n{known}\n"
        # The demo's machine has no trusted hardware: each party has to name the two weaknesses that it accepts.
        '[trust]\naccept_self_measured = ["simulated"]\naccept_visible_memory = ["simulated"]\n\n'
        f"[consent]\npermit_unattended = {json.dumps(card.name != BY_HAND)}\n\n"
    )
    if source is not None:
        shutil.copy(source.with_suffix(".csv"), folder)
        settings += source.read_text(encoding="utf-8")
    (folder / "party.toml").write_text(settings, encoding="utf-8")
    return Member(card.name, card.label, folder, card, load_config(folder / "party.toml"))


def cards(members: Sequence[Member]) -> dict[str, dict[str, str]]:
    """Return the public cards by name, as a scenario wants them."""
    return {member.name: member.card.model_dump(mode="json") for member in members}
