"""The life of a contract in the enclave, as one transition table.

Theory
------
*The session is what its log adds up to.* Every event is a leaf of the log (``mpc.receipts.leaves``), and nothing
else changes a session: ``advance`` is the only step, and ``replay`` is a fold of it. So what a restarted
coordinator knows is exactly what the parties' countersigned log says, no more and no less, and no event can happen
that a receipt does not show.

*There is one session, and many runs.* What concerns keys and rows is the session's ``state``::

    boot → agreed → attested → activated → loaded → ended

What concerns one question is its run's ``stage``: ``requested → permitted → released``. Runs advance one by one
and only while the session is ``loaded``, so several may stand at different stages, and none can be permitted
before every consent, attestation, activation, upload and share that it stands on.

*A restart loses keys and nothing else.* It takes the session back to ``agreed`` with all consents, uploads and runs,
but without an activation, a data key or a share, since those were given to an instance that is gone. Permits name
an instance as well: runs that were not released are ``requested`` again and want new permits. Uploads that are in
the vault are not sent again: their owners hand their keys to the new instance (a re-wrap).

*The state key* encrypts what must outlive an instance (history, budgets). It is split among all owners, and no run
may be asked for before each has its share. Once one was asked for there may be secret state that must not be lost, so
after a restart the shares have to come back; before that there is nothing to lose and a new key is made.

*A history may follow from the contract before.* Where the contract says so, the instance reads that contract's folder
before anybody activates it, and its log says up to which state. Every owner of that contract hands over its share of
that state key; until all have, no run is asked for. From then on the history is this contract's own: a restart asks for
this contract's shares and for nothing of the predecessor, while one before then begins to take over anew.

*Uploads have versions.* A refresh adds one; runs pin the versions that were newest when they were requested.

A row of the table says: this event, in one of these states, if these guards hold, changes the session so, and moves it
on as soon as ``when`` holds. Whatever no row allows is refused and changes nothing. A guard that asks for something
that may still come refuses as ``OutOfOrder``; one about who or what the contract names, as ``Forbidden``; one about
how often, as ``Exhausted``.
"""

from mpc.session.picture import document, picture, transitions
from mpc.session.state import (
    Awaited,
    ComputationTerms,
    Run,
    Session,
    Stage,
    State,
    Terms,
    Upload,
    What,
    awaited,
    terms_of,
)
from mpc.session.table import TABLE, Guard, Row, advance, replay, restart_of

__all__ = [
    "TABLE",
    "Awaited",
    "ComputationTerms",
    "Guard",
    "Row",
    "Run",
    "Session",
    "Stage",
    "State",
    "Terms",
    "Upload",
    "What",
    "advance",
    "awaited",
    "document",
    "picture",
    "replay",
    "restart_of",
    "terms_of",
    "transitions",
]
