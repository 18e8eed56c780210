"""Where to train: the devices byheart knows, and whether this machine has them."""

from __future__ import annotations

from byheart.errors import InputError, choose

DEVICES = ("cpu", "cuda", "mps")


def find_device(name: str) -> str:
    """Return the name of a device that is there.

    Args:
        name: "cpu", "cuda" or "mps".

    Raises:
        InputError: byheart does not know it, or this machine does not have it.
    """
    choose("device", name, DEVICES)
    if name == "cpu":
        return name
    # Torch takes seconds to load, and whoever trains on the CPU need not wait for it here.
    import torch

    there = torch.cuda.is_available() if name == "cuda" else torch.backends.mps.is_available()
    if not there:
        raise InputError(f"device '{name}' is not available here: use --device cpu")
    return name
