import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from mpc.errors import Forbidden, OutOfOrder, Refusal, Untrusted
from mpc.messages import Chunk, UploadCommitment
from tests.coordinator.room import Room, ipc, room_in, rows_of


def test_a_restart_goes_on_with_the_ciphertext_on_disk_and_the_history(tmp_path: Path) -> None:
    with room_in(tmp_path) as room:
        room.to_loaded()
        first, _ = room.result(room.run())
        room.restart()
        room.back_after_restart()
        again, _ = room.result(room.run())
        assert again == first


def test_nothing_runs_after_a_restart_before_all_shares_are_back(tmp_path: Path) -> None:
    with room_in(tmp_path) as room:
        room.to_loaded()
        room.run()
        room.restart()
        for name in room.members:
            room.enter(name)
        for name in ("north", "south"):
            room.rewrap(name)
        room.return_share("north")
        with pytest.raises(OutOfOrder) as refused:
            room.request()
        assert refused.value.code == "session.state"


def test_a_share_that_is_not_the_one_given_is_refused(tmp_path: Path) -> None:
    with room_in(tmp_path) as room:
        room.to_loaded()
        room.run()
        room.restart()
        for name in room.members:
            room.enter(name)
        room.members["north"].share = bytes(32)
        with pytest.raises(Untrusted) as refused:
            room.return_share("north")
        assert refused.value.code == "state.share_other"


@pytest.mark.parametrize("stage", ["agreed", "activated", "loaded", "permitted", "released"])
def test_an_end_without_warning_loses_nothing_signed(tmp_path: Path, stage: str) -> None:
    with room_in(tmp_path / "now") as room:
        run = _advance(room, stage)
        instance = room.instance
        assert instance is not None
        before = instance._agreed.journal.log.leaves()
        copy = tmp_path / "copy"
        shutil.copytree(tmp_path / "now", copy)  # what a SIGKILL leaves on disk at this moment
        room.stop()
        room.folder = copy
        room.start()
        assert room.instance is not None
        assert room.instance._agreed.journal.log.leaves()[: len(before)] == before
        if stage == "agreed":
            room.to_loaded()
        else:
            room.back_after_restart()
        if stage == "activated":
            for start, name in ((0, "north"), (10_000, "south")):
                room.upload(name, [rows_of(start, 120)])
        if stage == "permitted":
            for owner in ("north", "south"):
                room.permit(owner, run)
            assert room.wait_for_run(run) == "released"
        release, _ = room.result(room.run())
        assert release.failure is None


def _advance(room: Room, stage: str) -> int:
    if stage == "agreed":
        room.agree()
    elif stage == "activated":
        room.to_activated()
    else:
        room.to_loaded()
    if stage == "permitted":
        run = room.request()
        room.permit("north", run)
        return run
    return room.run() if stage == "released" else 0


def test_a_folder_that_was_rolled_back_is_refused_before_a_run(tmp_path: Path) -> None:
    with room_in(tmp_path / "now") as room:
        room.to_activated()
        shutil.copytree(tmp_path / "now", tmp_path / "older")
        for start, name in ((0, "north"), (10_000, "south")):
            room.upload(name, [rows_of(start, 120)])
        room.run()
        for name in room.members:
            room.note(room.members[name], room.members[name].at.status().checkpoint)
        room.stop()
        room.folder = tmp_path / "older"
        room.start()
        room.appraise("north")
        room.authenticate("north")
        with pytest.raises(Untrusted) as refused:
            room.activate("north")
        assert refused.value.code == "log.fork"


