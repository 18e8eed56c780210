"""What all faults are compared with."""

import json

import pytest
from tests.faults import driver
from tests.studies.tiny import without_timings


@pytest.fixture(scope="session")
def unhurt(tmp_path_factory):
    """The folder of a study that nothing happened to, and its findings."""
    folder = tmp_path_factory.mktemp("unhurt")
    result = driver.run(folder, driver.make_runner("inline"))
    return folder, json.loads(without_timings(result.findings))
