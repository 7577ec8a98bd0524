"""What a question does with the columns that it names: the facts that a data officer reads before signing."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["returned", "aggregated", "filtered", "grouped", "joined", "counted"]


@dataclass(frozen=True, order=True)
class ColumnUse:
    """One column in one role. A column that occurs in no use of any computation is never read.

    ``returned`` values leave as they are (group keys), ``aggregated`` only inside an aggregate, ``counted`` only as
    distinct counts, ``filtered`` decides which rows take part, ``grouped`` and ``joined`` arrange them.
    """

    dataset: str
    column: str
    role: Role
