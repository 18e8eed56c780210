"""An audit as numbers, for JSON and for conditions."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from tests.auditing.audits import made_up, onset
from tests.auditing.trainings import tracked

import byheart
from byheart.auditing.fail_if import QUANTITIES, quantities
from byheart.auditing.files import summary


def test_every_name_has_a_number() -> None:
    found = quantities(made_up())
    assert list(found) == [one.name for one in QUANTITIES]
    assert None not in found.values()
    assert found["flagged"] == 60 / 300
    assert found["mislabelled"] == pytest.approx(68.4 / 300)
    assert found["mislabelled_low"] == pytest.approx(55 / 300)
    assert found["precision"] == 0.91
    assert found["rare"] == 20 / 300
    assert found["conflicts"] == 3
    assert found["onset"] == 4
    late = quantities(made_up(onset=onset(reached=False)))
    assert late["onset"] == math.inf


def test_without_reviews_and_held_out_examples_what_they_tell_is_not_known() -> None:
    found = quantities(byheart.Audit.from_tracker(tracked()[0]))
    unknown = {name for name, value in found.items() if value is None}
    assert unknown == {one.name for one in QUANTITIES if one.needs_reviews} | {"onset", "gain"}


def test_json_holds_it() -> None:
    found = summary(made_up())
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["flagged"] == len(found["list"]) == 60
    assert found["onset"]["interval"] == [3, 5]


def test_the_list_says_where_examples_come_from_and_null_where_a_score_is_unknown() -> None:
    audit = made_up()
    table = audit.table.assign(file=[f"{i}.png" for i in range(300)])
    table.loc[0, "p_wrong"] = np.float32(np.nan)
    first = summary(replace(audit, table=table))["list"][0]
    assert (first["file"], first["id"], first["p_wrong"]) == ("0.png", 0, None)
    assert isinstance(first["suspicion"], float)


def test_what_was_not_looked_for_is_none() -> None:
    found = summary(byheart.Audit.from_tracker(tracked()[0]))
    assert found["onset"] is None and found["calibration"]["reviews"] is None
    assert found["calibration"]["mislabelled"] == {"value": None, "interval": [None, None]}
    assert found["flagged"] == len(found["list"]) > 0
    assert json.dumps(found, allow_nan=False)
