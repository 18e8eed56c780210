"""What a study would take, without training it: what to expect, and the most it can be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from byheart.record import Record
from byheart.runners.base import Runner
from byheart.runners.costs import costs_of, makespan
from byheart.studies.base import Setting, SourceFacts, Study
from byheart.studies.experience import Experience, experience_of
from byheart.studies.rehearsing import Rehearsal, paces_at, rehearse
from byheart.studies.rounds import costliest_rounds, expected_rounds, packs_of
from byheart.training.packs import Pack

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset


@dataclass(frozen=True)
class Share:
    """The packs of one network and number of examples, and what they take.

    Attributes:
        network: its short name.
        train: training examples.
        trials: how many.
        packs: how many they make.
        flops: floating-point operations of all of them, at most.
        bytes_per_pack: memory of the largest pack.
        seconds: for all of them, one after the other, as expected.
        at_most: the same, if every trial spends its budget and every search goes to its limit.
    """

    network: str
    train: int
    trials: int
    packs: int
    flops: float
    bytes_per_pack: int
    seconds: float
    at_most: float


@dataclass(frozen=True)
class Seconds:
    """What work takes.

    Attributes:
        expected: by experience with trials like these.
        at_most: if every trial spends its budget and every search goes to its limit.
    """

    expected: float
    at_most: float


def seconds_of(
    pack: Pack, data: SourceFacts, rehearsal: Rehearsal, experience: Experience
) -> Seconds:
    r"""Return what a pack takes.

    Formula: R start + a max_r e_r + b sum_r e_r + sum_k c_k s_k f_k, with e_r the epochs that
    replica r trains, a and b the seconds of an epoch and of each replica in it, c_k the seconds of
    an operation of kind k, f_k how many there are at most, and s_k the share of them that is
    expected. A replica leaves when it is done, so that an epoch grows cheaper.

    Args:
        pack: its replicas.
        data: gives the sizes of inputs and outputs.
        rehearsal: the paces a, b, c and start.
        experience: epochs e and shares s.
    """
    # Torch takes seconds to load, and whoever only reads need not wait for it.
    from byheart.training.cost import work

    paces = rehearsal.of(pack)
    operations: Counter[str] = Counter()
    for trial in pack.trials:
        operations.update(work(trial, data.shape, len(data.classes)))
    algorithm, replicas = pack.trials[0].algorithm, len(pack.trials)
    budget, stop = algorithm.epochs, algorithm.stop
    spent = [experience.of(trial) for trial in pack.trials]
    epochs = sum(budget if one is None else one.epochs for one in spent)
    longest = max(budget if one is None else one.longest for one in spent)
    kinds = {kind: pace * operations[kind] for kind, pace in paces.kinds.items()}
    start = paces.start * replicas
    expected = start + paces.epoch * longest + paces.replica * epochs
    expected += sum(seconds * experience.share(kind, stop) for kind, seconds in kinds.items())
    bound = start + (paces.epoch + paces.replica * replicas) * budget + sum(kinds.values())
    return Seconds(expected, max(expected, bound))


@dataclass(frozen=True)
class Estimate:
    """What a study would take.

    Attributes:
        trials: how many, stored ones included.
        stored: how many of them are stored.
        guessed: trials that may stop early and are counted with their whole budget, since no trial
            like them is known.
        shares: by network and number of examples, the longest first.
        workers: how many packs are trained at a time.
        seconds: until all are trained.
    """

    trials: int
    stored: int
    guessed: int
    shares: Sequence[Share]
    workers: int
    seconds: Seconds

    @property
    def packs(self) -> int:
        """How many packs are to be trained."""
        return sum(share.packs for share in self.shares)

    @property
    def flops(self) -> float:
        """Floating-point operations of all of them, at most."""
        return sum(share.flops for share in self.shares)

    @property
    def bytes_per_pack(self) -> int:
        """Memory of the largest pack."""
        return max((share.bytes_per_pack for share in self.shares), default=0)


@dataclass(frozen=True)
class Place:
    """Where a study would be trained.

    Attributes:
        runner: trains.
        device: on what.
        speed: operations a second of a device that is not there.
    """

    runner: Runner
    device: str = "cpu"
    speed: float | None = None

    def at_a_time(self, packs: Sequence[Pack], dataset: Dataset) -> int:
        """Return how many of these packs are trained at a time."""
        if self.speed is not None:
            return 1
        return self.runner.at_a_time(packs, dataset, self.device)


def estimate(
    studies: Sequence[Study],
    setting: Setting,
    dataset: Dataset,
    known: Mapping[str, Record],
    place: Place,
) -> Estimate:
    """Say what a study would take, from a moment of each kind of its work.

    Args:
        studies: that are to be decided.
        setting: preset, data set and number of seeds.
        dataset: the clean source.
        known: the records that are stored, by key, failed ones included.
        place: where it would be trained.

    Raises:
        InputError: a pack cannot be trained.
    """
    # What failed is tried again.
    known = {key: record for key, record in known.items() if record.outcome != "failed"}
    experience = experience_of(setting.preset.name).with_records(known.values())
    if place.speed is not None:
        # The shares of other kinds of work were taken on a CPU.
        experience = Experience(experience.spent)
    rounds = expected_rounds(studies, setting, experience, known)
    expected = packs_of(rounds, known, setting, place.device)
    costliest = packs_of(costliest_rounds(studies, setting, known), known, setting, place.device)
    every = list({p.key: p for own in (*expected, *costliest) for p in own}.values())
    if place.speed is None:
        rehearsal = rehearse(every, dataset, place.runner, place.device)
    else:
        rehearsal = paces_at(every, setting.data, place.speed)
    seconds = {p.key: seconds_of(p, setting.data, rehearsal, experience) for p in every}
    costs = costs_of(every, dataset)
    most = place.at_a_time(every, dataset)

    def whole(rounds: Sequence[Sequence[Pack]], each: Mapping[str, float]) -> float:
        return side_by_side(rounds, each, costs, most, rehearsal.start)

    soon = whole(expected, {key: one.expected for key, one in seconds.items()})
    late = whole(costliest, {key: one.at_most for key, one in seconds.items()})
    trials = [trial for own in rounds for trial in own]
    missing = [trial for trial in trials if trial.key not in known]
    return Estimate(
        trials=len(trials),
        stored=len(trials) - len(missing),
        guessed=sum(experience.of(trial) is None for trial in missing),
        shares=_shares([pack for own in expected for pack in own], seconds, setting.data),
        workers=min(most, max((len(own) for own in expected), default=0)),
        seconds=Seconds(soon, max(soon, late)),
    )


def side_by_side(
    rounds: Sequence[Sequence[Pack]],
    seconds: Mapping[str, float],
    costs: Mapping[str, float],
    workers: int,
    start: float,
) -> float:
    """Return how long rounds take one after the other, the packs of each side by side.

    Args:
        rounds: packs of each.
        seconds: what each takes, by its id.
        costs: by which a runner hands them out, the costliest first.
        workers: how many train at a time.
        start: seconds until the workers of a round are ready.
    """
    total = 0.0
    for packs in rounds:
        order = sorted((pack.key for pack in packs), key=lambda key: -costs[key])
        total += start + makespan([seconds[key] for key in order], workers)
    return total


def _shares(
    packs: Sequence[Pack], seconds: Mapping[str, Seconds], data: SourceFacts
) -> list[Share]:
    """Return one share per network and number of examples, the longest first."""
    from byheart.training.cost import flops, pack_bytes

    sizes = data.shape, len(data.classes)
    grouped: dict[tuple[str, int], list[Pack]] = {}
    for pack in packs:
        one = pack.trials[0]
        grouped.setdefault((one.algorithm.network.name, one.data.train), []).append(pack)
    found = [
        Share(
            network=network,
            train=train,
            trials=sum(len(pack.trials) for pack in own),
            packs=len(own),
            flops=sum(flops(trial, *sizes) for pack in own for trial in pack.trials),
            bytes_per_pack=max(pack_bytes(pack, *sizes) for pack in own),
            seconds=sum(seconds[pack.key].expected for pack in own),
            at_most=sum(seconds[pack.key].at_most for pack in own),
        )
        for (network, train), own in grouped.items()
    ]
    return sorted(found, key=lambda share: -share.seconds)
