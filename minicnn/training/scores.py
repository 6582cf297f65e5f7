"""Scores: a model's answers to a data set, and what is counted of them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..nn import Module
from ..nn import functional as F
from .tally import batches, classify


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
    for images, truth in batches(model, dataset):
        logits, truth = classify(model, images, truth)
        loss_sum += F.cross_entropy(logits, truth, reduction="sum").item()
        probabilities.append(F.softmax(logits, dim=1).cpu().numpy())
        labels.append(truth.cpu().numpy())
        after_batch()
    counts = np.concatenate(labels)
    return Scores(counts, np.concatenate(probabilities), loss_sum / len(counts))
