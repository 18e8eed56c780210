"""A made-up but realistic study: its session, records and findings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

from byheart.record import Outcome, Record
from byheart.statistics.verdict import Verdict
from byheart.studies.base import Setting, SourceFacts
from byheart.studies.folder import SessionFacts
from byheart.studies.judging import Finding, FindingPart
from byheart.studies.own_network import OwnNetwork
from byheart.studies.presets import QUICK
from byheart.trial import Trial

FINGERPRINT = "3b1e0f6a9d8c47e2b5a1c0d4e7f8091223344556677889900aabbccddeeff001"
COMMAND = "byheart study --preset quick --data digits --seeds 8 --out out/quick"


def session(
    *,
    data: str = "digits",
    classes: tuple[str, ...] = tuple("0123456789"),
    preset: str = "quick",
    network: OwnNetwork | None = None,
    **changes: Any,
) -> SessionFacts:
    """Return what a made-up session was asked for, with some of it changed."""
    source = SourceFacts(data, FINGERPRINT, 1797, (8, 8), classes, 174)
    facts = SessionFacts(
        claims=(),
        setting=Setting(QUICK.model_copy(update={"name": preset}), source, 8),
        versions={"byheart": "0.2.0", "python": "3.11.7", "torch": "2.13.0"},
        machine={},
        runner="inline",
        device="cpu",
        command=tuple(COMMAND.split()),
        started="2026-03-14 09:26 UTC",
        own_network=network,
    )
    return replace(facts, **changes)


def records() -> dict[str, Record]:
    """Return records of 1,304 trials; the page only counts them."""
    counts: dict[Outcome, int] = {"converged": 912, "budget": 388, "diverged": 3, "failed": 1}
    outcomes = [outcome for outcome, count in counts.items() for _ in range(count)]
    trial = cast(Trial, None)
    return {
        str(key): Record(trial, outcome, 1, seconds=131.42 / len(outcomes))
        for key, outcome in enumerate(outcomes)
    }


def part(
    statistic: str,
    kind: str,
    smallest: float,
    estimate: float | None,
    half: float = 0.0,
    *,
    null: float = 0.0,
    p: float = 0.0078,
    verdict: Verdict = "supported",
    unit: str = "",
    n: int = 8,
) -> FindingPart:
    """Return one criterion with an interval of a given half width."""
    words = {
        "above": f"above {null:g}, by {smallest:g} or more",
        "below": f"below {null:g}, by {smallest:g} or more",
        "within": f"between {null - smallest:g} and {null + smallest:g}",
        "differs": f"away from {null:g}, by {smallest:g} or more",
    }
    ci = None if estimate is None else (estimate - half, estimate + 1.1 * half)
    wide = None if estimate is None else (estimate - 1.5 * half, estimate + 1.7 * half)
    return FindingPart.model_validate(
        {
            "statistic": statistic,
            "rule": f"{statistic} {words[kind]}",
            "null": null,
            "estimate": estimate,
            "ci": ci,
            "ci_corrected": wide,
            "n": n,
            "p": p,
            "verdict": verdict,
            "kind": kind,
            "smallest": smallest,
            "unit": unit,
        }
    )


def finding(
    claim: str,
    source: str,
    statement: str,
    parts: Iterable[FindingPart],
    *,
    p_holm: float = 0.047,
    verdict: Verdict | None = None,
    combine: str = "; and ",
    **changes: object,
) -> Finding:
    """Return a finding whose first part decides."""
    every = tuple(parts)
    decisive = every[0]
    facts: dict[str, object] = {
        "claim": claim,
        "source": source,
        "statement": statement,
        "statistic": decisive.statistic,
        "rule": combine.join(one.rule for one in every),
        "estimate": decisive.estimate,
        "ci": decisive.ci,
        "ci_corrected": decisive.ci_corrected,
        "null": decisive.null,
        "n": decisive.n,
        "p": decisive.p,
        "p_holm": p_holm,
        "verdict": verdict or decisive.verdict,
        "reasons": (),
        "parts": every,
        "censored": 0,
        "diverged": 0,
        "failed": 0,
        "note": "",
        "preset": "quick",
        "data": "digits",
        "seconds": 12.5,
    }
    return Finding.model_validate(facts | changes)


def findings() -> list[Finding]:
    """Return fifteen findings: every verdict, every kind of rule, every trouble."""
    return [*_examples(), *_dynamics(), *_time()]


def _examples() -> list[Finding]:
    return [
        finding(
            "easy-examples",
            "A17 Fig 1",
            "P(correct) varies far more between examples on real data than on randX or randY",
            [
                part("over-dispersion of real over randY", "above", 1.0, 6.42, 1.3, null=1.0),
                part("over-dispersion of real over randX", "above", 1.0, 17.3, 2.9, null=1.0),
            ],
        ),
        finding(
            "randx-binomial",
            "A17 Fig 1",
            "on randX the spread is what a binomial gives: all examples are equally hard",
            [
                part(
                    "over-dispersion on randX, within classes",
                    "within",
                    0.25,
                    1.21,
                    0.11,
                    null=1.0,
                    p=0.21,
                    verdict="inconclusive",
                )
            ],
            p_holm=0.84,
        ),
        finding(
            "randy-patterns",
            "A17 Fig 1, §3.1",
            "on randY the spread is more than binomial: shared patterns are used",
            [part("over-dispersion on randY", "above", 0.1, 2.68, 0.42, null=1.0)],
        ),
    ]


def _dynamics() -> list[Finding]:
    return [
        finding(
            "csr-noise",
            "A17 Fig 9, 7, 8",
            "CSR is higher for networks trained on noise, and higher the more noise",
            [
                part("CSR of randX minus real", "above", 0.02, 0.134, 0.014),
                part("CSR of randY minus real", "above", 0.02, 0.204, 0.019),
                part("slope of CSR on the noise level of inputs", "above", 0.02, 0.121, 0.012),
                part("slope of CSR on the noise level of labels", "above", 0.02, 0.188, 0.016),
            ],
        ),
        finding(
            "csr-growth",
            "A17 Fig 9",
            "CSR grows during training, then settles",
            [
                part("CSR at the end minus at the first epoch", "above", 0.02, 0.096, 0.011),
                part(
                    "change over the last third, as a share of the whole", "within", 0.2, 0.04, 0.06
                ),
            ],
        ),
        finding(
            "csr-train-fall",
            "A17 footnote 5",
            "on the training set CSR rises, then falls",
            [
                part(
                    "CSR at the end minus at its peak",
                    "below",
                    0.02,
                    0.031,
                    0.008,
                    verdict="contradicted",
                )
            ],
            note="On these data the peak lies at the last checkpoint for 7 of 8 seeds.",
        ),
        finding(
            "csr-radius",
            "A17 footnote 6",
            "other radii give the same ordering of real, randX and randY",
            [part("CSR of randY minus real at radius 2/255", "above", 0.01, 0.173, 0.02)],
        ),
        finding(
            "noise-hurts",
            "A17 Fig 7, 8",
            "final and best validation accuracy fall with the noise level",
            [part("slope of final accuracy on the noise level", "below", 0.05, -0.611, 0.034)],
        ),
        finding(
            "patterns-first",
            "A17 Fig 7b, 8b",
            "with label noise, validation accuracy peaks before the noise is fitted, then falls",
            [
                part("validation accuracy lost after the peak", "above", 0.02, 0.236, 0.021),
                part(
                    "log2 of the epoch at which noise is fitted over that of the peak",
                    "above",
                    0.5,
                    2.51,
                    0.31,
                    unit="doublings",
                ),
            ],
            diverged=3,
            censored=11,
        ),
        finding(
            "csr-memorization",
            "A17 §4.2",
            "CSR rises sharply as the model goes from fitting real examples to fitting noisy ones",
            [
                part(
                    "CSR slope after the peak minus before",
                    "above",
                    0.01,
                    0.006,
                    0.009,
                    p=0.3,
                    verdict="inconclusive",
                )
            ],
            p_holm=1.0,
        ),
    ]


def _time() -> list[Finding]:
    return [
        finding(
            "capacity-noise",
            "K17 (1)",
            "more capacity is needed to fit noise",
            [part("log2 of the smallest width, randY over real", "above", 0.5, 1.63, 0.4)],
            combine="; or ",
        ),
        finding(
            "time-capacity",
            "A17 Fig 6 left",
            "time to convergence falls with width; more steeply, and for longer, with noise",
            [part("slope of log time on log width", "below", 0.1, -0.412, 0.05)],
            censored=37,
            note="Slopes are of the survival median; censored trials count as longer than all.",
        ),
        finding(
            "time-size",
            "A17 Fig 6 right",
            "time to convergence grows with the number of examples; more steeply with noise",
            [
                part(
                    "difference of slopes, all noise minus none",
                    "above",
                    0.1,
                    None,
                    n=2,
                    p=1.0,
                    verdict="inconclusive",
                )
            ],
            p_holm=1.0,
            reasons=("most trials were censored", "fewer than 3 seeds gave a value"),
            censored=131,
            failed=1,
        ),
        finding(
            "time-order",
            "K17 (2)",
            "time to convergence: random labels > real > random inputs",
            [
                part(
                    "log2 ratio of epochs, real over randX",
                    "above",
                    0.2,
                    -0.308,
                    0.06,
                    verdict="contradicted",
                    unit="doublings",
                ),
                part(
                    "log2 ratio of epochs, randY over real",
                    "above",
                    0.2,
                    2.1,
                    0.15,
                    unit="doublings",
                ),
            ],
            verdict="contradicted",
            note="In 64 dimensions random inputs are not easier than digits.",
        ),
        finding(
            "capacity-data",
            "A17 abstract",
            "effective capacity depends on the data: what one algorithm fits differs by kind",
            [part("log2 of the largest n fitted, real over randY", "differs", 0.5, 2.32, 0.28)],
        ),
    ]
