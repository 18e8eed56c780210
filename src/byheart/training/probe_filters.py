"""The filters of the first convolution, as they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from byheart.errors import InputError
from byheart.networks.base import PackNetwork
from byheart.networks.cnn import ReplicatedCNN


def take_filters(network: PackNetwork) -> dict[str, NDArray[np.generic]]:
    """Return the weights [R, filters, channels, k, k] of the first convolution, float32.

    Raises:
        InputError: the network has no convolution.
    """
    if not isinstance(network, ReplicatedCNN) or not network.filters:
        raise InputError("filters are looked at on CNNs: train a network with a convolution")
    return {"weights": network.filters[0].float().cpu().numpy().copy()}
