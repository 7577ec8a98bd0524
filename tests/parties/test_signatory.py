"""The rules that hold before a party signs, each against a coordinator that would like it otherwise."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mpc.canonical import format_time, parse_json, sha256
from mpc.contract.document import contract_bytes
from mpc.contract.statements import Activation, Checkpoint, Permit
from mpc.contract.terms import Contract
from mpc.errors import Exhausted, Forbidden, OutOfOrder, Refusal, Untrusted
from mpc.evidence.appraisal import AttestedKey
from mpc.evidence.binding import Transcript
from mpc.evidence.claims import Claims
from mpc.receipts.leaves import ActivationLeaf, ContractLeaf, RunLeaf, leaf_bytes
from mpc.receipts.log import Log, sign_checkpoint
from mpc.signing import Purpose, SigningKey, open_envelope
from parties.keys import Keys
from parties.ledger import Head, Ledger, Uploaded
from parties.signatory import RunAsked, Signatory
from tests.parties.conftest import superseding

RUN = RunAsked(1, "weight_by_grade", {})


class Instance:
    """A coordinator's instance that writes whatever log it is told to, under its own receipt key."""

    def __init__(self, digest: bytes, leaves: tuple[bytes, ...] = ()) -> None:
        self.digest = digest
        self.key = SigningKey.generate()
        self.log = Log(leaves or (leaf_bytes(ContractLeaf(contract=digest.hex())),))

    @property
    def name(self) -> bytes:
        return sha256(self.key.public.raw)

    def checkpoint(self, at: datetime) -> bytes:
        state = Checkpoint(
            contract=self.digest.hex(), instance=self.name.hex(), size=self.log.size, root=self.log.root().hex(),
            time=format_time(at),
        )  # fmt: skip
        return sign_checkpoint(state, self.key)

    def told(self, ledger: Ledger, at: datetime) -> Head:
        """Let the ledger take the news, as the daemon does."""
        known = ledger.head(self.digest)
        size = known.size if known else 0
        return ledger.extend(
            self.digest, self.key.public, leaves=self.log.leaves(size), checkpoint=self.checkpoint(at),
            proof=self.log.consistency(size) if size <= self.log.size else (),
        )  # fmt: skip

    def run(self, number: int, computation: str = "weight_by_grade", parameters: dict[str, str] | None = None) -> None:
        self.log.append(
            leaf_bytes(
                RunLeaf(
                    run=number, computation=computation, parameters=parameters or {}, requester="university",
                    uploads=(), envelope="00" * 32,
                )
            )
        )  # fmt: skip

    def attested(self, at: datetime, *, contract: bytes | None = None, seconds: int = 600) -> AttestedKey:
        transcript = Transcript(
            1, "contract", bytes(32), contract or self.digest, bytes(32), bytes(32), self.key.public.raw
        )
        claims = Claims("simulated", bytes(64), {}, "self", memory_protected=False, debug=False, verified_at=at)
        return AttestedKey(transcript, self.name, bytes(1216), at + timedelta(seconds=seconds), claims, ())


class Party:
    """One party with its ledger and one contract, signed."""

    def __init__(self, keys: Keys, ledger: Ledger, known: dict[str, str], raw: bytes, clock: Any) -> None:
        self.keys, self.ledger, self.known, self.raw, self.clock = keys, ledger, known, raw, clock
        self.digest = sha256(raw)
        self.signatory = Signatory(keys, ledger, known)
        ledger.add_contract(raw, at=clock())

    def sign(self) -> bytes:
        return self.signatory.consent(self.digest, self.digest.hex()[:8], at=self.clock())

    def activate(self, instance: Instance, *, replace: bool = False, delivered: bool = True) -> Activation:
        head = instance.told(self.ledger, self.clock())
        envelope = self.signatory.activation(
            self.digest, instance.attested(self.clock()), head, replace=replace, at=self.clock()
        )
        opened = open_envelope(envelope, Purpose.ACTIVATION, (self.keys.signing.public,))
        activation = parse_json(Activation, opened.body, what="the activation")
        if delivered:
            leaf = ActivationLeaf(party="north", instance=activation.instance, time=activation.time, envelope="00" * 32)
            instance.log.append(leaf_bytes(leaf))
        return activation

    def permit(self, instance: Instance, run: RunAsked = RUN, *, unattended: bool = True) -> Permit:
        head = instance.told(self.ledger, self.clock())
        envelope = self.signatory.permit(
            self.digest, instance.attested(self.clock()), run, head, unattended=unattended, at=self.clock()
        )
        opened = open_envelope(envelope, Purpose.PERMIT, (self.keys.signing.public,))
        return parse_json(Permit, opened.body, what="the permit")


