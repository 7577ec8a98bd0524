"""The grammar of Veracruz's pipelines (crates/policy-utils/src/pipeline.lalrpop).

::

    expressions = { expression ";" } [ expression ]
    expression  = path | "if" path "{" expressions "}" [ "else" "{" expressions "}" ] | "{" expressions "}"

Words are apart by white space: ``a.wasm;`` is one path, with a semicolon at its end.
"""

from typing import NoReturn

from mpc.errors import Malformed

_PIPELINE_MAX_CHARACTERS = 16 << 10
_MAX_DEPTH = 32
_SIGNS = frozenset({";", "{", "}", "if", "else"})


def check_pipeline(text: str) -> tuple[str, ...]:
    """Return the paths that a pipeline names, in order, or raise ``Malformed``."""
    if len(text) > _PIPELINE_MAX_CHARACTERS:
        _refuse("it is too long")
    reader = _Reader(text.split())
    reader.expressions(0)
    if reader.next is not None:
        _refuse(f"{reader.next[:32]!r} stands where nothing may follow")
    return tuple(reader.paths)


class _Reader:
    """The words of one pipeline, read once from left to right."""

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._position = 0
        self.paths: list[str] = []

    @property
    def next(self) -> str | None:
        return self._words[self._position] if self._position < len(self._words) else None

    def expressions(self, depth: int) -> None:
        if depth > _MAX_DEPTH:
            _refuse("it is nested too deeply")
        while self.next is not None and self.next not in {"}", ";", "else"}:
            self._expression(depth)
            if self.next != ";":
                return
            self._position += 1

    def _expression(self, depth: int) -> None:
        if self._took("if"):
            self._path()
            self._block(depth)
            if self._took("else"):
                self._block(depth)
        elif self.next == "{":
            self._block(depth)
        else:
            self._path()

    def _block(self, depth: int) -> None:
        if not self._took("{"):
            _refuse("a block does not begin with {")
        self.expressions(depth + 1)
        if not self._took("}"):
            _refuse("a block does not end with }")

    def _path(self) -> None:
        word = self.next
        if word is None or word in _SIGNS or word.endswith("/") or "//" in word:
            _refuse("a path is missing")
        self._position += 1
        self.paths.append(word)

    def _took(self, word: str) -> bool:
        if self.next != word:
            return False
        self._position += 1
        return True


def _refuse(why: str) -> NoReturn:
    raise Malformed(
        "evidence.pipeline", "the pipeline is malformed", why=why,
        remedy="write paths with ; between them, and blocks in braces, all apart by spaces", field="pipeline",
    )  # fmt: skip
