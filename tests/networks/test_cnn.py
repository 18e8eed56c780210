"""The replicated CNN against plain PyTorch modules, and what it cannot be made of."""

from __future__ import annotations

import math

import pytest
import torch
from tests.reference.plain_training import plain_cnn

from byheart.errors import InputError
from byheart.measures.critical.single import critical_samples
from byheart.networks.build import build_pack
from byheart.networks.cnn import GreyImages, ReplicatedCNN, glorot_cnn
from byheart.networks.size import cnn_shapes, size_of
from byheart.trial import CNN

CASES = [
    ((8, 8), CNN(channels=(3, 4), dense=(7,), kernel=3, pool=2)),
    ((1, 9, 9), CNN(channels=(3,), dense=(), kernel=5)),
    ((3, 14, 12), CNN(channels=(4, 3), dense=(6, 5), kernel=5, crop=1)),
]
BY_NAME = pytest.mark.parametrize(("shape", "network"), CASES, ids=["grey", "one", "colour"])
CLASSES, SEEDS = 4, (3, 4, 5)


def pack(network: CNN, shape: tuple[int, ...]) -> ReplicatedCNN:
    made = build_pack(network, shape, CLASSES, SEEDS, dtype=torch.float64)
    assert isinstance(made, ReplicatedCNN)
    return made


def trained(network: CNN, shape: tuple[int, ...]) -> ReplicatedCNN:
    """Return a pack with parameters and running statistics as training leaves them."""
    made, draw = pack(network, shape), torch.Generator().manual_seed(1)
    for norm in made.norms:
        for one in (norm.gamma, norm.beta, norm.mean, norm.variance):
            one.add_(torch.rand(one.shape, generator=draw, dtype=one.dtype))
    made.bias.add_(torch.randn(made.bias.shape, generator=draw, dtype=made.bias.dtype))
    return made


def inputs(shape: tuple[int, ...], count: int = 6) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.rand(3, count, *shape, generator=draw, dtype=torch.float64)


@BY_NAME
def test_each_replica_scores_like_plain_pytorch(shape: tuple[int, ...], network: CNN) -> None:
    x, made = inputs(shape), pack(network, shape)
    for training in (True, False):
        score = made.training_logits if training else made
        found = score(x.flatten(2))
        for replica, seed in enumerate(SEEDS):
            plain = plain_cnn(network, shape, CLASSES, seed, torch.float64)
            # Both stand before their first step, but for the statistics of one batch.
            plain.train()(x[replica].flatten(1))
            expected = plain.train(training)(x[replica].flatten(1))
            torch.testing.assert_close(found[replica], expected, rtol=0, atol=1e-12)


@BY_NAME
def test_each_replica_scores_like_its_own_module(shape: tuple[int, ...], network: CNN) -> None:
    x, made = inputs(shape), trained(network, shape)
    found = made(x.flatten(2))
    for replica in range(3):
        module = made.module(replica)
        assert not module.training
        torch.testing.assert_close(found[replica], module(x[replica]), rtol=0, atol=1e-12)


def test_the_certificate_knows_the_layers_of_a_module() -> None:
    for shape, network in CASES:
        module = pack(network, shape).module(0).float()
        found = critical_samples(module, inputs(shape)[0].float(), radius=1e-4)
        assert found.uncertified_layer is None
        assert found.upper == 0


@BY_NAME
def test_inputs_shared_by_all_replicas_need_no_replica_dimension(
    shape: tuple[int, ...], network: CNN
) -> None:
    x, made = inputs(shape)[0].flatten(1), trained(network, shape)
    torch.testing.assert_close(made(x), made(torch.stack([x] * 3)))


@BY_NAME
def test_the_size_is_that_of_the_module_without_what_batch_norm_takes_away(
    shape: tuple[int, ...], network: CNN
) -> None:
    module = pack(network, shape).module(0)
    size = size_of(network, shape, CLASSES)
    assert size.parameters == sum(one.numel() for one in module.parameters())
    made = [math.prod(shape)]
    for layer in module:
        if not isinstance(layer, torch.nn.Flatten | GreyImages | torch.nn.ZeroPad2d):
            layer.register_forward_hook(lambda _, __, output: made.append(output.numel()))
    module(inputs(shape)[0, :1])
    assert size.activations == sum(made)


