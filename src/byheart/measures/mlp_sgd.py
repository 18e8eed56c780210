"""Plain SGD on a multilayer perceptron, differentiated by formulas instead of by autograd."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from byheart.measures.mlp_adjoints import MlpAdjoints
from byheart.measures.mlp_moment import FlatParameters, Moment
from byheart.measures.modules import plain_layers
from byheart.measures.unrolled import DivergedError, Parameters, PlainSgd, finite


def mlp_sgd(model: nn.Module, run: PlainSgd) -> MlpSgd | None:
    """Return the run for a model that is a plain multilayer perceptron, None for any other.

    Args:
        model: linear layers with biases and ReLUs between them in a ``nn.Sequential``, after a
            ``nn.Flatten`` if there is one.
        run: what autograd would differentiate.
    """
    if plain_layers(model, run.x) is None:
        return None
    return MlpSgd(run.start, run.x.flatten(1), run.y, run.batches, run.learning_rate)


class MlpSgd:
    r"""The same training run as :class:`PlainSgd`, for linear layers with ReLUs between them.

    Formula: those of :class:`byheart.measures.mlp_adjoints.MlpAdjoints`. Nothing is recorded: where
    the network is small, autograd spends most of its time on other things than arithmetic.
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
        self._moments: dict[int, Moment] = {}
        self._passes: dict[int, tuple[Parameters, Tensor]] = {}
        self._remembered = 0
        largest = max(map(len, batches), default=0)
        numbers = sum(p.numel() for p in start) + Moment.numbers(start, largest)
        self.update_bytes = numbers * x.element_size()

    def remember(self, updates: int) -> None:
        """Keep what the last so many updates computed on their way, for :meth:`pull_back`."""
        self._remembered = updates

    @torch.no_grad()
    def step(self, s: int, theta: Parameters) -> Parameters:
        """Return theta_{s+1}; :class:`DivergedError` names the update where it is not finite."""
        moment = self.passed(s, theta)
        if self._remembered:
            self._passes[s] = theta, moment.put_aside()
            while len(self._passes) > self._remembered:
                del self._passes[next(iter(self._passes))]
        moment.descend()
        flat = moment.theta.flat.clone()
        if not math.isfinite(float(flat.sum())):
            raise DivergedError(s + 1, len(self.batches), self.learning_rate)
        return FlatParameters.of(flat, self.start)

    @torch.no_grad()
    def slope(
        self, t: int, theta: Parameters, share: Tensor | None = None
    ) -> tuple[Parameters, Tensor]:
        """Return dL/dtheta and the direct dL/dx [N, D]; see :meth:`PlainSgd.slope`."""
        activations, logits = _layers(theta, self.x)
        probabilities = torch.softmax(logits, 1)
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

    def adjoints(self, count: int) -> MlpSweep:
        """Return what carries so many adjoints back, without one yet."""
        return MlpSweep(self, count)

    @torch.no_grad()
    def pull_back(self, s: int, theta: Parameters, adjoints: Parameters) -> Tensor:
        """Carry adjoints back through update s, in place; see :meth:`PlainSgd.pull_back`."""
        return MlpAdjoints(adjoints, 0).pull_back(self.passed(s, theta))

    def logits(self, theta: Parameters, x: Tensor) -> Tensor:
        """Return the logits [N, classes] of inputs [N, D] under parameters theta."""
        return _layers(theta, x)[1]

    def passed(self, s: int, theta: Parameters) -> Moment:
        """Return update s at theta, with its passes; they are remembered once."""
        batch = self.batches[s]
        moment = self._moments.get(len(batch))
        if moment is None:
            moment = self._moments[len(batch)] = Moment(self.start, len(batch), self.learning_rate)
        moment.move(theta)
        moment.read(self.x, batch)
        before, passed = self._passes.pop(s, (None, None))
        if passed is not None and before is theta:
            moment.take_up(passed)
        else:
            moment.take(self._targets, batch)
        return moment


class MlpSweep:
    """The adjoints of a run on their way back; see :class:`byheart.measures.unrolled.Adjoints`."""

    def __init__(self, run: MlpSgd, count: int) -> None:
        self._run = run
        room = tuple(p.new_empty((count, *p.shape)) for p in run.start)
        self._adjoints = MlpAdjoints(room, count)

    def add(self, slopes: Parameters) -> None:
        """Put the adjoint of an earlier time before those that are on their way."""
        self._adjoints.add(slopes)

    @torch.no_grad()
    def pull_back(self, s: int, theta: Parameters) -> Tensor:
        """Carry all back through update s, and return what its batch receives, [e, B, D]."""
        return self._adjoints.pull_back(self._run.passed(s, theta))


def _layers(theta: Parameters, x: Tensor) -> tuple[list[Tensor], Tensor]:
    """Return what each layer reads, and the logits."""
    activations = [x]
    for weight, bias in zip(theta[:-2:2], theta[1:-2:2], strict=True):
        activations.append(torch.addmm(bias, activations[-1], weight.T).relu_())
    return activations, torch.addmm(theta[-1], activations[-1], theta[-2].T)
