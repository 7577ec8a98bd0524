"""A scenario out of a Python file: the module is run, and its ``scenario`` is returned."""

import importlib.util
import sys
import traceback
from pathlib import Path

from pydantic import ValidationError

from mpc.errors import Misconfigured, Refusal
from scenarios.scenario import Scenario

_TYPES = frozenset({"int", "float", "decimal", "date", "datetime"})
"""What pydantic adds to a place to tell which of several types it tried."""


def load_scenario(path: Path) -> Scenario:
    """Return the ``scenario`` that the Python file at ``path`` defines.

    The file is a program and runs with its author's rights: load only your own. Whatever goes wrong in it refuses as
    ``Misconfigured``, naming the line; a scenario's own refusals pass through as they are.
    """
    if not path.is_file():
        raise Misconfigured(
            "scenario.file.absent", f"there is no scenario {path}", why="the file does not exist",
            remedy="`sealroom scenario new NAME` writes one to start from", field=str(path),
        )  # fmt: skip
    module = _run(path)
    scenario = getattr(module, "scenario", None)
    if not isinstance(scenario, Scenario):
        raise Misconfigured(
            "scenario.file.empty", f"{path} defines no scenario", why="it has no `scenario = Scenario(…)`",
            remedy="name the study `scenario`, in lower case, at the top level of the file", field=str(path),
            expected="Scenario", found=type(scenario).__name__ if scenario is not None else "nothing",
        )  # fmt: skip
    return scenario


def _run(path: Path) -> object:
    name = f"sealroom_scenario_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise Misconfigured(
            "scenario.file.kind", f"{path} is no Python file", why="its name does not end in .py",
            remedy="give the path of a scenario written in Python", field=str(path),
        )  # fmt: skip
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses in the file look their module up
    try:
        spec.loader.exec_module(module)
    except Refusal:
        raise
    except ValidationError as problem:
        raise _ill_typed(path, problem) from None
    except Exception as problem:  # noqa: BLE001 - the file is somebody's program: anything may be raised in it
        raise Misconfigured(
            "scenario.file.error", f"{path} does not run", why=f"{type(problem).__name__}: {problem}",
            remedy=f"correct the file{_line_in(path, problem)}", field=str(path),
        ) from None  # fmt: skip
    finally:
        del sys.modules[name]
    return module


def _ill_typed(path: Path, problem: ValidationError) -> Misconfigured:
    """Return the refusal of a part of a scenario whose values are of other types than it takes."""
    first = problem.errors(include_url=False, include_input=False)[0]
    place = ".".join([problem.title, *(str(part) for part in first["loc"] if part not in _TYPES)])
    return Misconfigured(
        "scenario.type", f"{place} is not what it should be", why=first["msg"],
        remedy=f"correct the file{_line_in(path, problem)}", field=place,
    )  # fmt: skip


def _line_in(path: Path, problem: Exception) -> str:
    if isinstance(problem, SyntaxError) and problem.lineno is not None:
        return f" at line {problem.lineno}"
    named = {str(path), str(path.absolute())}  # the import system makes paths absolute
    lines = [frame.lineno for frame in traceback.extract_tb(problem.__traceback__) if frame.filename in named]
    return f" at line {lines[-1]}" if lines else ""
