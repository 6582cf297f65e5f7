"""Samples by number: Dataset, its in-memory kinds, splitting, and how samples become a batch.

The order of the samples and the size of a batch are the DataLoader's.
"""

import bisect
import itertools
import math
import operator
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..creation import from_numpy, tensor
from ..errors import ArgumentError, DtypeError, ShapeError
from ..methods import stack
from ..random import Generator, default_generator
from ..transforms.base import ToTensor, is_pil


class Dataset:
    """Samples by number; a subclass defines `__getitem__(index)` and `__len__()`.

    It may also define `__getitems__(indices)`, which gets a list of ints (or an array of them, from
    a Subset by an array) and returns **the batch, already collated**: one gather where the samples
    are in memory, instead of a loop over them.
    That departs from PyTorch, whose `__getitems__` returns a list of samples.  A subclass that
    overrides only `__getitem__` does not inherit a `__getitems__` that would go past it.
    """

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(index)")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__()")

    def __add__(self, other: "Dataset") -> "ConcatDataset":
        return ConcatDataset([self, other])


def fetch(dataset: Any, indices: "Sequence[Any] | np.ndarray") -> Any:
    """The batch of the samples at these indices: one gather if the dataset has it, else a loop."""
    gather = _gather_of(dataset)
    return default_collate([dataset[i] for i in indices]) if gather is None else gather(indices)


def _gather_of(dataset: Any) -> Callable[[Any], Any] | None:
    """The dataset's `__getitems__`, unless some class below its owner overrides `__getitem__`."""
    for cls in type(dataset).__mro__:
        if "__getitems__" in vars(cls):
            return dataset.__getitems__
        if "__getitem__" in vars(cls):
            return None
    return None


def rows(indices: "Sequence[Any] | np.ndarray") -> np.ndarray:
    """Integers of any kind (ints, NumPy's, 0-dim tensors) as the index array of a gather."""
    if isinstance(indices, np.ndarray) and indices.dtype == np.int64:
        return indices
    return np.fromiter(map(operator.index, indices), np.int64, len(indices))


class TensorDataset(Dataset):
    """Sample i is the tuple of row i of each tensor; a batch is one gather from each.

    Parameters
    ----------
    tensors
        Tensors of equal size along dimension 0.
    """

    def __init__(self, *tensors: Tensor) -> None:
        if not tensors:
            raise ArgumentError("TensorDataset: needs at least one tensor")
        for i, t in enumerate(tensors):
            if not isinstance(t, Tensor):
                raise TypeError(f"TensorDataset: argument {i} is a {type(t).__name__}, no Tensor")
            if t.ndim == 0:
                raise ShapeError(f"TensorDataset: tensor {i} has no dimension to count samples by")
            if len(t) != len(tensors[0]):
                raise ShapeError(
                    f"TensorDataset: tensor {i} has {len(t)} rows, tensor 0 has {len(tensors[0])}"
                )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def __getitems__(self, indices: Sequence[Any]) -> list[Tensor]:
        where = rows(indices)
        return [t[where] for t in self.tensors]

    def __len__(self) -> int:
        return len(self.tensors[0])


class Subset(Dataset):
    """The samples of `dataset` at `indices`, in that order; gathers where `dataset` does.

    An int64 array of indices is gathered too; a list of many thousands is slower to read.
    """

    def __init__(self, dataset: Any, indices: "Sequence[int] | np.ndarray") -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> Any:
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: Sequence[Any]) -> Any:
        if isinstance(self.indices, np.ndarray):
            return fetch(self.dataset, self.indices[rows(indices)])
        return fetch(self.dataset, [self.indices[i] for i in indices])

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset):
    """The samples of several datasets, one dataset after the other."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ArgumentError("ConcatDataset: needs at least one dataset")
        self.cumulative_sizes = list(itertools.accumulate(map(len, self.datasets)))

    def __getitem__(self, index: Any) -> Any:
        place = operator.index(index) + (len(self) if index < 0 else 0)
        if not 0 <= place < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} samples")
        which = bisect.bisect_right(self.cumulative_sizes, place)
        before = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][place - before]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


def random_split(
    dataset: Any, lengths: Sequence[int | float], generator: Generator | None = None
) -> list[Subset]:
    """Cuts a dataset into random parts that do not overlap.

    Parameters
    ----------
    dataset
        Anything with `__getitem__` and `__len__`.
    lengths
        Sizes that add up to len(dataset), or fractions that add up to 1: of those each part gets
        floor(fraction * len(dataset)), and what remains goes one by one to the first parts.
    generator
        Draws the permutation; minicnn.default_generator if left out.
    """
    n = len(dataset)
    sizes = _fractions(lengths, n) if math.isclose(math.fsum(lengths), 1) else list(lengths)
    for i, size in enumerate(sizes):
        if not isinstance(size, (int, np.integer)) or size < 0:
            raise ArgumentError(
                f"random_split: length {i} is {size}, neither a whole number from 0 up nor one "
                "of fractions that add up to 1"
            )
    if sum(sizes) != n:
        raise ArgumentError(f"random_split: lengths {sizes} add up to {sum(sizes)}, not to {n}")
    order = (generator or default_generator).numpy.permutation(n).tolist()
    ends = itertools.accumulate(sizes)
    return [Subset(dataset, order[end - k : end]) for end, k in zip(ends, sizes, strict=True)]


def _fractions(fractions: Sequence[int | float], n: int) -> list[int]:
    """The sizes of parts that are fractions of n."""
    for i, fraction in enumerate(fractions):
        if not 0 <= fraction <= 1:
            raise ArgumentError(f"random_split: fraction {i} is {fraction}, not between 0 and 1")
    sizes = [math.floor(n * fraction) for fraction in fractions]
    for i in range(n - sum(sizes)):
        sizes[i % len(sizes)] += 1
    for i, size in enumerate(sizes):
        if size == 0:
            warnings.warn(f"random_split: part {i} is empty", stacklevel=3)
    return sizes


def default_collate(batch: Sequence[Any]) -> Any:
    """Samples as one batch, with a new dimension 0 that counts them.

    Tensors and NumPy arrays are stacked; numbers become a tensor, Python's floats one of float64
    and integers one of int64, as in PyTorch.  Tuples and lists become a list of batches, named
    tuples a named tuple, mappings a dict of batches.  Text stays as it is.

    PIL images, which PyTorch refuses, become what `transforms.ToTensor` makes of each, stacked, as
    in a batch of the image data sets: float32 (N, C, H, W) with values in [0, 1].
    """
    first = batch[0]
    if is_pil(first):
        return stack([ToTensor()(image) for image in batch])
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Tensor):
        return stack(batch)
    if isinstance(first, (np.ndarray, np.generic)):
        return stack([from_numpy(np.asarray(x)) for x in batch])
    if isinstance(first, float):
        return tensor(batch, dtype=np.float64)
    if isinstance(first, int):
        return tensor(batch)
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, Sequence):
        sizes = sorted({len(sample) for sample in batch})
        if len(sizes) > 1:
            raise ShapeError(f"default_collate: samples of one batch have unequal lengths, {sizes}")
        columns = [default_collate(column) for column in zip(*batch, strict=True)]
        return type(first)(*columns) if hasattr(first, "_fields") else columns
    raise DtypeError(
        "default_collate: samples must consist of tensors, arrays, PIL images, numbers, text, "
        f"sequences and mappings, not {type(first).__name__}; give the DataLoader a collate_fn"
    )
