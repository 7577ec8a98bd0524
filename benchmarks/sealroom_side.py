"""Our side: one party of the benchmark as a process of its own, driven by lines on standard input.

It uses the party's own library (``parties.conversation``) as the daemon does, so every check, signature, re-appraisal
and ledger write of the real path is in the figures; only the waiting between steps is the benchmark's. The rows come
from memory, as they do on the other side.

    prepare ROWS | activate | share | change | upload | request | permit N | result N | …     ->  a line of JSON
"""

import argparse
import json
import logging
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import structlog
import workload

from mpc.allocation import exempt_from_collection, keep_freed_blocks
from mpc.errors import Refusal
from mpc.evidence.appraisal import Exceptions
from mpc.sealing.stream import new_upload
from mpc.table.batches import schema_digest
from parties import decisions
from parties.channel import Deadlines
from parties.config import Config, load_config
from parties.conversation import Conversation
from parties.keys import load_keys
from parties.ledger import Ledger, Uploaded
from parties.party import Party
from parties.service import now
from parties.signatory import Signatory
from parties.submission import Submission
from parties.trouble import Pace, Trouble

Done = TypeVar("Done")


class BenchmarkParty:
    """A party that does what it is told; ``rows`` are generated once and reused."""

    def __init__(self, folder: Path, number: int) -> None:
        self._number = number
        config = load_config(folder / "party.toml")
        self.party = party_of(config)
        self._agreed = self.party.ledger.contracts()[0]
        self._rows: list[pa.RecordBatch] = []
        self._talk: Conversation | None = None

    @property
    def talk(self) -> Conversation:
        """The conversation, begun when it is first wanted."""
        if self._talk is None:
            talk = patiently(decisions.Connect(), lambda: Conversation.begin(self.party, self._agreed))
            while not patiently(decisions.ExchangeConsents(), talk.exchange_consents):
                time.sleep(0.01)
            patiently(decisions.Appraise(), talk.appraise)
            patiently(decisions.Authenticate(), talk.authenticate)
            self._talk = talk
        return self._talk

    def prepare(self, rows: str) -> dict[str, object]:
        """Generate the rows, outside of any timing."""
        self._rows = list(workload.batches(self._number, int(rows)))
        return {"bytes": sum(batch.nbytes for batch in self._rows)}

    def change(self) -> dict[str, object]:
        """Change one row: rows that are the same get the answer that they had, and nothing is computed."""
        first, *others = self._rows
        pids = first.column("pid").to_numpy().copy()
        pids[0] -= 1
        self._rows = [first.set_column(0, first.schema.field("pid"), pa.array(pids)), *others]
        return {}

    def stream(self, rows: str) -> dict[str, object]:
        """Upload rows that are generated while they are sent, so that only what the daemon holds is in memory."""
        self._rows = []
        return self._send(workload.batches(self._number, int(rows)))

    def activate(self) -> dict[str, object]:
        """Connect, agree, appraise, authenticate, activate; tell how long each step took, in milliseconds."""
        steps: dict[str, object] = {}
        clock = time.perf_counter
        start = clock()
        talk = self.talk
        steps["connect_to_session_ms"] = (clock() - start) * 1000
        start = clock()
        patiently(decisions.Appraise(), talk.appraise)
        steps["appraisal_ms"] = (clock() - start) * 1000
        start = clock()
        patiently(decisions.Activate(), lambda: talk.activate(replace=True))
        steps["activation_ms"] = (clock() - start) * 1000
        return steps

    def share(self) -> dict[str, object]:
        """Take the share of the state key."""
        patiently(decisions.TakeShare(), self.talk.take_share)
        return {}

    def upload(self) -> dict[str, object]:
        """Send the prepared rows."""
        return self._send(self._rows)

    def _send(self, rows: object) -> dict[str, object]:
        dataset = self._agreed.contract.dataset("people")
        assert dataset is not None
        header, data_key = new_upload(
            contract=self._agreed.digest, dataset="people", sender=self.party.name,
            schema_digest=schema_digest(dataset), mapping_digest=bytes(32), random=os.urandom,
        )  # fmt: skip
        kept = Uploaded(header.upload_id, "people", header.to_bytes(), data_key.raw, commitment=None, loaded=False)
        self.party.ledger.add_upload(self._agreed.digest, kept, at=now())
        submission = Submission(dataset, header, data_key, rows, commit=self.party.signatory.commitment)  # type: ignore[arg-type]
        self.party.submissions["people"] = submission
        patiently(decisions.UploadRows("people"), lambda: self.talk.upload("people"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"wire_bytes": submission.progress.bytes_sealed, "peak_kib": peak}

    def request(self) -> dict[str, object]:
        """Ask for the run; return its number."""
        return {"run": self.talk.request_run("by_city", {})}

    def permit(self, number: str) -> dict[str, object]:
        """Permit the run."""
        self.talk.look()
        self.talk.permit(int(number), unattended=True)
        return {}

    def result(self, number: str) -> dict[str, object]:
        """Wait for the run's end, then fetch, verify and open the result."""
        while next(run.state for run in self.talk.look().runs if run.number == int(number)) in {
            "permitting",
            "running",
        }:
            self.talk.watch(2000)
        self.talk.fetch_result(int(number))
        release = self.party.ledger.results(self._agreed.digest)[-1].release
        return {"release": len(release)}

    def rewrap(self) -> dict[str, object]:
        """After a restart: appraise the new instance, activate it, and hand it key and share again."""
        self._talk = None
        start = time.perf_counter()
        self.talk.activate(replace=True)
        return {"reconnect_ms": (time.perf_counter() - start) * 1000}

    def hand_back(self) -> dict[str, object]:
        """After every party has activated the new instance: the share and the key of the latest upload."""
        start = time.perf_counter()
        self.talk.return_share()
        upload = self.party.ledger.uploads(self._agreed.digest)[-1]
        self.talk.rewrap(upload.upload)
        return {"rewrap_ms": (time.perf_counter() - start) * 1000}


def patiently(action: decisions.Action, step: Callable[[], Done]) -> Done:
    """Do one step as a daemon does: what may pass by itself, such as a busy door, is tried again after its pauses."""
    trouble, pace = Trouble(), Pace()
    while True:
        try:
            return step()
        except Refusal as refusal:
            if not trouble.may_pass(action, refusal, pace):
                raise
            time.sleep(trouble.wait_seconds(pace))


def party_of(config: Config) -> Party:
    """Return what a daemon would build from ``config``."""
    keys, ledger = load_keys(config.party.key), Ledger(config.ledger)
    return Party(
        config=config, keys=keys, ledger=ledger, signatory=Signatory(keys, ledger, config.known_parties),
        exceptions=Exceptions(config.trust.accept_self_measured, config.trust.accept_visible_memory),
        clock=now, random=os.urandom, deadlines=Deadlines(),
    )  # fmt: skip


def main() -> None:
    """Do what each line says and answer with one line of JSON, until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("number", type=int)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    keep_freed_blocks()
    party = BenchmarkParty(arguments.folder, arguments.number)
    exempt_from_collection()
    for line in sys.stdin:
        word, *rest = line.split()
        step: Callable[..., dict[str, object]] = getattr(party, word)
        print(json.dumps(step(*rest)), flush=True)
    os._exit(0 if threading.active_count() else 1)


if __name__ == "__main__":
    main()
