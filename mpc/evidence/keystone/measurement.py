"""The measurement of a Keystone enclave, from the files that it is made of, on one's own machine.

SHA3-512 over three sizes (64 bits, little-endian, each rounded up to whole pages) and then the pages of loader,
runtime and application, each file filled up with zeros to its last page: what the security monitor hashes before an
enclave first runs (``validate_and_hash_epm``) and the SDK computes ahead (``Enclave::measure``).
"""

import hashlib

from mpc.errors import Malformed

PAGE_BYTES = 4096
_ELF_MAGIC = b"\x7fELF"


def measure(loader: bytes, runtime: bytes, application: bytes) -> bytes:
    """Return the 64-byte measurement of an enclave of these three files; ``Malformed`` when one is no program.

    The loader is a flat binary, as Keystone builds it, or ELF; runtime and application are ELF.
    """
    files = (loader, runtime, application)
    if not loader or not all(file.startswith(_ELF_MAGIC) for file in files[1:]):
        raise Malformed(
            "measurement.elf", "the enclave cannot be measured", why="a file is empty, or is no program in ELF",
            remedy="give loader, runtime and application, in this order", field="file", expected="a program",
            found="another file",
        )  # fmt: skip
    hashed = hashlib.sha3_512(b"".join(_whole_pages(len(file)).to_bytes(8, "little") for file in files))
    for file in files:
        hashed.update(file)
        hashed.update(bytes(_whole_pages(len(file)) - len(file)))
    return hashed.digest()


def _whole_pages(size: int) -> int:
    return -(-size // PAGE_BYTES) * PAGE_BYTES
