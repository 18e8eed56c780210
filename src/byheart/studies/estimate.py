"""What a study would take on this machine, without training it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from byheart.runners.base import threads_pinned
from byheart.studies.base import SourceFacts
from byheart.training.packs import Pack


@dataclass(frozen=True)
class Share:
    """The packs of one shape, and what they take.

    Attributes:
        network: its short name.
        train: training examples.
        trials: how many.
        packs: how many they make.
        flops: floating-point operations of all of them, at most.
        bytes_per_pack: memory of the largest pack.
        seconds: for all of them, one after the other.
    """

    network: str
    train: int
    trials: int
    packs: int
    flops: float
    bytes_per_pack: int
    seconds: float


def estimate(
    packs: Sequence[Pack], data: SourceFacts, *, device: str = "cpu", speed: float | None = None
) -> list[Share]:
    """Count what packs take, and measure the speed of each shape for a moment if none is given.

    Every trial is taken to spend its whole budget, so this is an upper bound where trials stop at
    100% training accuracy.

    Args:
        packs: those to be trained.
        data: gives the sizes of inputs and outputs.
        device: where they would be trained.
        speed: operations a second of a device that is not there.

    Returns:
        One share per shape, the longest first.
    """
    shapes: dict[tuple[str, int], list[Pack]] = {}
    for pack in packs:
        one = pack.trials[0]
        network = one.algorithm.network.name
        shapes.setdefault((network, one.data.train), []).append(pack)
    shares = [
        _share(network, train, own, data, device, speed) for (network, train), own in shapes.items()
    ]
    return sorted(shares, key=lambda share: -share.seconds)


def _share(
    network: str,
    train: int,
    packs: list[Pack],
    data: SourceFacts,
    device: str,
    speed: float | None,
) -> Share:
    # Torch takes seconds to load, and whoever only reads a Share need not wait for it.
    from byheart.training.cost import flops, pack_bytes, training_speed

    sizes = data.shape, len(data.classes)
    operations = sum(flops(trial, *sizes) for pack in packs for trial in pack.trials)
    largest = max(packs, key=lambda pack: len(pack.trials))
    if speed is None:
        # As the runners train: one thread each.
        with threads_pinned(1):
            speed = training_speed(largest, *sizes, device=device)
    return Share(
        network=network,
        train=train,
        trials=sum(len(pack.trials) for pack in packs),
        packs=len(packs),
        flops=operations,
        bytes_per_pack=max(pack_bytes(pack, *sizes) for pack in packs),
        seconds=operations / speed,
    )
