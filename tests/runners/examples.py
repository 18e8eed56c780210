"""A pack for the trainers, and a progress that remembers what it was told."""

from __future__ import annotations

from tests.runners import trainers
from tests.store.examples import a_trial

from byheart.training.packs import Pack


class Listener:
    def __init__(self):
        self.calls = []

    def note(self, line):
        self.calls.append(("note", line))

    def skipped(self, done):
        self.calls.append(("skipped", done))

    def predicted(self, seconds, later, workers):
        self.calls.append(("predicted", len(seconds), later, workers))

    def planned(self, costs):
        self.calls.append(("planned", len(costs)))

    def started(self, pack):
        self.calls.append(("started", pack.name))

    def epoch(self, pack, done, total):
        self.calls.append(("epoch", done, total))

    def finished(self, pack, records):
        self.calls.append(("finished", len(records)))

    def close(self):
        self.calls.append(("close",))


class Hears(Listener):
    """Lets a slow pack know that an epoch of it was heard."""

    def epoch(self, pack, done, total):
        super().epoch(pack, done, total)
        trainers.heard(done)


def a_pack(seed, hidden=8, *, size=2, epochs=3):
    seeds = range(100 * seed, 100 * seed + size)
    return Pack(tuple(a_trial(s, hidden=hidden, epochs=epochs) for s in seeds))
