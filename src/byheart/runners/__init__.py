"""Where packs are trained: in this process, in one process per core, or on a cluster."""

from byheart.runners.base import InlineRunner, PackResult, Progress, Runner
from byheart.runners.processes import ProcessesRunner
from byheart.runners.progress import make_progress
from byheart.runners.ray import RayRunner

__all__ = [
    "InlineRunner",
    "PackResult",
    "ProcessesRunner",
    "Progress",
    "RayRunner",
    "Runner",
    "make_progress",
]
