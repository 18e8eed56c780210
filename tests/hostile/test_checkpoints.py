"""Checkpoints from strangers: weights, or a refusal that names what would have been run."""

from __future__ import annotations

import builtins
import io
import json
import os
import pickle
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from tests.hostile.mutations import damaged, fuzzed
from tests.hostile.refusing import answer
from torch import Tensor, nn

from byheart.errors import InputError
from byheart.networks.foreign import load_weights, make_model

WEIGHTS = {
    "weight": torch.arange(12.0).reshape(3, 4),
    "bias": torch.zeros(3),
    "steps": torch.tensor(7),
    "half": torch.ones(2, 2, dtype=torch.float16),
}


class Runs:
    """An object whose pickle calls a function with arguments."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def zipped(content: Any) -> bytes:
    """Return what ``torch.save`` writes today."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def legacy(content: Any) -> bytes:
    """Return what it wrote before."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


PICKLES = (zipped(WEIGHTS), legacy(WEIGHTS), zipped({"model": WEIGHTS, "epoch": 3}))
SAFE = safetensors.torch.save(WEIGHTS)


@pytest.mark.parametrize("saved", [zipped, legacy, pickle.dumps], ids=["zip", "legacy", "pickle"])
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, "system"),
        (builtins.exec, "exec"),
        (builtins.eval, "eval"),
        (builtins.open, "open"),
        (Path.touch, "getattr|touch"),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_pickle_that_would_run_code_is_refused_by_name_and_runs_nothing(
    tmp_path: Path,
    saved: Callable[[Any], bytes],
    function: Callable[..., Any],
    name: str,
    wrapped: bool,
) -> None:
    mark = tmp_path / "it-ran"
    words = {
        os.system: (f"touch {mark}",),
        builtins.open: (str(mark), "w"),
        Path.touch: (mark,),
    }.get(function, (f"open({str(mark)!r}, 'w')",))
    evil: Any = Runs(function, *words)
    path = tmp_path / "w.pt"
    path.write_bytes(saved({"weight": WEIGHTS["weight"], "bias": evil} if wrapped else evil))
    with pytest.raises(InputError, match=r"could run code: save it again") as refused:
        load_weights(path)
    assert re.search(name, str(refused.value).partition("and loading")[0].partition(" (")[2])
    assert not mark.exists()


def test_the_same_pickle_does_run_where_it_is_trusted(tmp_path: Path) -> None:
    mark = tmp_path / "it-ran"
    torch.load(io.BytesIO(zipped(Runs(os.system, f"touch {mark}"))), weights_only=False)
    assert mark.exists()


def same(found: Any) -> None:
    """See that weights are weights: anything of them can be read without leaving the file."""
    if found is not None:
        for value in found.values():
            assert isinstance(value, Tensor)
            if value.layout is torch.strided and value.numel() < 2**16 and not value.is_meta:
                value.clone()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@fuzzed
@given(content=damaged(PICKLES))
def test_damaged_checkpoints(folder: Path, content: bytes) -> None:
    (folder / "w.pt").write_bytes(content)
    same(answer(lambda: load_weights(folder / "w.pt")))


@fuzzed
@given(content=damaged([one.split(b"PK")[0] or one for one in PICKLES] + [pickle.dumps(WEIGHTS)]))
def test_damaged_bare_pickles(folder: Path, content: bytes) -> None:
    (folder / "w.pt").write_bytes(content)
    same(answer(lambda: load_weights(folder / "w.pt")))


def repacked(change: Callable[[bytes], bytes]) -> bytes:
    """Return a checkpoint whose pickle was changed, in a zip that is whole."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(PICKLES[0])) as old, zipfile.ZipFile(file, "w") as new:
        for one in old.infolist():
            content = old.read(one)
            pickled = one.filename.endswith("data.pkl")
            new.writestr(one.filename, change(content) if pickled else content)
    return file.getvalue()


PICKLED = zipfile.ZipFile(io.BytesIO(PICKLES[0])).read("archive/data.pkl")


