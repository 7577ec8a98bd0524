"""From a request to a sealed result: what is asked, permitted, run, held against the rules, and put down.

One run at a time, in the order in which they were permitted. A run ends in exactly one release leaf, whether it gave
an answer or failed: failures are outputs, and they spend their run.
"""

import base64
import contextlib
import queue
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from mpc.canonical import parse_json, sha256
from mpc.contract.consent import Agreement
from mpc.contract.document import strictest
from mpc.contract.statements import Permit, RunRequest
from mpc.contract.terms import Computation
from mpc.coordinator.authentication import require_party
from mpc.coordinator.children import Preparation, Template
from mpc.coordinator.ending import Ending
from mpc.coordinator.execution import Execution, RunFailed, RunOrder, preparation
from mpc.coordinator.intake import Intake
from mpc.coordinator.journal import Journal, hypothetical
from mpc.coordinator.shares import Shares
from mpc.coordinator.state import StateFolder
from mpc.disclosure import Release, control, failed_release, question_digest
from mpc.errors import Forbidden, OutOfOrder, Refusal
from mpc.evidence.claims import Attestation
from mpc.messages import Run as RunState
from mpc.questions import check_parameters
from mpc.receipts.leaves import ActivationLeaf, PermitLeaf, ReleaseLeaf, RunLeaf, leaf_bytes
from mpc.receipts.log import Log, sign_checkpoint
from mpc.receipts.receipt import SALT_BYTES, build_receipt, commit_release, countersigners, result_bytes
from mpc.sealing.hpke import PublicSealingKey, SealedFor, seal
from mpc.session import Run
from mpc.signing import Purpose, SigningKey, VerifyingKey, open_envelope

RECEIPT = "receipt.json"


