"""What trials left, in one SQLite file that any SQL tool opens."""

from byheart.store.inspect import Problem, Summary
from byheart.store.store import Store

__all__ = ["Problem", "Store", "Summary"]
