"""Questions over linked rows: which rows of two datasets belong together, and one statistical method over the pairs.

This is the side that parties read before they sign; how rows are linked stands in ``mpc.engines.linkage``. Linked rows
have the subjects of both datasets, and both are counted: the method is held against two views of them, one a side.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mpc.questions.linkage.link import check_link, linked_name
from mpc.questions.linkage.printed import printed
from mpc.questions.linkage.views import linked_columns, view_of
from mpc.questions.linkage.words import linkage_sentence
from mpc.questions.statistics import CheckedStatistics, check_statistics
from mpc.questions.terms import Link, LinkageQuestion, StatisticsQuestion
from mpc.questions.uses import ColumnUse
from mpc.table.schema import Dataset


@dataclass(frozen=True)
class CheckedLinkage:
    """A linkage question that holds against its datasets, made only by ``check_linkage``.

    ``views`` are the method over linked rows as the left side's rows, with its owners and subjects, and as the right's.
    ``columns`` gives the dataset and column of each column of linked rows that is kept, by its linked name.
    """

    name: str
    link: Link
    left: Dataset
    right: Dataset
    views: tuple[CheckedStatistics, CheckedStatistics]
    columns: Mapping[str, tuple[str, str]]
    uses: tuple[ColumnUse, ...]
    sentence: str

    @property
    def datasets(self) -> tuple[str, ...]:
        """The names of the datasets that are read: both."""
        return (self.left.name, self.right.name)


def check_linkage(name: str, question: LinkageQuestion, datasets: Mapping[str, Dataset]) -> CheckedLinkage:
    """Return the computation ``name``, held against its link, method and datasets, or raise ``Forbidden``."""
    left, right = check_link(question.link, datasets)
    sides = (left, right)
    names = linked_columns(left, right)
    whole = [_view(name, question, side, names, sides) for side in sides]
    used = {use.column for view in whole for use in view.uses}
    # A view without columns would have no rows either, so each keeps a key of its side.
    pair = question.link.passes[0].columns[0]
    kept = used | {linked_name(left.name, pair.left), linked_name(right.name, pair.right)}
    narrow = {linked: place for linked, place in names.items() if linked in kept}
    views = [_view(name, question, side, narrow, sides) for side in sides]
    uses = {ColumnUse(*names[use.column], use.role) for view in whole for use in view.uses}
    uses |= {
        ColumnUse(dataset.name, column, "joined")
        for each in question.link.passes
        for pair in each.columns
        for dataset, column in ((left, pair.left), (right, pair.right))
    }
    return CheckedLinkage(
        name, question.link, left, right, (views[0], views[1]), narrow, tuple(sorted(uses)),
        linkage_sentence(question.link, views[0].sentence),
    )  # fmt: skip


def _view(
    name: str, question: LinkageQuestion, side: Dataset, names: Mapping[str, tuple[str, str]],
    sides: tuple[Dataset, Dataset],
) -> CheckedStatistics:  # fmt: skip
    view = view_of(side, names, sides, left_rows=question.link.left_rows)
    asked = StatisticsQuestion(
        kind="statistics", method=question.method, dataset=view.name, arguments=question.arguments
    )
    return check_statistics(name, asked, {view.name: view})


__all__ = ["CheckedLinkage", "check_linkage", "linked_name", "printed"]
