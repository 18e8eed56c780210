"""A store that tests look into."""

import pytest
from tests.store.examples import a_record, a_trial

from byheart.store import Store


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path) as store:
        store.add([a_record(a_trial(seed)) for seed in range(3)])
        store.add([a_record(a_trial(3), "failed", reason="killed")])
        yield store
