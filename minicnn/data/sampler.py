"""Samplers: in which order a DataLoader asks for samples, or which of them make up a batch."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..errors import ArgumentError
from ..random import Generator, default_generator


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


class BatchSampler(Sampler):
    """The indices of another sampler in lists of batch_size; the last may be shorter, or left out.

    As DataLoader(batch_sampler=...) it says which samples make up each batch.
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
            raise ArgumentError(
                f"BatchSampler: batch_size must be a whole number from 1 up, not {batch_size!r}"
            )
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        batch: list[int] = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        n = len(self.sampler)  # type: ignore[arg-type]
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
