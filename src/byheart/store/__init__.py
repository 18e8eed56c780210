"""The records of trials, in one SQLite file that any SQL tool opens."""

from byheart.store.store import Merged, Store
from byheart.store.tables import Summary
from byheart.store.verify import Problem

__all__ = ["Merged", "Problem", "Store", "Summary"]
