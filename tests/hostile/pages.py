"""Every kind of page, with everything on it that a stranger can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from tests.auditing.audits import made_up, table
from tests.report.examples import records, session
from tests.report.test_escaping import HOSTILE

from byheart.advising.result import Advice
from byheart.charts.figure import Axis, Figure, Point
from byheart.files import write_text
from byheart.report.study import Section, render
from byheart.studies.own_network import OwnNetwork

NAMES = (
    *HOSTILE,
    '{"signal": "alert(1)"}',
    "a.b[0]['c']\\\"d`",
    "datum.x = alert(1)",
    "'); alert(1); ('",
    "\u202egpj.exe",
    "nul \x00 and \x1b[31mred",
    '=HYPERLINK("https://example.invalid/")',
    "Zoë 猫 👩‍🔬",
    "%3Cscript%3E&lt;script&gt;",
)
"""Names that are markup, code or expressions somewhere, or that hide what they are."""
LONG = "x" * 10_000


def study_page(path: Path, name: str) -> Path:
    """Write the page of a study on which everything is called so."""
    named = session(
        data=name,
        command=(name,),
        classes=(name, "b"),
        device=name,
        network=OwnNetwork(name, {"csr-noise": name}),
        versions={"byheart": name},
    )
    sections = [Section("Chart", "A17", ("csr-noise",), (_figure(name),))]
    return write_text(path, render(named, records(), [], sections))


def audit_page(path: Path, name: str) -> Path:
    """Write the page of an audit on which everything is called so."""
    rows = table(200)
    rows.insert(0, "file", [f"{name}/{i}.png" for i in range(len(rows))])
    rows["evidence"] = name
    classes = (name, *(f"{name}{k}" for k in range(9)))
    audit = made_up(table=rows, name=name, classes=classes)
    return audit.to_html(path, about={name: name})


def text_audit_page(path: Path, name: str) -> Path:
    """Write the page of an audit of texts, all of which are the name."""
    return made_up(examples=40, name=name).to_html(path, texts=[name] * 40)


def advice_page(path: Path, name: str) -> Path:
    """Write the page of an advice on which everything is called so."""
    values = {
        f"{what}{end}": 0.5
        for what in ("memorization", "drop", "accuracy", "cost")
        for end in ("", "_low", "_high")
    }
    row = values | {
        "name": name,
        "regularizer": name,
        "stage": "compared",
        "strength": 0.5,
        "verdict": "helps",
        "n": 3,
        "trusted": None,
    }
    explored = row | {"stage": "explored", "verdict": ""}
    refused = row | {"stage": "", "verdict": "not applicable", "reason": name}
    advice = Advice(
        name=name,
        table=pd.DataFrame([row, explored, refused]),
        recommended=None,
        why=name,
        code=name,
        front=pd.DataFrame([row]),
        checkpoints=(1, 2),
        curves={"none": np.full((2, 3, 2), 0.5), name: np.full((2, 3, 2), 0.25)},
        margin=0.01,
        seconds=1.0,
        notes=(name,),
    )
    return advice.to_html(path, about={name: name})


def _figure(name: str) -> Figure:
    """Return a chart in which all is called so, titles of tooltips and legend among it."""
    points = (Point("", name, 1, 1, 0.5, 2), Point("", "c", 2, 2))
    axis = Axis(name[:400])
    return Figure("f", "Chart", "A17", name, axis, axis, (name, "c"), points, legend=name[:400])


PAGES: Mapping[str, Callable[[Path, str], Path]] = {
    "study": study_page,
    "audit": audit_page,
    "text audit": text_audit_page,
    "advice": advice_page,
}
