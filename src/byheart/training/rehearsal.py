"""A rehearsal: a moment of each kind of work of a pack, timed where the pack would be trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from byheart.data.dataset import Dataset
from byheart.record import Record
from byheart.training.cost import work
from byheart.training.engine import at_goal, make_loop
from byheart.training.loop import TrainingLoop
from byheart.training.paces import Paces, clock
from byheart.training.packs import Pack
from byheart.training.probe_paces import Stage, probe_paces
from byheart.training.sensitivity import (
    sensitivity_probe,
    train_and_differentiate,
    updates_per_epoch,
)
from byheart.trial import SensitivityProbe, Trial

REHEARSE = "byheart.training.rehearsal:rehearse"
"""For a runner: what to do with each pack instead of training it."""
MOMENT = 0.06
"""Seconds of training steps that are timed, at least."""
FEWER = 4
"""Training is timed once more with this share of the replicas, probes with these alone."""
MOST_EXAMPLES = 4096
"""Training and validation examples that are gathered at most: time grows with them in a line."""
SHORTER = 16
"""A sweep is timed on a training of this share of its updates, and of twice as many."""


@torch.no_grad()
def rehearse(
    pack: Pack,
    dataset: Dataset,
    *,
    device: str = "cpu",
    on_epoch: Callable[[int, int], None] | None = None,
) -> list[Record]:
    """Time the work of a pack instead of doing it.

    Stands where :func:`byheart.training.engine.train` stands, so that a runner takes it to where
    packs are trained: the same processes, threads and device, with the same neighbours.

    Args:
        pack: its replicas, probes and numbers are real; what is timed of them is a moment.
        dataset: the clean source that ``trial.data.fingerprint`` names.
        device: "cpu", "cuda" or "mps".
        on_epoch: never called.

    Returns:
        A record per trial; the first holds the :class:`Paces`.
    """
    del on_epoch
    if sensitivity_probe(pack.trials[0]) is not None:
        paces = _of_sweep(pack.trials[0], dataset, device)
    else:
        paces = _of_training(pack, dataset, device)
    first, *others = pack.trials
    return [
        Record(first, "budget", epochs=0, arrays=paces.as_arrays(), device=device),
        *(Record(trial, "budget", epochs=0, device=device) for trial in others),
    ]


def _of_training(pack: Pack, dataset: Dataset, device: str) -> Paces:
    one, replicas = pack.trials[0], len(pack.trials)
    few = Pack(tuple(_smaller(trial) for trial in pack.trials))
    times = one.data.train / few.trials[0].data.train
    started = clock(device)
    loop = make_loop(few, dataset, device=device)
    start = times * (clock(device) - started) / replicas
    all_of_them = times * _epoch_seconds(loop, one)
    fewer = math.ceil(replicas / FEWER)
    if fewer == replicas:
        fixed, each = 0.0, all_of_them / replicas
    else:
        loop.leave(torch.arange(replicas) >= fewer)
        each = max(0.0, all_of_them - times * _epoch_seconds(loop, one)) / (replicas - fewer)
        fixed = max(0.0, all_of_them - replicas * each)
    return Paces(start, fixed, each, dict(probe_paces(Stage.of(one, loop, dataset), one.probes)))


def _smaller(trial: Trial) -> Trial:
    """Return a trial without probes, on so many examples at most."""
    data = trial.data
    sizes = {
        "train": min(data.train, MOST_EXAMPLES),
        "validation": min(data.validation, MOST_EXAMPLES),
    }
    return trial.model_copy(update={"data": data.model_copy(update=sizes), "probes": ()})


def _epoch_seconds(loop: TrainingLoop, one: Trial) -> float:
    """Return how long the live replicas take for an epoch, from a moment of its steps."""
    device = loop.examples.pool.device.type
    loop.step.start_epoch(0)
    loop.order = loop.draw_order()
    loop.given = torch.full(loop.order.shape, 0.5, device=loop.order.device)
    loop.take_step(next(loop.batches(loop.order)))  # buffers are made once
    started, done, passed = clock(device), 0, 0.0
    while passed < MOMENT:
        for batch in loop.batches(loop.order):
            _wait(loop.take_step(batch))
            done += batch.x.shape[1]
            passed = clock(device) - started
            if passed >= MOMENT:
                break
    ending = clock(device)
    loop.draw_order()
    at_goal(loop, one.algorithm)
    return passed * one.data.train / done + clock(device) - ending


def _wait(given: Tensor) -> None:
    # Reading a number back waits for devices that work ahead.
    float(given[0, 0])


def _of_sweep(one: Trial, dataset: Dataset, device: str) -> Paces:
    """Return the pace of a training that is differentiated as a whole, its start included.

    What it takes grows with the updates, beside what each adjoint takes to be born and measured: a
    line through two shorter trainings with as many adjoints.
    """
    probe = sensitivity_probe(one)
    assert probe is not None
    last = probe.evaluate_at[-1]
    short = min(last, max(len(probe.evaluate_at), last // SHORTER))
    twice = min(last, 2 * short)
    few, more = (
        _seconds_of(_shortened(one, probe, updates), dataset, device) for updates in (short, twice)
    )
    each = max(0.0, more - few) / (twice - short) if twice > short else 0.0
    counted = work(one, dataset.shape, dataset.n_classes)
    whole = few + each * (last - short)
    return Paces(0.0, 0.0, 0.0, {"sweep": whole / counted["sweep"]})


def _shortened(one: Trial, probe: SensitivityProbe, updates: int) -> Trial:
    def at(times: Sequence[int]) -> tuple[int, ...]:
        return tuple(sorted({round(t * updates / probe.evaluate_at[-1]) for t in times}))

    shorter = probe.model_copy(
        update={"evaluate_at": at(probe.evaluate_at), "per_class_at": at(probe.per_class_at)}
    )
    epochs = math.ceil(updates / updates_per_epoch(one))
    algorithm = one.algorithm.model_copy(update={"epochs": epochs})
    return one.model_copy(update={"algorithm": algorithm, "probes": (shorter,)})


def _seconds_of(trial: Trial, dataset: Dataset, device: str) -> float:
    probe = sensitivity_probe(trial)
    assert probe is not None
    started = clock(device)
    train_and_differentiate(Pack((trial,)), probe, dataset, device=device)
    return clock(device) - started
