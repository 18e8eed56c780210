"""What trials left, in one SQLite file that any SQL tool opens."""

from byheart.store.inspect import Summary
from byheart.store.merge import Merged
from byheart.store.store import Store
from byheart.store.verify import Problem

__all__ = ["Merged", "Problem", "Store", "Summary"]