@pytest.fixture
def north(member: Callable[..., Any], cards: dict[str, Any], raw: bytes, ledger: Ledger, clock: Any) -> Party:
    known = {name: card.fingerprint for name, card in cards.items()}
    return Party(member("north").keys, ledger, known, raw, clock)


@pytest.fixture
def active(north: Party) -> tuple[Party, Instance]:
    north.sign()
    instance = Instance(north.digest)
    north.activate(instance)
    instance.run(1)
    return north, instance


def code_of(refusal: pytest.ExceptionInfo[Refusal]) -> str:
    return refusal.value.code


# --- consent


@pytest.mark.parametrize("typed", ["", "00000000", "abc", "{digest7}", "{digest64}"])
def test_nothing_but_the_first_eight_characters_signs(north: Party, typed: str) -> None:
    digest = north.digest.hex()
    with pytest.raises(Forbidden) as refusal:
        north.signatory.consent(north.digest, typed.format(digest7=digest[:7], digest64=digest), at=north.clock())
    assert code_of(refusal) == "consent.confirmation"
    assert north.ledger.contract(north.digest).signed is None
    assert north.ledger.consents(north.digest) == ()


def test_a_consent_is_over_the_exact_bytes_and_is_remembered(north: Party) -> None:
    envelope = north.sign()
    assert open_envelope(envelope, Purpose.CONTRACT, (north.keys.signing.public,)).body == north.raw
    assert north.ledger.consents(north.digest) == (envelope,)
    assert north.ledger.contract(north.digest).signed == north.clock()


def test_a_party_that_is_not_known_or_has_another_key_stops_the_consent(north: Party) -> None:
    stranger = Signatory(north.keys, north.ledger, {"north": north.known["north"]})
    with pytest.raises(Untrusted, match=r"contract\.party\.unknown"):
        stranger.consent(north.digest, north.digest.hex()[:8], at=north.clock())
    other = Signatory(north.keys, north.ledger, north.known | {"south": "00" * 32})
    with pytest.raises(Untrusted, match=r"contract\.party\.other_key"):
        other.consent(north.digest, north.digest.hex()[:8], at=north.clock())


def test_a_wrong_clock_signs_nothing(north: Party) -> None:
    north.clock.move(days=365 * 20)
    with pytest.raises(Forbidden, match=r"contract\.expired"):
        north.sign()
    north.clock.move(days=-365 * 30)
    with pytest.raises(OutOfOrder, match=r"contract\.not_yet_valid"):
        north.sign()


def test_before_consent_nothing_else_is_signed(north: Party) -> None:
    instance = Instance(north.digest)
    for what in (lambda: north.activate(instance), lambda: north.permit(instance)):
        with pytest.raises(OutOfOrder, match=r"contract\.not_signed"):
            what()
    with pytest.raises(OutOfOrder, match=r"withdraw\.not_signed"):
        north.signatory.withdrawal(north.digest, "why not", at=north.clock())


# --- activation


def test_one_instance_is_activated_and_asking_again_gives_the_same_envelope(north: Party) -> None:
    north.sign()
    instance = Instance(north.digest)
    first = north.activate(instance)
    assert (first.instance, first.replaces) == (instance.name.hex(), None)
    north.clock.move(seconds=5)
    assert north.activate(instance) == first


def test_a_second_instance_wants_leave_and_then_names_the_last_checkpoint_of_the_first(
    active: tuple[Party, Instance],
) -> None:
    north, first = active
    north.permit(first)
    head = north.ledger.head(north.digest)
    assert head is not None
    second = Instance(north.digest, first.log.leaves())
    with pytest.raises(Forbidden, match=r"activation\.second"):
        north.activate(second)
    replaced = north.activate(second, replace=True).replaces
    assert replaced is not None
    assert (replaced.instance, replaced.log_size, replaced.log_root) == (first.name.hex(), head.size, head.root.hex())
    with pytest.raises(OutOfOrder, match=r"activation\.missing|permit\.head"):
        north.permit(first)


