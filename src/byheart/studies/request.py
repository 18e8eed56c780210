"""What was asked for, checked before anything is trained or written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from byheart.errors import InputError
from byheart.studies.base import Setting, SourceFacts, Study
from byheart.studies.own_network import (
    OwnNetwork,
    examined,
    require_decidable,
    unmet,
    with_learning_rate,
)
from byheart.studies.presets import find_preset
from byheart.studies.registry import chosen_claims, studies_of
from byheart.studies.registry import claims as registered_claims
from byheart.studies.session import at_most
from byheart.trial import Trial

if TYPE_CHECKING:
    from byheart.data import Dataset


@dataclass(frozen=True)
class Request:
    """Claims to decide, on a data set that has enough examples for them.

    Attributes:
        claims: ids, in the order of the page.
        setting: preset, data set and number of seeds.
        dataset: the clean source.
        source: the data source as it was named.
        learning_rate: learning rate of every study, if it was given.
        own_network: what is known of a user's network, if there is one.
    """

    claims: tuple[str, ...]
    setting: Setting
    dataset: Dataset
    source: str
    learning_rate: float | None = None
    own_network: OwnNetwork | None = None

    @property
    def studies(self) -> tuple[Study, ...]:
        """The studies that decide the claims."""
        return studies_of(self.claims)

    @property
    def trials(self) -> list[Trial]:
        """All trials of the studies, each once; the costliest where the next depend on the last."""
        return at_most(self.studies, self.setting)

    def command(
        self, *more: str, claims: Sequence[str] | None = None, seeds: int | None = None
    ) -> tuple[str, ...]:
        """Return the words that ask for the same again, beginning with ``byheart study``.

        Args:
            more: words to add.
            claims: ids of the claims; those of the request if None.
            seeds: number of seeds; that of the request if None.
        """
        claims = self.claims if claims is None else claims
        seeds = self.setting.seeds if seeds is None else seeds
        left_out = self.own_network.left_out if self.own_network else {}
        all_named = len(claims) + len(left_out) == len(registered_claims())
        words = ["byheart", "study", *(() if all_named else claims)]
        words += ["--preset", self.setting.preset.name]
        if self.source != self.setting.preset.default_data:
            words += ["--data", self.source]
        if seeds != self.setting.preset.seeds:
            words += ["--seeds", str(seeds)]
        if self.setting.model is not None:
            words += ["--model", self.setting.model.factory]
        if self.learning_rate is not None:
            words += ["--learning-rate", f"{self.learning_rate:g}"]
        return (*words, *more)


def make_request(
    names: Iterable[str] = (),
    *,
    preset: str = "quick",
    source: str | Dataset | None = None,
    seeds: int | None = None,
    model: str | None = None,
    learning_rate: float | None = None,
) -> Request:
    """Check what was asked for, and load the data.

    Args:
        names: ids of claims; all if there are none.
        preset: name of a preset.
        source: a data source or a data set; the preset's own if None.
        seeds: independent repetitions; the preset's own number if None.
        model: "module:callable" that makes a user's network; the preset's own networks if None.
        learning_rate: for a user's network; the preset's own if None.

    Raises:
        InputError: a name that is not known, fewer than one seed, too little data, or a network
            that cannot be trained or cannot decide a claim that was named.
        DataError: data that are missing, damaged or not what they claim to be.
    """
    names, chosen_preset = tuple(names), find_preset(preset)
    wanted = chosen_claims(names)
    if model is not None and names:
        require_decidable([claim for claim in registered_claims() if claim.id in wanted])
    if learning_rate is not None:
        if model is None:
            raise InputError(
                "--learning-rate goes with --model: a preset's own networks have theirs"
            )
        chosen_preset = with_learning_rate(chosen_preset, learning_rate)
    if seeds is not None and seeds < 1:
        raise InputError(f"--seeds is {seeds}: ask for at least 1 (12 can decide all claims)")
    # Loading data loads torch, which a mistake in a name need not wait for.
    from byheart.data import load_dataset

    source = source or chosen_preset.default_data
    dataset = load_dataset(source) if isinstance(source, str) else source
    if bool(dataset.noisy.any()):
        raise InputError(
            f"data set '{dataset.name}' has replaced inputs or labels: give the clean one, since "
            "studies corrupt it themselves"
        )
    seeds = chosen_preset.seeds if seeds is None else seeds
    setting = Setting(chosen_preset, SourceFacts.of(dataset), seeds)
    request = Request(
        wanted, setting, dataset, source if isinstance(source, str) else dataset.name, learning_rate
    )
    if model is not None:
        request = _on_own_network(request, model, named=bool(names))
    _require_examples(request.trials, dataset, chosen_preset.name)
    return request


def _on_own_network(request: Request, model: str, *, named: bool) -> Request:
    """Return the request for a user's network, without the claims that it cannot decide."""
    data = request.setting.data
    network, about = examined(model, data.shape, len(data.classes))
    setting = replace(request.setting, model=network)
    lacking = unmet(request.studies, setting)
    left_out = {claim: lacking[claim] for claim in request.claims if claim in lacking}
    if named and left_out:
        claim, need = next(iter(left_out.items()))
        raise InputError(
            f"claim '{claim}' needs {need}, which {model} does not offer: leave it out, or study "
            "it without --model"
        )
    return replace(
        request,
        claims=tuple(claim for claim in request.claims if claim not in left_out),
        setting=setting,
        own_network=OwnNetwork(about, left_out),
    )


def _require_examples(trials: Sequence[Trial], dataset: Dataset, preset: str) -> None:
    from byheart.data.dataset import split_indices

    sizes = {(trial.data.train, trial.data.validation) for trial in trials}
    for train, validation in sorted(sizes, key=sum, reverse=True):
        try:
            split_indices(dataset.y, dataset.n_classes, train, validation, 0, dataset.classes)
        except InputError as error:
            problem = str(error).partition(": ask")[0]
            raise InputError(
                f"data set '{dataset.name}' is too small for preset '{preset}': {problem}; choose "
                "a smaller preset, fewer claims or more data"
            ) from None
