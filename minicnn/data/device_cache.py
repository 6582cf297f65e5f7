"""A small data set as a whole on a GPU, where batches are gathered without the host."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import module_of
from ..autograd import Tensor
from ..devices import device as as_device
from ..random import HostStates
from .dataset import TensorDataset, fetch, rows

SHARE = 0.5  # of the GPU's free memory, at most
CHUNK = 1000  # samples that are moved at a time
LOOK = 64  # samples that are looked at first


def copy_to_device(
    dataset: Any, device: Any, after_part: Callable[[], Any] = lambda: None
) -> TensorDataset | str:
    """The samples of a data set as tensors on a device, in its order; or why that cannot be.

    Parameters
    ----------
    dataset
        One whose batch is a list or tuple of tensors.
    device
        Where to.
    after_part
        Called after each thousand samples.

    Returns
    -------
    TensorDataset or str
        A reason if the samples are no tensors of one size, differ when they are asked for again or
        are drawn at random, or take more than half of the device's free memory.

    Notes
    -----
    Some samples are looked at twice.  The default generators of minicnn, Python and NumPy are then
    as before; one of the data set's own is not.
    """
    from ..kernels.cuda.driver import gpus

    states = HostStates()
    try:
        first = _look(dataset)
        if isinstance(first, str):
            return first
        n, xp, where = len(dataset), gpus(), as_device(device)
        with xp.cuda.Device(where.index):
            free, _ = xp.cuda.runtime.memGetInfo()
            if sum(t.array.nbytes for t in first) / len(first[0]) * n > SHARE * free:
                return "it is too large for the GPU's memory"
            kept = [xp.empty((n, *t.shape[1:]), t.dtype) for t in first]
            for start in range(0, n, CHUNK):
                here = np.arange(start, min(start + CHUNK, n))
                for whole, part in zip(kept, _batch(dataset, here), strict=True):
                    whole[start : start + CHUNK] = part.to(where).array
                if states.changed():
                    return "its samples are drawn at random"
                after_part()
            return TensorDataset(*map(Tensor, kept))
    finally:
        if states.changed():
            states.restore()


def _look(dataset: Any) -> list[Tensor] | str:
    """Some samples, from everywhere in the data set; or why it cannot be kept."""
    if not hasattr(dataset, "__len__"):
        return "it has no length"
    some = np.unique(np.linspace(0, len(dataset) - 1, LOOK).astype(int))
    try:
        first, second = _batch(dataset, some), _batch(dataset, some)
    except Exception as error:  # sizes that differ, keys that are no numbers
        return f"its samples do not make a batch ({type(error).__name__})"
    if not all(isinstance(t, Tensor) for t in first):
        return "its samples are no tuples of tensors"
    alike = len(first) == len(second) and all(map(_same, first, second))
    return first if alike else "its samples are drawn at random"


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether all numbers are the same, or both NaN."""
    same = module_of(one.array).array_equal(one.array, other.array, equal_nan=True)
    return bool(same)


def gather(kept: TensorDataset, indices: Any) -> list[Tensor]:
    """A batch of what `copy_to_device` gave, by numbers on the host: nobody waits for the GPU."""
    where, n = rows(indices), len(kept)
    if len(where) and not -n <= where.min() <= where.max() < n:
        raise IndexError(f"indices go from {where.min()} to {where.max()}: there are {n} samples")
    there = module_of(kept.tensors[0].array).asarray(where)
    return [Tensor(t.array[there]) for t in kept.tensors]


def _batch(dataset: Any, indices: np.ndarray) -> list[Any]:
    batch = fetch(dataset, indices)
    plain = isinstance(batch, (list, tuple)) and not hasattr(batch, "_fields")
    return list(batch) if plain else [None]
