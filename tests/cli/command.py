"""The command line as a user has it: a process of its own, with its exit code and both outputs."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Said:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


def sealroom(*arguments: str, given: str = "", folder: Path | None = None, **environment: str) -> Said:
    """Run ``sealroom`` with arguments and return what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "parties.cli", *arguments],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=60,
        env={
            **os.environ,
            "COLUMNS": "160",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "NO_COLOR": "1",
            **environment,
        },
    )
    return Said(done.returncode, done.stdout, done.stderr)
