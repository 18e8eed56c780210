"""How large a module is, counted while it computes."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from byheart.networks.size import NetworkSize


def counted(model: nn.Module, x: Tensor) -> NetworkSize:
    """Return the size of a network that is only known by what it does.

    Args:
        model: it stays as it is.
        x: [N, *takes] inputs, at least two where it has batch norm.
    """
    model = copy.deepcopy(model).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    with torch.enable_grad(), FlopCounterMode(display=False) as counter:
        logits = model(x)
        forward = counter.get_total_flops()
        # Not autograd.grad, beside which the counter's own hooks cannot run.
        logits.sum().backward()
        both = counter.get_total_flops()
    with torch.no_grad(), _Made() as made:
        model.eval()(x)
    # A multiply-add counts as two operations. Forward and backward are three times as many as
    # forward alone, but for the gradient with respect to the input.
    products = forward // (2 * len(x))
    return NetworkSize(
        parameters=sum(p.numel() for p in trained),
        products=products,
        first_products=min(products, max(0, 3 * products - both // (2 * len(x)))),
        activations=x[0].numel() + made.numbers // len(x),
    )


class _Made(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the numbers in all tensors that operations make."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and count what it makes; a view makes nothing."""
        made = func(*args, **(kwargs or {}))
        if not func.is_view:
            of = made if isinstance(made, tuple | list) else (made,)
            self.numbers += sum(one.numel() for one in of if isinstance(one, Tensor))
        return made