def test_a_choice_that_never_came_to_the_log_is_not_named_as_replaced(active: tuple[Party, Instance]) -> None:
    north, first = active
    head = first.log.leaves()
    second, third = Instance(north.digest, head), Instance(north.digest, head)
    north.activate(second, replace=True, delivered=False)
    with pytest.raises(Forbidden, match=r"activation\.second"):
        north.activate(third)
    replaced = north.activate(third, replace=True).replaces
    assert replaced is not None
    assert replaced.instance == first.name.hex()


def test_an_instance_that_was_replaced_never_comes_back(active: tuple[Party, Instance]) -> None:
    north, first = active
    second = Instance(north.digest, first.log.leaves())
    north.activate(second, replace=True)
    with pytest.raises(Untrusted, match=r"activation\.returned"):
        north.activate(first, replace=True)


@pytest.mark.parametrize("kind", ["shorter", "rewritten"])
def test_a_log_that_does_not_extend_the_last_is_refused_before_activation_and_permit(
    active: tuple[Party, Instance], kind: str
) -> None:
    north, first = active
    first.run(2)
    north.permit(first)
    leaves = first.log.leaves()
    spoilt = leaves[:-1] if kind == "shorter" else (*leaves[:-1], b"{}", leaves[-1])
    rolled = Instance(north.digest, spoilt)
    with pytest.raises(Untrusted, match=r"log\."):
        north.activate(rolled, replace=True)
    first.log = Log(spoilt)
    with pytest.raises(Untrusted, match=r"log\."):
        north.permit(first, RunAsked(2, RUN.computation, {}))
    assert len(north.ledger.permits(north.digest)) == 1


def test_leaves_that_do_not_make_the_signed_root_are_refused(north: Party) -> None:
    instance = Instance(north.digest)
    with pytest.raises(Untrusted, match=r"log\.rewritten"):
        north.ledger.extend(
            north.digest,
            instance.key.public,
            leaves=(b"another",),
            proof=(),
            checkpoint=instance.checkpoint(north.clock()),
        )
    assert north.ledger.head(north.digest) is None
    assert north.ledger.leaves(north.digest) == ()


def test_a_checkpoint_by_another_key_is_refused(north: Party) -> None:
    instance, other = Instance(north.digest), Instance(north.digest)
    with pytest.raises(Untrusted):
        north.ledger.extend(
            north.digest, other.key.public, leaves=instance.log.leaves(), proof=(),
            checkpoint=instance.checkpoint(north.clock()),
        )  # fmt: skip


def test_an_appraisal_of_another_contract_or_one_that_expired_activates_nothing(north: Party) -> None:
    north.sign()
    instance = Instance(north.digest)
    head = instance.told(north.ledger, north.clock())
    foreign = instance.attested(north.clock(), contract=bytes(32))
    with pytest.raises(OutOfOrder, match=r"activation\.purpose"):
        north.signatory.activation(north.digest, foreign, head, replace=False, at=north.clock())
    expired = instance.attested(north.clock(), seconds=60)
    north.clock.move(seconds=61)
    with pytest.raises(OutOfOrder, match=r"evidence\.expired"):
        north.signatory.activation(north.digest, expired, head, replace=False, at=north.clock())


# --- permits


def test_a_permit_names_run_instance_and_log_head_and_is_given_once(active: tuple[Party, Instance]) -> None:
    north, instance = active
    permit = north.permit(instance)
    assert (permit.run, permit.instance, permit.log_size) == (1, instance.name.hex(), instance.log.size)
    assert permit.log_root == instance.log.root().hex()
    assert north.permit(instance) == permit
    assert len(north.ledger.permits(north.digest)) == 1


def test_a_run_that_the_log_does_not_hold_as_told_is_not_permitted(active: tuple[Party, Instance]) -> None:
    north, instance = active
    for told in (
        RunAsked(2, RUN.computation, {}),
        RunAsked(1, RUN.computation, {"grade": "1"}),
        RunAsked(1, "other", {}),
    ):
        with pytest.raises(Untrusted, match=r"permit\.run"):
            north.permit(instance, told)


def test_unattended_permits_end_at_the_contracts_number_and_a_person_goes_on_to_the_runs(
    active: tuple[Party, Instance],
) -> None:
    north, instance = active
    for number in (2, 3, 4):
        instance.run(number)
    north.permit(instance)
    north.permit(instance, RunAsked(2, RUN.computation, {}))
    third = RunAsked(3, RUN.computation, {})
    with pytest.raises(Forbidden, match=r"permit\.unattended"):
        north.permit(instance, third)
    north.permit(instance, third, unattended=False)
    with pytest.raises(Exhausted, match=r"permit\.runs"):
        north.permit(instance, RunAsked(4, RUN.computation, {}), unattended=False)


