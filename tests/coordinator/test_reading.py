"""A contract that a stranger hands in is read in a child under limits before it is read here."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mpc.contract.consent import sign_consent
from mpc.contract.document import parse_contract
from mpc.coordinator.children import Template
from mpc.coordinator.reading import read_contract
from mpc.errors import Exhausted, Refusal
from tests.coordinator.room import COUNT, Member, contract_of, room_in


@pytest.fixture(scope="module")
def readers() -> Iterator[Template]:
    template = Template("runner")
    yield template
    template.close()


@pytest.fixture(scope="module")
def raw() -> bytes:
    return contract_of({name: Member(name) for name in ("north", "south", "university")})


def test_what_a_child_could_read_is_read(readers: Template, raw: bytes) -> None:
    assert read_contract(readers, raw) == parse_contract(raw)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw[:-1],
        lambda _: b"[" * (1 << 20),
        lambda raw: raw + bytes(2 << 20),
        lambda raw: raw.replace(b'"runs":5', b'"runs":0'),
        lambda raw: raw.replace(COUNT.encode(), b"SELECT pid FROM patients"),
        lambda raw: raw.replace(COUNT.encode(), b"SELECT " + b"(" * 5000 + b"1 FROM patients"),
    ],
    ids=["cut", "deep", "long", "a field", "a question", "a nested question"],
)
def test_a_child_refuses_as_this_process_would(readers: Template, raw: bytes, spoil: Callable[[bytes], bytes]) -> None:
    spoiled = spoil(raw)
    assert spoiled != raw
    with pytest.raises(Refusal) as expected:
        parse_contract(spoiled)
    with pytest.raises(Refusal) as refused:
        read_contract(readers, spoiled)
    assert (type(refused.value), refused.value.code) == (type(expected.value), expected.value.code)


def test_a_contract_that_takes_too_long_ends_its_child_and_is_not_read_here(readers: Template, raw: bytes) -> None:
    with pytest.raises(Exhausted) as refused:
        read_contract(readers, raw, wall_seconds=0.0)
    assert refused.value.code == "contract.too_costly"
    assert read_contract(readers, raw)


def test_a_coordinator_that_can_start_no_child_reads_no_contract(tmp_path: Path) -> None:
    with room_in(tmp_path) as room:
        assert room.instance is not None
        room.instance._runners.close()
        north = room.members["north"]
        with pytest.raises(Exhausted) as refused:
            room.connect("north").agree(room.raw, (sign_consent(room.raw, north.signing),))
        assert refused.value.code == "child.start"
