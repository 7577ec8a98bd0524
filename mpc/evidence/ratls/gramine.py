"""The format ``gramine``: certificates in the standard form where it is there, else in Gramine's own; its settings."""

from collections.abc import Sequence
from datetime import datetime

from mpc.evidence.claims import Fact, Given
from mpc.evidence.format import Document
from mpc.evidence.ratls.certificate import RaTlsCertificate, parse_ra_tls
from mpc.evidence.ratls.files import forms_in, gather_as
from mpc.evidence.ratls.gramine_settings import GramineSettings, has_settings, parse_settings

_gather = gather_as("gramine")


def is_gramine(raw: bytes) -> bool:
    """Tell whether ``raw`` is a certificate in Gramine's own form only, or a file of its settings."""
    return forms_in(raw) == ("gramine",) or _are_settings(raw)


def parse_gramine(raw: bytes) -> RaTlsCertificate:
    """Return a certificate as Gramine reads it: the standard evidence where it is present, else its own."""
    return parse_ra_tls(raw, _form(raw, Given()))


def gather_gramine(raw: bytes, files: Sequence[bytes], given: Given) -> tuple[RaTlsCertificate, tuple[bytes, ...]]:
    """Return the certificate and the files of its collateral; see ``parse_gramine``."""
    return _gather(raw, files, Given(form=_form(raw, given)))


def read_settings(
    raw: bytes, files: Sequence[bytes], given: Given, *, roots: Sequence[bytes], at: datetime
) -> Document | None:
    """Return what a file of ``RA_TLS_*`` settings says, None when ``raw`` is none."""
    del files, given, roots, at
    return Document("settings", "parse", settings_facts(parse_settings(raw))) if _are_settings(raw) else None


def settings_facts(settings: GramineSettings) -> dict[str, Fact]:
    """Return settings by name; ``any`` where any value will do."""
    return {
        "mrenclave": settings.mrenclave.hex() if settings.mrenclave is not None else "any",
        "mrsigner": settings.mrsigner.hex() if settings.mrsigner is not None else "any",
        "isvprodid": settings.isv_prod_id if settings.isv_prod_id is not None else "any",
        "minimum_isvsvn": settings.isv_svn if settings.isv_svn is not None else "any",
        "allows": tuple(sorted(settings.allows)),
    }


def _are_settings(raw: bytes) -> bool:
    return raw[:1] != b"0" and not raw.lstrip().startswith(b"-----BEGIN") and has_settings(raw)


def _form(raw: bytes, given: Given) -> str:
    return given.form or ("ccc" if "ccc" in forms_in(raw) else "gramine")
