"""The audit that the README shows: 3000 MNIST digits, of which 150 labels were changed.

    python -m benchmarks.audit.example [OUT]

Writes the page, and prints what it says beside what is true; then the same on MNIST's own labels.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

import byheart
from benchmarks.audit.cases import mlp_mnist
from byheart.seeds import generator

EXAMPLES, CHANGED = 3000, 150


def flipped(clean: byheart.Dataset) -> byheart.Dataset:
    """Return the data set with some labels changed, each to any other class."""
    rng = generator("example", 0)
    ids = torch.from_numpy(rng.choice(len(clean), CHANGED, replace=False))
    y = clean.y.clone()
    y[ids] = (y[ids] + torch.from_numpy(rng.integers(1, clean.n_classes, CHANGED))) % 10
    return replace(clean, name=f"mnist-{CHANGED}-flips", y=y, noisy_labels=y != clean.y)


def main(out: Path) -> None:
    torch.set_num_threads(1)
    clean = byheart.load_dataset("mnist", size=EXAMPLES)
    for data in (flipped(clean), clean):
        wrong = (data.y != clean.y).numpy()
        found = byheart.audit(mlp_mnist, data)
        page = found.to_html(out / f"{data.name}.html")
        ids = found.to_review(100).index
        reviewed = found.review({int(i): bool(wrong[i]) for i in ids})
        said = reviewed.calibration
        listed = said.flagged
        print(f"{page}: {said.mislabelled} wrong in all, true {wrong.sum()}")
        print(f"  {len(listed)} listed, assured: {said.assured}")
        print(f"  precision {wrong[listed].mean():.3f}, said {said.precision}")
        print(f"  recall {wrong[listed].sum() / max(1, wrong.sum()):.3f}, said {said.recall}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/audit-example"))
