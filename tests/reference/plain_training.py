"""The slow twin of the engine: one network at a time, in plain PyTorch."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from byheart.data.corruption import corrupt
from byheart.data.dataset import Dataset
from byheart.networks.cnn import glorot_cnn
from byheart.networks.examine import examine
from byheart.networks.foreign import find_factory
from byheart.networks.mlp import glorot_uniform
from byheart.networks.size import cnn_shapes
from byheart.networks.vmapped import seeded_randomness
from byheart.seeds import generator
from byheart.seeds import seed as seed_of
from byheart.training.regularizers.adversarial import SEARCH_STEPS
from byheart.training.step import STUDIED
from byheart.trial import CNN, MLP, Algorithm, Trial


def plain_module(sizes: tuple[int, ...], seed: int, dtype: torch.dtype) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for weight, bias in glorot_uniform(sizes, seed):
        linear = nn.Linear(*weight.shape, dtype=dtype)
        linear.weight.data = weight.T.to(dtype).clone()
        linear.bias.data = bias.to(dtype).clone()
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Crop(nn.Module):
    def __init__(self, crop: int) -> None:
        super().__init__()
        self.crop = crop

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        return x[..., self.crop : height - self.crop, self.crop : width - self.crop]


def plain_cnn(
    network: CNN, shape: tuple[int, ...], classes: int, seed: int, dtype: torch.dtype
) -> nn.Sequential:
    """Return the network with a bias in every layer, though batch norm takes most of them away."""
    channels, height, width = (1, *shape)[-3:]
    filters, weights = glorot_cnn(cnn_shapes(network, shape, classes), network.kernel, seed)
    layers: list[nn.Module] = [
        nn.Flatten(),
        nn.Unflatten(1, (channels, height, width)),
        Crop(network.crop),
    ]
    for weight in filters:
        count, inputs = weight.shape[:2]
        conv = nn.Conv2d(inputs, count, network.kernel, padding="same", dtype=dtype)
        conv.weight.data, conv.bias.data = weight.to(dtype), torch.zeros(count, dtype=dtype)
        pool = nn.MaxPool2d(network.pool, network.stride)
        layers += [conv, nn.BatchNorm2d(count, dtype=dtype), nn.ReLU(), pool]
    layers.append(nn.Flatten())
    for weight in weights:
        linear = nn.Linear(*weight.shape, dtype=dtype)
        linear.weight.data = weight.T.to(dtype).clone()
        linear.bias.data = torch.zeros(weight.shape[1], dtype=dtype)
        layers += [linear, nn.BatchNorm1d(weight.shape[1], dtype=dtype), nn.ReLU()]
    return nn.Sequential(*layers[:-2])


def plain_training(
    trial: Trial, dataset: Dataset, dtype: torch.dtype = torch.float64
) -> tuple[nn.Module, list[Tensor]]:
    """Return the trained module in eval mode, and its logits on the training set by epoch."""
    algorithm, takes = trial.algorithm, dataset.shape
    network, classes = algorithm.network, dataset.n_classes
    if isinstance(network, MLP):
        sizes = (math.prod(takes), *network.hidden, classes)
        model: nn.Module = plain_module(sizes, trial.seed, dtype)
    elif isinstance(network, CNN):
        model = plain_cnn(network, takes, classes, trial.seed, dtype)
    else:
        takes = examine(network.factory, takes, classes).takes
        torch.manual_seed(seed_of("init", trial.seed))
        model = find_factory(network.factory)().to(dtype)
    data, _ = dataset.split(trial.data.train, trial.data.validation, trial.data.seed)
    data = corrupt(data, inputs=trial.data.inputs, labels=trial.data.labels, seed=trial.data.seed)
    x = data.x.to(dtype).reshape(-1, *takes)
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad],
        lr=algorithm.learning_rate,
        momentum=algorithm.momentum,
        weight_decay=algorithm.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.StepLR(
        optimizer, algorithm.decay_every or algorithm.epochs + 1, algorithm.decay
    )
    order, step, logits = generator("shuffle", trial.seed, trial.data.train), 0, []
    for epoch in range(algorithm.epochs):
        noise = PlainNoise(algorithm, trial.seed, epoch)
        rows = torch.from_numpy(order.permutation(trial.data.train))
        model.train()
        for batch in rows.split(algorithm.batch_size):
            optimizer.zero_grad()
            with seeded_randomness(trial.seed, step):
                plain_loss(model, x[batch], data.y[batch], algorithm, noise).backward()
            optimizer.step()
            step += 1
        schedule.step()
        with torch.no_grad():
            logits.append(model.eval()(x))
    return model, logits


class PlainNoise:
    """The random numbers of one network in one epoch, one example at a time."""

    def __init__(self, algorithm: Algorithm, seed: int, epoch: int) -> None:
        self.algorithm = algorithm
        self.generators = {
            purpose: generator(purpose, seed, epoch)
            for purpose in (
                "input noise", "input dropout", "hidden noise", "dropout", "adversarial search",
            )
        }  # fmt: skip

    def normal(self, purpose: str, width: int) -> Tensor:
        drawn = self.generators[purpose].standard_normal(width, dtype=np.float32)
        return torch.from_numpy(drawn).double()

    def kept(self, purpose: str, width: int, rate: float) -> Tensor:
        drawn = self.generators[purpose].random(width, dtype=np.float32)
        return torch.from_numpy(drawn).double() >= rate

    def inputs(self, x: Tensor) -> Tensor:
        own = self.algorithm
        if own.input_noise:
            x = x + own.input_noise * self.normal("input noise", len(x))
        if own.input_dropout:
            x = x * self.kept("input dropout", len(x), own.input_dropout) / (1 - own.input_dropout)
        return x

    def hidden(self, units: int) -> tuple[Tensor, Tensor]:
        """Return what one example adds to its hidden units, and then multiplies them by."""
        own = self.algorithm
        shift, factor = torch.zeros(units).double(), torch.ones(units).double()
        if own.hidden_noise:
            shift = own.hidden_noise * self.normal("hidden noise", units)
        if own.dropout:
            factor = self.kept("dropout", units, own.dropout).double() / (1 - own.dropout)
        return shift, factor

    def logits(self, model: nn.Sequential, x: Tensor) -> Tensor:
        """Return the logits [N, classes] of examples [N, inputs], in train mode."""
        linears = [layer for layer in model if isinstance(layer, nn.Linear)]
        units = [layer.out_features for layer in linears[:-1]]
        shifts, factors = (
            torch.stack(values).split(units, dim=1)
            for values in zip(*(self.hidden(sum(units)) for _ in x), strict=True)
        )
        changes = iter(zip(shifts, factors, strict=True))
        h, dense = torch.stack([self.inputs(example) for example in x]), False
        for layer in model:
            h = layer(h)
            dense = dense or isinstance(layer, nn.Linear)
            if dense and isinstance(layer, nn.ReLU):
                shift, factor = next(changes)
                h = (h + shift) * factor
        return h

    def attacked(self, model: nn.Sequential, x: Tensor) -> Tensor:
        """Return what the search for a critical sample ends at, from one example [inputs]."""
        radius = self.algorithm.adversarial_radius
        step, deviation = 0.25 / 0.3 * radius, 0.2 / 0.3 * radius
        etas = self.normal("adversarial search", SEARCH_STEPS * len(x)).view(SEARCH_STEPS, -1)
        predicted = int(model(x[None]).argmax())
        point = x.clone()
        for eta in etas:
            point = point.detach().requires_grad_()
            score = torch.log_softmax(model(point[None])[0], 0)[predicted]
            (gradient,) = torch.autograd.grad(score, point)
            moved = point.detach() - step * gradient.sign() + deviation * eta
            point = x + (moved - x).clamp(-radius, radius)
            if int(model(point[None]).argmax()) != predicted:
                break
        return point.detach()


def plain_loss(
    model: nn.Module, x: Tensor, y: Tensor, algorithm: Algorithm, noise: PlainNoise
) -> Tensor:
    """Return the regularized loss of a batch, for one network."""
    if not any(getattr(algorithm, name) for name in STUDIED):
        return nn.functional.cross_entropy(model(x), y)
    weight, examples = algorithm.adversarial_weight, x.flatten(1)
    if weight:
        model.eval()
        attacked = torch.stack([noise.attacked(model, example) for example in examples])
        model.train()
        examples = torch.cat((examples, attacked))
    clean, *rest = noise.logits(model, examples).split(len(x))
    loss = nn.functional.cross_entropy(clean, y)
    if not weight:
        return loss
    return (1 - weight) * loss + weight * nn.functional.cross_entropy(rest[0], y)
