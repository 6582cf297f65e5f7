"""A small data set as a whole on a GPU, where batches are gathered without the host."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..conveniences import cat
from ..random import default_generator
from .dataset import TensorDataset, fetch

SHARE = 0.5  # of the GPU's free memory, at most
CHUNK = 1000  # samples that are moved at a time
LOOK = 64  # samples that are looked at first


def resident(
    dataset: Any, device: Any, change: Callable[[Tensor], Tensor] = lambda x: x
) -> TensorDataset | None:
    """The samples of a data set as tensors on a device, in its order; None where that cannot be.

    Parameters
    ----------
    dataset
        One whose batch is a list or tuple of tensors.
    device
        Where to.
    change
        What is done to a batch of the first tensor, image by image, once and for all.

    Returns
    -------
    TensorDataset or None
        None if the samples are not tensors, differ when they are asked for again (random
        transforms), or take more than half of the device's free memory.
    """
    from ..kernels.cuda.driver import gpus

    n, state = len(dataset), default_generator.get_state()
    first = [_batch(dataset, np.arange(min(LOOK, n))) for _ in range(2)]
    default_generator.set_state(state)  # as if nobody had looked
    if not all(isinstance(t, Tensor) for batch in first for t in batch):
        return None
    if any((a.array != b.array).any() for a, b in zip(*first, strict=True)):
        return None
    images, *others = first[0]
    looked = [change(images.to(device)), *others]
    size = sum(t.array.nbytes for t in looked) / max(1, len(images)) * n
    with looked[0].array.device:
        free, _ = gpus().cuda.runtime.memGetInfo()
    if size > SHARE * free:
        return None
    parts = []
    for start in range(0, n, CHUNK):
        images, *others = _batch(dataset, np.arange(start, min(start + CHUNK, n)))
        parts.append([change(images.to(device)), *(t.to(device) for t in others)])
    return TensorDataset(*(cat(list(column)) for column in zip(*parts, strict=True)))


def _batch(dataset: Any, indices: np.ndarray) -> list[Any]:
    found = fetch(dataset, indices)
    return list(found) if isinstance(found, (list, tuple)) else [found]
