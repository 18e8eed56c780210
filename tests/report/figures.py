"""Made-up figures of every shape: panels and none, kinds and levels, linear and log axes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from math import exp

import numpy as np

from byheart.charts.figure import Axis, Figure, Point
from byheart.report.study import Section

KINDS = ("real", "randX", "randY")
LEVELS = ("0%", "20%", "40%", "60%", "80%")


def _line(
    panel: str,
    series: str,
    xs: Iterable[float],
    y: Callable[[float], float],
    half: float | None = None,
) -> list[Point]:
    points = []
    for x in xs:
        value = y(x)
        band = (None, None) if half is None else (value - half, value + half)
        points.append(Point(panel, series, float(x), value, *band))
    return points


def _fitting(noise: float, epoch: float) -> float:
    return 1 - 0.9 * exp(-epoch / (4 + 40 * noise))


def _generalizing(noise: float, epoch: float) -> float:
    learned = (0.95 - 0.3 * noise) * (1 - exp(-epoch / 3))
    return learned - noise * 0.5 * (1 - exp(-epoch / 60))


EPOCHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 120)


def sorted_examples() -> Figure:
    """Return the figure of a thousand points a series: no bands, no marks."""
    rank = np.linspace(0, 1, 1000)
    spread = {"real": 0.45, "randX": 0.055, "randY": 0.12, "binomial": 0.05}
    middle = {"real": 0.8, "randX": 0.16, "randY": 0.19, "binomial": 0.16}
    points: list[Point] = []
    for name, width in spread.items():
        curve = middle[name] + width * np.sort(np.random.default_rng(7).normal(size=1000))
        points += [
            Point("", name, float(x), float(np.clip(y, 0, 1)))
            for x, y in zip(rank, curve, strict=True)
        ]
    return Figure(
        id="p-correct",
        title="Some real examples are learned by every network, noise by chance alone",
        source="A17 Fig 1",
        reading="Each curve sorts the training examples by the share of networks that classify "
        "them correctly after one epoch; a flat curve means that all are equally hard.",
        x=Axis("examples, sorted", percent=True),
        y=Axis("P(correct)"),
        series=(*KINDS, "binomial"),
        points=tuple(points),
        legend="training data",
        dashed=("binomial",),
        marks=False,
    )


def figures() -> list[Figure]:
    """Return eight figures: one panel and many, kinds and levels, linear and log axes."""
    return [sorted_examples(), *_dynamics_figures(), *_time_figures()]


def _dynamics_figures() -> list[Figure]:
    top = {"real": 0.02, "randX": 0.14, "randY": 0.21}
    growth = [
        point
        for panel in ("validation examples", "training examples")
        for kind in KINDS
        for point in _line(
            panel, kind, EPOCHS, lambda e, k=kind: top[k] * (1 - exp(-e / 15)), 0.008
        )
    ]
    curves = [
        point
        for panel, shape in (
            ("noisy inputs, training", _fitting),
            ("noisy inputs, validation", _generalizing),
            ("noisy labels, training", _fitting),
            ("noisy labels, validation", _generalizing),
        )
        for index, level in enumerate(LEVELS)
        for point in _line(panel, level, EPOCHS, partial(shape, index / 5), 0.015)
    ]
    noise = [
        point
        for series, slope in (("noise in inputs", 0.13), ("noise in labels", 0.2))
        for point in _line("", series, (0, 0.2, 0.4, 0.6, 0.8, 1), lambda x, s=slope: s * x, 0.01)
    ]
    radii = [
        point
        for radius in ("radius 1/255", "radius 2/255", "radius 5/255")
        for kind in KINDS
        for point in _line(
            radius,
            kind,
            (1, 8, 32, 120),
            lambda e, k=kind, r=radius: top[k] * float(r[7]) * (1 - exp(-e / 15)) / 2,
            0.01,
        )
    ]
    return [
        Figure(
            id="csr-training",
            title="Networks that learn noise draw more boundaries near the data",
            source="A17 Fig 9",
            reading="Critical sample ratio over training, mean over seeds with its 95% interval; "
            "higher means that more examples lie near a decision boundary.",
            x=Axis("epoch", log=True),
            y=Axis("critical sample ratio", percent=True),
            series=KINDS,
            points=tuple(growth),
            legend="training data",
        ),
        Figure(
            id="accuracy-training",
            title="Patterns are learned first, noise later",
            source="A17 Fig 7, 8",
            reading="Accuracy over training at rising noise levels; with noisy labels validation "
            "accuracy peaks early and falls while the noise is fitted.",
            x=Axis("epoch", log=True),
            y=Axis("accuracy", percent=True),
            series=LEVELS,
            points=tuple(curves),
            legend="noise level",
            ordered=True,
            marks=False,
        ),
        Figure(
            id="csr-noise",
            title="The more noise, the more critical samples",
            source="A17 Fig 9",
            reading="Critical sample ratio at the end of training against the noise level.",
            x=Axis("noise level", percent=True),
            y=Axis("critical sample ratio"),
            series=("noise in inputs", "noise in labels"),
            points=tuple(noise),
        ),
        Figure(
            id="csr-radius",
            title="The ordering holds at other radii",
            source="A17 footnote 6",
            reading="The same curves, each panel with another radius of the search box.",
            x=Axis("epoch", log=True),
            y=Axis("critical sample ratio", percent=True),
            series=KINDS,
            points=tuple(radii),
            legend="training data",
        ),
    ]


def _time_figures() -> list[Figure]:
    widths, sizes = (16, 32, 64, 128, 256), (125, 250, 500, 1000)
    width = [
        point
        for index, level in enumerate(LEVELS)
        for point in _line(
            "", level, widths, lambda w, i=index: (60 + 70 * i) * (w / 16) ** (-0.3 - i / 20), 6
        )
    ]
    size = [
        point
        for index, level in enumerate(LEVELS)
        for point in _line(
            "", level, sizes, lambda n, i=index: (20 + 9 * i) * (n / 125) ** (0.3 + i / 8), 3
        )
    ]
    fit = [
        point
        for kind in KINDS
        for point in _line(
            "",
            kind,
            (4, 8, 16, 32, 64, 128),
            lambda w, k=kind: 1 / (1 + (KINDS.index(k) + 1) * 30 / w**2),
        )
    ]
    return [
        Figure(
            id="time-width",
            title="Wider networks converge sooner",
            source="A17 Fig 6 left",
            reading="Median epochs until 100% training accuracy against the width of the hidden "
            "layer; both axes are logarithmic, so that a power law is a straight line.",
            x=Axis("hidden units", log=True),
            y=Axis("epochs to convergence", log=True),
            series=LEVELS,
            points=tuple(width),
            legend="noise level",
            ordered=True,
        ),
        Figure(
            id="time-size",
            title="More examples take longer, noise longest",
            source="A17 Fig 6 right",
            reading="Median epochs until 100% training accuracy against the number of examples.",
            x=Axis("training examples", log=True),
            y=Axis("epochs to convergence", log=True),
            series=LEVELS,
            points=tuple(size),
            legend="noise level",
            ordered=True,
        ),
        Figure(
            id="fit-width",
            title="Noise needs more units",
            source="K17 (1)",
            reading="Share of trials that reach 100% training accuracy, by width.",
            x=Axis("hidden units", log=True),
            y=Axis("share converged", percent=True),
            series=KINDS,
            points=tuple(fit),
            legend="training data",
        ),
    ]


def sections() -> list[Section]:
    """Return the sections of the run, one with a claim that was not run."""
    by_id = {figure.id: figure for figure in figures()}

    def section(title: str, source: str, claims: tuple[str, ...], *ids: str) -> Section:
        return Section(title, source, claims, tuple(by_id[one] for one in ids))

    return [
        section(
            "Easy examples and patterns",
            "A17 Fig 1",
            ("easy-examples", "randx-binomial", "randy-patterns"),
            "p-correct",
        ),
        section(
            "Critical samples",
            "A17 Fig 9",
            ("csr-noise", "csr-growth", "csr-train-fall", "csr-radius", "csr-memorization"),
            "csr-training",
            "csr-noise",
            "csr-radius",
        ),
        section(
            "Accuracy while noise is learned",
            "A17 Fig 7, 8",
            ("noise-hurts", "patterns-first"),
            "accuracy-training",
        ),
        section(
            "Time to convergence and capacity",
            "A17 Fig 6; K17 (1), (2)",
            (
                "time-capacity",
                "time-size",
                "time-order",
                "capacity-noise",
                "capacity-data",
                "capacity-validation",
            ),
            "time-width",
            "time-size",
            "fit-width",
        ),
    ]
