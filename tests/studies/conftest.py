"""What the tests of studies share: networks trained once on real digits."""

import pytest
from tests.studies.simulated import Pool, digits, tiny_setting

from byheart.studies.base import Setting
from byheart.studies.registry import STUDIES


@pytest.fixture(scope="session")
def setting() -> Setting:
    return tiny_setting(digits())


@pytest.fixture(scope="session")
def pool(setting: Setting) -> Pool:
    return Pool(STUDIES, setting, digits())
