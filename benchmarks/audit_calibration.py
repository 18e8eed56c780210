"""Do the audit's intervals hold the truth? A hundred audits of digits with wrong labels.

    python -m benchmarks.audit_calibration [AUDITS]

Audits differ in seed, and take turns among six kinds of wrong labels. Counted is how often the true
precision and recall of the flagged list, and the true number of wrong labels, lie in their 90%
intervals; audits that flag nothing have no precision, and are counted apart.
"""

from __future__ import annotations

import math
import sys

import numpy as np
import torch
from scipy import stats

import byheart
from benchmarks.audit_data import LEARNING_RATES, mislabelled, mlp_digits

KINDS = ((0.05, False), (0.1, False), (0.2, False), (0.4, False), (0.1, True), (0.2, True))
"""Rate, and whether classes that look alike are confused."""
PRECISION = 0.9


def one(rate: float, pairs: bool, seed: int) -> dict[str, float]:
    """Return what an audit said, and what is true."""
    data = mislabelled(byheart.load_dataset("digits"), rate, seed, pairs=pairs)
    wrong = (data.y != data.clean_y).numpy()
    found = byheart.audit(
        mlp_digits, data, learning_rate=LEARNING_RATES["digits"], precision=PRECISION, seed=seed
    )
    assert found.calibration is not None
    listed = found.table["flagged"].to_numpy()
    truth = {
        "precision": wrong[listed].mean() if listed.any() else math.nan,
        "recall": wrong[listed].sum() / wrong.sum(),
        "mislabelled": float(wrong.sum()),
    }
    row = {"flagged": float(listed.sum())}
    for name, value in truth.items():
        said = getattr(found.calibration, name)
        row |= {
            name: value,
            f"{name}_said": said.value,
            f"{name}_low": said.low,
            f"{name}_high": said.high,
        }
    return row


def in_words(kind: tuple[float, bool] | None) -> str:
    return "all" if kind is None else f"{kind[0]:.0%} {'pairs' if kind[1] else 'any'}"


def main(audits: int) -> None:
    torch.set_num_threads(1)
    rows: list[tuple[tuple[float, bool], dict[str, float]]] = []
    for seed in range(audits):
        kind = KINDS[seed % len(KINDS)]
        row = one(*kind, seed)
        rows.append((kind, row))
        print(
            f"{seed:3} {in_words(kind)}: flagged {row['flagged']:.0f}, "
            f"precision {row['precision']:.3f}, said {row['precision_said']:.3f} "
            f"[{row['precision_low']:.3f}, {row['precision_high']:.3f}]",
            flush=True,
        )
    for kind in (None, *KINDS):
        some = [row for one_kind, row in rows if kind in (None, one_kind)]
        if some:
            print(f"\n{in_words(kind)}")
            summarise(some)


def summarise(rows: list[dict[str, float]]) -> None:
    for name in ("precision", "recall", "mislabelled"):
        judged = [row for row in rows if not math.isnan(row[name])]
        if not judged:
            print(f"  {name}: no audit flagged anything")
            continue
        hits = sum(row[f"{name}_low"] <= row[name] <= row[f"{name}_high"] for row in judged)
        interval = stats.binomtest(hits, len(judged)).proportion_ci(method="wilson")
        width = np.mean([row[f"{name}_high"] - row[f"{name}_low"] for row in judged])
        print(
            f"  {name}: true value in the interval in {hits} of {len(judged)} "
            f"[{interval.low:.2f}, {interval.high:.2f}]; mean width {width:.3g}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
