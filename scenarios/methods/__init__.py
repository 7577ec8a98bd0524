"""The statistical methods as functions of a scenario, one module a family; the contract holds what they return."""

from scenarios.methods.association import Association
from scenarios.methods.descriptive import Descriptive
from scenarios.methods.linkage import link, linkage
from scenarios.methods.regression import Regression
from scenarios.methods.survival import Survival


class Statistics(Descriptive, Association, Regression, Survival):
    """The statistical methods; use the ready instance ``statistics``.

    Every method also takes ``purpose``, ``recipients``, ``runs`` and ``unattended``, as ``sql`` does.
    """


statistics = Statistics()

__all__ = ["Statistics", "link", "linkage", "statistics"]
