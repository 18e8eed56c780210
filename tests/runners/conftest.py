import pytest
import torch

from byheart.data.dataset import Dataset


@pytest.fixture(scope="session")
def dataset():
    x = torch.linspace(0, 1, 40).reshape(20, 2)
    return Dataset.from_arrays("tiny", x, torch.arange(20) % 2)


@pytest.fixture
def log(tmp_path, monkeypatch):
    path = tmp_path / "trained.log"
    path.touch()
    monkeypatch.setenv("TRAINED", str(path))
    return path
