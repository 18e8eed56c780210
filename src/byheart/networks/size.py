"""How large a network is, before it is made; without torch."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from byheart.errors import InputError
from byheart.trial import CNN, MLP


@dataclass(frozen=True)
class Stage:
    """A convolution that keeps the size of its input, and the max pool after it.

    Attributes:
        inputs: channels that it reads.
        filters: channels that it makes.
        side: (height, width) of what it reads and, before the pool, makes.
        pooled: (height, width) after the pool.
    """

    inputs: int
    filters: int
    side: tuple[int, int]
    pooled: tuple[int, int]


@dataclass(frozen=True)
class CNNShapes:
    """All sizes of a CNN on inputs of one shape.

    Attributes:
        source: (channels, height, width) of an input before the crop.
        stages: the convolutions.
        dense: widths from the flattened features over the hidden layers to the classes.
    """

    source: tuple[int, int, int]
    stages: tuple[Stage, ...]
    dense: tuple[int, ...]


def cnn_shapes(network: CNN, shape: tuple[int, ...], classes: int) -> CNNShapes:
    """Return the sizes of a CNN.

    A pool takes whole squares only: floor((side - pool) / stride) + 1, without padding, as Keras
    and PyTorch do unless told otherwise.

    Args:
        network: its architecture.
        shape: shape of one input, (channels, height, width) or (height, width) of a grey one.
        classes: number of outputs.

    Raises:
        InputError: the inputs are no images, or too small for the crop or a pool; or the filters
            have an even side.
    """
    if len(shape) not in (2, 3):
        raise InputError(
            f"a CNN needs images [height, width] or [channels, height, width], and the inputs have "
            f"the shape {list(shape)}: choose an MLP, or data in the shape of images"
        )
    if network.kernel % 2 == 0:
        raise InputError(
            f"filters of side {network.kernel} cannot keep the size of an image: choose an odd side"
        )
    channels, height, width = (1, *shape)[-3:]
    side = (height - 2 * network.crop, width - 2 * network.crop)
    stages = []
    for inputs, filters in itertools.pairwise((channels, *network.channels)):
        if min(side) < network.pool:
            raise InputError(
                f"images of {height}x{width} pixels are too small for {len(network.channels)} "
                f"{network.pool}x{network.pool} pools with stride {network.stride} after a crop of "
                f"{network.crop}: choose larger images or fewer convolutions"
            )
        down, across = ((length - network.pool) // network.stride + 1 for length in side)
        stages.append(Stage(inputs, filters, side, (down, across)))
        side = (down, across)
    last = stages[-1].filters if stages else channels
    dense = (last * math.prod(side), *network.dense, classes)
    return CNNShapes((channels, height, width), tuple(stages), dense)


@dataclass(frozen=True)
class NetworkSize:
    """Size of one replica, and cost of one example.

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


def size_of(network: MLP | CNN, shape: tuple[int, ...], classes: int) -> NetworkSize:
    """Return the size of a network.

    Args:
        network: its architecture.
        shape: shape of one input as the network sees it.
        classes: number of outputs.
    """
    match network:
        case MLP():
            sizes = (math.prod(shape), *network.hidden, classes)
            layers = [a * b for a, b in itertools.pairwise(sizes)]
            return NetworkSize(sum(layers) + sum(sizes[1:]), sum(layers), layers[0], sum(sizes))
        case CNN():
            return _cnn_size(cnn_shapes(network, shape, classes), network.kernel)


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
