"""A17 Figures 7 and 8: accuracy while a network trains on noisy inputs or labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from byheart.charts.figure import Axis, Figure
from byheart.statistics.verdict import Criterion, Evidence, Rule
from byheart.studies import dynamics
from byheart.studies.base import NOTHING_KNOWN, Claim, Records, Setting
from byheart.studies.conditions import Condition, Values, mean_points, slope
from byheart.studies.dynamics import FITTED, by_inputs, by_labels, curves
from byheart.trial import Trial

FINAL_X = "slope of final validation accuracy on input noise level"
BEST_X = "slope of best validation accuracy on input noise level"
FINAL_Y = "slope of final validation accuracy on label noise level"
BEST_Y = "slope of best validation accuracy on label noise level"
DROP = "validation accuracy at its peak minus at the end, with label noise"
LEAD = f"log2 of the epoch at which {FITTED:.0%} of noisy labels are fitted over the peak's"


class Figure7And8:
    """Validation accuracy peaks on patterns and falls while noise is fitted."""

    name = "figure-7-8"
    title = "Patterns first, noise later"
    source = "A17 Fig 7, 8"
    claims = (
        Claim(
            "noise-hurts",
            "A17 Fig 7, 8",
            "final and best validation accuracy fall with the noise level",
            Rule(
                tuple(Criterion(name, "below", 0.05) for name in (FINAL_X, BEST_X, FINAL_Y, BEST_Y))
            ),
        ),
        Claim(
            "patterns-first",
            "A17 Fig 7b, 8b",
            "with label noise, validation accuracy peaks before training accuracy is high, then "
            "falls",
            Rule((Criterion(DROP, "above", 0.02), Criterion(LEAD, "above", 0.322))),
        ),
    )

    def plan(self, setting: Setting, known: Records = NOTHING_KNOWN) -> Sequence[Trial]:
        """Return the trials at every noise level."""
        return dynamics.plan(setting)

    def judge(self, records: Records, setting: Setting) -> Mapping[str, Evidence]:
        """Return slopes on noise level, and the peak against the end, per seed."""
        hurt = {}
        for final, best, conditions in (
            (FINAL_X, BEST_X, by_inputs(setting)),
            (FINAL_Y, BEST_Y, by_labels(setting)),
        ):
            validation = [curves(records, setting, c).validation for c in conditions]
            levels = [c.inputs + c.labels for c in conditions]
            hurt[final] = slope(levels, np.stack([v[:, -1] for v in validation], axis=1))
            hurt[best] = slope(levels, np.stack([v.max(axis=1) for v in validation], axis=1))
        first = [
            _peak(records, setting, condition) for condition in dynamics.between(by_labels(setting))
        ]
        drop, lead = (np.mean(values, axis=0) for values in zip(*first, strict=True))
        note = "each seed's peak is taken where the mean curve of the other half of the seeds peaks"
        return {
            "noise-hurts": dynamics.evidence(hurt, records, setting),
            "patterns-first": dynamics.evidence(
                {DROP: drop, LEAD: lead}, records, setting, note=note
            ),
        }

    def figures(self, records: Records, setting: Setting) -> Sequence[Figure]:
        """Return training and validation accuracy over epochs, for either noise."""
        return [
            _figure(records, setting, "inputs", by_inputs(setting)),
            _figure(records, setting, "labels", by_labels(setting)),
        ]


def _peak(records: Records, setting: Setting, condition: Condition) -> tuple[Values, Values]:
    """Return the drop after the peak, and by how many octaves it comes before the noise, [S]."""
    own = curves(records, setting, condition)
    peak = dynamics.peak_by_others(own.validation)
    rows = np.arange(len(peak))
    drop = own.validation[rows, peak] - own.validation[:, -1]
    fitted = dynamics.fitted_epoch(own.epochs, own.noisy)
    return drop, np.log2(fitted / own.epochs[peak])


def _figure(
    records: Records, setting: Setting, noise: str, conditions: Sequence[Condition]
) -> Figure:
    points = []
    for condition in conditions:
        own = curves(records, setting, condition)
        for panel, values in (("training", own.train), ("validation", own.validation)):
            points += mean_points(panel, condition.name, own.epochs, values)
    return Figure(
        id=f"figure-7-8-{noise}",
        title=f"Accuracy over training, noise in the {noise}",
        source="A17 Fig 7a, 8a" if noise == "inputs" else "A17 Fig 7b, 8b",
        reading=(
            "Training accuracy goes on rising while noise is fitted; validation accuracy, on clean "
            "data, shows what that costs: a line that turns down has passed from patterns to noise."
        ),
        x=Axis("epoch", log=True),
        y=Axis("accuracy", percent=True),
        series=tuple(condition.name for condition in conditions),
        points=tuple(point.clipped() for point in points),
        legend=f"fraction of {noise} replaced by noise",
        ordered=True,
        marks=False,
    )
