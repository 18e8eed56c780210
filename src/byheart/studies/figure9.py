"""A17 Figure 9 and section 4: critical samples of networks that train on noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from byheart.charts.figure import Axis, Figure
from byheart.statistics.verdict import Criterion, Evidence, Rule
from byheart.studies import dynamics
from byheart.studies.base import NOTHING_KNOWN, ON_CIFAR, ON_MNIST, Claim, Records, Setting
from byheart.studies.conditions import (
    KINDS,
    Condition,
    Values,
    extremes,
    mean_points,
    read,
    slope,
)
from byheart.studies.dynamics import (
    FIRST_EPOCH_UPDATES,
    at_epoch,
    by_inputs,
    by_labels,
    curves,
)
from byheart.trial import Trial

SLOPE_X = "slope of final CSR on input noise level"
SLOPE_Y = "slope of final CSR on label noise level"
EARLY = f"after {FIRST_EPOCH_UPDATES} updates"
GROWTH = f"final CSR minus CSR {EARLY}, on "
SETTLING = "growth of CSR in the first half of training minus growth in the second"
TRAIN_RISE = f"CSR on training examples at its peak minus {EARLY}"
TRAIN_FALL = "CSR on training examples at its peak minus at the end"
RISE = "slope of CSR on log2 epoch, from the validation peak until the noise is fitted"
SHARPER = "slope of CSR on log2 epoch after the validation peak minus before it"
Bounds = Mapping[str, tuple[Values, Values]]
RADII = ("a third of the radius", "the radius", "three times the radius")


def _bracket(setting: Setting) -> str:
    numbers = setting.preset.dynamics
    return (
        "Shaded up to the thin dashed line: what the search may have missed, as the certificate "
        f"bounds it from above on the first {numbers.certified_examples} of "
        f"{numbers.critical_examples} validation examples."
    )


def _radius_names(noise: str) -> tuple[str, ...]:
    return tuple(f"slope of final CSR on {noise} noise level at {radius}" for radius in RADII)


class Figure9:
    """Critical sample ratio (CSR) by noise level, over training, and at other radii."""

    name = "figure-9"
    title = "Critical samples"
    source = "A17 Fig 7, 8, 9, §4"
    claims = (
        Claim(
            "csr-noise",
            "A17 Fig 9, 7, 8",
            "CSR is higher for networks trained on noise, and higher the more noise",
            Rule((Criterion(SLOPE_X, "above", 0.02), Criterion(SLOPE_Y, "above", 0.02))),
            drawn_on=f"{ON_CIFAR} (Fig 8, 9); {ON_MNIST} (Fig 7)",
        ),
        Claim(
            "csr-growth",
            "A17 Fig 9",
            "CSR grows during training, then settles",
            Rule(
                (
                    *(Criterion(GROWTH + kind.name, "above", 0.01) for kind in KINDS),
                    Criterion(SETTLING, "above", 0.01),
                )
            ),
            drawn_on=ON_CIFAR,
        ),
        Claim(
            "csr-train-fall",
            "A17 footnote 5",
            "on the training set CSR rises, then falls",
            Rule((Criterion(TRAIN_RISE, "above", 0.005), Criterion(TRAIN_FALL, "above", 0.005))),
        ),
        Claim(
            "csr-radius",
            "A17 footnote 6",
            "other radii give the same ordering",
            Rule(
                tuple(
                    Criterion(name, "above", 0.005)
                    for noise in ("input", "label")
                    for name in _radius_names(noise)
                )
            ),
        ),
        Claim(
            "csr-memorization",
            "A17 §4.2",
            "CSR rises sharply as the network goes from fitting real examples to fitting noisy "
            "ones",
            Rule((Criterion(RISE, "above", 0.002), Criterion(SHARPER, "above", 0.002))),
        ),
    )

    def plan(self, setting: Setting, known: Records = NOTHING_KNOWN) -> Sequence[Trial]:
        """Return the trials at every noise level: those of Figures 7 and 8."""
        return dynamics.plan(setting)

    def judge(self, records: Records, setting: Setting) -> Mapping[str, Evidence]:
        """Return slopes and differences of CSR per seed."""
        slopes, slope_bounds = _slopes(records, setting)
        growth, growth_bounds = _growth(records, setting)
        fall, fall_bounds = _train_fall(records, setting)
        at = _radius_index(setting)
        at_radius = {
            SLOPE_X: _radius_names("input")[at],
            SLOPE_Y: _radius_names("label")[at],
        }
        by_claim = {
            "csr-noise": {name: slopes[there] for name, there in at_radius.items()},
            "csr-growth": growth,
            "csr-train-fall": fall,
            "csr-radius": slopes,
            "csr-memorization": _sharper(records, setting),
        }
        bounds = {
            "csr-noise": {name: slope_bounds[there] for name, there in at_radius.items()},
            "csr-growth": growth_bounds,
            "csr-train-fall": fall_bounds,
            "csr-radius": slope_bounds,
        }
        notes = {"csr-noise": _control(records, setting)}
        if certified := dynamics.certified_epochs(setting):
            notes["csr-memorization"] = (
                f"on what the search found alone: epochs before {certified[0]} have no upper bound"
            )
        return {
            claim: dynamics.evidence(
                values, records, setting, note=notes.get(claim, ""), bounds=bounds.get(claim)
            )
            for claim, values in by_claim.items()
        }

    def figures(self, records: Records, setting: Setting) -> Sequence[Figure]:
        """Return CSR over epochs, by noise level at every radius, and the search's own curve."""
        return [
            _over_training(records, setting, "inputs", by_inputs(setting)),
            _over_training(records, setting, "labels", by_labels(setting)),
            _by_level(records, setting),
            _search_success(records, setting),
        ]


