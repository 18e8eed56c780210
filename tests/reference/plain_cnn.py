"""The slow twin of the replicated CNN: one network at a time, in plain PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from byheart.data.corruption import corrupt
from byheart.data.dataset import Dataset
from byheart.networks.cnn import glorot_cnn
from byheart.networks.size import cnn_shapes
from byheart.seeds import generator
from byheart.trial import CNN, Trial


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
    layers: list[nn.Module] = [nn.Unflatten(1, (channels, height, width)), Crop(network.crop)]
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


def plain_cnn_training(
    trial: Trial, dataset: Dataset, dtype: torch.dtype = torch.float64
) -> tuple[nn.Sequential, list[Tensor]]:
    """Return the trained module in eval mode, and its eval logits on the training set by epoch."""
    algorithm = trial.algorithm
    data, _ = dataset.split(trial.data.train, trial.data.validation, trial.data.seed)
    data = corrupt(data, inputs=trial.data.inputs, labels=trial.data.labels, seed=trial.data.seed)
    x = data.x.to(dtype).flatten(1)
    model = plain_cnn(algorithm.network, dataset.shape, dataset.n_classes, trial.seed, dtype)
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
        model.train()
        rows = torch.from_numpy(order.permutation(trial.data.train))
        for batch in rows.split(algorithm.batch_size):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), data.y[batch]).backward()
            optimizer.step()
        schedule.step()
        model.eval()
        with torch.no_grad():
            logits.append(model(x))
    return model, logits
