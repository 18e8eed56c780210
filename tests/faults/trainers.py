"""A training that runs out of memory, for some packs, the first time they are trained."""

import contextlib
import os
import resource
from pathlib import Path

import torch
from tests.studies import tiny

ROOM = 64 * 2**20
"""Bytes that a starved pack may still take."""


def starved(pack, dataset, *, device, on_epoch):
    """Train as ever, but leave every other pack without memory once."""
    known = Path(os.environ["TRAINED"]).with_name("starved.log")
    key = pack.trials[0].key
    if int(key[:8], 16) % 2 and (not known.exists() or key not in known.read_text()):
        with known.open("a", encoding="utf-8") as file:
            file.write(key + "\n")
        with memory_limited_to(ROOM):
            torch.ones(8 * ROOM)
    return tiny.train(pack, dataset, device=device, on_epoch=on_epoch)


@contextlib.contextmanager
def memory_limited_to(room):
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
