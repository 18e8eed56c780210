"""Critical samples of MNIST networks: our bracket against attacks that bound it from below only.

A peer counts a sample when 30 steps of projected gradient descent, away from the predicted class,
end at a point of another class. Ours does no more than 30 steps a sample, proves what it can not
critical, and must find at least as many. Both search the same boxes: they reach beyond [0, 1], as
the papers' do. foolbox is given those bounds; torchattacks knows no others than [0, 1], so it is
given moved inputs and a first layer that moves them back, which costs it nothing.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import foolbox
import torch
import torchattacks
from torch import Tensor, nn
from torch.nn import functional

import byheart
from benchmarks.duel import Agreement, Duel
from byheart.measures.critical.lass import NOISE_PER_RADIUS, STEP_PER_RADIUS, Box
from byheart.measures.critical.single import CriticalSamples

TRAINED, SEARCHED, CLASSES = 1000, 2000, 10
WIDTHS, LABELS, RADII = (256, 1024), ("real", "random"), (0.3 / 255, 3 / 255)
STEPS = 30
SHARE = 0.25
"""A peer's step in units of the radius: of 1, 1/4 and 2.5/30 none finds more by over four in 1350,
and none takes longer."""
RATE, BATCH, EPOCHS, SEED = 0.1, 32, 300, 1
THREADS = 2


@dataclass(frozen=True)
class Case:
    """A network and the boxes around the inputs that it never saw.

    Attributes:
        model: in eval mode.
        x: [SEARCHED, 1, 28, 28].
        predicted: [SEARCHED] int64.
        radius: of the boxes.
    """

    model: nn.Sequential
    x: Tensor
    predicted: Tensor
    radius: float

    def ours(self) -> CriticalSamples:
        """Return the bracket, with the papers' step and noise in units of the radius."""
        return byheart.critical_samples(
            self.model,
            self.x,
            radius=self.radius,
            step=STEP_PER_RADIUS * self.radius,
            noise=NOISE_PER_RADIUS * self.radius,
            max_steps=STEPS,
        )

    def torchattacks(self) -> Tensor:
        """Return the ends of the peer's walks."""
        torch.manual_seed(SEED)
        scale = 1 + 2 * self.radius
        moved = ((self.x + self.radius) / scale).clamp(0, 1)
        model = copy.deepcopy(self.model)
        first = model[1]
        with torch.no_grad():
            first.bias -= self.radius * first.weight.sum(1)
            first.weight *= scale
        eps = self.radius / scale
        attack = torchattacks.PGD(model, eps=eps, alpha=SHARE * eps, steps=STEPS, random_start=True)
        return attack(moved, self.predicted) * scale - self.radius

    def foolbox(self) -> Tensor:
        """Return the ends of the peer's walks."""
        torch.manual_seed(SEED)
        bounds = (float(self.x.min()) - self.radius, float(self.x.max()) + self.radius)
        model = foolbox.PyTorchModel(self.model, bounds=bounds, device="cpu")
        attack = foolbox.attacks.LinfPGD(rel_stepsize=SHARE, steps=STEPS, random_start=True)
        _, ends, _ = attack(model, self.x, self.predicted, epsilons=self.radius)
        return ends

    @torch.no_grad()
    def compare(self, ours: CriticalSamples, ends: Tensor) -> Agreement:
        """Score a peer's ends as our own witnesses are; none may lie in a box proved clean."""
        inside = Box.around(self.x, self.radius).project(ends)
        broken = self.model(inside).argmax(1) != self.predicted
        found, theirs = int(ours.critical.sum()), int(broken.sum())
        refuted = int((broken & ours.certified).sum())
        words = (
            f"{found} found, theirs {theirs}; {int(ours.certified.sum())} proved not critical, "
            f"bracket {ours.lower:.4f} to {ours.upper:.4f}, {ours.upper - ours.lower:.4f} wide"
        )
        if refuted:
            words += f"; {refuted} proved not critical were broken"
        return Agreement(found >= theirs and not refuted, words)


def trained(x: Tensor, y: Tensor, width: int, seed: int) -> nn.Sequential:
    """Return a network of two hidden layers, as the papers', trained until it knows every label."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(x[0].numel(), width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, CLASSES),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            if bool((model(x).argmax(1) == y).all()):
                return model.eval()
    raise SystemExit(f"error: {width} units do not fit {len(x)} labels in {EPOCHS} epochs")


def duels(draw: int = 0) -> Iterator[Duel]:
    """Yield the duels on digits, random labels and networks of one draw."""
    digits = byheart.load_dataset("mnist", size=TRAINED + SEARCHED, seed=draw)
    x, searched = digits.x[:TRAINED], digits.x[TRAINED:]
    generator = torch.Generator().manual_seed(SEED + draw)
    labels = {
        "real": digits.y[:TRAINED],
        "random": torch.randint(CLASSES, (TRAINED,), generator=generator),
    }
    for width, kind in product(WIDTHS, LABELS):
        model = trained(x, labels[kind], width, SEED + draw)
        with torch.no_grad():
            predicted = model(searched).argmax(1)
        for radius in RADII:
            case = Case(model, searched, predicted, radius)
            peers: list[tuple[str, Callable[[], Tensor]]] = [
                ("torchattacks.PGD", case.torchattacks),
                ("foolbox.LinfPGD", case.foolbox),
            ]
            for name, attack in peers:
                wanted = 3.0 if kind == "real" and radius == RADII[0] else 1.0
                yield Duel(
                    row=f"CSR, {width} units, {kind} labels, r = {255 * radius:g}/255",
                    work=(
                        f"bracket for {SEARCHED} MNIST digits, MLP 784-{width}-{width}-10 trained "
                        f"on {TRAINED}; the peer's side is a lower bound only"
                    ),
                    peer=f"{name}, {STEPS} steps of {SHARE:g} r, random start",
                    ours=case.ours,
                    theirs=attack,
                    compare=case.compare,
                    wanted=wanted,
                    threads=THREADS,
                )


def main() -> None:
    """Run the duels on draws on which no threshold was chosen; the table has draw 0."""
    from benchmarks.__main__ import sentence

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--draws", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    for draw in options.draws:
        for duel in duels(draw):
            print(f"draw {draw}, {sentence(duel.run(options.pairs))}", flush=True)


if __name__ == "__main__":
    main()
