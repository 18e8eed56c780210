"""Samples that say which example they are: whatever they are made of, however they are loaded."""

from collections import UserDict, namedtuple

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset, random_split

import byheart
from byheart.errors import InputError

X = torch.arange(10.0)[:, None] / 10
Y = torch.arange(10) % 3
TUPLES = TensorDataset(X, Y)
DICTS = [{"x": x, "label": int(y)} for x, y in zip(X, Y, strict=True)]


class AtOnce:
    """Hands out several samples at once, as the data sets of Hugging Face do."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple:
        raise AssertionError("a loader asks for a batch")

    def __getitems__(self, indices: list[int]) -> list[tuple]:
        return [TUPLES[index] for index in indices]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(TUPLES)


def test_a_tuple_ends_with_its_id_and_a_dict_has_it_under_its_key() -> None:
    assert byheart.IndexedDataset(TUPLES)[3] == (X[3], Y[3], 3)
    assert byheart.IndexedDataset(DICTS)[3] == {**DICTS[3], "id": 3}
    assert "id" not in DICTS[3]
    assert byheart.IndexedDataset([[0.5, 1]])[0] == [0.5, 1, 0]
    assert byheart.IndexedDataset("ab")[1] == ("b", 1)
    assert byheart.IndexedDataset([UserDict(x=1)])[0] == {"x": 1, "id": 0}


def test_indices_from_the_end_are_ids_from_the_start() -> None:
    data = byheart.IndexedDataset(TUPLES)
    assert data[-1][2] == 9
    assert data[torch.tensor(4)][2] == 4
    assert len(data) == 10
    with pytest.raises(IndexError):
        data[10]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("inner", [TUPLES, AtOnce()], ids=["one by one", "at once"])
def test_shuffled_batches_keep_ids_and_samples_together(inner: object, workers: int) -> None:
    torch.manual_seed(0)
    loader = DataLoader(byheart.IndexedDataset(inner), 4, shuffle=True, num_workers=workers)
    seen = []
    for x, y, ids in loader:
        assert ids.dtype == torch.int64
        assert torch.equal(x, X[ids])
        assert torch.equal(y, Y[ids])
        seen += ids.tolist()
    assert seen != sorted(seen)
    assert sorted(seen) == list(range(10))


def test_dicts_are_batched_with_their_ids() -> None:
    (batch,) = DataLoader(byheart.IndexedDataset(DICTS), 10)
    assert batch["id"].tolist() == list(range(10))
    assert torch.equal(batch["label"], Y)


def test_a_subset_keeps_the_ids_of_the_whole() -> None:
    data = byheart.IndexedDataset(TUPLES)
    (batch,) = DataLoader(Subset(data, [7, 2]), 2)
    assert batch[2].tolist() == [7, 2]
    some, others = random_split(data, [6, 4], torch.Generator().manual_seed(0))
    assert sorted([s[2] for s in some] + [s[2] for s in others]) == list(range(10))
    assert byheart.IndexedDataset(Subset(TUPLES, [7, 2]))[0] == (X[7], Y[7], 0)


@pytest.mark.parametrize("dataset", [Stream(), {0: 1}, iter([1]), None, 5])
def test_what_has_no_indices_is_refused(dataset: object) -> None:
    with pytest.raises(InputError, match="has no indices: IndexedDataset needs a map-style"):
        byheart.IndexedDataset(dataset)


def test_a_sample_that_cannot_take_an_id_is_refused() -> None:
    with pytest.raises(InputError, match="a Pair cannot take an id: give dicts, or plain tuples"):
        byheart.IndexedDataset([namedtuple("Pair", "x y")(1, 2)])[0]
    with pytest.raises(InputError, match="sample 0 already has the id 'a7'"):
        byheart.IndexedDataset([{"id": "a7"}])[0]
    assert byheart.IndexedDataset([{"id": 0}])[0] == {"id": 0}
