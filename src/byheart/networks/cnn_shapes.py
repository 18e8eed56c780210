"""The sizes of what flows through a CNN, before it is made."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from byheart.errors import InputError
from byheart.trial import CNN


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
        shape: of one input, (channels, height, width) or (height, width) of a grey one.
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
        down, across = ((one - network.pool) // network.stride + 1 for one in side)
        stages.append(Stage(inputs, filters, side, (down, across)))
        side = (down, across)
    last = stages[-1].filters if stages else channels
    dense = (last * math.prod(side), *network.dense, classes)
    return CNNShapes((channels, height, width), tuple(stages), dense)
