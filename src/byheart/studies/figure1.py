"""A17 Figure 1: are some examples easier than others?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from scipy import stats

from byheart.charts.figure import Axis, Figure, Point
from byheart.measures.difficulty import Difficulty, difficulty
from byheart.statistics.verdict import Criterion, Evidence, Rule
from byheart.studies.base import NOTHING_KNOWN, Claim, Records, Setting
from byheart.studies.conditions import KINDS, Condition, Values, tally
from byheart.trial import CorrectProbe, DataFacts, Trial

TO_RANDX = "log2 over-dispersion of P(correct), real minus randX"
TO_RANDY = "log2 over-dispersion of P(correct), real minus randY"
ON_RANDX = "log2 over-dispersion of P(correct) on randX"
ON_RANDY = "log2 over-dispersion of P(correct) on randY"
FACTOR = round(float(np.log2(1.25)), 3)
RANKS = 150
"""Points of a curve over sorted examples; the eye cannot tell more apart."""


class Figure1:
    """P(correct) after one epoch, over many initialisations on each of a few draws of the data.

    A seed is one draw of the data with its own initialisations, so that seeds are independent:
    resampling initialisations within one draw would add their binomial noise a second time.
    """

    name = "figure-1"
    title = "Easy and hard examples"
    source = "A17 Fig 1, §3.1"
    claims = (
        Claim(
            "easy-examples",
            "A17 Fig 1",
            "P(correct) varies far more between examples on real data than on randX or randY",
            Rule((Criterion(TO_RANDX, "above", 1.0), Criterion(TO_RANDY, "above", 1.0))),
        ),
        Claim(
            "randx-binomial",
            "A17 Fig 1",
            "on randX all examples are equally hard: the spread is binomial",
            Rule((Criterion(ON_RANDX, "within", FACTOR),)),
        ),
        Claim(
            "randy-patterns",
            "A17 Fig 1, §3.1",
            "on randY the spread is more than binomial: shared patterns are used",
            Rule((Criterion(ON_RANDY, "above", FACTOR),)),
        ),
    )

    def plan(self, setting: Setting, known: Records = NOTHING_KNOWN) -> Sequence[Trial]:
        """Return the trials: kinds x draws x initialisations, one epoch each."""
        return [
            trial
            for kind in KINDS
            for draw in range(setting.seeds)
            for trial in _trials(setting, kind, draw)
        ]

    def judge(self, records: Records, setting: Setting) -> Mapping[str, Evidence]:
        """Return the log2 over-dispersion of each draw, within classes."""
        by_kind = {kind.name: _difficulties(records, setting, kind) for kind in KINDS}
        real, randx, randy = (
            np.array([_log2_spread(draw) for draw in of_kind]) for of_kind in by_kind.values()
        )
        count, plain = tally(records, self.plan(setting)), _plain_ratios(by_kind)
        return {
            "easy-examples": count.evidence(
                {TO_RANDX: real - randx, TO_RANDY: real - randy}, note=plain
            ),
            "randx-binomial": count.evidence({ON_RANDX: randx}, note=plain),
            "randy-patterns": count.evidence({ON_RANDY: randy}, note=plain),
        }

    def figures(self, records: Records, setting: Setting) -> Sequence[Figure]:
        """Return P(correct) of the sorted examples, with the binomial of the same mean."""
        points: list[Point] = []
        runs = setting.preset.examples.initialisations
        for kind in KINDS:
            draws = [draw for draw in _difficulties(records, setting, kind) if draw is not None]
            if not draws:
                continue
            curve = np.mean([np.sort(draw.p_correct)[::-1] for draw in draws], axis=0)
            hardest_first = (np.arange(len(curve)) + 0.5) / len(curve)
            binomial = stats.binom(runs, curve.mean()).ppf(hardest_first)[::-1] / runs
            points += _sorted_points(kind.name, curve)
            points += _sorted_points(f"{kind.name}, binomial", binomial)
        names = [kind.name for kind in KINDS]
        dashed = tuple(f"{name}, binomial" for name in names)
        return [
            Figure(
                id="figure-1",
                title="P(correct) of each training example after one epoch",
                source="A17 Fig 1",
                reading=(
                    "Examples are sorted from easy to hard. Where a line leaves its dashed "
                    f"binomial, which is what {runs} equally hard examples would give by chance, "
                    "some examples are easier than others."
                ),
                x=Axis("examples, easiest first", percent=True),
                y=Axis("P(correct)", percent=True),
                series=(*names, *dashed),
                points=tuple(points),
                legend="training data",
                dashed=dashed,
                marks=False,
            )
        ]


@lru_cache(maxsize=256)
def _trials(setting: Setting, kind: Condition, draw: int) -> tuple[Trial, ...]:
    numbers = setting.preset.examples
    algorithm = numbers.algorithm(setting.network(numbers.hidden), epochs=1)
    data = DataFacts(
        fingerprint=setting.data.fingerprint,
        train=numbers.train,
        validation=0,
        inputs=kind.inputs,
        labels=kind.labels,
        seed=draw,
    )
    first = draw * numbers.initialisations
    return tuple(
        Trial(data=data, algorithm=algorithm, seed=seed, probes=(CorrectProbe(epochs=(1,)),))
        for seed in range(first, first + numbers.initialisations)
    )


def _difficulties(records: Records, setting: Setting, kind: Condition) -> list[Difficulty | None]:
    """Return the difficulty of each draw; None where fewer than two initialisations lasted."""
    difficulties: list[Difficulty | None] = []
    for draw in range(setting.seeds):
        lasted = map(records.lasted, _trials(setting, kind, draw))
        used = [record for record in lasted if record is not None]
        if len(used) < 2:
            difficulties.append(None)
            continue
        n = setting.preset.examples.train
        bits = np.stack([record.arrays["correct.bits"][0] for record in used])
        correct = np.unpackbits(bits, axis=1, count=n).astype(bool)
        difficulties.append(difficulty(correct, used[0].arrays["correct.label"]))
    return difficulties


def _log2_spread(draw: Difficulty | None) -> float:
    """Return the log2 over-dispersion within classes; NaN where there is none to speak of."""
    return float(np.log2(draw.within_classes)) if draw and draw.within_classes > 0 else float("nan")


def _plain_ratios(by_kind: Mapping[str, Sequence[Difficulty | None]]) -> str:
    """Return the paper's own reading: variance over the binomial's, all classes together."""
    ratios = []
    for kind, of_kind in by_kind.items():
        values = [draw.over_dispersion for draw in of_kind if draw is not None]
        values = [value for value in values if np.isfinite(value)]
        if values:
            ratios.append(f"{np.mean(values):.3g} on {kind}")
    if not ratios:
        return ""
    return f"over the plain binomial, without regard to classes: {', '.join(ratios)}"


def _sorted_points(series: str, curve: Values) -> list[Point]:
    """Return points of a sorted curve at quantiles of the examples in (0, 1)."""
    n = len(curve)
    ranks = np.unique(np.linspace(0, n - 1, RANKS).round().astype(np.int64))
    return [Point("", series, float((rank + 0.5) / n), float(curve[rank])) for rank in ranks]
