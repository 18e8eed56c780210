"""What a study is: trials to run, a rule declared beforehand, evidence, and a chart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from byheart.charts.figure import Drawing
from byheart.record import Record
from byheart.statistics.verdict import Evidence, Rule
from byheart.studies.settings import Preset
from byheart.trial import CNN, MLP, Foreign, Network, Trial

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset

CROPPED_FROM = 32
"""Pixels a side from which on the crop applies: the papers take CIFAR-10's 32 down to 28."""
ON_MNIST = "MNIST, MLP"
ON_CIFAR = "CIFAR-10, CNN"
CHOSEN_WIDTH = "a width that can be chosen"
"""Requirement of claims that compare a network with wider ones."""


@dataclass(frozen=True)
class Claim:
    """A row of the claims table: a statement, and the rule that decides it.

    Attributes:
        id: its name.
        source: paper and figure, or where else the statement comes from.
        statement: what is claimed.
        rule: declared before the data are seen.
        needs: what it asks of a network beyond mapping inputs to one output per class, so that a
            user's own cannot decide it ("a width that can be chosen"); empty if nothing.
        drawn_on: data and network of the papers' figure; empty if we do not know them.
    """

    id: str
    source: str
    statement: str
    rule: Rule
    needs: str = ""
    drawn_on: str = ""


@dataclass(frozen=True)
class SourceFacts:
    """What planning needs to know of a data set.

    Attributes:
        name: what a report calls it.
        fingerprint: SHA-256 of its training split.
        examples: number of examples of its training split.
        shape: shape of one input.
        classes: name of each class.
        smallest_class: number of examples of the rarest class in the training split.
        test: SHA-256 of its test split; None if no study of the preset needs it.
    """

    name: str
    fingerprint: str
    examples: int
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    smallest_class: int
    test: str | None = None

    @classmethod
    def of(cls, dataset: Dataset) -> SourceFacts:
        """Return the facts of a data set."""
        return cls(
            name=dataset.name,
            fingerprint=dataset.fingerprint,
            examples=len(dataset),
            shape=dataset.shape,
            classes=dataset.classes,
            smallest_class=dataset.smallest_class,
            test=dataset.test_fingerprint,
        )

    @property
    def coloured(self) -> bool:
        """Whether the examples are images of three colours."""
        return len(self.shape) == 3 and self.shape[0] == 3

    def validation_source(self, train: int, validation: int) -> str | None:
        """Return the test split for validation examples that the training split cannot give.

        Args:
            train: number of training examples.
            validation: number of validation examples.

        Returns:
            SHA-256 of the test split; None for the training split.
        """
        return None if self.holds(train, validation) or not validation else self.test

    def holds(self, train: int, validation: int) -> bool:
        """Return whether the training split has as many examples, equally many of each class."""
        return train + validation <= self.smallest_class * len(self.classes)


@dataclass(frozen=True)
class Setting:
    """A preset on a data set with a number of seeds.

    Attributes:
        preset: the numbers of the run.
        data: the source.
        seeds: independent repetitions.
        model: a user's network, in place of the preset's own.
    """

    preset: Preset
    data: SourceFacts
    seeds: int
    model: Foreign | None = None

    def network(self, hidden: tuple[int, ...]) -> Network:
        """Return the network to train: the user's, the preset's CNN, or an MLP of these widths."""
        if self.model is None and self.preset.network == "cnn":
            return self.cnn(self.preset.filters.channels)
        return self.mlp(hidden)

    def mlp(self, hidden: tuple[int, ...]) -> Network:
        """Return the network of a study that has MLPs on any data: the user's, or an MLP."""
        return MLP(hidden=hidden) if self.model is None else self.model

    def network_of_width(self, width: int) -> Network:
        """Return a network of two hidden layers of a width: units, or filters of a CNN's first.

        A CNN's later convolutions keep their ratio to the first.
        """
        first, *_ = channels = self.preset.filters.channels
        if self.model is None and self.preset.network == "cnn":
            return self.cnn(tuple(max(1, round(width * count / first)) for count in channels))
        return self.mlp((width, width))

    def cnn(self, channels: tuple[int, ...]) -> CNN:
        """Return the papers' CNN with these numbers of filters."""
        numbers = self.preset.filters
        return CNN(
            channels=channels,
            dense=numbers.dense,
            kernel=numbers.kernel,
            pool=numbers.pool,
            crop=numbers.crop if min(self.data.shape[-2:]) >= CROPPED_FROM else 0,
        )

    def width_in_words(self, width: int) -> str:
        """Return what a network of a width is called in a chart."""
        network = self.network_of_width(width)
        return f"{width} units" if isinstance(network, MLP) else network.name

    @property
    def networks(self) -> str:
        """What the studies train, in words."""
        if self.model is not None:
            return self.model.name
        cnn = self.cnn(self.preset.filters.channels).name
        if self.preset.network == "cnn":
            return f"the papers' CNN ({cnn}); loss-sensitivity has an MLP"
        return "multilayer perceptrons; Figure 2 has the papers' CNN"

    @property
    def width_axis(self) -> str:
        """What a width counts, for the axis of a chart."""
        if self.model is None and self.preset.network == "cnn":
            return "filters of the first convolution"
        return "units per hidden layer"


class Records:
    """The records of a run, looked up by trial."""

    def __init__(self, records: Mapping[str, Record]) -> None:
        self._records = records

    def of(self, trial: Trial) -> Record | None:
        """Return the record of a trial, or None if it left none (it failed)."""
        record = self._records.get(trial.key)
        return None if record is None or record.outcome == "failed" else record

    def lasted(self, trial: Trial) -> Record | None:
        """Return the record of a trial, or None if it failed or diverged."""
        record = self.of(trial)
        return None if record is None or record.outcome == "diverged" else record

    def seconds(self, trials: Iterable[Trial]) -> float:
        """Return the training time of the trials that left a record."""
        keys = [trial.key for trial in trials if trial.key in self._records]
        return sum(self._records[key].seconds for key in keys)


NOTHING_KNOWN = Records({})
"""Before the first round."""


@runtime_checkable
class Study(Protocol):
    """A family of claims, such as a figure of the papers. ``plan`` and ``judge`` are pure."""

    @property
    def name(self) -> str:
        """Short name, for files and links."""
        ...

    @property
    def title(self) -> str:
        """Heading of its section on the page."""
        ...

    @property
    def source(self) -> str:
        """Where in the papers it stands."""
        ...

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The claims it decides."""
        ...

    def plan(self, setting: Setting, known: Records = NOTHING_KNOWN) -> Sequence[Trial]:
        """Return the trials that decide the claims, with duplicates allowed.

        Args:
            setting: preset, data and seeds.
            known: the records of the rounds before. A study whose next trials depend on the last
                ones (a bisection) returns those of all rounds so far and of the next; it is asked
                again until nothing is added.
        """
        ...

    def judge(self, records: Records, setting: Setting) -> Mapping[str, Evidence]:
        """Return the evidence on each claim, by its id."""
        ...

    def figures(self, records: Records, setting: Setting) -> Sequence[Drawing]:
        """Return the charts and pictures."""
        ...


@runtime_checkable
class AdaptiveStudy(Study, Protocol):
    """A study that plans in rounds, and so can only bound beforehand what it will train."""

    def costliest(self, setting: Setting, known: Records = NOTHING_KNOWN) -> Sequence[Trial]:
        """Return stand-ins for the trials of all rounds: no outcome leads to more or larger ones.

        Args:
            setting: preset, data and seeds.
            known: the records of the rounds before.
        """
        ...
