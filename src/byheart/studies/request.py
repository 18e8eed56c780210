"""What was asked for, checked before anything is trained or written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from byheart.errors import InputError, choose
from byheart.networks.size import cnn_shapes
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
from byheart.studies.rounds import at_most
from byheart.studies.settings import NetworkKind
from byheart.trial import Trial

if TYPE_CHECKING:
    from byheart.data import Dataset


NETWORKS = ("mlp", "cnn")


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
        named_network: "mlp" or "cnn" if it was asked for; None if the data chose.
        most_seeds: the number of seeds is doubled for open claims, up to this number; None for a
            fixed number.
    """

    claims: tuple[str, ...]
    setting: Setting
    dataset: Dataset
    source: str
    learning_rate: float | None = None
    own_network: OwnNetwork | None = None
    named_network: NetworkKind | None = None
    most_seeds: int | None = None

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
        all_named = {*claims, *left_out} == {*chosen_claims(())}
        words = ["byheart", "study", *(() if all_named else claims)]
        words += ["--preset", self.setting.preset.name]
        if self.source != self.setting.preset.default_data:
            words += ["--data", self.source]
        if seeds != self.setting.preset.seeds:
            words += ["--seeds", str(seeds)]
        if self.most_seeds is not None:
            words += ["--until-decided", "--most-seeds", str(self.most_seeds)]
        if self.setting.model is not None:
            words += ["--model", self.setting.model.factory]
        if self.named_network is not None:
            words += ["--network", self.named_network]
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
    network: str | None = None,
    learning_rate: float | None = None,
    until_decided: bool = False,
    most_seeds: int | None = None,
) -> Request:
    """Check what was asked for, and load the data.

    Args:
        names: ids of claims; all of the papers if there are none.
        preset: name of a preset.
        source: a data source or a data set; the preset's own if None.
        seeds: independent repetitions; the preset's own number if None.
        model: "module:callable" that makes a user's network; the preset's own networks if None.
        network: "mlp" or "cnn"; by the data if None: a CNN for colour images.
        learning_rate: for a user's network; the preset's own if None.
        until_decided: double the number of seeds for claims that are open.
        most_seeds: the most seeds then; four times the first number if None.

    Raises:
        InputError: a name that is not known, fewer than one seed, too little data, or a network
            that cannot be trained or cannot decide a claim that was named.
        DataError: data that are missing, damaged or not what they claim to be.
    """
    names, chosen_preset = tuple(names), find_preset(preset)
    wanted = chosen_claims(names)
    kind: NetworkKind | None = None
    if network is not None:
        kind = cast(NetworkKind, choose("network", network, NETWORKS))
        if model is not None:
            raise InputError("--network is for byheart's networks: leave it out with --model")
    if model is not None and names:
        require_decidable([claim for claim in registered_claims() if claim.id in wanted])
    if learning_rate is not None and model is None:
        raise InputError("--learning-rate goes with --model: a preset's own networks have theirs")
    if seeds is not None and seeds < 1:
        raise InputError(f"--seeds is {seeds}: ask for at least 1 (12 can decide all claims)")
    seeds = chosen_preset.seeds if seeds is None else seeds
    if until_decided or most_seeds is not None:
        most_seeds = _most_seeds(until_decided, most_seeds, seeds)
    # Loading data loads torch, which a mistake in a name need not wait for.
    from byheart.data import load_dataset

    source = source or chosen_preset.default_data
    dataset = load_dataset(source) if isinstance(source, str) else source
    if bool(dataset.noisy.any()):
        raise InputError(
            f"data set '{dataset.name}' has replaced inputs or labels: give the clean one, since "
            "studies corrupt it themselves"
        )
    facts = SourceFacts.of(dataset)
    if model is None:
        chosen_preset = find_preset(preset, kind or ("cnn" if facts.coloured else "mlp"))
    if learning_rate is not None:
        chosen_preset = with_learning_rate(chosen_preset, learning_rate)
    request = Request(
        wanted,
        Setting(chosen_preset, facts, seeds),
        dataset,
        source if isinstance(source, str) else dataset.name,
        learning_rate,
        named_network=kind,
        most_seeds=most_seeds,
    )
    if model is not None:
        request = _on_own_network(request, model, named=bool(names))
    elif chosen_preset.network == "cnn":
        _require_images(request.setting)
    if isinstance(source, str):
        request = _with_test_split(request, source)
    _require_examples(request)
    return request


def _require_images(setting: Setting) -> None:
    """Require that the preset's CNN can be trained on the data.

    Raises:
        InputError: the examples are no images, or too small.
    """
    data = setting.data
    try:
        cnn_shapes(setting.cnn(setting.preset.filters.channels), data.shape, len(data.classes))
    except InputError as error:
        raise InputError(f"data set '{data.name}': {error}, or --network mlp") from None


def _with_test_split(request: Request, source: str) -> Request:
    """Return the request with the source's test split, if a trial needs it for validation.

    A17's validation examples of CIFAR-10 are its test split, since training takes all others.

    Raises:
        InputError: the source has too few examples, and its test split is missing, damaged, or of
            other shapes or classes.
    """
    from byheart.data import load_dataset

    data, drawn = request.setting.data, [trial.data for trial in request.trials]
    if all(data.holds(facts.train, facts.validation) for facts in drawn):
        return request
    try:
        test = load_dataset(source, split="test")
    except InputError as error:
        try:
            _require_examples(request)
        except InputError as problem:
            raise InputError(f"{problem}. Its test split cannot be used: {error}") from None
        return request
    dataset = request.dataset.with_test(test)
    setting = replace(request.setting, data=SourceFacts.of(dataset))
    return replace(request, setting=setting, dataset=dataset)


def _most_seeds(until_decided: bool, most: int | None, seeds: int) -> int:
    """Return the largest number of seeds of a study that adds seeds until claims are decided."""
    if not until_decided:
        raise InputError("--most-seeds goes with --until-decided, which adds seeds to open claims")
    most = 4 * seeds if most is None else most
    if most < 2 * seeds:
        raise InputError(
            f"--most-seeds is {most}: the study begins with {seeds} seeds and doubles them for "
            f"open claims: ask for at least {2 * seeds}"
        )
    return most


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


def _require_examples(request: Request) -> None:
    """Require enough examples of every class, in the training split and in the test split.

    Raises:
        InputError: a class has too few.
    """
    sizes = {(t.data.train, t.data.validation, t.data.test is not None) for t in request.trials}
    for train, validation, test in sorted(sizes, key=sum, reverse=True):
        try:
            request.dataset.split_indices(train, validation, 0, test=test)
        except InputError as error:
            subject, _, problem = str(error).partition(": ")
            raise InputError(
                f"{subject} is too small for preset '{request.setting.preset.name}': "
                f"{problem.partition(': ask')[0]}; choose a smaller preset, fewer claims or more "
                "data"
            ) from None
