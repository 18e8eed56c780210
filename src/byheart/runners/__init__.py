"""Where packs are trained: in this process, or in one process per core."""

from byheart.runners.base import PackResult, Runner
from byheart.runners.inline import InlineRunner
from byheart.runners.processes import ProcessesRunner
from byheart.runners.progress import Progress, SilentProgress, make_progress

__all__ = [
    "InlineRunner",
    "PackResult",
    "ProcessesRunner",
    "Progress",
    "Runner",
    "SilentProgress",
    "make_progress",
]
