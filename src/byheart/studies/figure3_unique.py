"""A17 Figure 3, right: loss-sensitivity where every training example is a class of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from byheart.charts.figure import Figure
from byheart.statistics.verdict import Criterion, Evidence, Rule
from byheart.studies.base import NOTHING_KNOWN, Claim, Records, Setting
from byheart.studies.conditions import RANDX, REAL, Condition
from byheart.studies.sensitivity import (
    GINI_SMALLEST,
    evidence,
    final_gini,
    gini_figure,
    gini_name,
    grown,
    times,
    trials,
)
from byheart.trial import Trial


class Figure3Unique:
    """The Gini coefficient with unique labels; to shuffle these changes nothing, so no randY."""

    name = "figure-3-unique"
    title = "Loss-sensitivity without classes"
    source = "A17 Fig 3 right"
    claims = (
        Claim(
            "gini-unique",
            "A17 Fig 3 right",
            "the same when each example is its own class: loss-sensitivity is spread more unevenly "
            "on real than on random data",
            Rule((Criterion(gini_name(RANDX), "above", GINI_SMALLEST),)),
        ),
    )

    def plan(self, setting: Setting, known: Records = NOTHING_KNOWN) -> Sequence[Trial]:
        """Return the trials: real and random inputs, by seed."""
        return [trial for arm in _arms(setting).values() for trial in arm]

    def judge(self, records: Records, setting: Setting) -> Mapping[str, Evidence]:
        """Return paired differences per seed; a gap where a derivative was lost."""
        arms = _arms(setting)
        real, random = (final_gini(records, arms[kind])[:, 0] for kind in (REAL, RANDX))
        found = evidence(
            {gini_name(RANDX): real - random},
            records,
            list(arms.values()),
            note=grown(records, arms),
        )
        return {"gini-unique": found}

    def figures(self, records: Records, setting: Setting) -> Sequence[Figure]:
        """Return the Gini coefficient over updates."""
        own = setting.preset.sensitivity
        return [
            gini_figure(
                records,
                _arms(setting),
                times(own.unique_updates, own.unique_evaluations),
                id="figure-3-unique",
                title="How unevenly loss-sensitivity is spread, every example a class of its own",
                source=self.source,
            )
        ]


def _arms(setting: Setting) -> dict[Condition, tuple[Trial, ...]]:
    own = setting.preset.sensitivity
    return {
        kind: trials(
            setting,
            kind,
            learning_rate=own.unique_learning_rate,
            updates=own.unique_updates,
            evaluations=own.unique_evaluations,
            unique_labels=True,
        )
        for kind in (REAL, RANDX)
    }
