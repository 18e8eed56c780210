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


class Rows:
    """A data set with columns, as those of Hugging Face are; samples are not read for labels."""

    column_names = ("x", "labels")

    def __init__(self) -> None:
        self.read = 0

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, key: int | str) -> object:
        if key == "labels":
            return Y.tolist()
        self.read += 1
        return {"x": X[key], "labels": int(Y[key])}


@pytest.mark.parametrize(
    "inner", [TUPLES, DICTS, Rows(), Subset(TUPLES, range(10)), [[x, y.numpy()] for x, y in TUPLES]]
)
def test_planted_samples_have_another_label_of_the_same_type(inner: object) -> None:
    data = byheart.IndexedDataset(inner, plant=0.3, seed=1)
    assert len(data.planted.ids) == 3
    for i in range(10):
        old, new = inner[i], data[i]
        where = -1 if not isinstance(old, dict) else "label" if "label" in old else "labels"
        label = new[-2] if where == -1 else new[where]
        assert type(label) is type(old[where])
        assert (int(label) != int(old[where])) == (i in data.planted.ids)
        assert int(label) == data.planted.labels[i]
    (batch,) = DataLoader(data, 10)
    labels = batch[1] if not isinstance(batch, dict) else batch.get("label", batch.get("labels"))
    assert labels.tolist() == data.planted.labels.tolist()
    again = byheart.IndexedDataset(inner, plant=0.3, seed=1)
    assert again.planted.ids.tolist() == data.planted.ids.tolist()


def test_labels_in_a_column_are_read_without_the_samples() -> None:
    rows = Rows()
    byheart.IndexedDataset(rows, plant=0.3)
    assert rows.read == 0


def test_labels_that_were_planted_before_are_used() -> None:
    planted = byheart.plant(Y.numpy(), share=0.2, seed=3)
    data = byheart.IndexedDataset(TUPLES, plant=planted)
    assert [int(data[i][1]) for i in range(10)] == planted.labels.tolist()
    with pytest.raises(InputError, match="9 labels were planted, and the data set has 10"):
        byheart.IndexedDataset(TUPLES, plant=byheart.plant(Y[:9].numpy()))


@pytest.mark.parametrize("samples", ["ab", [{"x": 1}] * 3, [(0.5,)] * 3])
def test_labels_that_are_not_found_cannot_be_planted(samples: object) -> None:
    with pytest.raises(InputError, match="has no label in a usual place: plant labels yourself"):
        byheart.IndexedDataset(samples, plant=0.1)


def test_an_audit_knows_the_labels_that_a_data_set_planted() -> None:
    digits = byheart.load_dataset("digits", size=200)
    data = byheart.IndexedDataset(digits, plant=0.1)
    tracker = byheart.Tracker(200)
    x, y, ids = next(iter(DataLoader(data, 200)))
    logits = torch.nn.functional.one_hot(digits.y, 10).float() + 0.1 * x.flatten(1)[:, :10]
    tracker.update(ids, logits, y)
    tracker.end_epoch()
    audit = byheart.Audit.from_tracker(tracker, data)
    assert audit.calibration.basis == "planted"
    assert audit.dataset is digits
    assert audit.table["verdict"][data.planted.ids].eq("").all()
    (note,) = [alert.text for alert in audit.alerts if "planted" in alert.text]
    assert "if mistakes are random. Mistakes of people may be harder to find" in note
    other = byheart.IndexedDataset(digits, plant=0.1, seed=1)
    with pytest.raises(InputError, match="give the labels that were trained on"):
        byheart.Audit.from_tracker(tracker, other)


def test_pictures_in_any_range_are_shown_in_their_own() -> None:
    x = torch.randn(30, 3, 8, 8)
    data = byheart.IndexedDataset(TensorDataset(x, torch.arange(30) % 3), plant=0.1)
    tracker = byheart.Tracker(30)
    tracker.update(range(30), torch.randn(30, 3), data.planted.labels)
    tracker.end_epoch()
    audit = byheart.Audit.from_tracker(tracker, data)
    assert audit.dataset.prepared.shown_range == (float(x.min()), float(x.max()))
    assert audit.dataset.y.tolist() == (torch.arange(30) % 3).tolist()


@pytest.mark.parametrize("dataset", [Stream(), {0: 1}, iter([1]), None, 5])
def test_what_has_no_indices_is_refused(dataset: object) -> None:
    with pytest.raises(InputError, match="has no indices: IndexedDataset needs a map-style"):
        byheart.IndexedDataset(dataset)


def test_a_sample_that_cannot_take_an_id_is_refused() -> None:
    with pytest.raises(InputError, match="a Pair cannot take an id: give dicts, or plain tuples"):
        byheart.IndexedDataset([namedtuple("Pair", "x y")(1, 2)])[0]
    with pytest.raises(InputError, match="sample 0 has the id 'a7', a text, and ids are whole"):
        byheart.IndexedDataset([{"id": "a7"}])[0]
    with pytest.raises(InputError, match="sample 0 already has the id 7"):
        byheart.IndexedDataset([{"id": 7}])[0]
    assert byheart.IndexedDataset([{"id": 0}])[0] == {"id": 0}
