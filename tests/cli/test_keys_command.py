from pathlib import Path

from parties.keys import load_card, load_keys
from tests.cli.command import sealroom


def test_new_keys_are_private_and_their_card_is_not(tmp_path: Path) -> None:
    key = tmp_path / "rotterdam.key"
    said = sealroom("keys", "new", "rotterdam", "--label", "Rotterdam tumour bank", "-o", str(key), "--json")
    assert said.code == 0, said.err
    assert key.stat().st_mode & 0o777 == 0o600
    card = load_card(tmp_path / "rotterdam.key.pub")
    assert card.label == "Rotterdam tumour bank"
    assert said.data["fingerprint"] == card.fingerprint == load_keys(key).signing.public.keyid


def test_the_fingerprint_is_shown_for_reading_aloud(tmp_path: Path) -> None:
    sealroom("keys", "new", "gbsg", "-o", str(tmp_path / "k"))
    said = sealroom("keys", "fingerprint", str(tmp_path / "k.pub"))
    fingerprint = load_card(tmp_path / "k.pub").fingerprint
    assert fingerprint in "".join(said.out.split())
    assert f'gbsg = "{fingerprint}"' in said.out


def test_an_existing_key_is_never_written_over(tmp_path: Path) -> None:
    key = tmp_path / "k"
    sealroom("keys", "new", "gbsg", "-o", str(key))
    before = key.read_bytes()
    said = sealroom("keys", "new", "gbsg", "-o", str(key))
    assert said.code == 9
    assert "key.exists" in said.err
    assert key.read_bytes() == before


def test_a_name_that_no_contract_could_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    said = sealroom("keys", "new", "Rotterdam", "-o", str(tmp_path / "k"))
    assert said.code == 9
    assert "argument.name" in said.err
    assert not list(tmp_path.iterdir())


def test_no_private_key_is_ever_printed(tmp_path: Path) -> None:
    key = tmp_path / "k"
    said = sealroom("keys", "new", "gbsg", "-o", str(key))
    assert load_keys(key).signing.seed().hex() not in said.out + said.err
