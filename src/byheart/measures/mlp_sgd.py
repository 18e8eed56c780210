"""Plain SGD on a multilayer perceptron, differentiated by formulas instead of by autograd."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from byheart.measures.unrolled import DivergedError, Parameters, PlainSgd, finite


def mlp_sgd(model: nn.Module, run: PlainSgd) -> MlpSgd | None:
    """Return the run for a model that is a plain multilayer perceptron, None for any other.

    Args:
        model: linear layers with biases and ReLUs between them in a ``nn.Sequential``, after a
            ``nn.Flatten`` if there is one.
        run: what autograd would differentiate.
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
        and (flat or run.x.dim() == 2)
        and not any(_hooked(one) for one in (model, *layers))
    )
    if not plain:
        return None
    return MlpSgd(run.start, run.x.flatten(1), run.y, run.batches, run.learning_rate)


def _hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


class MlpSgd:
    r"""The same training run as :class:`PlainSgd`, for linear layers with ReLUs between them.

    Formula: with delta_l the gradient of the batch's loss with respect to the inputs z_l of the
    ReLUs, and (A_l, c_l) the part of an adjoint that belongs to layer l, the derivative of the loss
    along the adjoint has u_l = r_{l-1} W_l^T + h_{l-1} A_l^T + c_l, r_l = 1[z_l > 0] u_l, and its
    own gradients v_L = (diag(p) - p p^T) u_L / B, v_l = 1[z_l > 0] (v_{l+1} W_{l+1} + delta_{l+1}
    A_{l+1}). They make H a (layer l: v_l^T h_{l-1} + delta_l^T r_{l-1}, and the sum of v_l), and
    v_1 W_1 + delta_1 A_1 is what the inputs receive.

    Nothing is recorded and nothing kept but one layer's products: where the network is small,
    autograd spends most of its time on other things than arithmetic.

    Source: Pearlmutter (1994) for the product with the Hessian.
    """

    def __init__(
        self,
        start: Parameters,
        x: Tensor,
        y: Tensor,
        batches: Sequence[Tensor],
        learning_rate: float,
    ) -> None:
        """Set up a run.

        Args:
            start: weight [out, in] and bias [out] of each layer in turn.
            x: [N, D].
            y: [N].
            batches: index tensors.
            learning_rate: of plain SGD.
        """
        self.start = start
        self.x = x
        self.y = y
        self.batches = batches
        self.learning_rate = learning_rate
        self._targets = one_hot(y, len(start[-1])).to(x)

    @torch.no_grad()
    def step(self, s: int, theta: Parameters) -> Parameters:
        """Return theta_{s+1}; :class:`DivergedError` names the update where it is not finite."""
        batch = self.batches[s]
        activations, probabilities = _forward(theta, self.x[batch])
        delta = (probabilities - self._targets[batch]) / len(batch)
        after: list[Tensor] = []
        for weight, bias, h in reversed(
            list(zip(theta[::2], theta[1::2], activations, strict=True))
        ):
            after[:0] = (
                torch.addmm(weight, delta.T, h, alpha=-self.learning_rate),
                torch.sub(bias, delta.sum(0), alpha=self.learning_rate),
            )
            if weight is not theta[0]:
                delta = (delta @ weight).mul_(h > 0)
        if not finite(after):
            raise DivergedError(s + 1, len(self.batches), self.learning_rate)
        return tuple(after)

    @torch.no_grad()
    def slope(
        self, t: int, theta: Parameters, share: Tensor | None = None
    ) -> tuple[Parameters, Tensor]:
        """Return dL/dtheta and the direct dL/dx [N, D]; see :meth:`PlainSgd.slope`."""
        activations, probabilities = _forward(theta, self.x)
        if not finite([probabilities]):
            raise DivergedError(t, len(self.batches), self.learning_rate)
        delta = (probabilities - self._targets) / len(self.x)
        if share is not None:
            delta = delta * share[:, None]
        slopes: list[Tensor] = []
        for weight, h in reversed(list(zip(theta[::2], activations, strict=True))):
            slopes[:0] = (delta.T @ h, delta.sum(0))
            delta = delta @ weight
            if weight is not theta[0]:
                delta.mul_(h > 0)
        return tuple(slopes), delta

    @torch.no_grad()
    def pull_back(self, s: int, theta: Parameters, adjoints: Parameters) -> Tensor:
        """Carry adjoints back through update s, in place; see :meth:`PlainSgd.pull_back`."""
        batch, rate = self.batches[s], self.learning_rate
        activations, p = _forward(theta, self.x[batch])
        delta = (p - self._targets[batch]) / len(batch)
        masks = [(h > 0).to(h) for h in activations[1:]]
        tangents, u = _tangents(theta, activations, masks, adjoints)

        v = u.mul_(p)
        v = v.addcmul_(v.sum(2, keepdim=True), p, value=-1).div_(len(batch))
        for layer in reversed(range(len(activations))):
            weight, a, c = theta[2 * layer], adjoints[2 * layer], adjoints[2 * layer + 1]
            below = torch.bmm(_repeated(delta, a), a)
            below.view(-1, weight.shape[1]).addmm_(v.view(-1, len(weight)), weight)
            a.baddbmm_(v.mT, _repeated(activations[layer], a), alpha=-rate)
            c.sub_(v.sum(1), alpha=rate)
            if layer:
                a.baddbmm_(_repeated(delta.T, a), tangents[layer - 1], alpha=-rate)
                v = below.mul_(masks[layer - 1])
                delta = (delta @ weight).mul_(masks[layer - 1])
        return below.mul_(-rate)

    def logits(self, theta: Parameters, x: Tensor) -> Tensor:
        """Return the logits [N, classes] of inputs [N, D] under parameters theta."""
        return _layers(theta, x)[1]


def _layers(theta: Parameters, x: Tensor) -> tuple[list[Tensor], Tensor]:
    """Return what each layer reads, and the logits."""
    activations = [x]
    for weight, bias in zip(theta[:-2:2], theta[1:-2:2], strict=True):
        activations.append(torch.addmm(bias, activations[-1], weight.T).relu_())
    return activations, torch.addmm(theta[-1], activations[-1], theta[-2].T)


def _forward(theta: Parameters, x: Tensor) -> tuple[list[Tensor], Tensor]:
    """Return what each layer reads, and the probabilities of the classes."""
    activations, logits = _layers(theta, x)
    return activations, torch.softmax(logits, 1)


def _tangents(
    theta: Parameters, activations: list[Tensor], masks: list[Tensor], adjoints: Parameters
) -> tuple[list[Tensor], Tensor]:
    """Return r_l [E, B, units] of each hidden layer, and u_L [E, B, classes]."""
    tangents: list[Tensor] = []
    u = activations[0]
    for layer, h in enumerate(activations):
        a, c = adjoints[2 * layer], adjoints[2 * layer + 1]
        u = torch.bmm(_repeated(h, a), a.mT).add_(c[:, None])
        if layer:
            weight, r = theta[2 * layer], tangents[-1]
            u.view(-1, len(weight)).addmm_(r.view(-1, weight.shape[1]), weight.T)
        if layer < len(masks):
            tangents.append(u.mul_(masks[layer]))
    return tangents, u


def _repeated(one: Tensor, adjoints: Tensor) -> Tensor:
    """Return a view of a matrix, once for each adjoint."""
    return one.expand(len(adjoints), *one.shape)
