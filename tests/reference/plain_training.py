"""The slow twin of the engine: one network at a time, in plain PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from byheart.data.corruption import corrupt
from byheart.data.dataset import Dataset
from byheart.networks.mlp import glorot_uniform
from byheart.seeds import generator
from byheart.trial import Trial


def plain_module(sizes: tuple[int, ...], seed: int, dtype: torch.dtype) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for weight, bias in glorot_uniform(sizes, seed):
        linear = nn.Linear(*weight.shape, dtype=dtype)
        linear.weight.data = weight.T.to(dtype).clone()
        linear.bias.data = bias.to(dtype).clone()
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def plain_training(
    trial: Trial, dataset: Dataset, dtype: torch.dtype = torch.float64
) -> tuple[nn.Sequential, list[Tensor]]:
    """Return the trained module, and its logits on the training set after every epoch."""
    algorithm = trial.algorithm
    data, _ = dataset.split(trial.data.train, trial.data.validation, trial.data.seed)
    data = corrupt(data, inputs=trial.data.inputs, labels=trial.data.labels, seed=trial.data.seed)
    x = data.x.to(dtype)
    sizes = (x[0].numel(), *algorithm.network.hidden, dataset.n_classes)
    model = plain_module(sizes, trial.seed, dtype)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=algorithm.learning_rate,
        momentum=algorithm.momentum,
        weight_decay=algorithm.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.StepLR(
        optimizer, algorithm.decay_every or algorithm.epochs + 1, algorithm.decay
    )
    order = generator("shuffle", trial.seed, trial.data.train)
    logits = []
    for _ in range(algorithm.epochs):
        rows = torch.from_numpy(order.permutation(trial.data.train))
        for batch in rows.split(algorithm.batch_size):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), data.y[batch]).backward()
            optimizer.step()
        schedule.step()
        with torch.no_grad():
            logits.append(model(x))
    return model, logits