def test_the_same_run_at_a_new_instance_is_one_run_and_another_under_its_number_is_refused(
    active: tuple[Party, Instance],
) -> None:
    north, first = active
    north.permit(first)
    second = Instance(north.digest, first.log.leaves())
    north.activate(second, replace=True)
    assert north.permit(second).instance == second.name.hex()
    assert north.signatory.unattended_left(north.ledger.contract(north.digest), RUN.computation) == 1
    third = Instance(north.digest, second.log.leaves())
    third.run(1, "weight_by_grade", {"grade": "1"})
    north.activate(third, replace=True)
    with pytest.raises(Refusal):
        north.permit(third, RunAsked(1, RUN.computation, {"grade": "1"}))


def test_a_party_without_rows_in_it_permits_nothing(member: Callable[..., Any], north: Party, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "university.sqlite")
    university = Party(member("university").keys, ledger, north.known, north.raw, north.clock)
    university.sign()
    instance = Instance(university.digest)
    university.activate(instance)
    instance.run(1)
    with pytest.raises(Forbidden, match=r"permit\.computation"):
        university.permit(instance)


def test_after_a_withdrawal_nothing_is_signed(active: tuple[Party, Instance]) -> None:
    north, instance = active
    north.signatory.withdrawal(north.digest, "consent was withdrawn", at=north.clock())
    for what in (lambda: north.permit(instance), lambda: north.activate(instance)):
        with pytest.raises(Forbidden, match=r"contract\.withdrawn"):
            what()


def test_after_a_successor_is_signed_nothing_is_permitted_under_the_older(
    active: tuple[Party, Instance], contract: Contract
) -> None:
    north, instance = active
    north.ledger.add_share(north.digest, bytes(32))
    successor = contract.model_copy(update={"title": "The next", "supersedes": superseding(north.digest)})
    raw = contract_bytes(successor)
    north.ledger.add_contract(raw, at=north.clock())
    north.permit(instance)  # held, not signed: the older still stands
    north.signatory.consent(sha256(raw), sha256(raw).hex()[:8], at=north.clock())
    instance.run(2)
    with pytest.raises(Forbidden, match=r"contract\.superseded"):
        north.permit(instance, RunAsked(2, RUN.computation, {}))


# --- a contract whose history follows


def asking_after(north: Party, contract: Contract, *, title: str = "The next", **changes: Any) -> Party:
    """The same party under a contract that supersedes, held and not yet signed."""
    told = {"title": title, "supersedes": superseding(north.digest), **changes}
    north.clock.move(seconds=1)
    return Party(north.keys, north.ledger, north.known, contract_bytes(contract.model_copy(update=told)), north.clock)


def test_the_last_checkpoint_of_the_contract_before_is_stated_where_its_history_follows(
    active: tuple[Party, Instance], contract: Contract
) -> None:
    north, instance = active
    north.ledger.add_share(north.digest, bytes(32))
    north.permit(instance)
    head = north.ledger.head(north.digest)
    assert head is not None
    successor = asking_after(north, contract)
    successor.sign()
    stated = successor.activate(Instance(successor.digest)).inherits
    assert stated is not None
    assert (stated.contract, stated.log_size, stated.log_root) == (north.digest.hex(), head.size, head.root.hex())

    anew = asking_after(north, contract, title="Anew", supersedes=superseding(north.digest, "begins_anew"))
    anew.sign()
    assert anew.activate(Instance(anew.digest)).inherits is None


def test_who_never_saw_the_contract_before_states_nothing_of_it(north: Party, contract: Contract) -> None:
    successor = asking_after(north, contract)  # held, and never signed
    successor.sign()
    assert successor.activate(Instance(successor.digest)).inherits is None


