"""Rows on their way into this instance: new uploads, uploads that go on, and those that only want their key back."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mpc.canonical import sha256
from mpc.contract.consent import Agreement
from mpc.contract.terms import Contract
from mpc.coordinator.children import READY_MAX, Template
from mpc.coordinator.execution import Input
from mpc.coordinator.journal import Journal
from mpc.coordinator.loading import Loading, LoadLimits, Residency, Rows, preparation
from mpc.coordinator.state import StateFolder
from mpc.coordinator.uploads import Arrival, Arrived
from mpc.coordinator.vault import Vault, VaultFile
from mpc.errors import Exhausted, Forbidden, Malformed, OutOfOrder, Refusal
from mpc.messages import RewrapRequest, UploadOpen, UploadPart, UploadReply, UploadState
from mpc.receipts.leaves import RewrapLeaf, UploadLeaf
from mpc.sealing.hpke import SealedFor, SealingKey, open_sealed
from mpc.sealing.stream import DataKey, Header, check_data_key, parse_header, read_commitment
from mpc.signing import VerifyingKey
from mpc.table.batches import schema_digest

MIB = 1 << 20
_SECONDS = 60
_BYTES_A_SECOND = 4 << 20


@dataclass(eq=False)
class Held:
    """An upload as this instance holds it. ``rows`` is None while it arrives, or after a restart without its key."""

    file: VaultFile
    rows: Rows | None = None
    refused: str = ""
    busy: bool = False

    @property
    def header(self) -> Header:
        """What the upload said of itself."""
        return self.file.header


class Intake:
    """All uploads of the contract in this instance."""

    def __init__(
        self,
        agreement: Agreement,
        state: StateFolder,
        journal: Journal,
        loaders: Template,
        warn: Callable[[str], None],
    ) -> None:
        self._contract: Contract = agreement.contract
        self._digest = agreement.digest
        self._state = state
        self._journal = journal
        self._loaders = loaders
        limits = agreement.contract.limits
        self._residency = Residency(limits.resident_mib * MIB)
        self._limits = LoadLimits(
            upload_bytes=limits.upload_mib * MIB, seconds=_SECONDS + limits.upload_mib * MIB // _BYTES_A_SECOND
        )
        self._preparation = preparation(agreement.raw, self._residency, self._limits)
        self._vault = Vault(state.folder / "vault")
        self._lock = threading.Lock()
        self._held = {file.header.upload_id: Held(file) for file in self._vault.open_all(warn)}
        for held in self._held.values():
            held.file.cut()

    # What stands where

    def states(self, caller: str) -> tuple[UploadState, ...]:
        """Return every upload, with the reason of a refusal for its own sender only."""
        needed = self._needed()
        with self._lock:
            listed = list(self._held.values())
        return tuple(
            UploadState(
                dataset=held.header.dataset,
                owner=held.header.sender,
                upload=held.header.upload_id,
                durable=held.file.durable,
                state=self._word(held, needed),
                code=held.refused if held.header.sender == caller else "",
            )
            for held in listed
        )

    def _needed(self) -> frozenset[str]:
        """Return the ids of the uploads that a run may still read."""
        return frozenset(upload.upload for upload in self._journal.session.needed())

    def _word(self, held: Held, needed: frozenset[str]) -> str:
        if held.refused:
            return "refused"
        if self._is_whole(held.header) and held.header.upload_id.hex() not in needed:
            return "replaced"
        if held.rows is not None:
            return "loaded"
        return "sealed" if self._is_whole(held.header) else "arriving"

    def _is_whole(self, header: Header) -> bool:
        return self._journal.session.upload(header.upload_id.hex()) is not None

    def _commitment(self, upload: str) -> str:
        """Return the digest of the commitment to a whole upload, as the log names it."""
        ((_, leaf),) = self._journal.leaves(UploadLeaf, upload=upload)
        return leaf.commitment

    def inputs(self, uploads: tuple[str, ...]) -> tuple[Input, ...]:
        """Return the pinned uploads as a run reads them, by dataset and owner; ``OutOfOrder`` when one has no rows."""
        found = []
        for upload in uploads:
            held = self._held.get(bytes.fromhex(upload))
            if held is None or held.rows is None:
                raise OutOfOrder(
                    "run.inputs", "rows that the run reads are not loaded", why="an upload or its key is missing",
                    remedy="its owner has to upload, or to wrap the data key for this instance", field="upload",
                )  # fmt: skip
            found.append(Input(held.header.dataset, held.header.sender, held.file, held.rows))
        return tuple(sorted(found, key=lambda given: (given.dataset, given.owner)))

    def shown(self, uploads: tuple[str, ...]) -> list[tuple[bytes, bytes]]:
        """Return (header, commitment) of each pinned upload, for the receipt."""
        return [
            (self._held[bytes.fromhex(upload)].header.to_bytes(), self._state.envelope(self._commitment(upload)))
            for upload in uploads
        ]

    def stream(self, given: Input, pipe: int) -> Loading:
        """Start a loader that opens the rows of ``given`` anew, for one pass."""
        loading = self._loading(given.file, given.rows.data_key, pipe=pipe)
        self._tell_all(loading, given.file)
        return loading

    def warm(self) -> None:
        """Have loaders ready before rows arrive."""
        self._loaders.make_ready(self._preparation, READY_MAX)

    def close(self) -> None:
        """Drop all rows and data keys, and leave the vault as it is."""
        with self._lock:
            for held in self._held.values():
                if held.rows is not None:
                    held.rows.close()
                    held.rows = None
                held.file.close()

    # Uploads

    def upload(self, party: str, key: SealingKey, parts: Iterator[UploadPart]) -> Iterator[UploadReply]:
        """Take (the rest of) an upload in; yields acknowledgements, and at last that the rows are loaded."""
        opening = next(parts, None)
        if not isinstance(opening, UploadOpen):
            raise Malformed(
                "upload.order", "an upload begins with its header", why="another part came first",
                remedy="send the header first, then chunks, then the commitment",
            )  # fmt: skip
        header = parse_header(opening.header)
        self._check_header(header, party)
        data_key = self._data_key(header, opening.sealed_key, key)
        with self._claimed(header) as held:
            try:
                arrival = Arrival(
                    held.file,
                    self._loading(held.file, data_key),
                    upload_bytes=self._limits.upload_bytes,
                    arrived=lambda arrived: self._arrived(held, arrived),
                )
                yield from arrival.replies(parts)
            except Refusal as refusal:
                self._refuse(held, refusal)
                raise
            finally:
                with contextlib.suppress(Refusal):  # a full disk was told already
                    held.file.make_durable()
                held.file.cut()

    def _check_header(self, header: Header, party: str) -> None:
        dataset = self._contract.dataset(header.dataset)
        for field, holds in (
            ("contract", header.contract == self._digest),
            ("sender", header.sender == party),
            ("dataset", dataset is not None and party in dataset.owners),
            ("schema_digest", dataset is not None and header.schema_digest == schema_digest(dataset)),
        ):
            if not holds:
                raise Forbidden(
                    "upload.header", "the upload is not one that this contract awaits", why=f"its {field} is another",
                    remedy="upload your own dataset of this contract, with its schema", field=field,
                )  # fmt: skip

    def _check_upload(self, header: Header) -> None:
        """Refuse, before a row is taken, what the session would refuse once all have come."""
        # What the commitment will be is not known yet; the session asks for it to be there, not what it is.
        self._journal.check(_upload_leaf(header, commitment="0" * 64))

    @contextlib.contextmanager
    def _claimed(self, header: Header) -> Iterator[Held]:
        """Hold an upload for one connection; a new one is made, and what its sender had begun before is dropped."""
        with self._lock:
            held = self._held.get(header.upload_id)
            if held is None:
                self._check_upload(header)
                self._drop_unfinished(header)
                held = self._held[header.upload_id] = Held(self._vault.create(header))
            if held.header != header or held.busy or held.rows is not None or held.refused:
                raise OutOfOrder(
                    "upload.state", "this upload takes no more chunks", why="it is loaded, refused, or on another call",
                    remedy="ask for its state; begin a refused one anew under a new upload id", field="upload",
                )  # fmt: skip
            held.busy = True
        try:
            yield held
        finally:
            with self._lock:
                held.busy = False

    def _drop_unfinished(self, header: Header) -> None:
        for upload, held in list(self._held.items()):
            same = (held.header.dataset, held.header.sender) == (header.dataset, header.sender)
            if same and held.rows is None and not self._is_whole(held.header):
                if held.busy:
                    raise OutOfOrder(
                        "upload.busy", "another upload of this dataset is arriving", why="one is taken at a time",
                        remedy="let it end, or end its call",
                    )  # fmt: skip
                held.file.close()
                self._vault.drop(upload)
                del self._held[upload]

    def _arrived(self, held: Held, arrived: Arrived) -> None:
        """Verify the commitment over the very chunks that were opened; only then do the rows count."""
        self._check_commitment(held.header, arrived.commitment, arrived.rows)
        upload = held.header.upload_id.hex()
        with self._journal.lock:  # no run sees the leaf without the rows
            if self._is_whole(held.header):
                self._journal.append(RewrapLeaf(upload=upload))
            else:
                leaf = _upload_leaf(held.header, commitment=sha256(arrived.commitment).hex())
                self._journal.append(leaf, statements=(arrived.commitment,))
            held.rows = arrived.rows
            self._retire_replaced()
            self._journal.touch()

    def _retire_replaced(self) -> None:
        """Let go of rows that a later upload replaced, unless a run that has not ended pins them."""
        needed = self._needed()
        for held in list(self._held.values()):
            if held.rows is not None and held.header.upload_id.hex() not in needed:
                held.rows.close()
                held.rows = None

    def _check_commitment(self, header: Header, envelope: bytes, rows: Rows | None) -> None:
        party = self._contract.party(header.sender)
        if party is None:
            raise Malformed(
                "upload.sender", "the upload has no sender", why="its header names nobody", remedy="send it anew"
            )
        commitment = read_commitment(envelope, header, VerifyingKey(bytes.fromhex(party.signing_key)))
        if rows is not None and commitment.chunks != rows.chunks.hex():
            raise _other_chunks(commitment.chunks, rows.chunks.hex())

    def _refuse(self, held: Held, refusal: Refusal) -> None:
        # What was opened and broke a rule stays refused; what was cut, or met a full disk, may go on.
        if isinstance(refusal, Exhausted | OutOfOrder) and refusal.code not in _FINAL:
            return
        if refusal.kind in {"malformed", "untrusted", "forbidden"} or refusal.code in _FINAL:
            held.refused = refusal.code
            self._journal.touch()

    # Re-wrapped keys

    def rewrap(self, party: str, key: SealingKey, request: RewrapRequest) -> UploadReply:
        """Load an upload from the vault with its data key wrapped anew, after its commitment is verified again."""
        held = self._held.get(request.upload)
        needed = self._needed()
        if held is None or held.header.sender != party or request.upload.hex() not in needed:
            raise OutOfOrder(
                "rewrap.unknown", "no whole upload of yours has this id here", why="it never ended, or was replaced",
                remedy="upload again, from a new upload id", field="upload",
            )  # fmt: skip
        expected, found = self._commitment(request.upload.hex()), sha256(request.commitment).hex()
        if found != expected:
            raise _other_chunks(expected, found)
        self._check_commitment(held.header, request.commitment, None)
        data_key = self._data_key(held.header, request.sealed_key, key)
        with self._claimed(held.header):
            loading = self._loading(held.file, data_key)
            self._tell_all(loading, held.file)
            timer = loading.hurry()
            try:
                rows = loading.rows()
            finally:
                timer.cancel()
            try:
                self._arrived(held, Arrived(rows, request.commitment))
            except Refusal:
                rows.close()
                raise
        return UploadReply(held.file.durable, loaded=True)

    def _data_key(self, header: Header, sealed: bytes, key: SealingKey) -> DataKey:
        data_key = DataKey(open_sealed(SealedFor.UPLOAD_KEY, header.digest, key, sealed))
        check_data_key(header, data_key)
        return data_key

    def _loading(self, file: VaultFile, data_key: DataKey, pipe: int | None = None) -> Loading:
        return Loading(
            self._loaders.take(self._preparation),
            file,
            data_key,
            residency=self._residency,
            limits=self._limits,
            pipe=pipe,
        )

    def _tell_all(self, loading: Loading, file: VaultFile) -> None:
        for place in file.places:
            loading.chunk(place)
        loading.end()


def _upload_leaf(header: Header, *, commitment: str) -> UploadLeaf:
    return UploadLeaf(
        dataset=header.dataset,
        owner=header.sender,
        upload=header.upload_id.hex(),
        header=header.digest.hex(),
        commitment=commitment,
    )


_FINAL = frozenset({"upload.too_large", "upload.size", "table.unique.order"})


def _other_chunks(expected: str, found: str) -> Forbidden:
    return Forbidden(
        "commitment.chunks", "the commitment is for other chunks", why="chunks were changed, lost or added",
        remedy="send the upload again, from a new upload id", field="chunks", expected=expected, found=found,
    )  # fmt: skip