def _conditions(setting: Setting) -> tuple[Condition, ...]:
    return tuple(dict.fromkeys((*by_inputs(setting), *by_labels(setting))))


def _radius_index(setting: Setting) -> int:
    numbers = setting.preset.dynamics
    return numbers.radii.index(numbers.radius)


def _slopes(records: Records, setting: Setting) -> tuple[dict[str, Values], Bounds]:
    """Return the slope of the final CSR on either noise level at each radius, and its range."""
    slopes, ranges = {}, {}
    for noise, conditions in (("input", by_inputs(setting)), ("label", by_labels(setting))):
        levels = np.array([c.inputs + c.labels for c in conditions])
        weights = (levels - levels.mean()) / ((levels - levels.mean()) ** 2).sum()
        lower, upper = _final(records, setting, conditions)
        for index, name in enumerate(_radius_names(noise)):
            slopes[name] = slope(levels, lower[..., index])
            ranges[name] = extremes(weights, lower[..., index], upper[..., index])
    return slopes, ranges


def _final(
    records: Records, setting: Setting, conditions: Sequence[Condition]
) -> tuple[Values, Values]:
    """Return the final CSR, and its upper bound, at each level and radius, [S, levels, radii]."""
    of_level = [curves(records, setting, condition) for condition in conditions]
    lower = np.stack([curve.critical[:, -1] for curve in of_level], axis=1)
    upper = np.stack([curve.critical_upper[:, -1] for curve in of_level], axis=1)
    return lower, upper


