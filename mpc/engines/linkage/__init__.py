"""Linkage: rows of two datasets brought together by their keys, for a statistical method to read as one dataset.

What is linked is never told; how many rows each pass linked is, by ``match_tables``.
"""

from mpc.engines.linkage.linked import Linked, link_rows
from mpc.engines.linkage.quality import match_tables, with_both_sides

__all__ = ["Linked", "link_rows", "match_tables", "with_both_sides"]
