"""The tracker in a training by ``pytorch_lightning``."""

from __future__ import annotations

from byheart.auditing.adapters.lightning_hooks import LightningHooks
from byheart.errors import InputError

try:
    from pytorch_lightning import Callback
except ModuleNotFoundError as error:
    raise InputError(
        "this callback needs pytorch-lightning: pip install 'byheart[pytorch-lightning]'"
    ) from error


class TrackerCallback(LightningHooks, Callback):
    """The callback of ``byheart.auditing.adapters.lightning``, for the older package."""
