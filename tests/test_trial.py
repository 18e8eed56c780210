from __future__ import annotations

import pytest
from pydantic import ValidationError

from byheart.trial import MLP, Algorithm, DataFacts, FrozenModel, Trial


def trial(**changes: object) -> Trial:
    facts = {
        "data": DataFacts(fingerprint="f", train=10, validation=5),
        "algorithm": Algorithm(network=MLP(hidden=(4,)), learning_rate=0.1, batch_size=2, epochs=3),
        "seed": 0,
    }
    return Trial(**{**facts, **changes})


def test_equal_facts_have_equal_keys_and_every_fact_counts() -> None:
    one = trial()
    assert one.key == trial().key
    assert len(one.key) == 32
    other_data = trial(data=DataFacts(fingerprint="g", train=10, validation=5))
    assert len({one.key, trial(seed=1).key, other_data.key}) == 3


def test_a_key_survives_the_round_trip_through_json() -> None:
    one = trial()
    assert Trial.model_validate_json(one.model_dump_json()).key == one.key


def test_a_changed_copy_has_its_own_key() -> None:
    one = trial()
    before = one.key
    copy = one.model_copy(update={"seed": 7})
    assert copy.key == trial(seed=7).key
    assert one.key == before


def test_facts_that_older_trials_did_not_have_count_only_when_used() -> None:
    facts = trial().model_dump()
    assert "test" not in facts["data"]
    assert "optimizer" not in facts["algorithm"]
    assert trial(algorithm=trial().algorithm.model_copy(update={"cosine": True})).key != trial().key


def test_no_python_serializer_can_turn_an_interrupt_into_an_error() -> None:
    models = [FrozenModel]
    for model in models:
        models += model.__subclasses__()
        decorators = model.__pydantic_decorators__
        assert not decorators.model_serializers, model
        assert not decorators.field_serializers, model
    assert Algorithm in models


@pytest.mark.parametrize(
    "wrong",
    [
        {"train": 0},
        {"inputs": 1.5},
        {"labels": -0.1},
        {"path": "somewhere"},
        {"unique_labels": True},
    ],
)
def test_facts_out_of_range_or_unknown_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DataFacts(**{"fingerprint": "f", "train": 10, "validation": 5, **wrong})
