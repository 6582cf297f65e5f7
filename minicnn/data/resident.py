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


def resident(
    dataset: Any,
    device: Any,
    change: Callable[[Tensor], Tensor] = lambda x: x,
    after_part: Callable[[], Any] = lambda: None,
) -> TensorDataset | str:
    """The samples of a data set as tensors on a device, in its order; or why that cannot be.

    Parameters
    ----------
    dataset
        One whose batch is a list or tuple of tensors.
    device
        Where to.
    change
        What is done to a batch of the first tensor, image by image, once and for all.
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
        looked = _look(dataset)
        if isinstance(looked, str):
            return looked
        with gpus().cuda.Device(as_device(device).index):
            return _moved(dataset, device, looked, change, after_part, states)
    finally:
        if states.changed():
            states.restore()


def _look(dataset: Any) -> list[Tensor] | str:
    """Some samples, from everywhere in the data set; or why it cannot be kept."""
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
    a, b = one.array, other.array
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def _moved(
    dataset: Any,
    device: Any,
    looked: list[Tensor],
    change: Callable[[Tensor], Tensor],
    after_part: Callable[[], Any],
    states: HostStates,
) -> TensorDataset | str:
    n, (images, *others) = len(dataset), looked
    samples = [change(images.to(device)).array, *(t.array for t in others)]
    xp = module_of(samples[0])
    free, _ = xp.cuda.runtime.memGetInfo()
    if sum(a.nbytes for a in samples) / len(images) * n > SHARE * free:
        return "it is too large for the GPU's memory"
    kept = [xp.empty((n, *a.shape[1:]), a.dtype) for a in samples]
    for start in range(0, n, CHUNK):
        here = slice(start, min(start + CHUNK, n))
        images, *others = _batch(dataset, np.arange(here.start, here.stop))
        for whole, part in zip(kept, [change(images.to(device)), *others], strict=True):
            whole[here] = part.to(device).array
        if states.changed():
            return "its samples are drawn at random"
        after_part()
    return TensorDataset(*map(Tensor, kept))


def gather(kept: TensorDataset, indices: Any) -> list[Tensor]:
    """A batch of what `resident` gave, by numbers on the host: nobody waits for the GPU."""
    where, n = rows(indices), len(kept)
    if len(where) and not -n <= where.min() <= where.max() < n:
        raise IndexError(f"indices go from {where.min()} to {where.max()}: there are {n} samples")
    there = module_of(kept.tensors[0].array).asarray(where)
    return [Tensor(t.array[there]) for t in kept.tensors]


def _batch(dataset: Any, indices: np.ndarray) -> list[Any]:
    found = fetch(dataset, indices)
    plain = isinstance(found, (list, tuple)) and not hasattr(found, "_fields")
    return list(found) if plain else [None]
