"""What an audit hands to other tools: cleaned data, and imports of Label Studio and FiftyOne."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import pandas as pd

from byheart.auditing.cards import Card, cards, class_name, thumbnail
from byheart.auditing.planting import Ids
from byheart.auditing.result import AuditResult
from byheart.auditing.review_view import to_review
from byheart.auditing.reviews import RIGHT, WRONG, Reviews
from byheart.data.dataset import Dataset
from byheart.errors import InputError, choose
from byheart.files import write_bytes, write_text
from byheart.report.frame import frame_csv
from byheart.texts import visible, visible_json

CLEANED, CLEANED_ROWS, CHANGES = "cleaned.npz", "cleaned.csv", "changes.csv"
TASKS, TASKS_CONFIG = "label-studio.json", "label-studio.xml"
FIFTYONE = "fiftyone"
LARGEST_SIDE = 1024
"""Pixels on the longer side of an exported picture of an example that is no file."""


def write_cleaned(folder: Path, dataset: Dataset, reviews: Reviews) -> list[Path]:
    """Write the data with the corrections of reviewers, and return the paths.

    A label that reviewers call wrong becomes the class that they put into ``label``, by its name
    or number. Without another class, the example is removed. ``changes.csv`` says what became of
    each id. The examples that are left are in ``cleaned.csv`` for tables and texts, with the
    columns of the source, else in ``cleaned.npz``.
    """
    right, kept = dataset.y.numpy().copy(), np.ones(len(dataset), bool)
    action = np.full(len(dataset), "kept", object)
    for i, label in right_labels(dataset.y.numpy(), dataset.classes, reviews, WRONG).items():
        kept[i] = label is not None
        right[i] = right[i] if label is None else label
        action[i] = "corrected" if kept[i] else "removed"
    names = [dataset.classes[k] for k in right]
    changes = pd.DataFrame(
        {"label": right, "label_name": names, "action": action},
        pd.RangeIndex(len(right), name="id"),
    )
    prepared = dataset.prepared
    if prepared is not None and prepared.files is not None:
        changes["file"] = prepared.files
    written = [write_text(folder / CHANGES, frame_csv(changes))]
    if prepared is not None and prepared.rows is not None and prepared.kind != "images":
        rows = prepared.rows.assign(**{prepared.label: names})[kept]
        text = rows.to_csv(index=False, lineterminator="\n")
        return [*written, write_text(folder / CLEANED_ROWS, text)]
    buffer = io.BytesIO()
    x = dataset.x.cpu().numpy()
    np.savez(buffer, x=x[kept], y=right[kept], classes=np.array(dataset.classes))
    return [*written, write_bytes(folder / CLEANED, buffer.getvalue())]


def right_labels(
    labels: Ids, classes: Sequence[str], reviews: Reviews, *verdicts: str
) -> dict[int, int | None]:
    """Return the right class by id, for some verdicts; None where no other class is known."""
    found: dict[int, int | None] = {}
    for i, verdict, name in zip(
        reviews.ids.tolist(), reviews.verdicts, reviews.corrections, strict=True
    ):
        if verdict not in verdicts:
            continue
        label = _class_of(name, i, classes) if name else int(labels[i])
        found[i] = None if verdict == WRONG and label == labels[i] else label
        if verdict == RIGHT:
            found[i] = int(labels[i])
    return found


def _class_of(text: str, example: int, classes: Sequence[str]) -> int:
    """Return the class that a reviewer named, by its name or else its number."""
    number = text.removesuffix(".0")
    if text not in classes and number.isdecimal() and int(number) < len(classes):
        return int(number)
    return classes.index(choose(f"class of example {example}", text, classes))


def export(audit: AuditResult, folder: Path, form: str, reviews: Reviews | None) -> list[Path]:
    """Write the flagged, the drawn and the reviewed examples for another tool.

    Args:
        audit: with its data set.
        folder: where to write.
        form: "label-studio" or "fiftyone".
        reviews: verdicts to hand on; None for none.

    Raises:
        InputError: another format, no data set, or data that FiftyOne cannot show.
    """
    write = _FORMS[choose("format of --export", form, tuple(_FORMS))]
    if audit.dataset is None:
        raise InputError("this audit has no data set, and nothing to export: give it one")
    return write(audit, folder, reviews)


def _exported(audit: AuditResult, reviews: Reviews | None) -> Ids:
    """Return the flagged ids, then those that ``to_review`` draws, then the reviewed ones."""
    drawn, _ = to_review(audit)
    reviewed = drawn[:0] if reviews is None else reviews.ids
    ids = np.concatenate([audit.calibration.flagged, drawn, reviewed])
    _, first = np.unique(ids, return_index=True)
    chosen: Ids = ids[np.sort(first)]
    return chosen


def _label_studio(audit: AuditResult, folder: Path, reviews: Reviews | None) -> list[Path]:
    """Write tasks, and the labelling configuration that shows them.

    The suggested label is a prediction. Reviewed labels are annotations. Examples that are no files
    are shown as pictures within the task.
    """
    ids = _exported(audit, reviews)
    right = _known(audit, reviews)
    tasks, kind = [], "Text"
    for card in cards(audit, ids.tolist(), texts=None, with_scores=False):
        kind, shown = _shown(audit, card)
        task: dict[str, Any] = {"data": {"example": shown} | _facts(audit, card)}
        if card.suggested:
            task["predictions"] = [
                {"model_version": "byheart", "result": [_choice(card.suggested)]}
            ]
        label = right.get(card.id)
        if label is not None:
            task["annotations"] = [{"result": [_choice(audit.classes[label])]}]
        tasks.append(task)
    choices = "".join(f"    <Choice value={quoteattr(visible(c))}/>\n" for c in audit.classes)
    config = (
        f'<View>\n  <{kind} name="example" value="$example"/>\n'
        '  <Header value="labelled $label"/>\n'
        '  <Choices name="label" toName="example" choice="single">\n'
        f"{choices}  </Choices>\n</View>\n"
    )
    return [
        write_text(folder / TASKS, _json(tasks)),
        write_text(folder / TASKS_CONFIG, config),
    ]


def _shown(audit: AuditResult, card: Card) -> tuple[str, Any]:
    """Return the tag of Label Studio that shows an example, and what it shows in full."""
    prepared = None if audit.dataset is None else audit.dataset.prepared
    if card.picture is not None:
        files = None if prepared is None else prepared.files
        return "Image", card.picture.uri if files is None else files[card.id]
    if prepared is not None and prepared.texts is not None:
        return "Text", visible(prepared.texts[card.id], "\n\t")
    if prepared is not None and prepared.rows is not None and card.fields:
        row = prepared.rows.iloc[card.id]
        return "Table", {visible(str(name)): visible(str(value)) for name, value in row.items()}
    return "Text", card.text


def _facts(audit: AuditResult, card: Card) -> dict[str, Any]:
    """Return what is known of an example, by name."""
    reviewed = str(audit.table["reviewed"].iloc[card.id])
    facts = {
        "id": card.id,
        "label": card.label,
        "suggested": card.suggested,
        "verdict": card.verdict,
        "suspicion": card.suspicion,
        "p_wrong": card.p_wrong,
        "reviewed": reviewed,
    }
    return {name: value for name, value in facts.items() if value not in (None, "")}


def _known(audit: AuditResult, reviews: Reviews | None) -> dict[int, int | None]:
    if reviews is None:
        return {}
    labels = audit.table["label"].to_numpy(np.int64)
    return right_labels(labels, audit.classes, reviews, WRONG, RIGHT)


def _choice(name: str) -> dict[str, Any]:
    value = {"choices": [visible(name)]}
    return {"from_name": "label", "to_name": "example", "type": "choices", "value": value}


def _fiftyone(audit: AuditResult, folder: Path, reviews: Reviews | None) -> list[Path]:
    """Write labels.json of FiftyOne's image classification format, and pictures that are no files.

    The label is the right one where reviewers named it; other facts are attributes.
    """
    dataset = audit.dataset
    assert dataset is not None
    if dataset.kind != "images":
        raise InputError(
            f"FiftyOne shows images, and the examples of '{audit.name}' are none: export them for "
            "label-studio"
        )
    files = None if dataset.prepared is None else dataset.prepared.files
    ids, right, labels, written = _exported(audit, reviews), _known(audit, reviews), {}, []
    for card in cards(audit, ids.tolist(), texts=None, with_scores=False):
        if files is None:
            name = f"{card.id:06d}"
            written.append(_picture(folder / FIFTYONE / "data" / f"{name}.png", dataset, card.id))
        else:
            name = str(Path(files[card.id]).with_suffix(""))
        label = right.get(card.id)
        facts = _facts(audit, card)
        given = facts.pop("label")
        shown = given if label is None else class_name(audit.classes, label)
        labels[name] = {"label": shown, "attributes": facts | {"given": given}}
    path = write_text(folder / FIFTYONE / "labels.json", _json({"labels": labels}))
    return [*written[:1], path]


def _picture(path: Path, dataset: Dataset, example: int) -> Path:
    shown = (0.0, 1.0) if dataset.prepared is None else dataset.prepared.shown_range
    picture = thumbnail(dataset.x[example].cpu().numpy(), LARGEST_SIDE, shown)
    return write_bytes(path, base64.b64decode(picture.uri.split(",")[1]))


def _json(value: Any) -> str:
    return visible_json(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)) + "\n"


_FORMS: dict[str, Callable[[AuditResult, Path, Reviews | None], list[Path]]] = {
    "label-studio": _label_studio,
    "fiftyone": _fiftyone,
}
