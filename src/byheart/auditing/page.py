"""From an audit to its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from byheart.auditing.alerts import alerts
from byheart.auditing.figures import belief_figure, onset_figure
from byheart.errors import InputError
from byheart.report.audit.facts import AuditFacts
from byheart.report.audit.page import write_audit_page
from byheart.version import __version__

if TYPE_CHECKING:
    from byheart.auditing.result import Audit


def write_page(
    audit: Audit,
    path: Path,
    *,
    texts: Sequence[str] | None = None,
    about: Mapping[str, str] | None = None,
) -> Path:
    """Write the page of an audit, and return its path; see :meth:`Audit.to_html`."""
    if texts is not None and len(texts) != len(audit.table):
        raise InputError(
            f"texts must be one per example: {len(audit.table)}, got {len(texts)}; give them in "
            "the order of ids"
        )
    return write_audit_page(path, _facts(audit, texts, about or {}))


def _facts(audit: Audit, texts: Sequence[str] | None, about: Mapping[str, str]) -> AuditFacts:
    return AuditFacts(
        name=audit.name,
        classes=audit.classes,
        seeds=audit.seeds,
        epochs=audit.epochs,
        alerts=alerts(audit),
        table=audit.table,
        ranking=audit.ranking,
        listed=audit.flagged.index.to_numpy(np.int64),
        onset=onset_figure(audit.onset) if audit.onset else None,
        belief=belief_figure(audit.calibration) if audit.calibration else None,
        inputs=audit.dataset.x.cpu().numpy() if audit.dataset is not None else None,
        texts=texts,
        about=about,
        version=__version__,
    )
