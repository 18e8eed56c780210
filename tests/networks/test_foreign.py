from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from byheart.errors import InputError
from byheart.networks.foreign import find_factory, load_weights, make_model

SOURCE = """
from torch import nn

size = 3

def network():
    return nn.Linear(4, 3)

def number():
    return 7
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = f"own_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield name


def saved(model: nn.Module, path: Path, **wrap: str) -> Path:
    weights = model.state_dict()
    torch.save({wrap["under"]: weights, "epoch": 3} if wrap else weights, path)
    return path


@pytest.mark.parametrize("wrap", [{}, {"under": "state_dict"}, {"under": "model"}])
def test_a_factory_and_a_checkpoint_make_the_network(
    module: str, tmp_path: Path, wrap: dict[str, str]
) -> None:
    original = nn.Linear(4, 3)
    model = make_model(f"{module}:network", saved(original, tmp_path / "w.pt", **wrap))
    x = torch.rand(5, 4)
    torch.testing.assert_close(model(x), original(x))


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("netwrok", "did you mean 'network'"),
        ("size", "not a callable"),
    ],
)
def test_a_name_that_leads_nowhere_is_one_line(module: str, attribute: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_factory(f"{module}:{attribute}")


@pytest.mark.parametrize("name", ["network", ":network", "module:", ""])
def test_a_name_of_another_form_says_which_form_is_right(name: str) -> None:
    with pytest.raises(InputError, match=r"package\.module:callable"):
        find_factory(name)


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="no module 'nowhere_at_all'"):
        find_factory("nowhere_at_all:network")


def test_a_factory_that_makes_something_else_is_refused(module: str, tmp_path: Path) -> None:
    weights = saved(nn.Linear(4, 3), tmp_path / "w.pt")
    with pytest.raises(InputError, match="returned a int"):
        make_model(f"{module}:number", weights)


def test_weights_of_another_network_are_refused_by_name(module: str, tmp_path: Path) -> None:
    wrong = saved(nn.Sequential(nn.Linear(4, 3)), tmp_path / "w.pt")
    with pytest.raises(InputError, match="'bias' is missing"):
        make_model(f"{module}:network", wrong)
    wide = saved(nn.Linear(5, 3), tmp_path / "wide.pt")
    with pytest.raises(InputError, match="do not fit"):
        make_model(f"{module}:network", wide)


class Dangerous:
    """A pickle of it would write a file when loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, (f"open({str(self.path)!r}, 'w').write('code was run')",))


def test_a_checkpoint_that_would_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    torch.save({"weight": Dangerous(proof)}, tmp_path / "evil.pt")
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Dangerous(proof)))
    for name in ("evil.pt", "evil.pkl"):
        with pytest.raises(InputError, match="could run code"):
            load_weights(tmp_path / name)
    assert not proof.exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut short"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.pt"):
        load_weights(path)


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such checkpoint"):
        load_weights(tmp_path / "absent.pt")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2, 3], tmp_path / "list.pt")
    with pytest.raises(InputError, match="no state dict"):
        load_weights(tmp_path / "list.pt")
