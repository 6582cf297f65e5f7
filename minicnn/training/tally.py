"""What is counted while a model sees batches, in training and in evaluation."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import Tensor, no_grad
from ..data.dataset import fetch
from ..models import prepare
from ..nn import Module
from ..nn import functional as F


@dataclass
class Tally:
    """Loss and right answers, summed over the images seen so far, and the last step's rate."""

    loss_sum: float = 0.0
    right: int = 0
    count: int = 0
    learning_rate: float = 0.0

    def add(self, loss: float, logits: Tensor, labels: Tensor) -> None:
        """Counts a batch with this mean loss."""
        right = int((logits.array.argmax(1) == labels.array).sum())
        self.add_counted(loss, right, len(labels.array))

    def add_counted(self, loss: float, right: int, n: int) -> None:
        """Counts a batch of n with this mean loss, and so many right answers."""
        self.loss_sum += loss * n
        self.right += right
        self.count += n

    @property
    def loss(self) -> float:
        """The mean loss; NaN of nothing."""
        return self.loss_sum / self.count if self.count else math.nan

    @property
    def accuracy(self) -> float:
        """The share of right answers; NaN of nothing."""
        return self.right / self.count if self.count else math.nan


def evaluate(
    model: Module,
    dataset: Any,
    tally: Tally | None = None,
    after_batch: Callable[[], Any] = lambda: None,
) -> tuple[float, float]:
    """(mean cross-entropy, accuracy) over a data set, in evaluation mode and without gradients.

    A tally goes on from the samples it has counted; after_batch is called after every batch.
    """
    tally = Tally() if tally is None else tally
    for images, labels in batches(model, dataset, tally.count):
        logits, labels = classify(model, images, labels)
        tally.add(F.cross_entropy(logits, labels).item(), logits, labels)
        after_batch()
    return tally.loss, tally.accuracy


def batches(model: Any, dataset: Any, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """(images, labels) of a data set in its own order, in batches of about a million pixels."""
    size = max(1, min(1000, 2**20 // math.prod(model.input_shape)))
    for first in range(start, len(dataset), size):
        yield fetch(dataset, np.arange(first, min(first + size, len(dataset))))


def classify(model: Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(logits, labels) on the model's device, in evaluation mode and without gradients."""
    was_training = model.training
    model.eval()
    with no_grad():
        device = next((p.device for p in model.parameters()), images.device)
        logits = model(prepare(model, images.to(device)))
    model.train(was_training)
    return logits, labels.to(device)
