"""Two ways of doing the same work, timed in turn after their answers have been compared.

What nobody else does is a row without a peer.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class Agreement:
    """Whether two answers are the same, or ours the stronger one.

    Attributes:
        holds: False makes the benchmark fail.
        words: how far apart the answers are, or how much stronger ours is.
    """

    holds: bool
    words: str


@dataclass(frozen=True)
class Limit:
    """What the machine can do at most.

    Attributes:
        flops: floating-point operations of our work.
        speed: measures, whenever it is called, floating-point operations per second of the bare
            products of the same shapes.
    """

    flops: float
    speed: Callable[[], float]


@dataclass(frozen=True)
class Duel:
    """A row of the table.

    Attributes:
        row: its name.
        work: what is done, by both.
        peer: who else does it.
        ours: does it, and returns the answer.
        theirs: does the same work on the same input.
        compare: our answer with theirs.
        wanted: the ratio, peer over ours, that this row is meant to reach.
        limit: of the machine, where the work is products.
        wanted_of_limit: the fraction of the limit that this row is meant to reach.
        threads: torch's threads, for both; torch's own choice if None.
        note: said after the timing: memory, say.
    """

    row: str
    work: str
    peer: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    compare: Callable[[Any, Any], Agreement]
    wanted: float
    limit: Limit | None = None
    wanted_of_limit: float | None = None
    threads: int | None = None
    note: Callable[[], str] = field(default=lambda: "")

    def run(self, pairs: int) -> dict[str, Any]:
        """Compare the answers, then time both, in turn, so that noise falls on both.

        Raises:
            SystemExit: the answers differ; nothing is timed then.
        """
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads or before)
        try:
            agreement = self.compare(self.ours(), self.theirs())
            if not agreement.holds:
                raise SystemExit(f"error: {self.row}, {self.peer}: {agreement.words}")
            rounds = [self._round(even=number % 2 == 0) for number in range(pairs)]
        finally:
            torch.set_num_threads(before)
        ours, theirs, fractions = zip(*rounds, strict=True)
        ratios = [slow / fast for fast, slow in zip(ours, theirs, strict=True)]
        return {
            "row": self.row,
            "work": self.work,
            "peer": self.peer,
            "ours_seconds": statistics.median(ours),
            "peer_seconds": statistics.median(theirs),
            "ratio": {
                "median": statistics.median(ratios),
                "low": min(ratios),
                "high": max(ratios),
            },
            "limit_fraction": statistics.median(fractions) if self.limit else None,
            "agree": agreement.holds,
            "agreement": agreement.words,
            "wanted": self.wanted,
            "wanted_of_limit": self.wanted_of_limit,
            "pairs": pairs,
            "note": self.note(),
        }

    def _round(self, *, even: bool) -> tuple[float, float, float]:
        """Time both, whoever's turn it is first, and the limit right after ours."""
        if not even:
            theirs = seconds(self.theirs)
        ours = seconds(self.ours)
        fraction = self.limit.flops / ours / self.limit.speed() if self.limit else 0.0
        if even:
            theirs = seconds(self.theirs)
        return ours, theirs, fraction


@dataclass(frozen=True)
class Measured:
    """What a piece of work took that nobody else does.

    Attributes:
        seconds: from start to end.
        peak_bytes: of memory.
        agreement: whether it did all it was to do.
    """

    seconds: float
    peak_bytes: int
    agreement: Agreement


@dataclass(frozen=True)
class Alone:
    """A row of the table without a peer: measured once, against what is wanted of it.

    Attributes:
        row: its name.
        work: what is done.
        measure: does it.
        wanted_seconds: it is meant to take at most.
        wanted_bytes: of memory it is meant to take at most.
    """

    row: str
    work: str
    measure: Callable[[], Measured]
    wanted_seconds: float
    wanted_bytes: float

    def run(self, pairs: int) -> dict[str, Any]:
        """Measure once, however many pairs others take.

        Raises:
            SystemExit: not all was done.
        """
        del pairs
        found = self.measure()
        if not found.agreement.holds:
            raise SystemExit(f"error: {self.row}: {found.agreement.words}")
        return {
            "row": self.row,
            "work": self.work,
            "peer": None,
            "ours_seconds": found.seconds,
            "peer_seconds": None,
            "ratio": None,
            "limit_fraction": None,
            "agree": True,
            "agreement": found.agreement.words,
            "wanted": None,
            "wanted_of_limit": None,
            "wanted_seconds": self.wanted_seconds,
            "peak_bytes": found.peak_bytes,
            "wanted_bytes": self.wanted_bytes,
            "pairs": 1,
            "note": "",
        }


def seconds(action: Callable[[], object]) -> float:
    """Return how long an action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def speed_of(products: Callable[[], object], flops: float, least: float = 0.5) -> float:
    """Return operations per second of products that take ``flops``, over ``least`` seconds."""
    products()
    rounds, started = 0, time.perf_counter()
    while time.perf_counter() - started < least:
        products()
        rounds += 1
    return rounds * flops / (time.perf_counter() - started)
