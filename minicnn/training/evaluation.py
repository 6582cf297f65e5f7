"""What a model answers to a data set, and what is counted of it in training and in evaluation."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..autograd import Tensor, no_grad
from ..data import DataLoader
from ..models import Prepared
from ..nn import Module
from ..nn import functional as F


def answers(model: Any, dataset: Any, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """(logits, labels) of a data set from a sample on, on the model's device, batch by batch.

    In evaluation mode and without gradients; a batch has about a million pixels.
    """
    size = max(1, min(1000, 2**20 // math.prod(model.input_shape)))
    device = next((p.device for p in model.parameters()), None)
    left = range(start, len(dataset))
    for images, labels in DataLoader(Prepared(dataset, model), size, sampler=left):
        was_training = model.training
        model.eval()
        with no_grad():
            logits = model(images if device is None else images.to(device))
        model.train(was_training)
        yield logits, labels.to(logits.device)


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
    for logits, labels in answers(model, dataset, tally.count):
        tally.add(F.cross_entropy(logits, labels).item(), logits, labels)
        after_batch()
    return tally.loss, tally.accuracy


@dataclass(frozen=True)
class Scores:
    """The answers to N samples of K classes.

    Attributes
    ----------
    labels
        int64 (N,): the truth.
    probabilities
        float32 (N, K): softmax of the logits.
    loss
        The mean cross-entropy.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    loss: float

    @cached_property
    def predicted(self) -> np.ndarray:
        """int64 (N,): the most probable class."""
        return self.probabilities.argmax(1)

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return float((self.predicted == self.labels).mean())

    @cached_property
    def confusion(self) -> np.ndarray:
        """int64 (K, K): how many samples of class i (row) were taken for class j (column)."""
        classes = self.probabilities.shape[1]
        pairs = np.bincount(self.labels * classes + self.predicted, minlength=classes**2)
        return pairs.reshape(classes, classes)

    @property
    def per_class(self) -> np.ndarray:
        """float64 (K,): the share of each class that was recognised; NaN for a class not there."""
        with np.errstate(invalid="ignore"):
            return np.diag(self.confusion) / self.confusion.sum(1)

    def some(self, most: int) -> np.ndarray:
        """The numbers of at most so many samples in order, the same random ones each time."""
        return np.sort(np.random.default_rng(0).permutation(len(self.labels))[:most])

    def __repr__(self) -> str:
        return f"Scores({len(self.labels):,} samples, accuracy {self.accuracy:.2%})"


def score(model: Module, dataset: Any, after_batch: Callable[[], Any] = lambda: None) -> Scores:
    """Asks the model about every sample of a data set."""
    labels, probabilities, loss_sum = [], [], 0.0
    for logits, truth in answers(model, dataset):
        loss_sum += F.cross_entropy(logits, truth, reduction="sum").item()
        probabilities.append(F.softmax(logits, dim=1).cpu().numpy())
        labels.append(truth.cpu().numpy())
        after_batch()
    counts = np.concatenate(labels)
    return Scores(counts, np.concatenate(probabilities), loss_sum / len(counts))
