"""What may be asked: the terms of a question, and what reading one says of the columns that it uses.

Nothing here computes an answer; ``mpc.engines`` does. A party reads questions with this package before it
signs, the enclave reads them with the same code before it runs.
"""

from collections.abc import Mapping, Sequence

from mpc.questions.linkage import CheckedLinkage, check_linkage
from mpc.questions.parameters import check_parameters
from mpc.questions.sql import CheckedSql, check_sql
from mpc.questions.statistics import CheckedStatistics, check_statistics
from mpc.questions.terms import LinkageQuestion, Parameter, SqlQuestion, StatisticsQuestion
from mpc.questions.uses import ColumnUse
from mpc.table.schema import Dataset

CheckedQuestion = CheckedSql | CheckedStatistics | CheckedLinkage


def check_question(
    name: str,
    question: SqlQuestion | StatisticsQuestion | LinkageQuestion,
    parameters: Sequence[Parameter],
    datasets: Mapping[str, Dataset],
) -> CheckedQuestion:
    """Return the question of the computation ``name``, held against ``datasets``; ``Malformed`` or ``Forbidden``."""
    match question:
        case SqlQuestion():
            return check_sql(name, question.text, parameters, datasets)
        case StatisticsQuestion():
            return check_statistics(name, question, datasets)
        case LinkageQuestion():
            return check_linkage(name, question, datasets)


__all__ = [
    "CheckedLinkage",
    "CheckedQuestion",
    "CheckedSql",
    "CheckedStatistics",
    "ColumnUse",
    "check_parameters",
    "check_question",
]