def test_permits_of_one_question_count_together_where_a_history_follows(
    active: tuple[Party, Instance], contract: Contract
) -> None:
    north, instance = active
    north.ledger.add_share(north.digest, bytes(32))
    north.permit(instance)  # unattended, of two; one run of three
    asked = contract.computations[0].model_copy(update={"name": "under_another_name"})
    successor = asking_after(north, contract, computations=(asked,))
    successor.sign()
    goes_on = Instance(successor.digest)
    successor.activate(goes_on)
    for number in (1, 2, 3):
        goes_on.run(number, asked.name)
    successor.permit(goes_on, RunAsked(1, asked.name, {}))
    with pytest.raises(Forbidden, match=r"permit\.unattended"):
        successor.permit(goes_on, RunAsked(2, asked.name, {}))
    successor.permit(goes_on, RunAsked(2, asked.name, {}), unattended=False)
    with pytest.raises(Exhausted, match=r"permit\.runs"):
        successor.permit(goes_on, RunAsked(3, asked.name, {}), unattended=False)

    anew = asking_after(north, contract, title="Anew", supersedes=superseding(north.digest, "begins_anew"))
    assert north.signatory.unattended_left(anew.ledger.contract(anew.digest), RUN.computation) == 2


def test_a_history_that_cannot_follow_is_not_signed_for(active: tuple[Party, Instance], contract: Contract) -> None:
    north, instance = active
    instance.told(north.ledger, north.clock())
    without_share = asking_after(north, contract)
    with pytest.raises(Forbidden, match=r"contract\.history\.share"):
        without_share.sign()
    north.ledger.add_share(north.digest, bytes(32))
    alone = contract.datasets[0].model_copy(update={"owners": ("north",)})
    parties = tuple(party for party in contract.parties if party.name != "south")
    left = asking_after(north, contract, parties=parties, datasets=(alone,), disclosure=contract.disclosure[:1])
    with pytest.raises(Forbidden, match=r"contract\.history\.owner_left"):
        left.sign()
    without_share.sign()

    north.signatory.withdrawal(without_share.digest, "enough", at=north.clock())
    after_leaving = asking_after(without_share, contract, title="Third")
    with pytest.raises(Forbidden, match=r"contract\.history\.share"):
        after_leaving.sign()


def test_a_history_follows_to_one_contract_alone(active: tuple[Party, Instance], contract: Contract) -> None:
    north, _ = active
    north.ledger.add_share(north.digest, bytes(32))
    second, other = asking_after(north, contract), asking_after(north, contract, title="Another")
    second.sign()
    instance = Instance(second.digest)
    second.activate(instance)
    other.sign()  # nothing was asked under the second: it may be given up for another
    instance.run(1)
    with pytest.raises(Forbidden, match=r"contract\.superseded"):
        second.permit(instance)


def test_a_history_that_went_on_under_one_contract_follows_to_no_other(
    active: tuple[Party, Instance], contract: Contract
) -> None:
    north, _ = active
    north.ledger.add_share(north.digest, bytes(32))
    second, other = asking_after(north, contract), asking_after(north, contract, title="Another")
    second.sign()
    instance = Instance(second.digest)
    instance.run(1)
    second.activate(instance)
    with pytest.raises(Forbidden, match=r"contract\.history\.branch"):
        other.sign()


def test_after_the_contract_ends_nothing_is_permitted(active: tuple[Party, Instance]) -> None:
    north, instance = active
    north.clock.move(days=365 * 12)
    with pytest.raises(Forbidden, match=r"contract\.expired"):
        north.permit(instance)


# --- the ledger survives


def test_what_was_signed_is_remembered_by_the_next_process(active: tuple[Party, Instance], tmp_path: Path) -> None:
    north, instance = active
    permit = north.permit(instance)
    north.ledger.close()
    again = Party(north.keys, Ledger(tmp_path / "ledger.sqlite"), north.known, north.raw, north.clock)
    assert again.permit(instance) == permit
    with pytest.raises(Forbidden, match=r"activation\.second"):
        again.activate(Instance(north.digest, instance.log.leaves()))


def test_the_ledger_is_for_its_owner_alone(ledger: Ledger, tmp_path: Path) -> None:
    assert (tmp_path / "ledger.sqlite").stat().st_mode & 0o077 == 0
    ledger.close()


def test_dropped_keys_are_gone_from_the_file(north: Party, tmp_path: Path) -> None:
    secret = b"\xfe\xed" * 16
    upload = Uploaded(bytes(16), "patients", b"header", secret, commitment=None, loaded=False)
    north.ledger.add_upload(north.digest, upload, at=north.clock())
    north.ledger.add_share(north.digest, secret)
    files = [tmp_path / "ledger.sqlite", tmp_path / "ledger.sqlite-wal"]
    assert any(secret in file.read_bytes() for file in files)
    north.ledger.drop_keys(north.digest)
    north.ledger.close()
    assert not any(secret in file.read_bytes() for file in files if file.exists())
