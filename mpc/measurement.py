"""The measurement of the coordinator's code: one digest over every file that the enclave runs, and a list to compare.

Coordinator and parties call the same function, each on its own copy; a party's copy is the trusted one. What is
covered: every file of the package ``mpc`` and of the distributions that it declares for the enclave (compiled
``.pyc`` files aside, which Python derives from them), and the version of the interpreter. What is not: the
interpreter's own files, the system's libraries and kernel; those are the boot chain's to measure.

A program that measures itself finds accidents - another version, a changed file - and not adversaries: one who
changes the code changes what it reports.
"""

import hashlib
import os
import platform
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from typing import Never

from mpc.canonical import canonical_cbor, sha256
from mpc.errors import Misconfigured

LABEL = "sealroom code measurement"
VERSION = 1
PACKAGE = Path(__file__).parent

ENCLAVE_DISTRIBUTIONS = (
    "annotated-types",
    "asn1crypto",
    "cbor2",
    "cffi",
    "cryptography",
    "duckdb",
    "grpcio",
    "grpcio-health-checking",
    "grpcio-reflection",
    "numpy",
    "prometheus-client",
    "protobuf",
    "pyarrow",
    "pycparser",
    "pydantic",
    "pydantic-core",
    "pyseccomp",
    "rfc8785",
    "scipy",
    "sqlglot",
    "structlog",
    "typing-extensions",
    "typing-inspection",
)
"""The distributions that may run inside the enclave. The ``tpm`` extra is not among them: it is compiled on each
machine, so its digest would differ everywhere; under ``measured_by = boot`` the machine's image covers it."""


@dataclass(frozen=True)
class Component:
    """One measured part: its name, its version, and the SHA-256 over its files."""

    name: str
    version: str
    digest: bytes


@dataclass(frozen=True)
class Measurement:
    """All components, and the 32-byte ``code_digest`` over them that reference values name."""

    components: tuple[Component, ...]
    code_digest: bytes

    def as_data(self) -> dict[str, object]:
        """Return the measurement as plain data, for ``--json``."""
        return {
            "code_digest": self.code_digest.hex(),
            "components": [
                {"name": part.name, "version": part.version, "digest": part.digest.hex()} for part in self.components
            ],
        }


def measure(package: Path = PACKAGE, distributions: Sequence[str] = ENCLAVE_DISTRIBUTIONS) -> Measurement:
    """Return the measurement of the package directory and the installed distributions.

    Raises ``Misconfigured`` when a distribution is not installed or a file cannot be read or is a symbolic link.
    """
    # The digests are computed without the interpreter's lock, so threads do run at once.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as threads:
        planned = [
            (package.name, _package_version(package), _package_files(package)),
            *(
                (name, found.version, _distribution_files(found))
                for name, found in map(_installed, sorted(distributions))
            ),
        ]
        hashed = [(name, version, paths, threads.map(_file_digest, paths.values())) for name, version, paths in planned]
        components = tuple(
            Component(name, version, _tree_digest(dict(zip(paths, digests, strict=True))))
            for name, version, paths, digests in hashed
        )
    interpreter = f"{platform.python_implementation()} {platform.python_version()}"
    components = (Component("python", interpreter, sha256(interpreter.encode())), *components)
    listed = [[part.name, part.version, part.digest] for part in components]
    return Measurement(components, sha256(canonical_cbor([LABEL, VERSION, listed])))


def _package_version(package: Path) -> str:
    # The files say which version it is; a number beside them could only disagree.
    return "source" if package.is_dir() else _missing(str(package))


def _package_files(package: Path) -> dict[str, Path]:
    return {path.relative_to(package).as_posix(): path for path in _walk(package)}


def _walk(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink():
            raise Misconfigured(
                "measurement.link", "the code cannot be measured", why="a symbolic link may lead to other code later",
                remedy="replace the link by the file", field="file", expected="a regular file", found=entry.name,
            )  # fmt: skip
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _walk(entry)
        elif entry.is_file() and entry.suffix != ".pyc":
            yield entry


def _distribution_files(found: Distribution) -> dict[str, Path]:
    """Files as the installer recorded them; its own notes and scripts differ between machines and are not run here."""
    return {
        path.as_posix(): Path(str(found.locate_file(path)))
        for path in found.files or _missing(found.name)
        if not _is_installers(PurePosixPath(path))
    }


def _is_installers(path: PurePosixPath) -> bool:
    return path.suffix == ".pyc" or path.parts[0] == ".." or path.parts[0].endswith(".dist-info")


def _installed(name: str) -> tuple[str, Distribution]:
    try:
        return name, distribution(name)
    except PackageNotFoundError:
        return _missing(name)


def _missing(name: str) -> Never:
    raise Misconfigured(
        "measurement.missing", "the code cannot be measured", why=f"{name} is not installed as a whole",
        remedy="install the project with its declared dependencies", field="component", expected=name, found="none",
    )  # fmt: skip


def _file_digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as failure:
        raise Misconfigured(
            "measurement.unreadable", "the code cannot be measured", why=f"{path.name}: {failure.strerror}",
            remedy="install the project again", field="file", expected="a readable file", found=path.name,
        ) from None  # fmt: skip


def _tree_digest(digests: dict[str, bytes]) -> bytes:
    return sha256(canonical_cbor(sorted([path, digest] for path, digest in digests.items())))
