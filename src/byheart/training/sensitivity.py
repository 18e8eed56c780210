"""Training that is differentiated as a whole: trials with a sensitivity probe."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from byheart.data.dataset import Dataset
from byheart.errors import InputError
from byheart.measures.mlp_sgd import mlp_sgd
from byheart.measures.sensitivity import SensitivityProfile, sensitivity_profile
from byheart.measures.unrolled import DivergedError, PlainSgd, UnrolledSgd
from byheart.networks.build import build_pack
from byheart.record import Outcome, Record
from byheart.seeds import generator
from byheart.statistics.gini import gini
from byheart.training.examples import gather_examples
from byheart.training.packs import Pack
from byheart.trial import Algorithm, SensitivityProbe, Trial

Arrays = dict[str, np.ndarray]


def sensitivity_probe(trial: Trial) -> SensitivityProbe | None:
    """Return the probe for which a trial's training must be differentiated, if it has one."""
    probes = (probe for probe in trial.probes if isinstance(probe, SensitivityProbe))
    return next(probes, None)


def train_and_differentiate(
    pack: Pack,
    probe: SensitivityProbe,
    dataset: Dataset,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    on_epoch: Callable[[int, int], None] | None = None,
) -> list[Record]:
    """Train the trials of a pack one after the other, and measure loss-sensitivity through it.

    The same initialisation, batches and updates as :func:`byheart.training.engine.train`, to
    rounding. One replica at a time, so that memory stays that of one.

    Args:
        pack: the trials to train, by plain SGD.
        probe: probe of its trials.
        dataset: the clean source that ``trial.data.fingerprint`` names.
        device: "cpu", "cuda" or "mps".
        dtype: dtype of weights, inputs and adjoints.
        on_epoch: called with (epochs done, epoch budget) as the sweep goes on.

    Raises:
        InputError: an algorithm that is more than plain SGD, or times beyond its budget.
    """
    for trial in pack.trials:
        _check(trial, probe)
    first = pack.trials[0]
    shape, classes = first.data.seen_shape(dataset.shape), first.data.outputs(dataset.n_classes)
    examples = gather_examples([t.data for t in pack.trials], dataset, dtype=dtype, device=device)
    network = build_pack(
        first.algorithm.network,
        shape,
        classes,
        [t.seed for t in pack.trials],
        dtype=dtype,
        device=device,
    )
    records = []
    for replica, trial in enumerate(pack.trials):
        started = time.perf_counter()
        inputs = examples.inputs(examples.train_rows[replica : replica + 1])[0]
        sgd = _sgd(
            network.module(replica),
            inputs.view(len(inputs), *shape),
            examples.train_y[replica],
            trial,
        )
        watch = None if on_epoch is None else _progress(on_epoch, replica, pack)
        outcome, epochs, arrays = _measure(sgd, trial, probe, classes, watch)
        records.append(
            Record(
                trial=trial,
                outcome=outcome,
                epochs=epochs,
                arrays=arrays,
                seconds=time.perf_counter() - started,
                threads=torch.get_num_threads(),
                device=device,
            )
        )
    return records


def updates_per_epoch(trial: Trial) -> int:
    """Return how many batches an epoch has."""
    return math.ceil(trial.data.train / trial.algorithm.batch_size)


def _check(trial: Trial, probe: SensitivityProbe) -> None:
    algorithm = trial.algorithm
    plain = Algorithm(
        network=algorithm.network,
        learning_rate=algorithm.learning_rate,
        batch_size=algorithm.batch_size,
        epochs=algorithm.epochs,
    )
    if algorithm != plain:
        facts, plain_facts = algorithm.model_dump(), plain.model_dump()
        more = ", ".join(name for name in facts if facts[name] != plain_facts[name])
        raise InputError(f"loss-sensitivity is that of plain SGD: leave out {more}")
    if len(trial.probes) > 1:
        names = ", ".join(
            other_probe.name for other_probe in trial.probes if other_probe is not probe
        )
        raise InputError(f"the probe 'sensitivity' stands alone: measure {names} in another trial")
    budget = algorithm.epochs * updates_per_epoch(trial)
    if probe.evaluate_at[-1] > budget:
        raise InputError(
            f"evaluate_at goes to update {probe.evaluate_at[-1]}, but {algorithm.epochs} epochs "
            f"have {budget}: give more epochs"
        )