@fuzzed
@example(b"\x9c<\x81n\xaf\x9d\xa4\xac\xaax\xc4")
@given(content=damaged([PICKLED]))
def test_damaged_pickles_in_whole_archives(folder: Path, content: bytes) -> None:
    (folder / "w.pt").write_bytes(repacked(lambda _: content))
    same(answer(lambda: load_weights(folder / "w.pt")))


def test_a_tensor_that_claims_more_than_the_file_holds_gets_none_of_it(tmp_path: Path) -> None:
    claim = b"J" + struct.pack("<i", 2**30)
    path = tmp_path / "w.pt"
    # The storage alone: its tensor is a part of the file all the same.
    path.write_bytes(repacked(lambda pickled: pickled.replace(b"K\x0c", claim)))
    weight = load_weights(path)["weight"]
    assert torch.equal(weight, WEIGHTS["weight"])
    assert weight.untyped_storage().nbytes() <= path.stat().st_size
    path.write_bytes(repacked(lambda pickled: pickled.replace(b"K\x03K\x04", claim + b"K\x04")))
    with pytest.raises(InputError, match="not a checkpoint that torch can read, or damaged"):
        load_weights(path)


def test_a_compressed_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("archive/data.pkl", PICKLED)
        bomb.writestr("archive/data/0", bytes(2**24))
    with pytest.raises(InputError, match="it is compressed, which torch never does"):
        load_weights(path)


@pytest.mark.parametrize(
    "weights",
    [
        {"weight": torch.ones(3, 4, dtype=torch.complex64)},
        {"weight": torch.ones(3, 4).to_sparse(), "bias": torch.zeros(3)},
        {"weight": torch.ones(3, 4, device="meta"), "bias": torch.zeros(3)},
        {"weight": torch.ones(()).expand(2**40), "bias": torch.zeros(3)},
        {1: torch.ones(3, 4)},
        {"weight": "text"},
        {"weight": {"weight": torch.ones(3, 4)}},
        [torch.ones(3)],
        torch.ones(3),
        None,
        {},
    ],
)
def test_weights_of_another_kind_are_refused_or_taken(
    tmp_path: Path, weights: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_linear.py").write_text(
        "from torch import nn\n\n\ndef network():\n    return nn.Linear(4, 3)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "w.pt").write_bytes(zipped(weights))
    found = answer(lambda: make_model("own_linear:network", tmp_path / "w.pt"))
    assert found is None or isinstance(found, nn.Module)


def test_safetensors_are_read_as_by_their_own_library(tmp_path: Path) -> None:
    kinds = (torch.float64, torch.bfloat16, torch.int8, torch.int16, torch.int32, torch.int64)
    weights = WEIGHTS | {str(kind): torch.arange(6).reshape(2, 3).to(kind) for kind in kinds}
    weights |= {"bool": torch.tensor([True, False]), "none": torch.empty(0, 3)}
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(weights, path, metadata={"format": "pt"})
    found, wanted = load_weights(path), safetensors.torch.load_file(path)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(found[name], value) and found[name].dtype == value.dtype


@fuzzed
@given(content=damaged([SAFE]))
def test_damaged_safetensors(folder: Path, content: bytes) -> None:
    (folder / "w.safetensors").write_bytes(content)
    same(answer(lambda: load_weights(folder / "w.safetensors")))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "U8", "F8_E4M3", "C64", ""]) | JSON,
        "shape": st.lists(st.integers(-1, 4) | st.sampled_from([2**40, 2**63]), max_size=3) | JSON,
        "data_offsets": st.lists(st.integers(-1, 80) | st.just(2**63), max_size=3) | JSON,
    }
)


@fuzzed
@given(header=st.dictionaries(st.text(max_size=5), ENTRY | JSON, max_size=3) | JSON)
def test_safetensors_with_any_header(folder: Path, header: Any) -> None:
    text = json.dumps(header).encode()
    (folder / "w.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(64))
    same(answer(lambda: load_weights(folder / "w.safetensors")))


def test_a_safetensors_header_nested_without_end_is_refused(tmp_path: Path) -> None:
    text = b'{"a":' * 100_000
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(InputError, match="not a safetensors file"):
        load_weights(tmp_path / "w.safetensors")
