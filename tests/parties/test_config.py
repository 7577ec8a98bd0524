import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from mpc.errors import Misconfigured
from parties.config import Config, Settings, _models_within, load_config, parse_config

SAMPLE = Path(__file__).parents[2] / "deploy" / "party.toml"

LEAST = """
[party]
name = "north"
label = "North"
state = "state"
key = "north.key"

[coordinator]
address = "localhost:7443"

[known_parties]
"""


def refusal_of(text: str) -> Misconfigured:
    with pytest.raises(Misconfigured) as refusal:
        parse_config(text.encode(), folder=Path("/where"))
    return refusal.value


def test_the_sample_parses_and_all_that_it_leaves_out_is_careful() -> None:
    config = load_config(SAMPLE)
    assert config.party.key == SAMPLE.parent / "hospital_a.key"
    assert len(config.known_parties["hospital_b"]) == 64
    assert config.trust.accept_self_measured == config.trust.accept_visible_memory == frozenset()
    assert not config.consent.permit_unattended
    assert not config.consent.replace_unattended


_ADBC = '[datasets.patients]\nquery = "SELECT 1"\n[datasets.patients.adbc]\ndriver = "d"\n'
_COMPANIONS = {
    "intel": "[collateral]\n",
    "amd": "[collateral]\n",
    "accept_self_measured": "[trust]\n",
    "accept_visible_memory": "[trust]\n",
    "database": '[datasets.patients]\ntable = "t"\n',
    "table": '[datasets.patients]\ndatabase = "d"\n',
    "query": '[datasets.patients]\ndatabase = "d"\n',
    "driver": '[datasets.patients]\nquery = "SELECT 1"\n[datasets.patients.adbc]\n',
    "uri": _ADBC,
    "entrypoint": _ADBC,
    "options": _ADBC,
}


def test_what_stands_in_the_comments_of_the_sample_is_true_as_well() -> None:
    lines = SAMPLE.read_text().splitlines()
    commented = [line.removeprefix("# ") for line in lines if line.startswith("# ") and " = " in line]
    for line in commented:
        companion = _COMPANIONS.get(line.split(" ")[0], '[datasets.patients]\nsource = "a"\n[datasets.patients.read]\n')
        parse_config(f"{LEAST}{companion}{line}\n".encode(), folder=Path())
    assert len(commented) == 17


def settings_of(section: type[Settings], path: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield each setting of ``section`` and below by the path that the sample gives it, with what pydantic knows."""
    for name, info in section.model_fields.items():
        spelled = f"{path}.{info.alias or name}".removeprefix(".")
        if within := _models_within(info.annotation):
            named = {"datasets": ".patients", "datasets.patients.columns": ".*"}.get(spelled, "")
            yield from settings_of(within, spelled + named)
        elif spelled != "known_parties":  # whose own settings are the parties' names
            yield spelled, info


def explained() -> dict[str, str]:
    """Return the comment beside each setting of the sample, also of those that are commented out."""
    found: dict[str, str] = {}
    section = ""
    for line in (line.removeprefix("# ") for line in SAMPLE.read_text().splitlines()):
        if heading := re.fullmatch(r"\[([a-z_.]+)\]", line):
            section = re.sub(r"(?<=\.columns)\.\w+", ".*", heading[1])
        elif setting := re.match(r"(\w+) = (.+?)(?:\s+# (.+))?$", line):
            found.setdefault(f"{section}.{setting[1]}", setting[3] or "")
    return found


def test_the_sample_names_every_setting_and_says_its_default_or_that_it_is_required() -> None:
    comments = {name: text for name, text in explained().items() if not name.startswith("known_parties.")}
    settings = dict(settings_of(Config))
    assert set(comments) == set(settings)
    assert len(settings) == 34
    for name, info in settings.items():
        if info.is_required():
            assert comments[name].startswith("required: "), name
            continue
        said = re.match(r"default: ([^;]+)", comments[name])
        assert said, name
        if info.default is not None:
            assert info.default == type(info.default)(tomllib.loads(f"default = {said[1]}")["default"]), name


def test_a_typing_error_is_met_with_section_line_and_the_nearest_setting() -> None:
    refused = refusal_of(LEAST.replace("label =", "lable ="))
    assert (refused.code, refused.field) == ("config.unknown", "party.lable")
    assert "`lable` in [party] (line 4)" in refused.what
    assert refused.remedy == "did you mean `label`?"


def test_a_typing_error_deep_within_is_met_alike() -> None:
    text = LEAST + '[datasets.patients]\nsource = "x.csv"\n[datasets.patients.columns.age]\nfrm = "alter"\n'
    refused = refusal_of(text)
    assert refused.field == "datasets.patients.columns.age.frm"
    assert refused.remedy == "did you mean `from`?"
    assert "(line 15)" in refused.what


def test_an_unknown_section_lists_those_there_are() -> None:
    assert refusal_of(LEAST + "[trsut]\n").remedy == "did you mean `trust`?"
    assert "known settings" in refusal_of(LEAST + "[zzz]\n").remedy


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (LEAST.replace('name = "north"\n', ""), "config.missing"),
        (LEAST.replace("[known_parties]", ""), "config.missing"),
        (LEAST + 'south = "abc"', "config.value"),
        (LEAST.replace("localhost:7443", "localhost"), "config.value"),
        (LEAST.replace('"north"', '"North Hospital"'), "config.value"),
        (LEAST + "[consent]\npermit_unattended = 1\n", "config.value"),
        (LEAST + "[datasets.patients]\n", "config.value"),
        (LEAST + '[datasets.patients]\nsource = "a.csv"\ndatabase = "b"\n', "config.value"),
        (LEAST + '[datasets.patients]\nsource = "a.csv"\nquery = "select 1"\n', "config.value"),
        (LEAST + '[datasets.patients]\ndatabase = "a.duckdb"\n', "config.value"),
        (LEAST + '[datasets.p]\nsource="a.csv"\n[datasets.p.columns.x]\nfrom="a"\nexpression="b"\n', "config.value"),
        (LEAST + '[datasets.p]\nsource="a.csv"\n[datasets.p.columns.x]\nfactor=0.1\n', "config.value"),
        (LEAST + "[party]\n", "config.syntax"),
    ],
)
def test_what_is_missing_or_wrong_is_a_refusal_with_its_code(text: str, code: str) -> None:
    assert refusal_of(text).code == code


def test_a_value_of_the_wrong_form_is_told_the_form() -> None:
    assert refusal_of(LEAST.replace("localhost:7443", "localhost")).why.startswith("it is not HOST:PORT")


def test_bytes_that_are_no_text_and_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"config\.syntax"):
        parse_config(b"\xff\xfe", folder=tmp_path)
    with pytest.raises(Misconfigured, match=r"config\.unreadable"):
        load_config(tmp_path / "party.toml")


def test_a_fingerprint_may_stand_in_groups() -> None:
    spelled = " ".join(["AB12"] * 16)
    config = parse_config((LEAST + f'south = "{spelled}"').encode(), folder=Path())
    assert config.known_parties["south"] == "ab12" * 16