def test_a_copied_folder_makes_no_second_instance(tmp_path: Path) -> None:
    with room_in(tmp_path / "one") as room:
        room.to_loaded()
        shutil.copytree(tmp_path / "one", tmp_path / "two")
        second = Room(tmp_path / "two", room.members, room.raw)
        channels = {name: member.channel for name, member in room.members.items()}
        attested = {name: member.attested for name, member in room.members.items()}
        second.start()
        try:
            for name in room.members:
                room.members[name].channel = None
                second.appraise(name)
                second.authenticate(name)
            with pytest.raises(OutOfOrder) as refused:  # nobody has activated it
                second.request()
            assert refused.value.code == "instance.inactive"
            with pytest.raises(Forbidden) as refused_activation:  # and an activation must name what it replaces
                for member in room.members.values():
                    member.instance = None
                second.activate("north")
            assert refused_activation.value.code == "activation.replaces"
        finally:
            second.stop()
        for name, member in room.members.items():
            member.channel, member.attested = channels[name], attested[name]


def test_two_coordinators_do_not_share_a_folder(tmp_path: Path) -> None:
    with room_in(tmp_path) as room:
        second = Room(tmp_path, room.members, room.raw)
        with pytest.raises(Refusal) as refused:
            second.start()
        assert refused.value.code == "state.locked"


def test_a_statement_that_was_changed_on_disk_is_refused_on_load(tmp_path: Path) -> None:
    with room_in(tmp_path) as room:
        room.to_loaded()
        room.stop()
        victim = next((tmp_path / "envelopes").iterdir())
        victim.write_bytes(victim.read_bytes() + b" ")
        with pytest.raises(Untrusted) as refused:
            room.start()
        assert refused.value.code == "state.statement"


def test_an_upload_goes_on_from_what_was_acknowledged(tmp_path: Path) -> None:
    with room_in(tmp_path) as room:
        room.to_activated()
        header, key, chunks, commitment = room.sealed_upload("north", [ipc(rows_of(n * 100, 60)) for n in range(4)])
        with pytest.raises(Refusal) as cut:
            room.send("north", [room.opening("north", header, key), *map(Chunk, chunks[:2])])
        assert cut.value.code == "upload.cut"
        room.restart()
        for name in room.members:
            room.enter(name)
        replies = iter(room.members["north"].at.upload(_rest(room, header, key, chunks, commitment)))
        assert next(replies).durable == 2
        assert list(replies)[-1].loaded


def _rest(room, header, key, chunks, commitment):  # noqa: ANN001
    yield room.opening("north", header, key)
    yield from map(Chunk, chunks[2:])
    yield UploadCommitment(commitment)


def test_no_private_key_is_on_disk(tmp_path: Path) -> None:
    with room_in(tmp_path) as room:
        room.to_loaded()
        room.run()
        instance, keys = room.instance, room.keys
        assert instance is not None
        assert keys is not None
        agreed = instance._agreed
        assert agreed is not None
        assert agreed.shares._key is not None
        tls = serialization.load_pem_private_key(keys.tls.private_key, None)
        numbers = tls.private_numbers()  # type: ignore[union-attr]
        secrets = {
            "receipt": keys.receipt.seed(),
            "tls": numbers.private_value.to_bytes(32, "big"),
            "hpke mlkem": agreed.hpke.seed()[:64],
            "hpke x25519": agreed.hpke.seed()[64:],
            "state": agreed.shares._key.raw,
            **{
                f"data {owner}": key.raw
                for owner in ("north", "south")
                for _, key, _ in room.members[owner].uploads.values()
            },
            **{f"share {owner}": room.members[owner].share or b"" for owner in ("north", "south")},
        }
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert len(files) > 15
        for name, secret in secrets.items():
            assert len(secret) >= 32
            spellings = (secret, secret.hex().encode(), __import__("base64").b64encode(secret)[:40])
            for path in files:
                content = path.read_bytes()
                assert not any(spelling in content for spelling in spellings), f"{name} in {path.name}"


def test_a_withdrawal_ends_the_instance_and_the_folder(tmp_path: Path) -> None:
    with room_in(tmp_path) as room:
        room.to_loaded()
        room.withdraw("south")
        assert room.ended == [True]
        with pytest.raises(OutOfOrder):
            room.request()
        room.restart()  # of the end it still tells (test_ending), and of nothing else
        with pytest.raises(OutOfOrder) as refused:
            room.enter("north")
        assert refused.value.code == "contract.ended"
