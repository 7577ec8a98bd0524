"""The daemon's next step, as a function: every row says what is known and what follows."""

from dataclasses import replace
from typing import Any

import pytest

from mpc.messages import Awaited, Run, StatusReply
from parties.decisions import (
    Activate,
    Appraise,
    Authenticate,
    Connect,
    Countersign,
    DeliverWithdrawal,
    ExchangeConsents,
    FetchResult,
    HandDownShare,
    PermitRun,
    RenewReceipt,
    Rest,
    ReturnShare,
    Rewrap,
    Situation,
    TakeShare,
    UploadRows,
    Watch,
    awaits_person,
    decide,
)


def status(*awaited: Awaited, runs: tuple[Run, ...] = ()) -> StatusReply:
    return StatusReply("activated", awaited, b"", runs, (), restarted=False, change=1)


READY = Situation(
    own="north",
    signed=True,
    connected=True,
    agreed=True,
    appraised=True,
    authenticated=True,
    active=True,
    status=status(),
)
RUN = Run(4, "count", {}, "university", "permitting", ("north", "south"))


@pytest.mark.parametrize(
    ("known", "action"),
    [
        ({"signed": False}, Rest()),
        ({"connected": False, "agreed": False, "appraised": False, "authenticated": False}, Connect()),
        ({"agreed": False, "appraised": False, "authenticated": False}, ExchangeConsents()),
        ({"appraised": False, "authenticated": False, "active": False}, Appraise()),
        ({"authenticated": False, "active": False}, Authenticate()),
        ({"active": False}, Activate()),
        ({"status": None}, Watch()),
        ({}, Watch()),
        ({"withdrawal": "undelivered"}, DeliverWithdrawal()),
        ({"withdrawal": "undelivered", "active": False}, DeliverWithdrawal()),
        ({"withdrawal": "delivered"}, Rest()),
    ],
)
def test_one_step_follows_the_other(known: dict[str, Any], action: object) -> None:
    assert decide(replace(READY, **known)) == action


@pytest.mark.parametrize(
    ("awaited", "action"),
    [
        (Awaited("north", "share", "take"), TakeShare()),
        (Awaited("north", "share", "return"), ReturnShare()),
        (Awaited("north", "inheritance", "ab" * 32), HandDownShare()),
        (Awaited("north", "upload", "patients"), UploadRows("patients")),
        (Awaited("north", "rewrap", "ab" * 16), Rewrap("ab" * 16)),
        (Awaited("south", "upload", "patients"), Watch()),
        (Awaited("north", "something new", "x"), Watch()),
        (Awaited("north", "permit", "not a number"), Watch()),
        (Awaited("north", "permit", "99"), Watch()),
    ],
)
def test_only_what_is_awaited_of_this_party_is_done(awaited: Awaited, action: object) -> None:
    assert decide(replace(READY, status=status(awaited))) == action


def test_a_permit_wants_leave_from_the_configuration_or_a_person() -> None:
    asked = replace(READY, status=status(Awaited("north", "permit", "4"), runs=(RUN,)))
    assert decide(asked) == Watch()
    assert awaits_person(asked) == (4,)
    assert decide(replace(asked, unattended_left={"count": 1})) == PermitRun(4, unattended=True)
    assert decide(replace(asked, unattended_left={"count": 0, "other": 5})) == Watch()
    assert decide(replace(asked, confirmed=frozenset({4}), unattended_left={"count": 1})) == PermitRun(
        4, unattended=False
    )
    assert awaits_person(replace(asked, unattended_left={"count": 1})) == ()


@pytest.mark.parametrize(
    ("state", "action"), [("released", FetchResult(4)), ("failed", FetchResult(4)), ("running", Watch())]
)
def test_a_result_is_fetched_once_by_its_recipient(state: str, action: object) -> None:
    ended = replace(READY, status=status(runs=(replace(RUN, state=state, missing=()),)))
    assert decide(ended) == Watch()
    mine = replace(ended, recipient_of=frozenset({"count"}))
    assert decide(mine) == action
    assert decide(replace(mine, fetched=frozenset({4}))) == Watch()


@pytest.mark.parametrize("state", ["released", "failed"])
def test_an_owner_vouches_once_for_the_end_of_a_run_over_its_rows(state: str) -> None:
    ended = replace(RUN, state=state, missing=())
    owner = replace(READY, owner_of=frozenset({"count"}), status=status(runs=(ended,)))
    assert decide(owner) == Countersign()
    assert decide(replace(owner, owner_of=frozenset({"other"}))) == Watch()
    assert decide(replace(owner, countersigned=frozenset({4}))) == Watch()  # whatever the coordinator keeps telling
    assert decide(replace(owner, status=status(runs=(replace(ended, vouched=("north",)),)))) == Watch()
    assert decide(replace(owner, status=status(runs=(replace(ended, vouched=("south",)),)))) == Countersign()
    assert decide(replace(owner, status=status(runs=(RUN,)))) == Watch()


@pytest.mark.parametrize(
    ("vouched", "action"),
    [((), Watch()), (("north",), Watch()), (("south",), RenewReceipt(4)), (("north", "south"), RenewReceipt(4))],
)
def test_a_receipt_without_time_is_fetched_again_once_somebody_else_vouches(
    vouched: tuple[str, ...], action: object
) -> None:
    ended = replace(RUN, state="released", missing=(), vouched=vouched)
    known = replace(
        READY, status=status(runs=(ended,)), recipient_of=frozenset({"count"}), fetched=frozenset({4}),
        timeless=frozenset({4}),
    )  # fmt: skip
    assert decide(known) == action
    assert decide(replace(known, timeless=frozenset())) == Watch()
    assert decide(replace(known, blocked=frozenset({RenewReceipt(4)}))) == Watch()


def test_what_was_refused_is_left_and_the_rest_goes_on() -> None:
    both = status(Awaited("north", "upload", "patients"), Awaited("north", "share", "take"))
    assert decide(replace(READY, status=both, blocked=frozenset({UploadRows("patients")}))) == TakeShare()
    blocked = frozenset({UploadRows("patients"), TakeShare()})
    assert decide(replace(READY, status=both, blocked=blocked)) == Watch()
    assert decide(replace(READY, active=False, blocked=frozenset({Activate()}))) == Rest()
