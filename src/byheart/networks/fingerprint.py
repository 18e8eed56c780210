"""What a user's network is made of, as one hash: the same code gives the same network."""

from __future__ import annotations

import hashlib
import inspect
import json
import re

from torch import nn

_ADDRESS = re.compile(r"0x[0-9a-f]+")


def fingerprint_of(model: nn.Module) -> str:
    """Return the hash of a network's parts, whatever its weights.

    In it go names, shapes and types of parameters and buffers, every layer's class and settings (a
    kernel size, a dropout rate), and the source text of classes that are not PyTorch's own, so
    that a changed ``forward`` is another network. A function that ``forward`` calls is not in it.

    Args:
        model: the network.
    """
    tensors = [*model.named_parameters(), *model.named_buffers()]
    facts = {
        "tensors": [(name, [*t.shape], str(t.dtype), t.requires_grad) for name, t in tensors],
        "layers": [
            (name, type(module).__qualname__, _ADDRESS.sub("", module.extra_repr()))
            for name, module in model.named_modules()
        ],
        "sources": sorted({_source(type(module)) for module in model.modules()}),
    }
    return hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode()).hexdigest()[:32]


def _source(kind: type[nn.Module]) -> str:
    if kind.__module__.partition(".")[0] == "torch":
        return ""
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        return ""
