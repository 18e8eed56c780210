"""A17 Figure 2: do the filters of a CNN's first layer have structure, even on random labels?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from byheart.charts.figure import Axis, Figure, Picture, PictureFigure, Point, picture_of
from byheart.errors import InputError
from byheart.measures.first_layer import low_frequencies, network_low_frequency_energy
from byheart.networks.size import cnn_shapes
from byheart.record import Record
from byheart.statistics.verdict import Criterion, Evidence, Rule
from byheart.studies.base import NOTHING_KNOWN, ON_CIFAR, Claim, Records, Setting
from byheart.studies.conditions import (
    KINDS,
    RANDX,
    RANDY,
    REAL,
    Condition,
    Values,
    mean_points,
    read,
    tally,
    trials_per_seed,
)
from byheart.studies.presets import log_spaced
from byheart.trial import CNN, AccuracyProbe, FiltersProbe, Trial

ON_REAL = "log2 of low-frequency energy on real data, over initialisation"
ON_RANDY = "log2 of low-frequency energy on randY, over initialisation"
FACTOR = round(float(np.log2(1.25)), 3)
DRAWN = 32
"""Filters drawn of each network at most."""
WHITE = "no structure"


class Figure2:
    """The low-frequency energy of the first filters, after training on each kind of data."""

    name = "figure-2"
    title = "What the first layer learns"
    source = "A17 Fig 2"
    claims = (
        Claim(
            "first-layer",
            "A17 Fig 2",
            "a CNN's first-layer filters are structured on real data, and still visibly so on "
            "randY",
            Rule((Criterion(ON_REAL, "above", FACTOR), Criterion(ON_RANDY, "above", FACTOR))),
            needs="the first layer of byheart's CNN",
            drawn_on=ON_CIFAR,
        ),
    )

    def plan(self, setting: Setting, known: Records = NOTHING_KNOWN) -> Sequence[Trial]:
        """Return the trials: kinds x seeds; none where a CNN cannot be trained."""
        if _obstacle(setting):
            return []
        return [trial for kind in KINDS for trial in _trials(setting, kind)]

    def judge(self, records: Records, setting: Setting) -> Mapping[str, Evidence]:
        """Return for each seed the log2 ratio of energies, end over start of the same network."""
        obstacle = _obstacle(setting)
        if obstacle:
            nothing = np.full(setting.seeds, np.nan)
            gaps = {ON_REAL: nothing, ON_RANDY: nothing}
            return {"first-layer": Evidence(gaps, undecidable=obstacle)}
        energy = {kind: _energy(records, setting, kind) for kind in KINDS}
        grown = {kind: np.log2(values[:, -1] / values[:, 0]) for kind, values in energy.items()}
        evidence = tally(records, self.plan(setting)).evidence(
            {ON_REAL: grown[REAL], ON_RANDY: grown[RANDY]}, note=_note(energy, _epochs(setting))
        )
        return {"first-layer": evidence}

    def figures(self, records: Records, setting: Setting) -> Sequence[Figure | PictureFigure]:
        """Return the energy over training, and the filters of the first seed as pictures."""
        if _obstacle(setting):
            return []
        epochs = _epochs(setting)
        network, names = _network(setting), tuple(kind.name for kind in KINDS)
        points: list[Point] = []
        for kind in KINDS:
            # Time zero cannot stand on a logarithmic axis: it is drawn as half an epoch.
            drawn_at = [max(0.5, float(epoch)) for epoch in epochs]
            points += mean_points("", kind.name, drawn_at, _energy(records, setting, kind))
        share = float(low_frequencies(network.kernel).mean())
        ends = (0.5, float(epochs[-1]))
        if points:
            points += [Point("", WHITE, at, share) for at in ends]
        energy = Figure(
            id="figure-2-energy",
            title="Energy of the first filters in low spatial frequencies",
            source="A17 Fig 2",
            reading=(
                "A line above where it starts, which is the initialisation (drawn at half an "
                "epoch), has filters that became smoother; the dashed line is the share that "
                "independent weights give."
            ),
            x=Axis("epoch", log=True),
            y=Axis("share of energy in low frequencies", percent=True),
            series=(*names, WHITE),
            points=tuple(points),
            legend="training data",
            dashed=(WHITE,),
        )
        pictures = _pictures(records, setting)
        return [energy, *([_gallery(pictures)] if pictures else [])]


def _network(setting: Setting) -> CNN:
    return setting.cnn(setting.preset.filters.channels)


def _obstacle(setting: Setting) -> str:
    """Return why no CNN of ours can be trained, in words; nothing if it can."""
    if setting.model is not None:
        return "the claim is about the first layer of the papers' CNN, not of a network of your own"
    shape = setting.data.shape
    if len(shape) not in (2, 3):
        return f"the inputs are no images: their shape is {list(shape)}"
    try:
        cnn_shapes(_network(setting), shape, len(setting.data.classes))
    except InputError as error:
        return str(error)
    return ""


def _epochs(setting: Setting) -> tuple[int, ...]:
    numbers = setting.preset.filters
    return (0, *log_spaced(numbers.epochs, numbers.checkpoints))


def _trials(setting: Setting, kind: Condition) -> tuple[Trial, ...]:
    numbers, epochs = setting.preset.filters, _epochs(setting)
    algorithm = numbers.algorithm(_network(setting), numbers.epochs)
    probes = (AccuracyProbe(epochs=(numbers.epochs,)), FiltersProbe(epochs=epochs))
    return trials_per_seed(setting, kind, algorithm, train=numbers.train, probes=probes)


def _energy(records: Records, setting: Setting, kind: Condition) -> Values:
    """Return the energy at every checkpoint, [S, C]; NaN for a seed that diverged or failed."""

    def of(record: Record) -> Values:
        return network_low_frequency_energy(record.arrays["filters.weights"])

    return read(records, _trials(setting, kind), of, (len(_epochs(setting)),))


def _note(energy: Mapping[Condition, Values], epochs: Sequence[int]) -> str:
    """Return the mean share of every kind, randX among them as what no claim asks for."""
    shares = [
        f"{np.nanmean(values[:, -1]):.3g} on {kind.name}"
        for kind, values in energy.items()
        if np.isfinite(values[:, -1]).any()
    ]
    start = energy[REAL][:, 0]
    if not shares or not np.isfinite(start).any():
        return ""
    return (
        f"share of energy in low frequencies: {np.nanmean(start):.3g} at initialisation, at the "
        f"end {', '.join(shares)}; {_highest(energy[RANDY], epochs)}"
    )


def _highest(energy: Values, epochs: Sequence[int]) -> str:
    """Return when the mean over seeds was highest: patterns may come before noise is learned."""
    lasted = energy[np.isfinite(energy).all(axis=1)]
    if not len(lasted):
        return "randY left no value"
    curve = lasted.mean(axis=0)
    return f"randY was highest at epoch {epochs[int(curve.argmax())]}, with {curve.max():.3g}"


def _pictures(records: Records, setting: Setting) -> list[Picture]:
    """Return the filters of the first seed that lasted on all kinds, and its initialisation."""
    for seed in range(setting.seeds):
        lasted = {kind: records.lasted(_trials(setting, kind)[seed]) for kind in KINDS}
        weights = {k.name: r.arrays["filters.weights"] for k, r in lasted.items() if r is not None}
        if len(weights) < len(KINDS):
            continue
        shown = {"initialisation": weights[REAL.name][0]}
        shown |= {name: weights[name][-1] for name in (REAL.name, RANDY.name, RANDX.name)}
        return [picture_of(name, filters[:DRAWN]) for name, filters in shown.items()]
    return []


def _gallery(pictures: Sequence[Picture]) -> PictureFigure:
    return PictureFigure(
        id="figure-2-filters",
        title="The first filters of one network, before and after training",
        source="A17 Fig 2",
        reading=(
            "Each square is one filter, at the same place in every panel, on a scale of its own: "
            "grey is zero, white its largest weight, black the opposite. Smooth patches and bars "
            "are structure; what looks like the initialisation has none."
        ),
        pictures=tuple(pictures),
    )
