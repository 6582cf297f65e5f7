"""Samplers: in which order a DataLoader asks for samples, or which of them make up a batch."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..creation import tensor
from ..errors import ArgumentError
from ..random import Generator, default_generator


def check_count(what: str, value: Any) -> None:
    """Raises ArgumentError where a whole number from 1 up is wanted."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ArgumentError(f"{what} must be a whole number from 1 up, not {value!r}")


class Sampler:
    """Base of the samplers: a subclass defines `__iter__`, which gives indices, and `__len__`."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__()")


class SequentialSampler(Sampler):
    """0, 1, 2, ... up to the last sample."""

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(SequentialSampler):
    """Every index once, each time in a new random order."""

    def __init__(self, data_source: Any, generator: Generator | None = None) -> None:
        super().__init__(data_source)
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        source = self.generator or default_generator
        return iter(source.numpy.permutation(len(self.data_source)).tolist())


class SubsetRandomSampler(Sampler):
    """The given indices, each time in a new random order."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        order = (self.generator or default_generator).numpy.permutation(len(self.indices))
        return (self.indices[i] for i in order.tolist())

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """num_samples indices, drawn with probabilities proportional to weights.

    Parameters
    ----------
    weights
        One number from 0 up for each sample of the data set; they need not add up to 1.
    num_samples
        How many indices an epoch has.
    replacement
        Whether an index may come again; without, each draw is among those that are left.
    generator
        Draws them; minicnn.default_generator if left out.

    Raises
    ------
    ArgumentError
        For weights or num_samples out of range, or more samples than weights above 0 to draw
        without replacement.
    """

    def __init__(
        self,
        weights: "Sequence[float] | np.ndarray | Tensor",
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        check_count("WeightedRandomSampler: num_samples", num_samples)
        self.weights = tensor(weights, dtype=np.float64)
        self.num_samples, self.replacement, self.generator = num_samples, replacement, generator
        w = self.weights.numpy()
        if w.ndim != 1 or not np.isfinite(w).all() or not (w >= 0).all() or not w.any():
            raise ArgumentError(
                "WeightedRandomSampler: weights must be a row of finite numbers from 0 up, not all "
                f"0; found shape {w.shape}, minimum {w.min(initial=0):g}, sum {w.sum():g}"
            )
        if not replacement and num_samples > np.count_nonzero(w):
            raise ArgumentError(
                f"WeightedRandomSampler: cannot draw {num_samples} samples without replacement "
                f"from {np.count_nonzero(w)} weights above 0; pass replacement=True"
            )

    def __iter__(self) -> Iterator[int]:
        source = (self.generator or default_generator).numpy
        w = self.weights.numpy()
        shares = w / w.max()  # before the sum, which huge weights would carry to infinity
        shares /= shares.sum()
        return iter(source.choice(len(w), self.num_samples, self.replacement, shares).tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """The indices of another sampler in lists of batch_size; the last may be shorter, or left out.

    As DataLoader(batch_sampler=...) it says which samples make up each batch.
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        check_count("BatchSampler: batch_size", batch_size)
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        return self._batches(iter(self.sampler))  # drawn now: two epochs at once stay reproducible

    def _batches(self, order: Iterator[int]) -> Iterator[list[int]]:
        while batch := list(itertools.islice(order, self.batch_size)):
            if self.drop_last and len(batch) < self.batch_size:
                return
            yield batch

    def __len__(self) -> int:
        n = len(self.sampler)  # type: ignore[arg-type]
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
