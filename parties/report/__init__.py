"""Reports: one released result for people and programs, in the terminal, as JSON, CSV and Arrow, and as one HTML page.

A report is made of a contract, a release and a verified receipt, and renders without a network. Withheld cells are
marked wherever they stand, with their rule and what would help; nothing here ever sees more than was released.
"""

from parties.report.view import Report

__all__ = ["Report"]
