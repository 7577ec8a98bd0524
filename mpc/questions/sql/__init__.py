"""What may be asked in SQL: one SELECT of bounded form, checked from the contract's terms alone.

The text of a question is parsed, held node by node against a list, and printed anew; what an engine runs is built
from those prints. Counting the contributors of every cell (``mpc.engines.sql``) is sound only for questions of this
form, so everything else is refused, with what to write instead.
"""

from mpc.questions.sql.check import check_sql
from mpc.questions.sql.checked import CheckedSql, GroupKey, Join, Shown, Source, SqlMeasure

__all__ = ["CheckedSql", "GroupKey", "Join", "Shown", "Source", "SqlMeasure", "check_sql"]
