"""How large a network is, before it is made."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from byheart.trial import MLP, Network


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
        case _:
            raise NotImplementedError(network.kind)
