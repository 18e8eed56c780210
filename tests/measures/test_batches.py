from __future__ import annotations

import pytest
import torch

from byheart.errors import InputError
from byheart.measures.batches import shuffled_batches


def test_every_epoch_holds_every_example_once_in_a_new_order() -> None:
    batches = shuffled_batches(10, 4, 7, seed=1)
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2, 4]
    first, second = torch.cat(batches[:3]), torch.cat(batches[3:6])
    assert first.sort().values.tolist() == second.sort().values.tolist() == list(range(10))
    assert first.tolist() != second.tolist()


def test_the_seed_decides_the_order() -> None:
    one, same, other = (shuffled_batches(50, 8, 3, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("wrong", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_a_count_below_one_is_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="must be 1 or more, got 0"):
        shuffled_batches(*wrong)