class Runs:
    """The runs of one contract in one instance. ``attest`` gives evidence over a nonce, for receipts."""

    def __init__(
        self,
        agreement: Agreement,
        *,
        state: StateFolder,
        journal: Journal,
        intake: Intake,
        shares: Shares,
        ending: Ending,
        runners: Template,
        receipt_key: SigningKey,
        hpke_public_key: bytes,
        attest: Callable[[bytes], Attestation],
        ended: Callable[[int, str], None],
    ) -> None:
        self._agreement = agreement
        self._contract = agreement.contract
        self._state = state
        self._journal = journal
        self._intake = intake
        self._shares = shares
        self._ending = ending
        self._runners = runners
        self._receipt_key = receipt_key
        self._hpke_public_key = hpke_public_key
        self._attest = attest
        self._ended = ended
        self._rules = strictest(agreement.contract)
        self._codes: dict[int, str] = {}
        self._stopped: set[int] = set()
        self._attestations: dict[int, Attestation] = {}
        self._vouched: dict[int, tuple[str, ...]] = {}
        self._steps: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._current: Execution | None = None
        self._thread = threading.Thread(target=self._run_all, name="runs", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the run at hand and take no further one."""
        self._steps.put(None)
        current = self._current
        if current is not None:
            current.abandon()
        self._thread.join()

    # Asking and permitting

    def request(self, party: str, envelope: bytes) -> int:
        """Put a recipient's wish into the log, pin the uploads it reads, and return its number."""
        opened = open_envelope(envelope, Purpose.REQUEST, (self._key_of(party),))
        request = parse_json(RunRequest, opened.body, what="the request")
        require_party(party, request.party, "request")
        self._check_about(request)
        self._ending.require_in_force(party, request.time)
        computation = self._computation(request.computation)
        check_parameters(computation.parameters, request.parameters)
        with self._journal.lock:
            session = self._journal.session
            leaf = RunLeaf(
                run=len(session.runs) + 1, computation=computation.name, parameters=dict(request.parameters),
                requester=party, uploads=session.pinned_for(computation.name), envelope=sha256(envelope).hex(),
            )  # fmt: skip
            self._journal.append(leaf, statements=(envelope,))
        self._steps.put(partial(self._prepare, computation))
        return leaf.run

    def permit(self, party: str, envelope: bytes) -> None:
        """Take an owner's permit for a run on this instance; the last one starts it."""
        opened = open_envelope(envelope, Purpose.PERMIT, (self._key_of(party),))
        permit = parse_json(Permit, opened.body, what="the permit")
        require_party(party, permit.party, "permit")
        self._check_about(permit)
        self._ending.require_in_force(party, permit.time)
        with self._journal.lock:
            self._check_permit(permit)
            if self._journal.leaves(PermitLeaf, run=permit.run, party=party, instance=permit.instance):
                return  # sent again, as its answer was lost
            leaf = PermitLeaf(
                run=permit.run, party=party, instance=permit.instance, time=permit.time, envelope=sha256(envelope).hex()
            )
            self._journal.append(leaf, statements=(envelope,))
            if self._run(permit.run).stage == "permitted":
                self._steps.put(partial(self._run_to_its_end, permit.run))

    def _check_permit(self, permit: Permit) -> None:
        run = self._run(permit.run)
        for field, expected, found in (
            ("computation", run.computation, permit.computation),
            ("parameters", dict(run.parameters), dict(permit.parameters)),
        ):
            if expected != found:
                raise Forbidden(
                    "permit.other_run", "the permit is for another run", why=f"its {field} differ",
                    remedy="permit what was asked for", field=field,
                )  # fmt: skip
        index = self._index(RunLeaf, permit.run)
        if permit.log_size <= index:
            raise OutOfOrder(
                "permit.early", "the permit was signed before the run was asked for", why="its log lacks the run",
                remedy="look at the log first, then permit", field="log_size", expected=f"more than {index}",
                found=str(permit.log_size),
            )  # fmt: skip
        self._journal.require_extends(permit.log_size, permit.log_root, "permit")

    def _check_about(self, statement: Permit | RunRequest) -> None:
        session = self._journal.session
        for field, expected, found in (
            ("contract", session.terms.contract, statement.contract),
            ("instance", session.instance or "", statement.instance),
        ):
            if expected != found:
                raise Forbidden(
                    f"statement.{field}", f"the statement is for another {field}", why="it does not hold here",
                    remedy="appraise and activate this instance, then sign for it", field=field,
                    expected=expected, found=found,
                )  # fmt: skip

    def _computation(self, name: str) -> Computation:
        computation = self._contract.computation(name)
        if computation is None:
            raise Forbidden(
                "run.computation", "the contract lists no such computation", why="only what all signed may run",
                remedy="ask for one of those expected", field="computation",
                expected=" or ".join(each.name for each in self._contract.computations), found=name,
            )  # fmt: skip
        return computation

    def _run(self, number: int) -> Run:
        run = self._journal.session.run(number)
        if run is None:
            raise OutOfOrder(
                "run.unknown", "there is no such run", why="nobody asked for it", remedy="ask for it first"
            )
        return run

    def _index(self, kind: type[RunLeaf | ReleaseLeaf], run: int) -> int:
        """Return where in the log a run was asked for, or ended."""
        ((index, _),) = self._journal.leaves(kind, run=run)
        return index

    def _key_of(self, party: str) -> VerifyingKey:
        found = self._contract.party(party)
        return VerifyingKey(bytes.fromhex(found.signing_key if found else ""))

    # What stands where

    def states(self, caller: str) -> tuple[RunState, ...]:
        """Return every run; why one failed is told to owners alone."""
        told = caller in self._shares.owners
        return tuple(
            RunState(
                number=run.number,
                computation=run.computation,
                parameters=run.parameters,
                requester=run.requester,
                state="stopped" if run.number in self._stopped else run.shown,
                missing=run.missing,
                code=self._codes.get(run.number, "") if told else "",
                vouched=self._vouchers(run),
            )
            for run in self._journal.session.runs
        )

    def result(self, party: str, number: int) -> tuple[bytes, bytes]:
        """Return receipt and sealed result of a run for one of its recipients."""
        run = self._run(number)
        if party not in self._computation(run.computation).recipients:
            raise Forbidden(
                "result.recipient", f"the result is not for {party}", why="it is not among the recipients",
                remedy="ask a recipient",
            )  # fmt: skip
        receipt, sealed = self._state.result(number, RECEIPT), self._state.result(number, party)
        if run.stage != "released" or receipt is None or sealed is None:
            raise OutOfOrder(
                "result.none", "the run has not ended", why="permits are missing, or it is at work",
                remedy="wait until its state is released or failed", field="run",
            )  # fmt: skip
        return receipt, sealed

    # Running

    def _run_all(self) -> None:
        while (step := self._steps.get()) is not None:
            step()

    def _prepare(self, computation: Computation) -> None:
        """Have a child read the question of a run that was asked for, while its permits are awaited."""
        with contextlib.suppress(Refusal):  # a machine without a process for it says so when the run begins
            self._runners.make_ready(self._preparation(computation))

    def _preparation(self, computation: Computation) -> Preparation:
        return preparation(self._agreement.raw, computation.name, self._contract.limits)

    def _run_to_its_end(self, number: int) -> None:
        run = self._run(number)
        try:
            self._finish(run, *self._answer(run))
        except Refusal as refusal:
            # Nothing could be put down (a full disk): the run has not ended, and a restart asks for permits again.
            # Or a party left meanwhile: then the run ends with the instance, and nothing of it is handed out.
            # It is not called failed: that is an end, which stands in the log and has a receipt.
            self._codes[number] = refusal.code
            self._stopped.add(number)
        self._ended(number, self._codes.get(number, ""))
        self._journal.touch()

    def _answer(self, run: Run) -> tuple[Release, bytes | None]:
        """Return the release, and the name of the question that it answers unless the run failed."""
        computation = self._computation(run.computation)
        inputs = self._intake.inputs(run.uploads)
        rows = {f"{given.dataset}/{given.owner}": given.rows.content for given in inputs}
        question = question_digest(computation.question, run.parameters, rows, self._rules)
        known = self._shares.history.recall(question)
        if known is not None:
            release = Release.from_bytes(known)
            return release.named(computation.name) if computation.question.kind == "sql" else release, question
        order = RunOrder(run.parameters, inputs, self._contract.limits.run_seconds)
        try:
            child = self._runners.take(self._preparation(computation))
            self._current = Execution(child, order, self._intake.stream)
            return control(self._current.result(), self._rules), question
        except RunFailed as failure:
            self._codes[run.number] = failure.code
        except Refusal as refusal:
            self._codes[run.number] = refusal.code
        finally:
            self._current = None
        return failed_release(computation.name), None

    def _finish(self, run: Run, release: Release, question: bytes | None) -> None:
        """Put the end of a run down: history first, then what recipients get, then the leaf that makes it so."""
        salt, content = secrets.token_bytes(SALT_BYTES), release.to_bytes()
        leaf = ReleaseLeaf(
            run=run.number,
            outcome="failed" if question is None else "released",
            release=commit_release(salt, content).hex(),
        )
        self._journal.check(leaf)
        if question is None:
            self._shares.repeat()
        else:
            self._shares.remember(question, release)
        ((_, asked),) = self._journal.leaves(RunLeaf, run=run.number)
        context = sha256(leaf_bytes(asked))
        for name in self._computation(run.computation).recipients:
            party = self._contract.party(name)
            key = PublicSealingKey(base64.b64decode(party.sealing_key if party else ""))
            sealed = seal(SealedFor.RESULT, context, key, result_bytes(salt, content))
            self._state.keep_result(run.number, name, sealed)
        attestation = self._attest(context)
        with self._journal.lock:
            log = hypothetical(self._journal.log, [leaf])
            checkpoint = sign_checkpoint(self._journal.state_of(log), self._receipt_key)
            receipt = self._receipt(run, log, log.size - 1, attestation, checkpoint=checkpoint)
            self._state.keep_result(run.number, RECEIPT, receipt)
            self._journal.append(leaf)
            self._attestations[run.number] = attestation  # under the lock: whoever sees the leaf may countersign it

    def _receipt(
        self,
        run: Run,
        log: Log,
        release_index: int,
        attestation: Attestation,
        *,
        checkpoint: bytes,
        countersignatures: tuple[bytes, ...] = (),
    ) -> bytes:
        instance = self._journal.session.instance
        activations = self._journal.leaves(ActivationLeaf, instance=instance)
        permits = self._journal.leaves(PermitLeaf, run=run.number, instance=instance)
        return build_receipt(
            agreement=self._agreement,
            attestation=attestation,
            hpke_public_key=self._hpke_public_key,
            activations=self._signed(activations),
            inputs=self._intake.shown(run.uploads),
            permits=self._signed(permits),
            log=log,
            run_index=self._index(RunLeaf, run.number),
            release_index=release_index,
            checkpoint=checkpoint,
            countersignatures=countersignatures,
            key=self._receipt_key,
        )

    def _signed(self, entries: Iterable[tuple[int, ActivationLeaf | PermitLeaf]]) -> list[bytes]:
        """Return the statements that leaves name, in the order of their signers."""
        leaves = sorted((leaf for _, leaf in entries), key=lambda leaf: leaf.party)
        return [self._state.envelope(leaf.envelope) for leaf in leaves]

    def countersign(self, checkpoint: bytes, size: int, countersignatures: Mapping[str, bytes]) -> None:
        """Renew the receipts of runs that ended before ``size``, where more parties vouch for the log now.

        Receipts of runs that an earlier instance released stay as they are: they carry its evidence and its signature,
        and neither can be had again.
        """
        signed = sorted(countersignatures.items())
        renewed = False
        for number, attestation in self._attestations.items():
            run, release_index = self._run(number), self._index(ReleaseLeaf, number)
            if release_index < size and len(self._vouchers(run)) < len(signed):
                receipt = self._receipt(
                    run, self._journal.log, release_index, attestation,
                    checkpoint=checkpoint, countersignatures=tuple(envelope for _, envelope in signed),
                )  # fmt: skip
                self._state.keep_result(number, RECEIPT, receipt)
                self._vouched[number] = tuple(name for name, _ in signed)
                renewed = True
        if renewed:
            self._journal.touch()

    def _vouchers(self, run: Run) -> tuple[str, ...]:
        """Return whose countersignatures the receipt of a run carries; of an earlier instance's it is read once."""
        if run.stage != "released":
            return ()
        if run.number not in self._vouched:
            receipt = self._state.result(run.number, RECEIPT)
            named = () if receipt is None else countersigners(receipt, self._contract)
            self._vouched.setdefault(run.number, named)  # a renewal meanwhile knows better
        return self._vouched[run.number]
