"""What was run: the facts that head the page and make it reproducible."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from byheart.record import Outcome


class RunFacts(BaseModel):
    """The facts of one run, as plain values that survive a round trip through JSON.

    The page is a function of these facts, so nothing else in it (no clock, no host) can change.

    Attributes:
        command: what a reader types to get the same results.
        preset: name of the preset.
        data: name of the data source, as the user gave it.
        data_fingerprint: SHA-256 of the clean source.
        examples: number of examples in the source.
        shape: shape of one example.
        classes: names of the classes.
        seeds: number of independent repetitions.
        other_seeds: number of seeds of each claim that has another number.
        settings: the preset's numbers, nested.
        versions: versions of byheart and of what it computes with, by name.
        trials: number of trials behind the findings.
        outcomes: how many trials ended as ``converged``, ``budget``, ``diverged`` and ``failed``.
        train_seconds: training time of all trials together, whenever they were trained.
        started: when the run began, in words; None leaves it out.
        device: where the trials were trained.
        runner: what trained them.
        network: the user's network that was trained, and how; empty if it was byheart's own.
        left_out: claims that this network cannot decide, each with what they need.
    """

    model_config = ConfigDict(frozen=True)

    command: str
    preset: str
    data: str
    data_fingerprint: str
    examples: int
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    seeds: int
    settings: dict[str, Any]
    versions: dict[str, str]
    trials: int
    outcomes: dict[Outcome, int]
    train_seconds: float
    other_seeds: dict[str, int] = {}
    started: str | None = None
    device: str = ""
    runner: str = ""
    network: str = ""
    left_out: dict[str, str] = {}
