"""What an audit found as numbers: for scripts, and for conditions on them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from byheart.auditing.alerts import alerts
from byheart.report.audit.selection import conflicting

if TYPE_CHECKING:
    from byheart.auditing.calibration import Calibration, Estimate
    from byheart.auditing.onset import Onset
    from byheart.auditing.result import Audit


@dataclass(frozen=True)
class Quantity:
    """A number that a condition may ask about.

    Attributes:
        name: in conditions.
        meaning: in words.
        by_flips: it is known only if flips were planted.
    """

    name: str
    meaning: str
    by_flips: bool = False


QUANTITIES = (
    Quantity("flagged", "share of examples that are flagged", by_flips=True),
    Quantity("mislabelled", "estimated share of labels that are wrong", by_flips=True),
    Quantity("mislabelled_low", "lower end of its interval", by_flips=True),
    Quantity("mislabelled_high", "upper end of its interval", by_flips=True),
    Quantity("precision", "estimated share of the flagged labels that are wrong", by_flips=True),
    Quantity("recall", "estimated share of the wrong labels that are flagged", by_flips=True),
    Quantity("rare", "share of examples with the verdict 'rare'"),
    Quantity("ambiguous", "share of examples with the verdict 'ambiguous'"),
    Quantity("conflicts", "number of pairs of near-duplicates that are labelled differently"),
    Quantity("onset", "epoch at which memorization sets in; infinite if it did not"),
    Quantity("gain", "accuracy on held-out examples that stopping there gains, as a share"),
    Quantity("examples", "number of examples"),
    Quantity("epochs", "of each training"),
)


def quantities(audit: Audit) -> dict[str, float | None]:
    """Return the numbers that a condition may ask about, None for what is not known."""
    examples = len(audit.table)
    shares = audit.table["verdict"].value_counts() / examples
    found: dict[str, float | None] = dict.fromkeys(one.name for one in QUANTITIES)
    found |= {
        "rare": float(shares.get("rare", 0.0)),
        "ambiguous": float(shares.get("ambiguous", 0.0)),
        "conflicts": len(conflicting(audit.table)),
        "examples": examples,
        "epochs": audit.epochs,
    }
    calibration, onset = audit.calibration, audit.onset
    if calibration is not None:
        wrong = calibration.mislabelled
        found |= {
            "flagged": calibration.flagged / examples,
            "mislabelled": wrong.value / examples,
            "mislabelled_low": wrong.low / examples,
            "mislabelled_high": wrong.high / examples,
            "precision": calibration.precision.value if calibration.flagged else None,
            "recall": calibration.recall.value,
        }
    if onset is not None:
        found |= {"onset": onset.epoch if onset.reached else math.inf, "gain": onset.gain}
    return found


def summary(audit: Audit) -> dict[str, Any]:
    """Return what an audit found as JSON can hold it; what is not known is None."""
    verdicts = audit.table["verdict"].value_counts()
    return {
        "data": audit.name,
        "examples": len(audit.table),
        "classes": list(audit.classes),
        "seeds": audit.seeds,
        "epochs": audit.epochs,
        "window": audit.window,
        "alerts": [{"kind": one.kind, "text": one.text} for one in alerts(audit)],
        "flagged": None if audit.calibration is None else audit.calibration.flagged,
        "verdicts": {str(name): int(count) for name, count in verdicts.items() if name},
        "conflicts": [list(pair) for pair in conflicting(audit.table)],
        "onset": _onset(audit.onset),
        "calibration": _calibration(audit.calibration),
        "list": _list(audit),
    }


def _onset(onset: Onset | None) -> dict[str, Any] | None:
    if onset is None:
        return None
    return {
        "epoch": onset.epoch,
        "interval": [onset.low, onset.high],
        "reached": onset.reached,
        "gain": onset.gain,
        "gain_interval": [onset.gain_low, onset.gain_high],
        "accuracy": [float(one) for one in onset.accuracy],
        "level": onset.level,
    }


def _calibration(calibration: Calibration | None) -> dict[str, Any] | None:
    if calibration is None:
        return None
    return {
        "wanted": calibration.wanted,
        "threshold": _finite(calibration.threshold),
        "precision": _estimate(calibration.precision),
        "recall": _estimate(calibration.recall),
        "mislabelled": _estimate(calibration.mislabelled),
        "planted": calibration.planted,
        "level": calibration.level,
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    interval = [_finite(estimate.low), _finite(estimate.high)]
    return {"value": _finite(estimate.value), "interval": interval}


def _list(audit: Audit) -> list[dict[str, Any]]:
    """Return the flagged examples, the likeliest to be wrong first."""
    columns = ["label", "suggested", "suspicion", "p_wrong", "verdict", "evidence"]
    columns += [name for name in ("file", "row") if name in audit.table]
    rows = audit.flagged[[*columns, "conflicts_with"]].reset_index().to_dict("records")
    return [{str(name): _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return _finite(value) if isinstance(value, float) else value


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
