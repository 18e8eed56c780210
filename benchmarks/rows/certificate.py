"""What is proved of a CNN's inputs: our certificate against plain CROWN of auto_LiRPA.

The CNN is the papers', with 32 and 64 filters and dense layers of 128 units, trained on 2,000
CIFAR-10 images. auto_LiRPA knows no overlapping max pools, so both get windows of 2x2. It takes one
image at a time, which is its fastest way, and does not count rounding errors; ours does. The
papers' pool of 3x3 and stride 2 is a row without a peer. An attack tries to break every proof.

auto_LiRPA is not on PyPI: put a checkout of it on PYTHONPATH, or the rows say that it is missing.
"""

from __future__ import annotations

import importlib.util
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

import byheart
from benchmarks.duel import Agreement, Alone, Duel, Measured, seconds
from byheart.measures.critical.certificate import certificate
from byheart.measures.critical.lass import Box
from byheart.networks.cnn import ReplicatedCNN
from byheart.trial import CNN

TRAINED, PROVED, CLASSES = 2000, 20, 10
RADII = (0.03 / 255, 0.1 / 255, 0.3 / 255)
RATE, MOMENTUM, BATCH, EPOCHS, HALVED, SEED = 0.01, 0.9, 32, 20, 15, 0
STARTS, STEPS = 3, 5
"""Starting points and steps of the attack, for each class."""
WANTED = 5.0
WANTED_SECONDS = 1.0
"""Per image, without a peer."""
WANTED_BYTES = 3 * 2**30


@dataclass(frozen=True)
class Case:
    """A network and the boxes around the inputs that it never saw.

    Attributes:
        model: in eval mode.
        x: [PROVED, 3, 32, 32].
        radius: of the boxes.
    """

    model: nn.Sequential
    x: Tensor
    radius: float

    @property
    def predicted(self) -> Tensor:
        """Return the class predicted at each input."""
        return self.model(self.x).argmax(1)

    def ours(self) -> Tensor:
        """Return which inputs are proved not critical."""
        return certificate(self.model, self.x, self.predicted, self.radius).certified

    @torch.no_grad()
    def crown(self) -> Tensor:
        """Return which inputs the peer proves, with backward bounds for every layer."""
        from auto_LiRPA import BoundedModule, BoundedTensor, PerturbationLpNorm

        crop = -self.model[0].padding[0]
        model, proved = self.model[1:], []
        norm = PerturbationLpNorm(norm=float("inf"), eps=self.radius)
        for image, label in zip(self.x, self.predicted.tolist(), strict=True):
            inside = image[:, crop:-crop, crop:-crop].unsqueeze(0).contiguous()
            identity = torch.eye(CLASSES)
            others = [number for number in range(CLASSES) if number != label]
            margins = (identity[label] - identity[others]).unsqueeze(0)
            bounded = BoundedModule(model, inside, device="cpu")
            lower, _ = bounded.compute_bounds(
                x=(BoundedTensor(inside, norm),), C=margins, method="CROWN", bound_upper=False
            )
            proved.append(bool((lower > 0).all()))
        return torch.tensor(proved)

    def broken(self) -> Tensor:
        """Return which inputs an attack reclassifies inside their boxes."""
        generator = torch.Generator().manual_seed(SEED)
        box, predicted = Box.around(self.x, self.radius), self.predicted
        broken = torch.zeros(len(self.x), dtype=torch.bool)
        for start in range(STARTS):
            for target in range(CLASSES):
                point = self.x.clone()
                if start:
                    side = torch.rand(self.x.shape, generator=generator) < 0.5
                    point = torch.where(side, box.low, box.high)
                for _ in range(STEPS):
                    point = point.detach().requires_grad_()
                    logits = self.model(point)
                    margin = logits.gather(1, predicted.unsqueeze(1)).squeeze(1) - logits[:, target]
                    slope = torch.autograd.grad(margin.sum(), point)[0]
                    point = torch.where(slope > 0, box.low, box.high)
                    broken |= self.model(point).argmax(1) != predicted
        return broken

    def compare(self, ours: Tensor, theirs: Tensor) -> Agreement:
        """Count what is proved; no attack may break a proof of ours."""
        agreement = self.words(ours)
        words = f"{agreement.words}; theirs {int(theirs.sum())}"
        if missed := int((theirs & ~ours).sum()):
            words += f", {missed} of these not ours"
        return Agreement(agreement.holds, words)

    def words(self, ours: Tensor) -> Agreement:
        """Count what is proved and what of it an attack breaks."""
        refuted = int((ours & self.broken()).sum())
        return Agreement(
            not refuted,
            f"{int(ours.sum())} of {len(ours)} images proved, {refuted} of these broken by attack",
        )

    def alone(self) -> Measured:
        """Time ours where there is no peer."""
        taken = seconds(self.ours)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return Measured(taken, peak, self.words(self.ours()))


def trained(x: Tensor, y: Tensor, pool: int) -> nn.Sequential:
    """Return the CNN, trained as the papers train theirs, for fewer epochs."""
    network = CNN(channels=(32, 64), dense=(128, 128), crop=2, pool=pool)
    pack = ReplicatedCNN.initialised(network, tuple(x.shape[1:]), CLASSES, [SEED])
    parameters = [values.requires_grad_() for values in pack.parameters()]
    optimizer = torch.optim.SGD(parameters, RATE, MOMENTUM)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, HALVED, 0.5)
    generator = torch.Generator().manual_seed(SEED)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x), generator=generator).split(BATCH):
            optimizer.zero_grad()
            logits = pack.training_logits(x[batch].flatten(1).unsqueeze(0))[0]
            functional.cross_entropy(logits, y[batch]).backward()
            optimizer.step()
        schedule.step()
    return pack.module(0).requires_grad_(False)


def duels() -> Iterator[Duel | Alone]:
    """Yield one row for each pool and radius."""
    images = byheart.load_dataset("cifar10", size=TRAINED + PROVED, seed=SEED)
    x, y, proved = images.x[:TRAINED], images.y[:TRAINED], images.x[TRAINED:]
    peer = importlib.util.find_spec("auto_LiRPA") is not None
    for pool in (2, 3):
        model = trained(x, y, pool)
        for radius in RADII:
            case = Case(model, proved, radius)
            row = f"certificate, CNN, pool {pool}x{pool}, r = {255 * radius:g}/255"
            work = f"proofs for {PROVED} CIFAR-10 images, conv 32-64, dense 128-128, one thread"
            if pool == 2 and peer:
                yield Duel(
                    row=row,
                    work=work,
                    peer="auto_LiRPA, CROWN",
                    ours=case.ours,
                    theirs=case.crown,
                    compare=case.compare,
                    wanted=WANTED,
                    threads=1,
                )
            else:
                missing = "; auto_LiRPA is not installed" if pool == 2 else ""
                yield Alone(
                    row=row,
                    work=work + missing,
                    measure=partial(Case.alone, case),
                    wanted_seconds=WANTED_SECONDS * PROVED,
                    wanted_bytes=WANTED_BYTES,
                )
