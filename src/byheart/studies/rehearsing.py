"""The speed of this machine at a study, from a moment of each kind of its work."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from byheart.errors import InputError
from byheart.runners import Progress
from byheart.runners.base import Runner
from byheart.studies.base import SourceFacts
from byheart.training.packs import Pack, shape_of

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset
    from byheart.training.paces import Paces


@dataclass(frozen=True)
class Rehearsal:
    """What a rehearsal measured.

    Attributes:
        paces: by shape of the packs.
        start: seconds until the first worker is ready to train; every round waits for them.
    """

    paces: Mapping[str, Paces]
    start: float

    def of(self, pack: Pack) -> Paces:
        """Return the paces of a pack."""
        return self.paces[shape_of(pack.trials[0])]


def rehearse(packs: Sequence[Pack], dataset: Dataset, runner: Runner, device: str) -> Rehearsal:
    """Let a runner take a moment of each kind of work, of the largest pack of each shape.

    The moments are taken by the very workers that would train, side by side as they would: what
    they share (caches, memory, power) slows them as it would then.

    Args:
        packs: all that may be trained.
        dataset: the clean source.
        runner: would train them.
        device: where.

    Raises:
        InputError: a pack cannot be trained.
    """
    # Torch takes seconds to load, and whoever plans nothing need not wait for it.
    from byheart.training.paces import Paces
    from byheart.training.rehearsal import REHEARSE

    largest: dict[str, Pack] = {}
    for pack in sorted(packs, key=lambda one: len(one.trials)):
        largest[shape_of(pack.trials[0])] = pack
    if not largest:
        return Rehearsal({}, 0.0)
    clock = _Start()
    results = runner.doing(REHEARSE).run(
        list(largest.values()), dataset, device=device, progress=clock
    )
    paces = {}
    with contextlib.closing(results):
        for result in results:
            if result.error is not None:
                raise InputError(f"{result.pack.name} cannot be trained: {result.error}")
            first = result.records[0]
            paces[shape_of(first.trial)] = Paces.from_record(first)
    return Rehearsal(paces, clock.passed)


def paces_at(packs: Sequence[Pack], data: SourceFacts, speed: float) -> Rehearsal:
    """Return the paces of a device that is not there, which does all work at one speed.

    Args:
        packs: all that may be trained.
        data: gives the sizes of inputs and outputs.
        speed: operations a second.
    """
    from byheart.training.cost import KINDS, example_flops
    from byheart.training.paces import Paces
    from byheart.training.packs import trial_size

    paces = {}
    for one in {shape_of(pack.trials[0]): pack.trials[0] for pack in packs}.values():
        size = trial_size(one, data.shape, len(data.classes))
        replica = one.data.train * example_flops(one, size) / speed
        others: dict[str, float] = {kind: 1 / speed for kind in KINDS if kind != "training"}
        paces[shape_of(one)] = Paces(0.0, 0.0, replica, others)
    return Rehearsal(paces, 0.0)


class _Start(Progress):
    """Measures how long it is until the first pack is begun."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self.passed = 0.0

    def started(self, pack: Pack) -> None:
        """Note the first."""
        self.passed = self.passed or time.monotonic() - self._begun
