"""What a study would cost, without training it: trials, operations, memory and time."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from byheart.errors import InputError, choose
from byheart.record import Record
from byheart.runners.base import Runner
from byheart.studies.base import Setting, SourceFacts, Study
from byheart.studies.rounds import at_most, missing_packs
from byheart.training.packs import Pack

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset
    from byheart.training.prediction import Seconds

UTILISATION = 0.3
"""Share of a GPU's peak that a pack of small matrix products is assumed to reach."""


@dataclass(frozen=True)
class Accelerator:
    """A GPU to plan for.

    Attributes:
        name: as its maker calls it.
        tflops: peak of dense float32 products, in 10^12 operations a second, without the
            reduced-precision (TF32) units, which PyTorch leaves off for float32 by default.
        gib: memory, if it is known.
    """

    name: str
    tflops: float
    gib: int | None = None

    @property
    def speed(self) -> float:
        """Operations a second that a plan counts on."""
        return self.tflops * 1e12 * UTILISATION


ACCELERATORS = (
    Accelerator("V100", 15.7, 32),
    Accelerator("A100", 19.5, 80),
    Accelerator("L40S", 91.6, 48),
    Accelerator("H100", 66.9, 80),
    Accelerator("H200", 66.9, 141),
    Accelerator("RTX 3090", 35.6, 24),
    Accelerator("RTX 4090", 82.6, 24),
)
"""From the makers' data sheets; of several variants the SXM one."""


def find_accelerator(text: str) -> Accelerator:
    """Return the accelerator of a name (any case, with or without spaces) or speed in TFLOP/s.

    Raises:
        InputError: neither.
    """
    try:
        tflops = float(text)
    except ValueError:
        known = {_plain(accelerator.name): accelerator for accelerator in ACCELERATORS}
        if _plain(text) in known:
            return known[_plain(text)]
        choose("GPU", text.upper(), [accelerator.name for accelerator in ACCELERATORS])
        raise AssertionError(text) from None
    if not 0 < tflops < math.inf:
        raise InputError(f"--gpu is {text}: give a speed above 0, in TFLOP/s, or a name")
    return Accelerator(f"a GPU of {tflops:g} TFLOP/s", tflops)


def _plain(name: str) -> str:
    return "".join(name.lower().replace("-", " ").replace("_", " ").split())


@dataclass(frozen=True)
class Share:
    """The packs of one network and number of examples, and what they cost.

    Attributes:
        network: its short name.
        train: training examples.
        trials: number of trials.
        packs: number of packs of these trials.
        flops: expected floating-point operations of all of them.
        flops_at_most: the same, if every trial spends its epochs and every search runs to its
            limit.
        bytes_per_pack: memory of the largest pack.
        seconds: expected time of all of them, one after the other.
        at_most: the most time that they can take, by ``flops_at_most``.
    """

    network: str
    train: int
    trials: int
    packs: int
    flops: float
    flops_at_most: float
    bytes_per_pack: int
    seconds: float
    at_most: float


@dataclass(frozen=True)
class CostEstimate:
    """What a study would cost.

    Attributes:
        trials: number of trials, including stored ones.
        stored: number of stored trials.
        shares: by network and number of examples, the longest first.
        workers: number of packs that train at a time.
        seconds: until all are trained.
    """

    trials: int
    stored: int
    shares: Sequence[Share]
    workers: int
    seconds: Seconds

    @property
    def packs(self) -> int:
        """Number of packs that are to be trained."""
        return sum(share.packs for share in self.shares)

    @property
    def flops(self) -> float:
        """Expected floating-point operations of all packs."""
        return sum(share.flops for share in self.shares)

    @property
    def flops_at_most(self) -> float:
        """Floating-point operations of all packs, at most."""
        return sum(share.flops_at_most for share in self.shares)

    @property
    def bytes_per_pack(self) -> int:
        """Memory of the largest pack."""
        return max((share.bytes_per_pack for share in self.shares), default=0)


def estimate(
    studies: Sequence[Study],
    setting: Setting,
    dataset: Dataset,
    known: Mapping[str, Record],
    runner: Runner,
    *,
    device: str = "cpu",
    speed: float | None = None,
) -> CostEstimate:
    """Return what a study would cost, from short timings of each kind of its work.

    Where a study plans in rounds, the costliest outcome stands in for what is not known yet.

    Args:
        studies: to decide.
        setting: preset, data set and number of seeds.
        dataset: the clean source.
        known: the stored records, by key; failed trials are trained again.
        runner: the runner that would train them.
        device: "cpu", "cuda" or "mps".
        speed: operations a second of a device that is not here; measured here if None.

    Raises:
        InputError: a pack cannot be trained.
    """
    # Torch takes seconds to load, and whoever reads the claims need not wait for it.
    from byheart.training.prediction import Seconds, measure_speeds, speeds_at

    known = {key: record for key, record in known.items() if record.outcome != "failed"}
    trials = at_most(studies, setting, known)
    missing = {trial.key for trial in trials} - known.keys()
    packs = missing_packs(trials, missing, setting, device=device)
    if speed is not None:
        speeds, workers = speeds_at(packs, speed), 1
    else:
        try:
            speeds = measure_speeds(packs, dataset, device)
        except (RuntimeError, MemoryError) as error:
            raise InputError(f"this study cannot be trained here: {error}") from error
        workers = runner.at_a_time(packs, dataset, device)
    sizes = setting.data.shape, len(setting.data.classes)
    seconds = [speeds.of(pack.trials, *sizes) for pack in packs]
    return CostEstimate(
        trials=len(trials),
        stored=len(trials) - len(missing),
        shares=_shares(packs, seconds, setting.data),
        workers=min(workers, len(packs)),
        seconds=Seconds(
            makespan([pack.expected for pack in seconds], workers),
            makespan([pack.at_most for pack in seconds], workers),
        ),
    )


def makespan(seconds: Sequence[float], workers: int) -> float:
    """Return when the last pack ends, if the longest go first, each to the first free worker."""
    free = [0.0] * max(1, workers)
    for pack_seconds in sorted(seconds, reverse=True):
        heapq.heapreplace(free, free[0] + pack_seconds)
    return max(free)


def _shares(packs: Sequence[Pack], seconds: Sequence[Seconds], data: SourceFacts) -> list[Share]:
    """Return one share per network and number of examples, the longest first."""
    from byheart.training.cost import expected_flops, flops, pack_bytes

    sizes = data.shape, len(data.classes)
    groups: dict[tuple[str, int], list[tuple[Pack, Seconds]]] = {}
    for pack, pack_seconds in zip(packs, seconds, strict=True):
        first = pack.trials[0]
        key = first.algorithm.network.name, first.data.train
        groups.setdefault(key, []).append((pack, pack_seconds))
    shares = [
        Share(
            network=network,
            train=train,
            trials=sum(len(pack.trials) for pack, _ in group),
            packs=len(group),
            flops=sum(expected_flops(t, *sizes) for pack, _ in group for t in pack.trials),
            flops_at_most=sum(flops(t, *sizes) for pack, _ in group for t in pack.trials),
            bytes_per_pack=max(pack_bytes(pack, *sizes) for pack, _ in group),
            seconds=sum(pack_seconds.expected for _, pack_seconds in group),
            at_most=sum(pack_seconds.at_most for _, pack_seconds in group),
        )
        for (network, train), group in groups.items()
    ]
    return sorted(shares, key=lambda share: -share.seconds)
