"""Training a classifier: epochs over batches, validation, the best weights, and their test."""

import csv
import io
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..autograd import Tensor, no_grad
from ..data import DataLoader
from ..errors import AnomalyError
from ..models import prepare
from ..nn import Module
from ..nn import functional as F
from ..optim import Adam
from ..optim.lr_scheduler import OneCycleLR
from ..random import Generator
from ..serialization import replace_file, save_file

Report = Callable[[dict[str, Any]], None]

HISTORY = (
    "epoch", "train_loss_all", "val_loss_all", "train_acc_all", "val_acc_all", "learning_rate",
    "seconds",
)  # fmt: skip
"""The columns of a history: one row per epoch."""


def evaluate(model: Module, dataset: Any, batch_size: int = 1000) -> tuple[float, float]:
    """(mean cross-entropy, accuracy) over a data set, in evaluation mode and without gradients."""
    was_training = model.training
    model.eval()
    loss_sum, right, count = 0.0, 0, 0
    with no_grad():
        for images, labels in DataLoader(dataset, batch_size):
            logits = model(prepare(model, images))
            loss_sum += F.cross_entropy(logits, labels, reduction="sum").item()
            right += _right(logits, labels)
            count += len(labels)
    model.train(was_training)
    return loss_sum / max(count, 1), right / max(count, 1)


def _right(logits: Tensor, labels: Tensor) -> int:
    """How many of a batch are classified as labelled."""
    return int((logits.argmax(1) == labels).sum())


class Trainer:
    """Trains a model with Adam and a one-cycle schedule, and keeps the best epoch's weights.

    The best epoch is the one with the highest accuracy on `val`, of equal ones that with the lower
    loss.  The test set is never seen here.

    Parameters
    ----------
    model
        Gives logits (N, classes); `models.prepare` makes its input from images.
    train, val
        Data sets of (image in [0, 1], label).
    epochs, batch_size, lr
        lr is the schedule's highest: it rises to it over the first 30 % of all steps and falls to
        nearly 0 (Smith and Topin 2017, as PyTorch's OneCycleLR).
    generator
        Orders the samples; the default one if left out.

    Attributes
    ----------
    history
        A dict per epoch with the keys HISTORY.
    best
        The best epoch's row of the history, None before the first.
    best_state
        Its weights, as `model.state_dict()` gave them.
    """

    def __init__(
        self,
        model: Module,
        train: Any,
        val: Any,
        *,
        epochs: int = 10,
        batch_size: int = 64,
        lr: float = 4e-3,
        generator: Generator | None = None,
    ) -> None:
        self.model, self.val, self.epochs = model, val, epochs
        self.loader = DataLoader(train, batch_size, shuffle=True, generator=generator)
        self.optimizer = Adam(model.parameters(), lr=lr)
        self.schedule = OneCycleLR(
            self.optimizer, max_lr=lr, total_steps=max(1, epochs * len(self.loader))
        )
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        self.best_state: dict[str, Tensor] = {}

    def fit(self, on_batch: Report | None = None, on_epoch: Report | None = None) -> None:
        """Runs all epochs, then puts the best weights into the model.

        on_batch is called with {"epoch", "batch", "batches", "loss", "accuracy"} (of the epoch so
        far), on_epoch with the epoch's row of the history.
        """
        for epoch in range(1, self.epochs + 1):
            start = time.perf_counter()
            train_loss, train_accuracy = self._epoch(epoch, on_batch)
            val_loss, val_accuracy = evaluate(self.model, self.val)
            lr = self.schedule.get_last_lr()[0]
            figures = (epoch, train_loss, val_loss, train_accuracy, val_accuracy, lr)
            row = dict(zip(HISTORY, (*figures, time.perf_counter() - start), strict=True))
            self.history.append(row)
            if self.best is None or _rank(row) > _rank(self.best):
                self.best = row
                self.best_state = {k: t.clone() for k, t in self.model.state_dict().items()}
            if on_epoch is not None:
                on_epoch(row)
        if self.best_state:
            self.model.load_state_dict(self.best_state)

    def _epoch(self, epoch: int, on_batch: Report | None) -> tuple[float, float]:
        """(mean loss, accuracy) of one pass over the training set, as they were at each step."""
        self.model.train()
        loss_sum, right, count = 0.0, 0, 0
        for batch, (images, labels) in enumerate(self.loader, 1):
            logits = self.model(prepare(self.model, images))
            loss = F.cross_entropy(logits, labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.schedule.step()
            loss_sum += loss.item() * len(labels)
            right += _right(logits, labels)
            count += len(labels)
            if not math.isfinite(loss_sum):
                raise AnomalyError(
                    f"training: the loss became {loss.item()} in epoch {epoch}, batch {batch}; "
                    "lower the learning rate, or find the op with autograd.set_detect_anomaly(True)"
                )
            if on_batch is not None:
                so_far = {"loss": loss_sum / count, "accuracy": right / count}
                on_batch({"epoch": epoch, "batch": batch, "batches": len(self.loader), **so_far})
        return loss_sum / count, right / count


def _rank(row: dict[str, Any]) -> tuple[float, float]:
    return row["val_acc_all"], -row["val_loss_all"]


def save_run(folder: "str | os.PathLike[str]", trainer: Trainer, name: str) -> None:
    """Writes best.safetensors (the best weights, named for `models.make`) and history.csv.

    Each file is replaced in one step, so an interrupted call leaves the older ones whole.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(trainer.best_state, folder / "best.safetensors", {"model": name})
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY, lineterminator="\n")
    writer.writeheader()
    writer.writerows(trainer.history)
    replace_file(str(folder / "history.csv"), text.getvalue().encode())
