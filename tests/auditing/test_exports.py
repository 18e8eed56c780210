"""What other tools get: rows with corrected labels, tasks of Label Studio, labels of FiftyOne."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.auditing.audits import made_up, table, unreviewed

import byheart
from byheart.auditing.exports import export, write_cleaned
from byheart.auditing.reviews import read_reviews
from byheart.errors import InputError

REVIEWS = pd.DataFrame(
    {
        "id": [0, 1, 2, 3],
        "verdict": ["wrong", "wrong", "right", "unsure"],
        "label": ["b", "", "", ""],
    }
)


@pytest.fixture
def rows() -> byheart.Dataset:
    names = np.array(["a", "b", "c"])[np.arange(300) % 3]
    frame = pd.DataFrame({"size": np.arange(300) / 7, "place": "=north", "kind": names})
    return byheart.load_dataset(frame, label="kind")


def test_a_cleaned_table_has_the_columns_of_the_source_and_loads_again(
    rows: byheart.Dataset, tmp_path: Path
) -> None:
    written = write_cleaned(tmp_path, rows, read_reviews(REVIEWS, 300, fewest=1))
    assert [path.name for path in written] == ["changes.csv", "cleaned.csv"]
    cleaned = pd.read_csv(tmp_path / "cleaned.csv")
    assert set(cleaned) == {"size", "place", "kind"}
    assert len(cleaned) == 299  # example 1 is wrong, and nobody named its class
    assert cleaned.loc[0, "kind"] == "b" and cleaned.loc[1, "kind"] == "c"
    assert cleaned.loc[0, "place"] == "=north"
    changes = pd.read_csv(tmp_path / "changes.csv", index_col="id")
    assert changes["action"].tolist()[:4] == ["corrected", "removed", "kept", "kept"]
    assert byheart.load_dataset(str(tmp_path / "cleaned.csv"), label="kind").classes == rows.classes


def test_label_studio_gets_suggestions_reviews_and_a_configuration(
    rows: byheart.Dataset, tmp_path: Path
) -> None:
    facts = table()
    facts["label"], facts["suggested"] = np.arange(300) % 3, (np.arange(300) + 1) % 3
    audit = made_up(table=facts, dataset=rows, classes=rows.classes, calibration=unreviewed())
    tasks_path, config_path = export(
        audit, tmp_path, "label-studio", read_reviews(REVIEWS, 300, fewest=1)
    )
    tasks = {task["data"]["id"]: task for task in json.loads(tasks_path.read_text("utf-8"))}
    flagged, drawn = audit.calibration.flagged, audit.to_review().index
    assert set(tasks) == {*flagged.tolist(), *drawn.tolist(), 0, 1, 2, 3}
    assert tasks[0]["data"]["example"] == {"size": "0.0", "place": "=north"}
    assert tasks[0]["data"]["label"] == "a"
    choice = {"from_name": "label", "to_name": "example", "type": "choices"}
    assert tasks[0]["predictions"][0]["result"] == [choice | {"value": {"choices": ["b"]}}]
    assert tasks[2]["annotations"] == [{"result": [choice | {"value": {"choices": ["c"]}}]}]
    assert "annotations" not in tasks[1] and "annotations" not in tasks[3]
    config = ElementTree.parse(config_path).getroot()
    assert config.find("Table").get("value") == "$example"
    assert [c.get("value") for c in config.iter("Choice")] == list(rows.classes)
    with pytest.raises(InputError, match="FiftyOne shows images"):
        export(audit, tmp_path, "fiftyone", None)
    with pytest.raises(InputError, match=r"label-studio"):
        export(audit, tmp_path, "labelstudio", None)


def test_fiftyone_gets_a_picture_and_a_label_of_each_example(tmp_path: Path) -> None:
    audit = made_up(calibration=unreviewed())
    reviews = read_reviews(REVIEWS.assign(label=["7", "", "", ""]), 300, fewest=1)
    export(audit, tmp_path, "fiftyone", reviews)
    labels = json.loads((tmp_path / "fiftyone" / "labels.json").read_text("utf-8"))["labels"]
    assert labels["000000"]["label"] == "7"
    assert labels["000000"]["attributes"]["given"] == str(audit.table["label"][0])
    pictures = sorted(path.stem for path in (tmp_path / "fiftyone" / "data").iterdir())
    assert pictures == sorted(labels)
    pixels = np.asarray(Image.open(tmp_path / "fiftyone" / "data" / "000000.png"))
    np.testing.assert_allclose(pixels / 255, audit.dataset.x[0].squeeze().numpy(), atol=0.01)
