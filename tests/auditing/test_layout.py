"""What each seed holds out, and what it trains on."""

import numpy as np

from byheart.auditing.planting import Layout, hold_out

Y = np.random.default_rng(0).integers(0, 4, 100)


def test_no_example_is_held_out_twice_while_there_are_enough() -> None:
    layout = hold_out(Y, seeds=5, share=0.1, seed=0)
    assert layout.held_out.shape == (5, 10)
    assert len(set(layout.held_out.ravel())) == 50


def test_a_seed_never_holds_an_example_out_twice_however_many_seeds_there_are() -> None:
    for held_out in hold_out(Y, seeds=37, share=0.3, seed=0).held_out:
        assert len(set(held_out)) == 30


def test_a_seed_trains_on_all_but_what_it_holds_out_with_the_planted_labels() -> None:
    layout = Layout(
        np.array([[0, 1], [98, 99]]), np.array([[5, 6], [7, 8]]), np.array([[1, 2], [3, 0]])
    )
    assert layout.trained(1, 100).tolist() == list(range(98))
    changed = layout.labels(1, Y)
    assert changed[7] == 3
    assert changed[8] == 0
    assert np.delete(changed, [7, 8]).tolist() == np.delete(Y, [7, 8]).tolist()


def test_some_seeds_of_a_layout_are_a_layout_of_their_own() -> None:
    layout = hold_out(Y, seeds=5, share=0.1, seed=0)
    np.testing.assert_array_equal(layout.seeds(2, 4).held_out, layout.held_out[2:4])
