"""Do the audit's intervals hold the truth?"""

from __future__ import annotations

from typing import Any

import byheart
from benchmarks.audit.cases import Case
from benchmarks.audit_data import LEARNING_RATES, NETWORKS

PRECISION = 0.9


def measure(case: Case) -> dict[str, Any]:
    """Return what an audit said, and what is true; a list of none has no precision."""
    data = case.audited()
    wrong = (data.y != data.clean_y).numpy()
    found = byheart.audit(
        NETWORKS[case.source],
        data,
        learning_rate=LEARNING_RATES[case.source],
        precision=PRECISION,
        seed=case.seed,
    )
    assert found.calibration is not None
    listed = found.table["flagged"].to_numpy()
    truth = {
        "precision": float(wrong[listed].mean()) if listed.any() else None,
        "recall": float(wrong[listed].sum() / wrong.sum()),
        "mislabelled": float(wrong.sum()),
    }
    said = {name: getattr(found.calibration, name) for name in truth}
    return {"flagged": int(listed.sum())} | {
        name: {"true": truth[name], "said": one.value, "low": one.low, "high": one.high}
        for name, one in said.items()
    }