def _growth(records: Records, setting: Setting) -> tuple[dict[str, Values], Bounds]:
    """Return how much CSR grows on each kind, by how much less later, and their ranges."""
    at, early = _radius_index(setting), dynamics.early(setting)
    growth, ranges, settling, settling_ranges = {}, {}, [], []
    for kind in KINDS:
        curve = curves(records, setting, kind)
        half = int(np.searchsorted(curve.critical_epochs, setting.preset.dynamics.epochs // 2))
        late = len(curve.critical_epochs) - 1
        lower, upper = curve.critical[..., at], curve.critical_upper[..., at]
        start, middle, end = (lower[:, search] for search in (early, half, late))
        growth[GROWTH + kind.name] = end - start
        settling.append((middle - start) - (end - middle))
        grown = _weights(lower, (late, 1.0), (early, -1.0))
        ranges[GROWTH + kind.name] = extremes(grown, lower, upper)
        settled = _weights(lower, (half, 2.0), (early, -1.0), (late, -1.0))
        settling_ranges.append(extremes(settled, lower, upper))
    growth[SETTLING] = np.mean(settling, axis=0)
    return growth, {**ranges, SETTLING: _mean(settling_ranges)}


def _train_fall(records: Records, setting: Setting) -> tuple[dict[str, Values], Bounds]:
    """Return how much CSR on training examples rises to its peak and falls, and the ranges."""
    start, rise, fall, rises, falls = dynamics.early(setting), [], [], [], []
    for kind in KINDS:
        curve = curves(records, setting, kind)
        lower, upper = curve.critical_train[:, start:], curve.critical_train_upper[:, start:]
        peak = dynamics.peak_by_others(lower)
        highest = lower[np.arange(len(lower)), peak]
        rise.append(highest - lower[:, 0])
        fall.append(highest - lower[:, -1])
        rises.append(extremes(_weights(lower, (peak, 1.0), (0, -1.0)), lower, upper))
        falls.append(extremes(_weights(lower, (peak, 1.0), (-1, -1.0)), lower, upper))
    values = {TRAIN_RISE: np.mean(rise, axis=0), TRAIN_FALL: np.mean(fall, axis=0)}
    return values, {TRAIN_RISE: _mean(rises), TRAIN_FALL: _mean(falls)}


def _sharper(records: Records, setting: Setting) -> dict[str, Values]:
    """Return CSR's slope after the validation peak, and against before, mean over label noise."""
    at = _radius_index(setting)
    rises, changes = [], []
    for condition in dynamics.between(by_labels(setting)):
        curve = curves(records, setting, condition)
        # A peak at the first or last checkpoint leaves nothing before or after it to compare.
        peak = dynamics.peak_by_others(curve.validation).clip(1, len(curve.epochs) - 2)
        turn = curve.epochs[peak]
        fitted = np.maximum(
            dynamics.fitted_epoch(curve.epochs, curve.noisy), curve.epochs[peak + 1]
        )
        start = np.full(len(turn), curve.critical_epochs[0])
        ratio = curve.critical[..., at]
        first, middle, last = (
            at_epoch(curve.critical_epochs, ratio, when) for when in (start, turn, fitted)
        )
        rises.append((last - middle) / np.log2(fitted / turn))
        changes.append(rises[-1] - (middle - first) / np.log2(turn / start))
    return {RISE: np.mean(rises, axis=0), SHARPER: np.mean(changes, axis=0)}


def _weights(like: Values, *terms: tuple[int | np.ndarray, float]) -> Values:
    """Return the weights [S, X] of a sum of a few columns, each given once for all or per seed."""
    weights = np.zeros_like(like)
    for column, weight in terms:
        weights[np.arange(len(like)), column] += weight
    return weights


def _mean(ranges: Sequence[tuple[Values, Values]]) -> tuple[Values, Values]:
    low, high = (np.mean(ends, axis=0) for ends in zip(*ranges, strict=True))
    return low, high


def _control(records: Records, setting: Setting) -> str:
    """Return how much of the CSR the search's noise alone would have found."""
    at = _radius_index(setting)
    every = [trial for c in _conditions(setting) for trial in dynamics.trials(setting, c)]
    control = read(records, every, lambda record: record.arrays["critical.control"][at])
    searched = read(records, every, lambda record: record.arrays["critical.validation"][-1, at])
    if not np.isfinite(searched).any():
        return ""
    return (
        f"control: the search without its gradient finds a CSR of {np.nanmean(control):.3f} where "
        f"the search finds {np.nanmean(searched):.3f} (mean over all levels)"
    )


def _radius_text(radius: float) -> str:
    return f"r = {radius * 255:.3g}/255"


def _over_training(
    records: Records, setting: Setting, noise: str, conditions: Sequence[Condition]
) -> Figure:
    at = _radius_index(setting)
    points = []
    for condition in conditions:
        curve = curves(records, setting, condition)
        for panel, ratio, upper in (
            ("validation examples", curve.critical[..., at], curve.critical_upper[..., at]),
            ("training examples", curve.critical_train, curve.critical_train_upper),
        ):
            points += mean_points(panel, condition.name, curve.critical_epochs, ratio, upper=upper)
    radius = _radius_text(setting.preset.dynamics.radius)
    return Figure(
        id=f"figure-9-{noise}",
        title=f"Critical sample ratio over training, noise in the {noise}",
        source="A17 Fig 9, footnote 5",
        reading=(
            f"The share of examples with another predicted class within {radius}, as found by the "
            "search: a lower bound. A line further up has its decision boundary nearer to the "
            f"data. {_bracket(setting)}"
        ),
        x=Axis("epoch", log=True),
        y=Axis("critical sample ratio", percent=True),
        series=tuple(condition.name for condition in conditions),
        points=tuple(point.clipped() for point in points),
        legend=f"fraction of {noise} replaced by noise",
        ordered=True,
    )


def _by_level(records: Records, setting: Setting) -> Figure:
    numbers = setting.preset.dynamics
    points = []
    for panel, conditions in (
        ("noise in the inputs", by_inputs(setting)),
        ("noise in the labels", by_labels(setting)),
    ):
        lower, upper = _final(records, setting, conditions)
        for index, radius in enumerate(numbers.radii):
            final, above = lower[..., index], upper[..., index]
            points += mean_points(panel, _radius_text(radius), numbers.levels, final, upper=above)
    return Figure(
        id="figure-9-radius",
        title="Critical sample ratio at the end of training, at several radii",
        source="A17 Fig 9, footnote 6",
        reading=(
            "A line that climbs says that more noise brings more critical samples; the ordering is "
            f"the same at all radii if all lines climb. {_bracket(setting)}"
        ),
        x=Axis("fraction replaced by noise", percent=True),
        y=Axis("critical sample ratio", percent=True),
        series=tuple(_radius_text(radius) for radius in numbers.radii),
        points=tuple(point.clipped() for point in points),
        legend="radius of the box",
        ordered=True,
    )


def _search_success(records: Records, setting: Setting) -> Figure:
    at = _radius_index(setting)
    steps = range(setting.preset.dynamics.max_steps + 1)
    points = []
    for condition in by_labels(setting):
        success = read(
            records,
            dynamics.trials(setting, condition),
            lambda record: record.arrays["critical.success"][:, at],
            (len(steps),),
        )
        points += mean_points("", condition.name, steps, success)
    return Figure(
        id="figure-9-search",
        title="Critical samples found by each iteration of the search",
        source="A17 Algorithm 1",
        reading=(
            "A flat end says that more iterations would find few more. At iteration 0 stand those "
            "that a smaller radius had settled."
        ),
        x=Axis("iteration of the search"),
        y=Axis("critical sample ratio found", percent=True),
        series=tuple(condition.name for condition in by_labels(setting)),
        points=tuple(point.clipped() for point in points),
        legend="fraction of labels replaced by noise",
        ordered=True,
    )
