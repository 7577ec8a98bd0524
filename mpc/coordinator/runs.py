"""From a request to a sealed result: what is asked, permitted, run, held against the rules, and put down.

One run at a time, in the order in which they were permitted. A run ends in exactly one release leaf, whether it gave
an answer or failed: failures are outputs, and they spend their run.
"""

import base64
import queue
import secrets
import threading
from collections.abc import Callable, Mapping

from mpc.canonical import parse_json, parse_time, sha256
from mpc.contract.consent import Agreement, check_in_force
from mpc.contract.document import read_questions, strictest
from mpc.contract.statements import Permit, RunRequest
from mpc.contract.terms import Computation
from mpc.coordinator.authentication import require_party
from mpc.coordinator.children import Template
from mpc.coordinator.execution import Execution, RunFailed, RunOrder
from mpc.coordinator.intake import Intake
from mpc.coordinator.journal import Journal, RunFacts, hypothetical
from mpc.coordinator.shares import Shares
from mpc.coordinator.state import StateFolder
from mpc.disclosure import Release, control, failed_release, question_digest
from mpc.errors import Exhausted, Forbidden, OutOfOrder, Refusal
from mpc.evidence.claims import Attestation
from mpc.messages import Run
from mpc.questions import CheckedQuestion, check_parameters
from mpc.receipts.leaves import PermitLeaf, ReleaseLeaf, RunLeaf, leaf_bytes
from mpc.receipts.log import Log, sign_checkpoint
from mpc.receipts.receipt import SALT_BYTES, build_receipt, commit_release, countersigners, result_bytes
from mpc.sealing.hpke import PublicSealingKey, SealedFor, seal
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
        self._runners = runners
        self._receipt_key = receipt_key
        self._hpke_public_key = hpke_public_key
        self._attest = attest
        self._ended = ended
        self._questions: Mapping[str, CheckedQuestion] = read_questions(agreement.contract)
        self._rules = strictest(agreement.contract)
        self._codes: dict[int, str] = {}
        self._attestations: dict[int, Attestation] = {}
        self._vouched: dict[int, tuple[str, ...]] = {}
        self._running: set[int] = set()
        self._permitted: queue.Queue[int | None] = queue.Queue()
        self._current: Execution | None = None
        self._thread = threading.Thread(target=self._run_all, name="runs", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the run at hand and take no further one."""
        self._permitted.put(None)
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
        check_in_force(self._contract, parse_time(request.time))
        computation = self._computation(request.computation)
        if party not in computation.recipients:
            raise Forbidden(
                "run.recipient", f"{party} may not ask for {computation.name}", why="it is not among the recipients",
                remedy="ask for a computation whose answer is yours", field="recipients",
                expected=" or ".join(computation.recipients), found=party,
            )  # fmt: skip
        check_parameters(computation.parameters, request.parameters)
        missing = self._shares.missing()
        if missing:
            raise OutOfOrder(
                "run.shares", "nothing runs before every owner holds its share", why="shares of the state are missing",
                remedy="wait for the owners named", field="share", found=", ".join(missing), expected="every owner's",
            )  # fmt: skip
        name = self._state.keep_envelope(envelope)
        with self._journal.lock:
            return self._append_run(request, computation, name)

    def _append_run(self, request: RunRequest, computation: Computation, envelope: str) -> int:
        runs = self._journal.facts.runs
        spent = sum(run.leaf.computation == computation.name for run in runs.values())
        if spent >= computation.runs:
            raise Exhausted(
                "run.spent", f"the runs of {computation.name} are used up", why="each request spends one",
                remedy="agree on a contract with more runs", field="runs", expected=f"at most {computation.runs}",
                found=str(spent),
            )  # fmt: skip
        number = len(runs) + 1
        leaf = RunLeaf(
            run=number, computation=computation.name, parameters=dict(request.parameters), requester=request.party,
            uploads=self._pinned(computation.name), envelope=envelope,
        )  # fmt: skip
        self._journal.append(leaf)
        return number

    def _pinned(self, computation: str) -> tuple[str, ...]:
        uploads = []
        for dataset, owner in self._sources(computation):
            leaf = self._journal.facts.current(dataset, owner)
            if leaf is None:
                raise OutOfOrder(
                    "run.inputs", "rows that the run reads are not loaded", why=f"{owner} has not uploaded {dataset}",
                    remedy="wait for the upload", field="upload", expected=dataset, found="nothing",
                )  # fmt: skip
            uploads.append(leaf.upload)
        self._intake.inputs(tuple(uploads))
        return tuple(sorted(uploads))

    def _sources(self, computation: str) -> list[tuple[str, str]]:
        names = self._questions[computation].datasets
        datasets = [dataset for dataset in self._contract.datasets if dataset.name in names]
        return [(dataset.name, owner) for dataset in datasets for owner in dataset.owners]

    def _owners(self, computation: str) -> tuple[str, ...]:
        return tuple(sorted({owner for _, owner in self._sources(computation)}))

    def permit(self, party: str, envelope: bytes) -> None:
        """Take an owner's permit for a run on this instance; the last one starts it."""
        opened = open_envelope(envelope, Purpose.PERMIT, (self._key_of(party),))
        permit = parse_json(Permit, opened.body, what="the permit")
        require_party(party, permit.party, "permit")
        self._check_about(permit)
        check_in_force(self._contract, parse_time(permit.time))
        with self._journal.lock:
            run = self._run(permit.run)
            self._check_permit(permit, run)
            if party in run.permits:  # sent again, as its answer was lost
                return
            missing = self._shares.missing()
            if missing:
                raise OutOfOrder(
                    "run.shares", "nothing runs before every share is back", why="the history of releases is closed",
                    remedy="wait for the owners named", field="share", expected="all", found=", ".join(missing),
                )  # fmt: skip
            self._intake.inputs(run.leaf.uploads)
            name = self._state.keep_envelope(envelope)
            instance = self._journal.facts.instance
            self._journal.append(
                PermitLeaf(run=permit.run, party=party, instance=instance, time=permit.time, envelope=name)
            )
            if not self._missing(run):
                self._running.add(permit.run)
                self._permitted.put(permit.run)

    def _check_permit(self, permit: Permit, run: RunFacts) -> None:
        for field, expected, found in (
            ("computation", run.leaf.computation, permit.computation),
            ("parameters", dict(run.leaf.parameters), dict(permit.parameters)),
        ):
            if expected != found:
                raise Forbidden(
                    "permit.other_run", "the permit is for another run", why=f"its {field} differ",
                    remedy="permit what was asked for", field=field,
                )  # fmt: skip
        if permit.party not in self._owners(run.leaf.computation):
            raise Forbidden(
                "permit.not_owner", f"no permit of {permit.party} is needed", why="the run reads none of its rows",
                remedy="permit runs that read your rows",
            )  # fmt: skip
        if run.release is not None:
            raise OutOfOrder(
                "permit.ended", "the run has ended", why="its release is in the log", remedy="permit runs that wait"
            )
        if permit.log_size <= run.index:
            raise OutOfOrder(
                "permit.early", "the permit was signed before the run was asked for", why="its log lacks the run",
                remedy="look at the log first, then permit", field="log_size", expected=f"more than {run.index}",
                found=str(permit.log_size),
            )  # fmt: skip
        self._journal.require_extends(permit.log_size, permit.log_root, "permit")

    def _check_about(self, statement: Permit | RunRequest) -> None:
        facts = self._journal.facts
        for field, expected, found in (
            ("contract", self._agreement.digest.hex(), statement.contract),
            ("instance", facts.instance, statement.instance),
        ):
            if expected != found:
                raise Forbidden(
                    f"statement.{field}", f"the statement is for another {field}", why="it does not hold here",
                    remedy="appraise and activate this instance, then sign for it", field=field,
                    expected=expected, found=found,
                )  # fmt: skip
        inactive = [party.name for party in self._contract.parties if not facts.active(party.name)]
        if inactive:
            raise OutOfOrder(
                "run.activation", "nothing runs before every party has activated this instance", why="some have not",
                remedy="wait for the parties named", field="activation", expected="all", found=", ".join(inactive),
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

    def _run(self, number: int) -> RunFacts:
        run = self._journal.facts.runs.get(number)
        if run is None:
            raise OutOfOrder(
                "run.unknown", "there is no such run", why="nobody asked for it", remedy="ask for it first"
            )
        return run

    def _key_of(self, party: str) -> VerifyingKey:
        found = self._contract.party(party)
        return VerifyingKey(bytes.fromhex(found.signing_key if found else ""))

    def _missing(self, run: RunFacts) -> tuple[str, ...]:
        return tuple(owner for owner in self._owners(run.leaf.computation) if owner not in run.permits)

    # What stands where

    def states(self, caller: str) -> tuple[Run, ...]:
        """Return every run; why one failed is told to owners alone."""
        told = caller in self._shares.owners
        return tuple(
            Run(
                number=number,
                computation=run.leaf.computation,
                parameters=run.leaf.parameters,
                requester=run.leaf.requester,
                state=self._word(number, run),
                missing=() if run.release else self._missing(run),
                code=self._codes.get(number, "") if told else "",
                vouched=self._vouchers(number, run),
            )
            for number, run in self._journal.facts.runs.items()
        )

    def _word(self, number: int, run: RunFacts) -> str:
        if run.release is not None:
            return run.release.outcome
        return "running" if number in self._running else "permitting"

    def result(self, party: str, number: int) -> tuple[bytes, bytes]:
        """Return receipt and sealed result of a run for one of its recipients."""
        run = self._run(number)
        if party not in self._computation(run.leaf.computation).recipients:
            raise Forbidden(
                "result.recipient", f"the result is not for {party}", why="it is not among the recipients",
                remedy="ask a recipient",
            )  # fmt: skip
        receipt, sealed = self._state.result(number, RECEIPT), self._state.result(number, party)
        if run.release is None or receipt is None or sealed is None:
            raise OutOfOrder(
                "result.none", "the run has not ended", why="permits are missing, or it is at work",
                remedy="wait until its state is released or failed", field="run",
            )  # fmt: skip
        return receipt, sealed

    # Running

    def _run_all(self) -> None:
        while (number := self._permitted.get()) is not None:
            run = self._journal.facts.runs[number]
            try:
                self._finish(run, *self._answer(run))
            except Refusal as refusal:
                # Nothing could be put down (a full disk): the run has not ended, and a restart asks for permits again.
                self._codes[number] = refusal.code
            self._running.discard(number)
            self._ended(number, self._codes.get(number, ""))
            self._journal.touch()

    def _answer(self, run: RunFacts) -> tuple[Release, bytes | None]:
        """Return the release, and the name of the question that it answers unless the run failed."""
        computation = self._computation(run.leaf.computation)
        inputs = self._intake.inputs(run.leaf.uploads)
        uploads = {f"{given.dataset}/{given.owner}": given.file.header.upload_id for given in inputs}
        question = question_digest(computation.question, run.leaf.parameters, uploads, self._rules)
        known = self._shares.history.recall(question)
        if known is not None:
            return Release.from_bytes(known), question
        order = RunOrder(self._agreement.raw, computation.name, run.leaf.parameters, inputs, self._contract.limits)
        try:
            self._current = Execution(self._runners.take(), order, self._intake.stream)
            return control(self._current.result(), self._rules), question
        except RunFailed as failure:
            self._codes[run.leaf.run] = failure.code
        except Refusal as refusal:
            self._codes[run.leaf.run] = refusal.code
        finally:
            self._current = None
        return failed_release(computation.name), None

    def _finish(self, run: RunFacts, release: Release, question: bytes | None) -> None:
        """Put the end of a run down: history first, then what recipients get, then the leaf that makes it so."""
        if question is None:
            self._shares.repeat()
        else:
            self._shares.remember(question, release)
        salt, content = secrets.token_bytes(SALT_BYTES), release.to_bytes()
        leaf = ReleaseLeaf(
            run=run.leaf.run,
            outcome="failed" if question is None else "released",
            release=commit_release(salt, content).hex(),
        )
        context = sha256(leaf_bytes(run.leaf))
        for name in self._computation(run.leaf.computation).recipients:
            party = self._contract.party(name)
            key = PublicSealingKey(base64.b64decode(party.sealing_key if party else ""))
            sealed = seal(SealedFor.RESULT, context, key, result_bytes(salt, content))
            self._state.keep_result(run.leaf.run, name, sealed)
        attestation = self._attest(context)
        with self._journal.lock:
            log = hypothetical(self._journal.log, [leaf])
            checkpoint = sign_checkpoint(self._journal.state_of(log), self._receipt_key)
            receipt = self._receipt(run, log, log.size - 1, attestation, checkpoint=checkpoint)
            self._state.keep_result(run.leaf.run, RECEIPT, receipt)
            self._journal.append(leaf)
            self._attestations[run.leaf.run] = attestation  # under the lock: whoever sees the leaf may countersign it

    def _receipt(
        self,
        run: RunFacts,
        log: Log,
        release_index: int,
        attestation: Attestation,
        *,
        checkpoint: bytes,
        countersignatures: tuple[bytes, ...] = (),
    ) -> bytes:
        activations = self._journal.facts.activations
        return build_receipt(
            agreement=self._agreement,
            attestation=attestation,
            hpke_public_key=self._hpke_public_key,
            activations=[self._state.envelope(leaf.envelope) for _, leaf in sorted(activations.items())],
            inputs=self._intake.shown(run.leaf.uploads),
            permits=[self._state.envelope(leaf.envelope) for _, leaf in sorted(run.permits.items())],
            log=log,
            run_index=run.index,
            release_index=release_index,
            checkpoint=checkpoint,
            countersignatures=countersignatures,
            key=self._receipt_key,
        )

    def countersign(self, checkpoint: bytes, size: int, countersignatures: Mapping[str, bytes]) -> None:
        """Renew the receipts of runs that ended before ``size``, where more parties vouch for the log now."""
        signed = sorted(countersignatures.items())
        renewed = False
        for number, attestation in self._attestations.items():
            run = self._journal.facts.runs[number]
            if run.release_index < size and len(self._vouchers(number, run)) < len(signed):
                receipt = self._receipt(
                    run, self._journal.log, run.release_index, attestation,
                    checkpoint=checkpoint, countersignatures=tuple(envelope for _, envelope in signed),
                )  # fmt: skip
                self._state.keep_result(number, RECEIPT, receipt)
                self._vouched[number] = tuple(name for name, _ in signed)
                renewed = True
        if renewed:
            self._journal.touch()

    def _vouchers(self, number: int, run: RunFacts) -> tuple[str, ...]:
        """Return whose countersignatures the receipt of a run carries; of an earlier instance's it is read once."""
        if run.release is None:
            return ()
        if number not in self._vouched:
            receipt = self._state.result(number, RECEIPT)
            named = () if receipt is None else countersigners(receipt, self._contract)
            self._vouched.setdefault(number, named)  # a renewal meanwhile knows better
        return self._vouched[number]
