"""Sums over each channel of a batch, in a fixed order."""

import math
from typing import NamedTuple

from minicnn.arrays import Array
from minicnn.kernels.cuda.launch import THREADS, empty, launch

BLOCKS = 1024  # that keep any GPU busy
SHARE = 16 * THREADS  # numbers that are worth a block


class Channels(NamedTuple):
    """(images, channels, length) of an array, and how many blocks share the work on a channel."""

    images: int
    channels: int
    length: int
    parts: int

    @property
    def grid(self) -> tuple[int, int]:
        """One block for each part of each channel."""
        return self.channels, self.parts


def channels_of(x: Array) -> Channels:
    """For an (N, C, ...) array."""
    n, c, length = x.shape[0], x.shape[1], math.prod(x.shape[2:])
    parts = min(-(-n * length // SHARE), -(-BLOCKS // max(c, 1)))
    return Channels(n if length else 0, c, max(length, 1), max(parts, 1))


def partial_sums(a: Array, b: Array | None, shape: Channels) -> Array:
    """(2, C, parts): of a and of a*b over their parts of each channel; (1, C, parts) without b."""
    sums = empty((1 if b is None else 2, shape.channels, shape.parts), a)
    if not shape.images:  # CuPy's address of an empty b is 0, the kernel's sign for none
        sums.fill(0)
        return sums
    launch("sums", "channel_sums", a.dtype, shape.grid, THREADS, a, b, sums, *shape[:3])
    return sums


def channel_sums(a: Array, b: Array | None = None) -> Array:
    """(2, C): the sums of a and of a*b over all but the channels; (1, C) without b."""
    shape = channels_of(a)
    sums = partial_sums(a, b, shape)
    if shape.parts == 1:
        return sums.reshape(sums.shape[:2])
    totals = empty(sums.shape[:2], a)
    launch("sums", "add_parts", a.dtype, totals.size, THREADS, sums, totals, shape.parts)
    return totals
