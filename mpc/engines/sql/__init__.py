"""SQL by DuckDB: a checked question becomes one statement that yields every cell with its contributors."""

from mpc.engines.sql.database import make_ready
from mpc.engines.sql.run import PlannedSql

__all__ = ["PlannedSql", "make_ready"]
