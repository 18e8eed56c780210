"""How large a network is, before it is made."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from byheart.networks.cnn_shapes import CNNShapes, cnn_shapes
from byheart.trial import CNN, MLP, Foreign, Network


@dataclass(frozen=True)
class NetworkSize:
    """What one replica holds, and what one example costs it.

    Attributes:
        parameters: numbers that are trained.
        products: multiply-adds of a forward pass on one example.
        first_products: those of the layer that reads the input, whose gradient with respect to the
            input training does not need.
        activations: numbers that a forward pass on one example makes, its input included.
    """

    parameters: int
    products: int
    first_products: int
    activations: int


def size_of(network: Network, shape: tuple[int, ...], classes: int) -> NetworkSize:
    """Return the size of a network.

    Args:
        network: its architecture.
        shape: of one input as the network sees it.
        classes: number of outputs.
    """
    match network:
        case MLP():
            sizes = (math.prod(shape), *network.hidden, classes)
            layers = [a * b for a, b in itertools.pairwise(sizes)]
            return NetworkSize(sum(layers) + sum(sizes[1:]), sum(layers), layers[0], sum(sizes))
        case CNN():
            return _cnn_size(cnn_shapes(network, shape, classes), network.kernel)
        case Foreign():
            # What is only known by making it takes torch, which counting the others does without.
            from byheart.networks.examine import examine

            return examine(network.factory, shape, classes).size


def _cnn_size(shapes: CNNShapes, kernel: int) -> NetworkSize:
    filters = [kernel**2 * stage.inputs * stage.filters for stage in shapes.stages]
    convolved = [
        math.prod(stage.side) * weights
        for stage, weights in zip(shapes.stages, filters, strict=True)
    ]
    dense = [a * b for a, b in itertools.pairwise(shapes.dense)]
    products = [*convolved, *dense]
    normed = [stage.filters for stage in shapes.stages] + list(shapes.dense[1:-1])
    made = sum(
        # The convolution, its batch norm and the ReLU; then the pool.
        stage.filters * (3 * math.prod(stage.side) + math.prod(stage.pooled))
        for stage in shapes.stages
    )
    return NetworkSize(
        parameters=sum(filters) + sum(dense) + 2 * sum(normed) + shapes.dense[-1],
        products=sum(products),
        first_products=products[0],
        activations=math.prod(shapes.source)
        + made
        + 3 * sum(shapes.dense[1:-1])
        + shapes.dense[-1],
    )
