"""Which modules are plain multilayer perceptrons, whose derivatives are written down."""

from __future__ import annotations

from torch import Tensor, nn


def plain_layers(model: nn.Module, x: Tensor) -> list[nn.Linear] | None:
    """Return the linear layers of a model that is a plain multilayer perceptron, or None.

    Args:
        model: linear layers with biases and ReLUs between them in a ``nn.Sequential``, after a
            ``nn.Flatten`` if there is one; all parameters trainable, none shared, no hooks.
        x: [N, *shape] its inputs, flat where it does not flatten them.
    """
    layers = list(model) if type(model) is nn.Sequential else []
    flat = bool(layers) and type(layers[0]) is nn.Flatten
    linears, relus = layers[flat::2], layers[flat + 1 :: 2]
    weights = [part for linear in linears for part in linear.parameters()]
    plain = (
        len(linears) == len(relus) + 1
        and all(type(one) is nn.Linear and one.bias is not None for one in linears)
        and all(type(one) is nn.ReLU for one in relus)
        and all(part.requires_grad for part in weights)
        and len({id(part) for part in weights}) == len(weights)
        and (flat or x.dim() == 2)
        and not any(_hooked(one) for one in (model, *layers))
    )
    return [one for one in linears if isinstance(one, nn.Linear)] if plain else None


def _hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)