def _sgd(module: nn.Module, x: Tensor, y: Tensor, trial: Trial) -> UnrolledSgd:
    """Return the run of one trial, by formulas where its network allows it."""
    rng = generator("shuffle", trial.seed, trial.data.train)
    algorithm = trial.algorithm
    batches = [
        batch.to(x.device)
        for _ in range(algorithm.epochs)
        for batch in torch.split(torch.from_numpy(rng.permutation(len(y))), algorithm.batch_size)
    ]
    run = PlainSgd(module, x, y, batches, algorithm.learning_rate)
    with torch.no_grad():
        outputs = run.logits(run.start, x[:1]).shape[1]
    highest = int(y.max())
    if highest >= outputs:
        raise InputError(
            f"the data have label {highest}, but the network {outputs} outputs: give it "
            f"{highest + 1} or more"
        )
    return mlp_sgd(module, run) or run


def _measure(
    sgd: UnrolledSgd,
    trial: Trial,
    probe: SensitivityProbe,
    classes: int,
    watch: Callable[[int], None] | None,
) -> tuple[Outcome, int, Arrays]:
    try:
        with torch.enable_grad():
            profile = sensitivity_profile(
                sgd,
                probe.evaluate_at,
                per_class_at=probe.per_class_at,
                classes=classes,
                on_time=watch,
            )
    except DivergedError as error:
        return "diverged", math.ceil(error.update / updates_per_epoch(trial)), {}
    return "budget", trial.algorithm.epochs, _arrays(probe, profile)


def _arrays(probe: SensitivityProbe, profile: SensitivityProfile) -> Arrays:
    norms = profile.norms.numpy()
    updates = np.array(probe.evaluate_at)
    lost = ~np.isfinite(norms).all((0, 2))
    # The derivative is a product over all updates: what overflows once is lost from there on.
    kept = int(lost.argmax()) if lost.any() else len(updates)
    so_far = np.cumsum(norms[:, :kept], axis=1) / np.arange(1, kept + 1)[:, None]
    spread = np.full((len(updates), len(norms)), np.nan)
    spread[:kept] = [[gini(of_norm) for of_norm in now] for now in so_far.transpose(1, 0, 2)]
    arrays = {
        "update": updates,
        "gini": spread,
        "mean": so_far[:, -1] if kept else np.full(norms[:, 0].shape, np.nan),
        "overflow_at": np.array(updates[kept] if lost.any() else -1),
        "loss": profile.loss.numpy(),
        "accuracy": profile.accuracy.numpy(),
    }
    if probe.per_class_at:
        whole = [t < updates[kept] if lost.any() else True for t in probe.per_class_at]
        matrices = profile.per_class.numpy()[whole]
        arrays["per_class"] = (
            matrices.mean(0) if len(matrices) else np.full(profile.per_class.shape[1:], np.nan)
        )
    return {f"sensitivity.{name}": np.asarray(values) for name, values in arrays.items()}


def _progress(
    on_epoch: Callable[[int, int], None], replica: int, pack: Pack
) -> Callable[[int], None]:
    """Return what tells how far the sweep is: it goes from the last update to the first."""
    budget = pack.trials[0].algorithm.epochs
    per_epoch = updates_per_epoch(pack.trials[0])

    def at(update: int) -> None:
        passed = replica + 1 - update / (budget * per_epoch)
        on_epoch(min(budget, math.floor(budget * passed / len(pack.trials))), budget)

    return at
