"""A Lightning training in two processes: run this module with a folder as its argument."""

import sys
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from tests.auditing.adapters.loops import BATCH, EPOCHS, EXAMPLES, examples, network, optimizer
from torch import Tensor
from torch.nn import functional
from torch.optim import Optimizer
from torch.utils.data import DataLoader

import byheart
from byheart.auditing.adapters.lightning import TrackerCallback

PROCESSES = 2


class Module(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        x, y, _ = batch
        return functional.cross_entropy(self(x), y)

    def configure_optimizers(self) -> Optimizer:
        return optimizer(self.net)


def main(folder: Path) -> None:
    tracker = byheart.Tracker(EXAMPLES, folder / "history.sqlite")
    trainer = Trainer(
        accelerator="cpu", devices=PROCESSES, strategy="ddp", max_epochs=EPOCHS, logger=False,
        default_root_dir=folder, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, callbacks=[TrackerCallback(tracker)],
    )  # fmt: skip
    data = byheart.IndexedDataset(examples())
    trainer.fit(Module(), DataLoader(data, BATCH, shuffle=True))
    trainer.save_checkpoint(folder / "last.ckpt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
