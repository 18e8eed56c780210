"""The slow twin of packs of a user's module: one module at a time, in plain PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from byheart.data.corruption import corrupt
from byheart.data.dataset import Dataset
from byheart.networks.foreign import find_factory
from byheart.networks.vmapped import noise_of
from byheart.seeds import generator, seed
from byheart.trial import Trial


def plain_foreign_training(
    trial: Trial, dataset: Dataset, takes: tuple[int, ...]
) -> tuple[nn.Module, list[Tensor]]:
    """Return the trained module, and its logits in eval mode after every epoch, in float64."""
    algorithm = trial.algorithm
    data, _ = dataset.split(trial.data.train, trial.data.validation, trial.data.seed)
    data = corrupt(data, inputs=trial.data.inputs, labels=trial.data.labels, seed=trial.data.seed)
    x = data.x.double().reshape(len(data), *takes)
    torch.manual_seed(seed("init", trial.seed))
    model = find_factory(algorithm.network.factory)().double()
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad],
        lr=algorithm.learning_rate,
        momentum=algorithm.momentum,
        weight_decay=algorithm.weight_decay,
    )
    order, step, logits = generator("shuffle", trial.seed, trial.data.train), 0, []
    for _ in range(algorithm.epochs):
        rows = torch.from_numpy(order.permutation(trial.data.train))
        model.train()
        for batch in rows.split(algorithm.batch_size):
            optimizer.zero_grad()
            with noise_of(trial.seed, step):
                output = model(x[batch])
            nn.functional.cross_entropy(output, data.y[batch]).backward()
            optimizer.step()
            step += 1
        with torch.no_grad():
            logits.append(model.eval()(x))
    return model, logits
