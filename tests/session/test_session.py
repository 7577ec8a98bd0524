"""Any sequence of events either advances the session as the theory says, or is refused and changes nothing."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.errors import Exhausted, Forbidden, Malformed, OutOfOrder, Refusal
from mpc.receipts.leaves import (
    ActivationLeaf,
    AttestedLeaf,
    ConsentLeaf,
    ContractLeaf,
    DestructionLeaf,
    InheritanceLeaf,
    InheritedShareLeaf,
    Leaf,
    PermitLeaf,
    ReleaseLeaf,
    RestartLeaf,
    RewrapLeaf,
    RunLeaf,
    ShareLeaf,
    UploadLeaf,
    WithdrawalLeaf,
    leaf_bytes,
)
from mpc.session import (
    TABLE,
    Awaited,
    ComputationTerms,
    Session,
    Terms,
    advance,
    awaited,
    document,
    replay,
    restart_of,
)

D = "00" * 32  # a digest that no test looks at
ONE, TWO, THREE = (letter * 64 for letter in "123")
INSTANCES = (ONE, TWO, THREE)
TERMS = Terms(
    contract="cc" * 32,
    predecessor=None,
    parties=("clinic", "hospital", "university"),
    owners={"patients": ("clinic", "hospital"), "weather": ("clinic",)},
    refreshes={"patients": 1, "weather": 0},
    refresh_until={"patients": "2026-06-01T00:00:00Z", "weather": None},
    computations={
        "joint": ComputationTerms(("patients",), ("university",), 2, "aa" * 32),
        "local": ComputationTerms(("weather",), ("clinic", "university"), 5, "bb" * 32),
    },
)
START = Session(TERMS)
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-07-01T00:00:00Z"


def consent(party: str) -> ConsentLeaf:
    return ConsentLeaf(party=party, envelope=D)


def activation(party: str, instance: str = ONE, time: str = EARLY) -> ActivationLeaf:
    return ActivationLeaf(party=party, instance=instance, time=time, envelope=D)


def upload(dataset: str, owner: str, number: int) -> UploadLeaf:
    return UploadLeaf(dataset=dataset, owner=owner, upload=f"{number:032x}", header=D, commitment=D)


def share(party: str, given: str = "to_owner", digest: str = D) -> ShareLeaf:
    return ShareLeaf.model_validate({"party": party, "given": given, "share": digest})


def request(session: Session, computation: str = "joint", **fields: object) -> RunLeaf:
    stated: dict[str, Any] = {
        "run": len(session.runs) + 1, "computation": computation, "parameters": {"band": "1"},
        "requester": "university", "uploads": session.pinned_for(computation), "envelope": D,
    }  # fmt: skip
    return RunLeaf.model_validate({**stated, **fields})


def permit(run: int, party: str, instance: str = ONE, time: str = EARLY) -> PermitLeaf:
    return PermitLeaf(run=run, party=party, instance=instance, time=time, envelope=D)


def release(run: int, outcome: str = "released") -> ReleaseLeaf:
    return ReleaseLeaf.model_validate({"run": run, "outcome": outcome, "release": D})


def after(session: Session, *events: Leaf) -> Session:
    return reduce(advance, events, session)


AGREED = after(START, ContractLeaf(contract=TERMS.contract), *map(consent, TERMS.parties))
ATTESTED = after(AGREED, AttestedLeaf(instance=ONE, hpke=D))
ACTIVATED = after(ATTESTED, *map(activation, TERMS.parties))
LOADED = after(
    ACTIVATED,
    share("clinic"), share("hospital"),
    upload("patients", "clinic", 1), upload("patients", "hospital", 2), upload("weather", "clinic", 3),
)  # fmt: skip
REQUESTED = after(LOADED, request(LOADED))
PERMITTED = after(REQUESTED, permit(1, "clinic"), permit(1, "hospital"))
RELEASED = after(PERMITTED, release(1))
BEFORE = "dd" * 32
SUCCESSOR = replace(TERMS, predecessor=BEFORE)


def inheritance(*holders: str, **fields: object) -> InheritanceLeaf:
    stated = {"predecessor": BEFORE, "size": 9, "root": D, "holders": holders, "spent": {"aa" * 32: 1}}
    return InheritanceLeaf.model_validate({**stated, **fields})


def inherited(party: str) -> InheritedShareLeaf:
    return InheritedShareLeaf(party=party, share=D)


TO_INHERIT = after(replace(ATTESTED, terms=SUCCESSOR), inheritance("clinic", "university"))
INHERITING = after(TO_INHERIT, *map(activation, TERMS.parties), share("clinic"), share("hospital"))
WITHDRAWN = after(LOADED, WithdrawalLeaf(party="clinic", envelope=D))
STATES = {
    "boot": START, "agreed": AGREED, "attested": ATTESTED, "activated": ACTIVATED, "loaded": LOADED,
    "requested": REQUESTED, "permitted": PERMITTED, "released": RELEASED, "ended": WITHDRAWN,
}  # fmt: skip


def refused(session: Session, event: Leaf, code: str, kind: type[Refusal] = OutOfOrder) -> None:
    before = replace(session)
    with pytest.raises(kind) as refusal:
        advance(session, event)
    assert refusal.value.code == code
    assert session == before


def test_the_states_follow_each_other() -> None:
    shown = [(name, session.state) for name, session in STATES.items()]
    assert [state for _, state in shown] == [
        "boot", "agreed", "attested", "activated", "loaded", "loaded", "loaded", "loaded", "ended",
    ]  # fmt: skip
    stages = [[run.stage for run in STATES[name].runs] for name in ("requested", "permitted", "released")]
    assert stages == [["requested"], ["permitted"], ["released"]]
    assert [STATES[name].runs[0].shown for name in ("requested", "permitted", "released")] == [
        "permitting", "running", "released",
    ]  # fmt: skip


EVENTS: dict[str, Leaf] = {
    "contract": ContractLeaf(contract=TERMS.contract),
    "consent": consent("clinic"),
    "attested": AttestedLeaf(instance=ONE, hpke=D),
    "activation": activation("clinic"),
    "share": share("clinic"),
    "upload": upload("patients", "clinic", 9),
    "rewrap": RewrapLeaf(upload=f"{1:032x}"),
    "run": request(LOADED),
    "permit": permit(1, "clinic"),
    "release": release(1),
    "withdrawal": WithdrawalLeaf(party="clinic", envelope=D),
    "destruction": DestructionLeaf(instance=ONE, reason="expired"),
    "inheritance": inheritance("clinic"),
    "inherited share": inherited("clinic"),
    "restart": RestartLeaf(instance=TWO, previous=ONE),
}


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("event", EVENTS)
def test_what_the_table_does_not_list_is_refused_and_changes_nothing(name: str, event: str) -> None:
    session, row = STATES[name], next(row for row in TABLE if row.word == event)
    if session.state in row.sources:
        return
    refused(session, EVENTS[event], "session.state")


def test_the_table_has_one_row_for_each_event() -> None:
    assert {row.event for row in TABLE} == set(get_args(Leaf))
    assert len(TABLE) == len(EVENTS) == len(get_args(Leaf))
    assert {row.word for row in TABLE} == set(EVENTS)


@pytest.mark.parametrize(
    ("session", "event", "code", "kind"),
    [
        (START, ContractLeaf(contract=D), "session.contract.other", Forbidden),
        (after(START, EVENTS["contract"]), EVENTS["contract"], "session.contract.twice", OutOfOrder),
        (START, consent("clinic"), "session.contract.missing", OutOfOrder),
        (after(START, EVENTS["contract"]), consent("stranger"), "session.party", Forbidden),
        (after(START, EVENTS["contract"], consent("clinic")), consent("clinic"), "session.consent.twice", OutOfOrder),
        (ATTESTED, activation("stranger"), "session.party", Forbidden),
        (ATTESTED, activation("clinic", TWO), "session.instance", OutOfOrder),
        (after(ATTESTED, activation("clinic")), activation("clinic"), "session.activation.twice", OutOfOrder),
        (ACTIVATED, share("university"), "session.share.holder", Forbidden),
        (ACTIVATED, share("clinic", "to_instance"), "session.share.direction", OutOfOrder),
        (after(ACTIVATED, share("clinic")), share("clinic"), "session.share.twice", OutOfOrder),
        (ACTIVATED, upload("weather", "hospital", 1), "session.upload.owner", Forbidden),
        (ACTIVATED, upload("nothing", "hospital", 1), "session.upload.owner", Forbidden),
        (LOADED, upload("patients", "clinic", 1), "session.upload.twice", OutOfOrder),
        (LOADED, upload("weather", "clinic", 9), "session.upload.refreshes", Exhausted),
        (after(LOADED, upload("patients", "clinic", 9)), upload("patients", "clinic", 10),
         "session.upload.refreshes", Exhausted),
        (replace(LOADED, time=LATE), upload("patients", "clinic", 9), "session.upload.until", Exhausted),
        (ACTIVATED, RewrapLeaf(upload="ff" * 16), "session.rewrap", OutOfOrder),
        (LOADED, request(LOADED).model_copy(update={"computation": "other"}), "session.run.computation", Forbidden),
        (LOADED, request(LOADED, requester="clinic"), "session.run.requester", Forbidden),
        (LOADED, request(LOADED, run=2), "session.run.number", OutOfOrder),
        (LOADED, request(LOADED, uploads=()), "session.run.uploads", OutOfOrder),
        (after(LOADED, upload("patients", "clinic", 9)), request(LOADED), "session.run.uploads", OutOfOrder),
        (LOADED, permit(1, "clinic"), "session.permit", OutOfOrder),
        (REQUESTED, permit(1, "university"), "session.permit", OutOfOrder),
        (REQUESTED, permit(1, "clinic", TWO), "session.instance", OutOfOrder),
        (after(REQUESTED, permit(1, "clinic")), permit(1, "clinic"), "session.permit", OutOfOrder),
        (REQUESTED, release(1), "session.release", OutOfOrder),
        (RELEASED, release(1), "session.release", OutOfOrder),
        (PERMITTED, release(2), "session.release", OutOfOrder),
        (LOADED, WithdrawalLeaf(party="stranger", envelope=D), "session.party", Forbidden),
        (LOADED, DestructionLeaf(instance=TWO, reason="expired"), "session.instance", OutOfOrder),
        (LOADED, DestructionLeaf(instance=ONE, reason="withdrawn"), "session.destruction.reason", OutOfOrder),
        (WITHDRAWN, DestructionLeaf(instance=ONE, reason="expired"), "session.destruction.reason", OutOfOrder),
        (replace(ATTESTED, terms=SUCCESSOR), activation("clinic"), "session.inheritance.missing", OutOfOrder),
        (ATTESTED, inheritance("clinic"), "session.inheritance.other", Forbidden),
        (replace(ATTESTED, terms=SUCCESSOR), inheritance(predecessor=D), "session.inheritance.other", Forbidden),
        (TO_INHERIT, inheritance("clinic"), "session.inheritance.twice", OutOfOrder),
        (ACTIVATED, inherited("clinic"), "session.inherited_share", OutOfOrder),
        (INHERITING, inherited("hospital"), "session.inherited_share", OutOfOrder),
        (after(INHERITING, inherited("clinic")), inherited("clinic"), "session.inherited_share", OutOfOrder),
        (replace(INHERITING, shares=frozenset({"clinic"})), inherited("clinic"), "session.inherited_share.early",
         OutOfOrder),
        (LOADED, RestartLeaf(instance=TWO, previous=THREE), "session.restart.previous", OutOfOrder),
        (AGREED, RestartLeaf(instance=TWO, previous=THREE), "session.restart.previous", OutOfOrder),
        (LOADED, RestartLeaf(instance=ONE, previous=ONE), "session.restart.same", OutOfOrder),
    ],
)  # fmt: skip
def test_each_guard_refuses(session: Session, event: Leaf, code: str, kind: type[Refusal]) -> None:
    refused(session, event, code, kind)


def test_every_guard_of_the_table_is_tested() -> None:
    tested = {case[2] for mark in test_each_guard_refuses.pytestmark for case in mark.args[1]}  # type: ignore[attr-defined]
    tested |= {"session.destroyed", "session.run.runs", "session.share.other"}  # each has a test of its own below
    assert {guard.code for row in TABLE for guard in row.guards} == tested


def test_a_computation_runs_as_often_as_agreed() -> None:
    session = after(REQUESTED, request(REQUESTED))
    assert [run.stage for run in session.runs] == ["requested", "requested"]
    refused(session, request(session), "session.run.runs", Exhausted)
    assert advance(session, request(session, "local")).runs[2].missing == ("clinic",)


def test_keys_are_destroyed_once() -> None:
    destroyed = after(WITHDRAWN, DestructionLeaf(instance=ONE, reason="withdrawn"))
    assert destroyed.destroyed
    refused(destroyed, DestructionLeaf(instance=ONE, reason="withdrawn"), "session.destroyed")


def test_what_is_awaited_at_each_state() -> None:
    assert awaited(START) == tuple(Awaited(party, "consent", TERMS.contract) for party in TERMS.parties)
    assert awaited(AGREED) == ()
    assert awaited(ATTESTED) == tuple(Awaited(party, "activation", ONE) for party in TERMS.parties)
    assert awaited(ACTIVATED) == (
        Awaited("clinic", "share", "take"), Awaited("hospital", "share", "take"),
        Awaited("clinic", "upload", "patients"), Awaited("hospital", "upload", "patients"),
        Awaited("clinic", "upload", "weather"),
    )  # fmt: skip
    assert awaited(LOADED) == ()
    assert awaited(REQUESTED) == (Awaited("clinic", "permit", "1"), Awaited("hospital", "permit", "1"))
    assert awaited(PERMITTED) == awaited(RELEASED) == awaited(WITHDRAWN) == ()


def test_runs_advance_one_by_one() -> None:
    both = after(REQUESTED, request(REQUESTED, "local"), permit(2, "clinic"))
    assert [run.stage for run in both.runs] == ["requested", "permitted"]
    done = after(both, release(2, "failed"), permit(1, "clinic"), permit(1, "hospital"))
    assert [(run.stage, run.shown) for run in done.runs] == [("permitted", "running"), ("released", "failed")]


def test_a_run_reads_the_uploads_it_pinned() -> None:
    refreshed = after(REQUESTED, upload("patients", "clinic", 9))
    assert refreshed.state == "loaded"
    assert refreshed.runs[0].uploads == (f"{1:032x}", f"{2:032x}")
    assert refreshed.pinned_for("joint") == (f"{2:032x}", f"{9:032x}")
    assert {up.upload[-1] for up in refreshed.needed()} == {"1", "2", "3", "9"}
    finished = after(refreshed, permit(1, "clinic"), permit(1, "hospital"), release(1))
    assert {up.upload[-1] for up in finished.needed()} == {"2", "3", "9"}


def restarted(session: Session, instance: str = TWO) -> Session:
    leaf = restart_of(session, instance)
    assert leaf is not None
    return advance(session, leaf)


def test_a_restart_loses_keys_and_nothing_else() -> None:
    session = restarted(PERMITTED)
    assert (session.state, session.restarted, session.instance) == ("agreed", True, TWO)
    assert session.consented == set(TERMS.parties)
    assert (session.activated, session.shares) == (frozenset(), frozenset())
    assert [up.key_held for up in session.uploads] == [False] * 3
    assert [(run.stage, run.missing) for run in session.runs] == [("requested", ("clinic", "hospital"))]
    session = after(session, AttestedLeaf(instance=TWO, hpke=D), *(activation(name, TWO) for name in TERMS.parties))
    assert awaited(session) == (
        Awaited("clinic", "share", "return"), Awaited("hospital", "share", "return"),
        Awaited("clinic", "rewrap", f"{1:032x}"), Awaited("hospital", "rewrap", f"{2:032x}"),
        Awaited("clinic", "rewrap", f"{3:032x}"),
    )  # fmt: skip
    session = after(session, *(RewrapLeaf(upload=f"{number:032x}") for number in (1, 2, 3)))
    assert session.state == "activated"
    session = after(session, share("clinic", "to_instance"), share("hospital", "to_instance"))
    assert session.state == "loaded"
    refused(session, permit(1, "clinic", ONE), "session.instance")
    assert after(session, permit(1, "clinic", TWO), permit(1, "hospital", TWO)).runs[0].stage == "permitted"


def test_a_returned_share_is_the_one_that_was_given() -> None:
    session = after(
        restarted(RELEASED), AttestedLeaf(instance=TWO, hpke=D), *(activation(name, TWO) for name in TERMS.parties)
    )
    refused(session, share("clinic", "to_instance", "11" * 32), "session.share.other")
    assert "clinic" in advance(session, share("clinic", "to_instance")).shares


def test_before_a_run_is_asked_for_there_is_no_secret_state_to_lose() -> None:
    assert not restarted(LOADED).shares_return
    assert restarted(REQUESTED).shares_return
    assert restarted(PERMITTED).shares_return
    assert restarted(restarted(PERMITTED), THREE).shares_return


ROWS_IN = (upload("patients", "clinic", 1), upload("patients", "hospital", 2), upload("weather", "clinic", 3))
HANDED_DOWN = (inherited("clinic"), inherited("university"))


def test_no_run_is_asked_for_before_every_owner_of_the_contract_before_has_handed_down_its_share() -> None:
    session = after(INHERITING, *ROWS_IN)
    assert awaited(session) == (Awaited("clinic", "inheritance", BEFORE), Awaited("university", "inheritance", BEFORE))
    refused(session, request(session), "session.state")
    session = advance(session, HANDED_DOWN[0])
    refused(session, request(session), "session.state")
    session = advance(session, HANDED_DOWN[1])
    assert (session.state, session.inherited, session.secret_version) == ("loaded", True, 2)


def test_own_shares_are_awaited_before_inherited_ones() -> None:
    session = after(TO_INHERIT, *map(activation, TERMS.parties))
    assert "inheritance" not in {entry.what for entry in awaited(session)}


def test_runs_count_on_where_a_history_follows() -> None:
    session = after(INHERITING, *ROWS_IN, *HANDED_DOWN)
    session = advance(session, request(session))
    refused(session, request(session), "session.run.runs", Exhausted)  # two runs, of which one was asked before
    assert session.spent("local") == 0


def test_a_restart_keeps_what_was_taken_over_and_begins_anew_with_what_was_not() -> None:
    half = restarted(after(INHERITING, HANDED_DOWN[0]))
    assert (half.inheritance, half.inherited_shares, half.shares_return) == (None, frozenset(), False)
    half = after(half, AttestedLeaf(instance=TWO, hpke=D), inheritance("clinic", size=11))
    assert half.inheritance == inheritance("clinic", size=11)

    whole = after(INHERITING, *HANDED_DOWN)
    again = after(restarted(whole), AttestedLeaf(instance=TWO, hpke=D))
    assert (again.inherited, again.shares_return, again.spent("joint")) == (True, True, 1)
    again = after(again, *(activation(name, TWO) for name in TERMS.parties))
    assert "inheritance" not in {entry.what for entry in awaited(again)}


def test_a_history_without_secrets_is_taken_over_once_everybody_has_activated() -> None:
    session = after(replace(ATTESTED, terms=SUCCESSOR), inheritance())
    assert not session.inherited
    session = after(session, *map(activation, TERMS.parties))
    assert (session.inherited, session.secret_version, restarted(session).shares_return) == (True, 1, False)


def test_a_restart_before_any_instance_is_none() -> None:
    assert restart_of(AGREED, TWO) is None
    assert advance(AGREED, AttestedLeaf(instance=TWO, hpke=D)).instance == TWO
    refused(restarted(ATTESTED), AttestedLeaf(instance=THREE, hpke=D), "session.instance")


def test_time_is_the_latest_that_was_signed() -> None:
    session = after(ATTESTED, activation("clinic", time=LATE), activation("hospital", time=EARLY))
    assert session.time == LATE
    assert advance(REQUESTED, permit(1, "clinic", time=LATE)).time == LATE


@dataclass(frozen=True)
class History:
    """An independent reading of what was accepted, against which the session is held."""

    events: tuple[Leaf, ...]

    def since_restart(self) -> list[Leaf]:
        starts = [index for index, event in enumerate(self.events) if isinstance(event, RestartLeaf)]
        return list(self.events[starts[-1] + 1 if starts else 0 :])

    def parties(self, kind: type, events: Iterable[Leaf] | None = None) -> set[str]:
        return {event.party for event in events or self.events if isinstance(event, kind)}  # type: ignore[union-attr]

    def permits(self, run: int) -> set[str]:
        return {e.party for e in self.since_restart() if isinstance(e, PermitLeaf) and e.run == run}

    def check_before_permit(self) -> None:
        recent = self.since_restart()
        assert self.parties(ConsentLeaf) == set(TERMS.parties)
        assert any(isinstance(event, AttestedLeaf) for event in recent)
        assert self.parties(ActivationLeaf, recent) == set(TERMS.parties)
        assert self.parties(ShareLeaf, recent) == {"clinic", "hospital"}
        held = {event.upload for event in recent if isinstance(event, UploadLeaf | RewrapLeaf)}
        uploads = [event for event in self.events if isinstance(event, UploadLeaf)]
        for dataset, owners in TERMS.owners.items():
            for owner in owners:
                newest = [up.upload for up in uploads if (up.dataset, up.owner) == (dataset, owner)]
                assert newest
                assert newest[-1] in held

    def check(self) -> None:
        """What has to be true of the event that was accepted last."""
        before, event = History(self.events[:-1]), self.events[-1]
        if isinstance(event, PermitLeaf | RunLeaf | ReleaseLeaf):
            before.check_before_permit()
            assert not any(isinstance(past, WithdrawalLeaf | DestructionLeaf) for past in before.events)
        if isinstance(event, ReleaseLeaf):
            asked = next(run for run in before.events if isinstance(run, RunLeaf) and run.run == event.run)
            owners = {name for dataset in TERMS.computations[asked.computation].reads for name in TERMS.owners[dataset]}
            assert before.permits(event.run) == owners
            held = {e.upload for e in before.since_restart() if isinstance(e, UploadLeaf | RewrapLeaf)}
            assert set(asked.uploads) <= held
            assert not any(isinstance(past, ReleaseLeaf) and past.run == event.run for past in before.events)


def wanted(session: Session) -> list[Leaf]:
    """What honest parties and an honest coordinator could do next."""
    instance = session.instance or ONE
    fulfil: dict[str, Callable[[Awaited], Leaf]] = {
        "consent": lambda item: consent(item.party),
        "activation": lambda item: activation(item.party, instance),
        "share": lambda item: share(item.party, "to_instance" if item.subject == "return" else "to_owner"),
        "upload": lambda item: upload(item.subject, item.party, len(session.uploads) + 1),
        "rewrap": lambda item: RewrapLeaf(upload=item.subject),
        "permit": lambda item: permit(int(item.subject), item.party, instance),
    }
    events = [fulfil[item.what](item) for item in awaited(session)] if session.recorded else [EVENTS["contract"]]
    if session.state == "agreed":
        events.append(AttestedLeaf(instance=instance, hpke=D))
    if session.state == "loaded":
        events += [request(session, name) for name in TERMS.computations]
        events += [release(run.number) for run in session.runs if run.stage == "permitted"]
    return events


def anything(session: Session) -> list[Leaf]:
    """What an adversary tries at any moment."""
    return [
        *EVENTS.values(), activation("hospital", TWO), share("hospital", "to_instance"), consent("stranger"),
        *(permit(run, party, instance) for run in (1, 2) for party in ("clinic", "hospital") for instance in INSTANCES),
        *(release(run) for run in (1, 2, 3)), *(upload("patients", "hospital", number) for number in (2, 9, 10)),
        *(RestartLeaf(instance=new, previous=old) for new in INSTANCES for old in INSTANCES),
        *(AttestedLeaf(instance=instance, hpke=D) for instance in INSTANCES),
        *(RewrapLeaf(upload=up.upload) for up in session.uploads),
        *([request(session, "joint", requester=name) for name in TERMS.parties]),
    ]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_sequence_of_events_advances_or_is_refused(data: st.DataObject) -> None:
    session, accepted = START, []
    for _ in range(data.draw(st.integers(0, 60))):
        honest = data.draw(st.integers(0, 9)) < 8
        choices = (wanted(session) if honest else None) or anything(session)
        event = data.draw(st.sampled_from(choices))
        before = replace(session)
        try:
            session = advance(session, event)
        except (OutOfOrder, Forbidden, Exhausted):
            assert session == before
            continue
        accepted.append(event)
        History(tuple(accepted)).check()
    assert replay(TERMS, map(leaf_bytes, accepted)) == session


def test_an_honest_life_is_reached_by_doing_what_is_awaited() -> None:
    session, steps = START, 0
    while awaited(session) or session.state in {"boot", "agreed"}:
        session = advance(session, wanted(session)[0])
        steps += 1
    assert session.state == "loaded"
    assert steps == 1 + 3 + 1 + 3 + 2 + 3


def test_a_log_that_cannot_be_is_refused_on_replay() -> None:
    with pytest.raises(OutOfOrder):
        replay(TERMS, [leaf_bytes(permit(1, "clinic"))])
    with pytest.raises(Malformed):
        replay(TERMS, [b"{}"])


def test_the_picture_in_the_documentation_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "session.md"
    assert page.read_text(encoding="utf-8") == document(), (
        "draw it anew: python -c 'from mpc.session import document; print(document(), end=\"\")' > docs/session.md"
    )