def test_the_draw_depends_on_the_seed_and_the_shapes_alone() -> None:
    shapes = cnn_shapes(CASES[0][1], (8, 8), CLASSES)
    one, same, other = (glorot_cnn(shapes, 3, seed) for seed in (0, 0, 1))
    for layers in zip(one, same, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(*layers, strict=True))
    assert not torch.equal(one[0][0], other[0][0])
    # Another stride or crop that leads to the same weights does not change them.
    wide = cnn_shapes(CNN(channels=(3, 4), dense=(7,), kernel=3, pool=2, crop=1), (10, 10), CLASSES)
    assert torch.equal(glorot_cnn(wide, 3, 0)[0][1], one[0][1])


def test_weights_are_uniform_within_glorots_bound() -> None:
    shapes = cnn_shapes(CNN(channels=(40, 50), dense=(30,), kernel=5), (3, 20, 20), CLASSES)
    filters, weights = glorot_cnn(shapes, 5, 0)
    fans_of = [(3 + 40) * 25, (40 + 50) * 25, sum(shapes.dense[:2])]
    for weight, fans in zip([*filters, weights[0]], fans_of, strict=True):
        bound = math.sqrt(6 / fans)
        assert 0.98 * bound < weight.abs().max() <= bound
        assert float(weight.var()) == pytest.approx(bound**2 / 3, rel=0.05)


def test_selected_replicas_are_copies() -> None:
    made = trained(CASES[0][1], (8, 8))
    chosen = made.select(torch.tensor([2, 0]))
    x = inputs((8, 8)).flatten(2)
    before = made(x)
    torch.testing.assert_close(chosen(x[[2, 0]]), before[[2, 0]])
    chosen.training_logits(x[[2, 0]])
    for parameter in chosen.parameters():
        parameter.zero_()
    assert torch.equal(made(x), before)


def test_training_moves_the_running_statistics_of_each_replica_alone() -> None:
    network = CASES[0][1]
    one, other = pack(network, (8, 8)), pack(network, (8, 8))
    x = inputs((8, 8)).flatten(2)
    changed = x.clone()
    changed[1] *= 2
    one.training_logits(x)
    other.training_logits(changed)
    for a, b in zip(one.norms, other.norms, strict=True):
        assert torch.equal(a.mean[[0, 2]], b.mean[[0, 2]])
        assert torch.equal(a.variance[[0, 2]], b.variance[[0, 2]])
    assert not torch.equal(one.norms[0].mean[1], other.norms[0].mean[1])


def test_a_replica_is_finite_if_its_statistics_are_too() -> None:
    made = pack(CASES[0][1], (8, 8))
    made.norms[1].variance[1, 0] = math.inf
    made.filters[0][2, 0, 0, 0, 0] = math.nan
    assert made.finite().tolist() == [True, False, False]


@pytest.mark.parametrize("shape", [(9,), (2, 3, 8, 8)])
def test_inputs_that_are_no_images_are_a_clear_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"needs images .* choose an MLP, or data"):
        pack(CASES[0][1], shape)


@pytest.mark.parametrize(
    ("shape", "network"),
    [
        ((4, 4), CNN(channels=(2, 2), dense=())),
        ((3, 8, 2), CNN(channels=(2,), dense=())),
        ((8, 8), CNN(channels=(2,), dense=(), crop=3)),
        ((8, 8), CNN(channels=(2,), dense=(), crop=5)),
    ],
)
def test_images_too_small_for_the_pools_are_a_clear_error(
    shape: tuple[int, ...], network: CNN
) -> None:
    with pytest.raises(InputError, match=r"images of \dx\d pixels are too small .* choose larger"):
        size_of(network, shape, CLASSES)


def test_an_even_filter_is_a_clear_error() -> None:
    with pytest.raises(InputError, match="side 4 cannot keep the size of an image: choose an odd"):
        pack(CNN(channels=(2,), dense=(), kernel=4), (8, 8))
