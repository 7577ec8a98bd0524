"""The command `sealroom`: what a person or a script types.

Commands are thin. They read files, speak with the local daemon or call the library, and print. Every refusal
prints what, why and remedy and ends with the exit code of its kind; anything else that is raised is a bug and
takes one line (its traceback with ``SEALROOM_DEBUG=1``). What is heavy is imported inside the commands.
"""

import os
import sys

from mpc.errors import Refusal

__all__ = ["main"]

BUG = 1


def main() -> None:
    """Run the command line and end the process with its exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # the C library writes to the terminal otherwise
    from parties.cli.application import app
    from parties.cli.screen import print_refusal, tell

    try:
        app()
    except Refusal as refusal:
        print_refusal(refusal, as_json="--json" in sys.argv)
        sys.exit(refusal.exit_code)
    except KeyboardInterrupt:
        tell("stopped")
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as bug:
        if os.environ.get("SEALROOM_DEBUG"):
            raise
        # The class alone: a message of a library may quote what it was given.
        tell(f"[red]This is a bug in sealroom[/] ({type(bug).__name__}). SEALROOM_DEBUG=1 shows where it is.")
        sys.exit(BUG)
