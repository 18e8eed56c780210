"""A model that says it takes one argument more: what its trainer drops goes by what it says."""

from __future__ import annotations

import inspect
from types import MethodType
from typing import Any

from torch import nn


class Accepting:
    """Lets a model's ``forward`` name another argument, which it never gets, until undone.

    A transformers ``Trainer`` drops the columns of a data set that ``forward`` does not name. Its
    ``label_names`` would keep a column too, but evaluation then needs it for its loss.

    Args:
        model: whose ``forward`` the trainer looks at.
        name: of the argument.
    """

    def __init__(self, model: nn.Module, name: str) -> None:
        self._model, inner = model, model.forward

        def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
            return inner(*args, **kwargs)

        named = inspect.signature(inner)
        one = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        more = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
        every = {one.name: one, **named.parameters, name: more}.values()
        # By the order that Python wants: what takes all other keywords comes last.
        in_order = sorted(every, key=lambda parameter: parameter.kind)
        vars(forward)["__signature__"] = named.replace(parameters=in_order)
        self._forward = MethodType(forward, model)
        model.forward = self._forward

    def undo(self) -> None:
        """Leave ``forward`` as it was; unless someone has wrapped it since, who needs it then."""
        if vars(self._model).get("forward") is self._forward:
            del self._model.forward
