"""How a question in SQL is refused: what stands there, why it may not, and what to write instead."""

from mpc.errors import Forbidden


def forbidden(code: str, what: str, *, why: str, remedy: str) -> Forbidden:
    """Return the refusal ``sql.<code>``; texts speak of the question, which is public, and never of rows."""
    return Forbidden(f"sql.{code}", what, why=why, remedy=remedy)
