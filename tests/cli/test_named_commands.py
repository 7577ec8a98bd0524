"""What the source tells a person to type exists: every `sealroom …` of a remedy, a reason, an example or a hint."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from parties.cli.application import app

ROOT = Path(__file__).parents[2]
SOURCES = [path for package in ("mpc", "parties", "scenarios") for path in sorted((ROOT / package).rglob("*.py"))]
SPOKEN = {"what", "why", "remedy", "epilog", "help"}
"""Keywords whose text a person reads; what a refusal's positional text and a screen's lines say counts as well."""
SPEAKERS = {"tell", "show", "echo", "secho"}
COMMAND = re.compile(r"\bsealroom (?=[a-z])([^`;\n]*)")


def text_of(node: ast.expr) -> str:
    """Return the text of a literal, with what is computed in it left as a word; nothing for other expressions."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "COMPUTED" for part in node.values)  # type: ignore[misc]
    return ""


def spoken(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of everything that a person may read."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            said = [word.value for word in node.keywords if word.arg in SPOKEN]
            for argument in [*said, *(node.args if called in SPEAKERS else [])]:
                for part in ast.walk(argument):
                    if isinstance(part, ast.expr):
                        yield part.lineno, text_of(part)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if key is not None and text_of(key) in SPOKEN:
                    yield value.lineno, text_of(value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "`sealroom " in node.value:
            yield node.lineno, node.value  # docstrings of commands are their help


def named() -> list[tuple[str, str]]:
    """Return where which command is named, once each."""
    found = {
        (path.relative_to(ROOT).as_posix(), command.strip())
        for path in SOURCES
        for line, text in spoken(ast.parse(path.read_text(encoding="utf-8")))
        for command in COMMAND.findall(re.sub(r"\[/?[a-z]*\]", "", text))
    }
    return sorted(found)


NAMED = named()


def resolve(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that ``words`` name in the real command line, and the words that are left."""
    command: Any = get_command(app)
    context: Any = command.make_context("sealroom", [], resilient_parsing=True)
    while words and hasattr(command, "list_commands"):
        inner = command.get_command(context, words[0].rstrip(".,:)"))
        assert inner is not None, f"there is no command {words[0]!r}"
        command, words = inner, words[1:]
    return command, words


def test_the_source_names_commands_at_all() -> None:
    commands = {command for _, command in NAMED}
    assert len(NAMED) > 40
    assert {"attest --replace", "permit COMPUTED", "contract add FILE", "party check"} <= commands


@pytest.mark.parametrize(("file", "command"), NAMED)
def test_a_command_that_the_source_names_exists_with_its_options(file: str, command: str) -> None:
    found, rest = resolve(command.split())
    options = {spelling for parameter in found.params for spelling in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.partition("=")[0] for word in rest if re.fullmatch(r"--?[a-z][a-z-]*(=.*)?", word)}
    assert used <= options | {"--help"}, f"{file}: sealroom {command}"


def test_a_command_that_does_not_exist_would_be_found() -> None:
    with pytest.raises(AssertionError, match="there is no command"):
        resolve(["party", "reload"])
