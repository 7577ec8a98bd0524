import os
from pathlib import Path

import pytest

from mpc.errors import Malformed, Misconfigured
from mpc.signing import Purpose
from parties.keys import card_path, load_card, load_keys, new_keys, spoken


def test_what_is_written_is_read_back_and_signs_alike(tmp_path: Path) -> None:
    card = new_keys("north", "North Hospital", tmp_path / "north.key")
    keys = load_keys(tmp_path / "north.key")
    assert load_card(card_path(tmp_path / "north.key")) == card == keys.card("North Hospital")
    signature = keys.signing.sign(Purpose.PERMIT, b"body")
    assert keys.signing.public.verify(signature, Purpose.PERMIT, b"body")
    assert keys.signing.public.keyid == card.fingerprint


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620])
def test_a_key_file_that_others_may_open_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "north.key"
    new_keys("north", "North", path)
    path.chmod(mode)
    with pytest.raises(Misconfigured) as refusal:
        load_keys(path)
    assert refusal.value.code == "key.permissions"
    assert f"chmod 600 {path}" in refusal.value.remedy


def test_a_new_key_file_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        new_keys("north", "North", tmp_path / "north.key")
    finally:
        os.umask(before)
    assert (tmp_path / "north.key").stat().st_mode & 0o777 == 0o600


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    new_keys("north", "North", tmp_path / "north.key")
    before = (tmp_path / "north.key").read_bytes()
    with pytest.raises(Misconfigured) as refusal:
        new_keys("north", "North", tmp_path / "north.key")
    assert refusal.value.code == "key.exists"
    assert (tmp_path / "north.key").read_bytes() == before


def test_absent_and_spoilt_files_are_refusals_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"key\.unreadable"):
        load_keys(tmp_path / "none.key")
    path = tmp_path / "spoilt.key"
    path.write_text('{"format":"sealroom.key"}')
    path.chmod(0o600)
    with pytest.raises(Malformed, match=r"json\.missing_field"):
        load_keys(path)


def test_keys_do_not_print(tmp_path: Path) -> None:
    new_keys("north", "North", tmp_path / "north.key")
    keys = load_keys(tmp_path / "north.key")
    printed = repr(keys) + str(keys)
    assert keys.signing.seed().hex() not in printed
    assert keys.sealing.seed().hex() not in printed


def test_a_fingerprint_is_read_aloud_in_groups(tmp_path: Path) -> None:
    card = new_keys("north", "North", tmp_path / "north.key")
    lines = spoken(card.fingerprint).split("\n")
    assert [len(line.split(" ")) for line in lines] == [8, 8]
    assert "".join(spoken(card.fingerprint).split()) == card.fingerprint
