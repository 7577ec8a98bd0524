"""A party's own record, in one SQLite file: what it agreed to, whom it appraised, what it signed, what it received.

The ledger remembers and compares; it does not decide. Two comparisons are made here, as they are about what was
written before: a log must go on where it last stood (``extend``), and an instance that was replaced never comes back
(``parties.signatory``). What has been written is durable when a method returns (WAL, ``synchronous=FULL``).
"""

from parties.ledger.ledger import Ledger, rolled_back
from parties.ledger.records import Activated, Agreed, Ended, Event, Head, Permitted, Result, Uploaded

__all__ = ["Activated", "Agreed", "Ended", "Event", "Head", "Ledger", "Permitted", "Result", "Uploaded", "rolled_back"]
