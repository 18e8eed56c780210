"""Regularizers that change the gradient or the epoch at which training stops."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from byheart.networks.base import TrainableNetwork
from byheart.training.regularizers.base import Gradients, LearningTask, Regularizer, Snippet


class WeightDecay(Regularizer):
    r"""L2 on all parameters, added to the gradient.

    Formula: g <- g + lambda theta, before momentum and the learning rate (PyTorch's convention),
    in addition to the recipe's own weight decay.

    Source: Krogh & Hertz (1992); Arpit et al. (2017), Figure 10.
    """

    name = "weight decay"
    symbol = "lambda"
    strengths_to_try = (1e-4, 1e-3, 1e-2, 1e-1)
    """Arpit et al. (2017), Figure 10, use 0 to 1."""

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return PyTorch code that trains with this strength."""
        return Snippet(weight_decay=strength)

    def gradients(
        self, network: TrainableNetwork, parameters: Sequence[Tensor], compute: Gradients
    ) -> list[Tensor]:
        """Return the gradients plus the weight-decay term."""
        decay = _scaled(parameters, self.strengths)
        return [gradient + term for gradient, term in zip(compute(), decay, strict=True)]


class GradientClipping(Regularizer):
    r"""Scales the gradient to a norm of at most c.

    Formula: g <- g min(1, c / ||g||_2), over all parameters together. A lower c is stronger.

    Source: Pascanu, Mikolov & Bengio (2013), algorithm 1; with wrong labels, Menon et al. (2020).
    """

    name = "gradient clipping"
    symbol = "c"
    strengths_to_try = (1.0, 0.3, 0.1, 0.03)

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return PyTorch code that trains with this strength."""
        clip = f"torch.nn.utils.clip_grad_norm_(model.parameters(), {strength:g})"
        return Snippet(after=clip)

    def gradients(
        self, network: TrainableNetwork, parameters: Sequence[Tensor], compute: Gradients
    ) -> list[Tensor]:
        """Return the gradients, clipped."""
        gradients = compute()
        # As torch.nn.utils.clip_grad_norm_ does it.
        factors = self.strengths / (_norms(gradients) + 1e-6)
        return _scaled(gradients, factors.clamp_max(1.0))


class SharpnessAware(Regularizer):
    r"""Uses the gradient at the nearby parameters with the highest loss.

    Formula: g <- grad L(theta + rho g / ||g||_2), with g = grad L(theta), both on the same batch.
    Only the first pass updates the running statistics of batch norm, as usual.

    Source: Foret, Kleiner, Mobahi & Neyshabur (2021), equations 2 and 3, algorithm 1.
    """

    name = "sharpness-aware minimization"
    symbol = "rho"
    strengths_to_try = (0.02, 0.05, 0.2, 0.5)
    """The authors try 0.01 to 0.5, and use 0.05."""

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return PyTorch code that trains with this strength."""
        return Snippet(
            after=f"""
            start = [p.detach().clone() for p in model.parameters()]
            length = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
            with torch.no_grad():
                for p in model.parameters():
                    p += {strength:g} * p.grad / length
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            with torch.no_grad():
                for p, before in zip(model.parameters(), start):
                    p.copy_(before)
            """
        )

    @torch.no_grad()
    def gradients(
        self, network: TrainableNetwork, parameters: Sequence[Tensor], compute: Gradients
    ) -> list[Tensor]:
        """Return the gradients at the nearby parameters with the highest loss."""
        first = compute()
        perturbation = _scaled(first, self.strengths / _norms(first).clamp_min(1e-12))
        statistics = [values.clone() for values in network.untrained_tensors()]
        before = [values.clone() for values in parameters]
        torch._foreach_add_(list(parameters), perturbation)
        second = compute()
        # Copied back rather than subtracted: rounding would move the parameters a little.
        torch._foreach_copy_(list(parameters), before)
        for values, first_pass in zip(network.untrained_tensors(), statistics, strict=True):
            values.copy_(first_pass)
        return second


class EarlyStopping(Regularizer):
    r"""Stops training at an epoch, before memorization begins.

    It needs no training of its own: its result is that of plain training at this epoch. As for any
    strength, the epoch is chosen and evaluated on different seeds.

    Source: Prechelt (1998); against wrong labels, Li, Soltanolkotabi & Oymak (2020); the two phases
    of training, Arpit et al. (2017), section 3.4 and Figure 7.
    """

    name = "early stopping"
    symbol = "epochs"

    @classmethod
    def obstacle(cls, task: LearningTask) -> str:
        """Return why it cannot be applied; empty if it can."""
        return "" if cls.grid(task) else "one epoch is the whole training: there is none before it"

    @classmethod
    def grid(cls, task: LearningTask) -> tuple[float, ...]:
        """Return the epochs to stop at, latest first; earlier stopping is stronger."""
        return tuple(float(e) for e in reversed(task.checkpoints[:-1]))

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return PyTorch code that trains with this strength."""
        return Snippet(epochs=int(strength))


def _norms(gradients: Sequence[Tensor]) -> Tensor:
    """Return the Euclidean norm [R] of each replica's gradient over all parameters."""
    squares = [(g.flatten(1) ** 2).sum(1) for g in gradients]
    return torch.stack(squares).sum(0).sqrt()


def _scaled(gradients: Sequence[Tensor], factors: Tensor) -> list[Tensor]:
    """Return gradients, each [R, ...], times a factor [R] per replica."""
    return [g * factors.view(-1, *[1] * (g.dim() - 1)) for g in gradients]
