"""The local API over its socket, with no coordinator in reach."""

import inspect
import json
import re
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection
from typing import Any, get_args

import pytest

from mpc.canonical import sha256
from mpc.contract.document import contract_bytes
from mpc.contract.terms import Contract
from mpc.errors import Forbidden, Malformed, Misconfigured, OutOfOrder, Unavailable, Untrusted
from mpc.session.state import State
from parties import overview
from parties.client import Client
from parties.overview import STAGES
from parties.service import serve
from tests.parties.conftest import MARKS, Member
from tests.parties.gathering import Gathering, gathered


@pytest.fixture
def north(member: Callable[..., Member]) -> Member:
    return member("north", rows=20)


@pytest.fixture
def party(north: Member, clock: Any) -> Iterator[Gathering]:
    with gathered(north.config, clock=clock) as party:
        yield party


@pytest.fixture
def client(party: Gathering) -> Client:
    return party.clients["north"]


def test_the_socket_and_the_state_are_for_their_owner_alone(client: Client, north: Member) -> None:
    assert client.status()["stage"] == "no contract"
    mode = north.config.socket.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert mode & 0o077 == 0
    assert north.config.party.state.stat().st_mode & 0o077 == 0


def test_a_contract_is_added_explained_and_signed_only_with_what_a_person_typed(client: Client, raw: bytes) -> None:
    added = client.add_contract(raw)
    digest = sha256(raw).hex()
    assert (added["digest"], added["signed"], len(added["missing"])) == (digest, None, 3)
    assert client.contract(digest) == raw
    assert client.explanation(digest)["digest"] == digest
    assert [entry["what"] for entry in client.status()["awaits_you"]] == ["signature"]
    with pytest.raises(Forbidden, match=r"consent\.confirmation"):
        client.sign(digest, "yes")
    assert client.sign(digest, digest[:8])["missing"] == ["south", "university"]
    assert "contract_signed" in [event["kind"] for event in client.events()]


def test_without_a_coordinator_the_daemon_says_what_is_wrong_and_goes_on_trying(
    party: Gathering, client: Client, raw: bytes
) -> None:
    digest = sha256(raw).hex()
    client.add_contract(raw)
    client.sign(digest, digest[:8])
    party.until(lambda: (client.status()["trouble"] or {}).get("code") == "channel.unreachable")
    assert (client.status()["stage"], client.status()["next"]) == ("connecting", "Connect")
    with pytest.raises(OutOfOrder, match=r"daemon\.not_ready"):
        client.run("weight_by_grade")
    with pytest.raises(Unavailable, match=r"channel\.unreachable"):
        client.attest()
    refused = [event for event in client.events() if event["kind"] == "refused"]
    assert len(refused) == 1  # the same trouble is told once


def test_a_contract_with_strangers_is_not_even_held(client: Client, contract: Contract) -> None:
    parties = list(contract.parties)
    parties[1] = parties[1].model_copy(update={"signing_key": parties[0].signing_key[::-1]})
    for raw in (b"{}", contract_bytes(contract)[:-1]):
        with pytest.raises(Malformed):
            client.add_contract(raw)
    stranger = contract.model_copy(update={"parties": (*parties[:1], parties[2])})
    with pytest.raises((Untrusted, Forbidden, Malformed)):
        client.add_contract(stranger.model_dump_json().encode())
    assert client.contracts() == []


def test_the_check_shows_an_owner_its_rows_and_leaves_no_trace(
    client: Client, raw: bytes, north: Member, capfd: Any
) -> None:
    client.add_contract(raw)
    found = client.check("patients")
    assert (found["rows"], found["passed"]) == (20, True)
    assert found["columns"][0]["minimum"].encode().startswith(MARKS[0])
    with pytest.raises(Misconfigured, match=r"config\.dataset"):
        client.check("other")
    traces = [path.read_bytes() for path in north.config.party.state.iterdir() if path.is_file()]
    printed = capfd.readouterr()
    assert not any(mark in trace for mark in MARKS for trace in (*traces, printed.out.encode(), printed.err.encode()))


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("POST", "/runs", b"[]"),
        ("POST", "/runs", b'{"computation": 1}'),
        ("POST", "/runs", b'{"computation": "a", "parameters": {"b": 1}}'),
        ("POST", "/runs", b"\xff" * 10),
        ("POST", "/runs", b"[" * 100_000),
        ("GET", "/contracts/abc", b""),
        ("GET", "/events?after=-1", b""),
        ("GET", "/events?after=" + "9" * 40, b""),
        ("POST", "/contracts", b"x" * (5 << 20)),
    ],
)
def test_what_is_not_understood_is_a_refusal_and_no_stack_trace(
    client: Client, north: Member, method: str, path: str, content: bytes
) -> None:
    with closing(HTTPConnection("party")) as http:
        http.sock = socket.socket(socket.AF_UNIX)
        http.sock.connect(str(north.config.socket))
        with suppress(BrokenPipeError):  # refused before the end of what is too long
            http.request(method, path, content)
        answer = http.getresponse()
        told = answer.read().decode()
    assert answer.status == 400
    assert json.loads(told)["kind"] == "malformed"
    assert "Traceback" not in told
    assert client.status()["stage"] == "no contract"


def test_one_state_folder_has_one_daemon(party: Gathering, north: Member) -> None:
    assert party.clients
    with pytest.raises(Misconfigured, match=r"state\.in_use"):
        serve(north.config)


def test_another_partys_key_file_does_not_start(member: Callable[..., Member]) -> None:
    north, south = member("north"), member("south")
    config = north.config.model_copy(
        update={"party": north.config.party.model_copy(update={"key": south.config.party.key})}
    )
    with pytest.raises(Misconfigured, match=r"config\.key_name"):
        serve(config)


def test_a_daemon_that_is_not_there_is_said_to_be(north: Member) -> None:
    with Client.of(north.config) as client, pytest.raises(Unavailable) as refusal:
        client.status()
    assert "sealroom party serve" in refusal.value.remedy


def test_a_socket_path_that_no_system_takes_is_told_before_anything_else(
    member: Callable[..., Member], clock: Any
) -> None:
    north = member("north")
    long = north.config.party.model_copy(update={"state": north.folder / ("s" * 120)})
    with pytest.raises(Misconfigured, match=r"socket\.path"):
        serve(north.config.model_copy(update={"party": long}), clock=clock)


def test_every_stage_has_its_meaning() -> None:
    session = {*get_args(State), "permitted", "released"}
    assert session <= STAGES.keys()
    own = set(re.findall(r'"([a-z ]+)"\),', inspect.getsource(overview.stage)))
    assert {"unsigned", "connecting"} <= own <= STAGES.keys()
