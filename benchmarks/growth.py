"""How cost grows: `python -m benchmarks.growth` climbs a ladder of sizes for each measure.

For training and for each measure one quantity is doubled at a time, all others fixed. The exponent
is the slope of a least-squares line through log seconds over log size, with its 95% interval by
Student's t: it holds what noise and any bend of the line leave open. Beside it stands the slope of
the operations that `byheart.training.cost` counts: where both differ, time goes into something
other than arithmetic. One thread, whose own time is taken; the rungs of a ladder are timed in turn,
and each rung's median counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from byheart.data.dataset import Dataset
from byheart.training.cost import WorkKind, flops_by_kind
from byheart.training.engine import make_loop, train
from byheart.training.packs import Pack, make_packs
from byheart.training.probes import take_probes
from byheart.trial import (
    MLP,
    Algorithm,
    CriticalProbe,
    DataFacts,
    Probe,
    SensitivityProbe,
    SharpnessProbe,
    Trial,
)

SHAPE, CLASSES, BATCH = (14, 14), 10, 32
RADIUS = 1 / 255
EPOCHS = 3
"""Trained before a measure is taken."""


@dataclass(frozen=True)
class Size:
    """One rung.

    Attributes:
        replicas: networks in a pack.
        examples: trained on; measured on, too.
        width: units of each of two hidden layers.
        steps: what a measure repeats: epochs of training, iterations of a search, products with the
            Hessian, updates that are differentiated.
        seeds: networks, cut into packs as the engine does.
    """

    replicas: int = 1
    examples: int = 256
    width: int = 64
    steps: int = 4
    seeds: int = 1


@dataclass(frozen=True)
class Line:
    """How one quantity grows with another.

    Attributes:
        measure: whose cost it is.
        factor: what grows.
        sizes: the rungs.
        seconds: the median of each.
        operations: counted, of each.
        exponent: slope of log seconds on log size.
        low: lower end of its 95% interval.
        high: upper end.
        predicted: slope of log operations on log size.
    """

    measure: str
    factor: str
    sizes: Sequence[int]
    seconds: Sequence[float]
    operations: Sequence[float]
    exponent: float
    low: float
    high: float
    predicted: float


Prepare = Callable[[Size], tuple[Callable[[], object], float]]
"""Makes what is timed, and counts its operations."""


@dataclass(frozen=True)
class Ladder:
    """A measure, and what is doubled.

    Attributes:
        measure: its name.
        prepare: makes what is timed, and counts its operations.
        base: where the other quantities stand.
        factor: what grows.
        sizes: the rungs.
    """

    measure: str
    prepare: Prepare
    base: Size
    factor: str
    sizes: Sequence[int]

    def climb(self, rounds: int) -> Line:
        """Time every rung in turn, and fit the line."""
        rungs = [self.prepare(replace(self.base, **{self.factor: size})) for size in self.sizes]
        for action, _ in rungs:
            action()
        taken = [[_seconds(action) for action, _ in rungs] for _ in range(rounds)]
        seconds = [statistics.median(column) for column in zip(*taken, strict=True)]
        operations = [count for _, count in rungs]
        x = np.log(self.sizes)
        fit = stats.linregress(x, np.log(seconds))
        reach = float(stats.t.ppf(0.975, len(self.sizes) - 2)) * fit.stderr
        return Line(
            measure=self.measure,
            factor=self.factor,
            sizes=self.sizes,
            seconds=seconds,
            operations=operations,
            exponent=float(fit.slope),
            low=float(fit.slope - reach),
            high=float(fit.slope + reach),
            predicted=float(stats.linregress(x, np.log(operations)).slope),
        )


def _seconds(action: Callable[[], object]) -> float:
    started = time.thread_time()
    action()
    return time.thread_time() - started


def dataset(examples: int) -> Dataset:
    """Return classes that can be told apart, with noise."""
    draw = torch.Generator().manual_seed(0)
    y = torch.arange(2 * (examples + CLASSES)) % CLASSES
    means = torch.rand(CLASSES, *SHAPE, generator=draw)
    x = 0.5 * means[y] + 0.5 * torch.rand(len(y), *SHAPE, generator=draw)
    return Dataset.from_arrays("growth", x, y)


def trials(size: Size, data: Dataset, epochs: int, *probes: Probe) -> list[Trial]:
    """Return trials that differ in their seeds."""
    facts = DataFacts(fingerprint=data.fingerprint, train=size.examples, validation=size.examples)
    algorithm = Algorithm(
        network=MLP(hidden=(size.width, size.width)),
        learning_rate=0.1,
        batch_size=32,
        epochs=epochs,
    )
    count = max(size.replicas, size.seeds)
    return [Trial(data=facts, algorithm=algorithm, seed=i, probes=probes) for i in range(count)]


def counted(trials: Sequence[Trial], *kinds: WorkKind) -> float:
    """Return the operations of these kinds of work."""
    return sum(
        flops_by_kind(trial, SHAPE, CLASSES).get(kind, 0.0) for trial in trials for kind in kinds
    )


def training(size: Size) -> tuple[Callable[[], object], float]:
    """Return the training of a pack, or of the packs that seeds are cut into."""
    data = dataset(size.examples)
    own = trials(size, data, size.steps)
    packs = make_packs(own, shape=SHAPE, classes=CLASSES) if size.seeds > 1 else [Pack(tuple(own))]
    return lambda: [train(pack, data) for pack in packs], counted(own, "training")


def sweep(size: Size) -> tuple[Callable[[], object], float]:
    """Return trainings differentiated at eight times."""
    data = dataset(size.examples)
    probe = SensitivityProbe(evaluate_at=tuple(size.steps * i // 8 for i in range(1, 9)))
    epochs = -(-size.steps * BATCH // size.examples)
    own = trials(size, data, epochs, probe)
    return lambda: [train(Pack((trial,)), data) for trial in own], counted(own, "sweep")


def probed(probe: Callable[[Size], Probe], kind: WorkKind) -> Prepare:
    """Return what takes a probe on networks that were trained for a moment."""

    def prepare(size: Size) -> tuple[Callable[[], object], float]:
        data, own = dataset(size.examples), probe(size)
        pack = Pack(tuple(trials(size, data, EPOCHS)))
        loop = make_loop(pack, data)
        loop.train(EPOCHS)

        def take() -> None:
            with torch.no_grad():
                take_probes((own,), 1, loop.network, loop.examples, ended=own.at_end)

        return take, counted(trials(size, data, 1, own), kind)

    return prepare


def search(size: Size) -> Probe:
    """Return a search in boxes in which little is found."""
    return CriticalProbe(
        epochs=(1,), radii=(RADIUS / 10,), examples=size.examples, max_steps=size.steps
    )


def proof(size: Size) -> Probe:
    """Return a certificate, after a search of one step."""
    return CriticalProbe(
        epochs=(1,),
        radii=(RADIUS / 10,),
        examples=size.examples,
        max_steps=1,
        certify_epochs=(1,),
        certify_radii=(RADIUS / 10,),
        certify_examples=size.examples,
    )


def eigenvalue(size: Size) -> Probe:
    """Return so many products with the Hessian, twice: the tolerance is not reached."""
    return SharpnessProbe(max_iterations=size.steps, online_iterations=0, tolerance=1e-7)


DOUBLED: dict[str, Sequence[int]] = {
    "replicas": (1, 2, 4, 8, 16),
    "examples": (128, 256, 512, 1024),
    "width": (64, 128, 256, 512),
}
EPOCH_COUNTS, ITERATIONS, UPDATES = (2, 4, 8, 16), (4, 8, 16, 32), (64, 128, 256, 512)
SEEDS = (1, 2, 4, 8, 16)


def ladders() -> Iterator[Ladder]:
    """Yield every measure with everything that its cost may grow with."""
    base = Size(replicas=4, examples=512, width=128)
    yield from _all("training", training, base, DOUBLED | {"steps": EPOCH_COUNTS})
    yield Ladder("training", training, replace(base, replicas=1), "seeds", SEEDS)
    # Trainings that are differentiated go one by one.
    alone = {factor: sizes for factor, sizes in DOUBLED.items() if factor != "replicas"}
    one_by_one = alone | {"steps": UPDATES, "seeds": SEEDS}
    yield from _all("loss-sensitivity", sweep, Size(examples=512, steps=256), one_by_one)
    searches, proofs = probed(search, "search"), probed(proof, "certificate")
    at_limit = DOUBLED | {"steps": ITERATIONS}
    yield from _all("critical search", searches, replace(base, steps=8), at_limit)
    yield from _all("certificate", proofs, replace(base, replicas=2), DOUBLED)
    products = probed(eigenvalue, "curvature")
    yield from _all("sharpness", products, base, DOUBLED | {"steps": EPOCH_COUNTS})


def _all(
    measure: str, prepare: Prepare, base: Size, factors: Mapping[str, Sequence[int]]
) -> Iterator[Ladder]:
    for factor, sizes in factors.items():
        yield Ladder(measure, prepare, base, factor, sizes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("out/growth.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    table: list[dict[str, Any]] = []
    for ladder in ladders():
        line = ladder.climb(options.rounds)
        print(
            f"{line.measure} with {line.factor}: exponent {line.exponent:.2f} ({line.low:.2f} to "
            f"{line.high:.2f}), by arithmetic {line.predicted:.2f}; {line.sizes[0]} to "
            f"{line.sizes[-1]}: {line.seconds[0]:.3g} to {line.seconds[-1]:.3g} s",
            flush=True,
        )
        table.append(asdict(line))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
