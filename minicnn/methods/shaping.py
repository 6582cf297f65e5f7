"""Tensors in other shapes, in parts, joined, and picked from: made of views, indexing and cat."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .. import shapes
from ..arrays import module_of
from ..autograd import Tensor, enable_grad
from ..errors import ArgumentError, ShapeError
from ..ops import OPS
from ..ops.shape import Clone, in_order, stand_for_view
from .operators import permute, reshape


def view(input: Tensor, *shape: Any) -> Tensor:
    """The same elements under another shape, of which one size may be -1.

    Where the order in memory allows no view it is a copy, and writing into either one is refused.

    PyTorch's other use, view(dtype), is refused: use `.to(dtype)`.
    """
    if len(shape) == 1 and not isinstance(shape[0], (int, tuple, list, np.integer)):
        raise ArgumentError(f"view: takes a shape, not {shape[0]!r}; for another type use .to()")
    return OPS["Reshape"].apply(input, shapes.from_args(shape), view=True)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions swapped, as a view."""
    a, b = (shapes.axis("transpose", d, input.ndim) for d in (dim0, dim1))
    return permute(input, [{a: b, b: a}.get(d, d) for d in range(input.ndim)])


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dimensions start_dim .. end_dim as one."""
    shape = input.shape
    first = shapes.axis("flatten", start_dim, len(shape))
    last = shapes.axis("flatten", end_dim, len(shape))
    if first > last:
        raise ArgumentError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    if first == last and shape:
        return input
    middle = math.prod(shape[first : last + 1])
    return OPS["Reshape"].apply(input, (*shape[:first], middle, *shape[last + 1 :]))


def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Dimensions of size 1 left out: all of them, or those of `dim`."""
    drop = shapes.axes("squeeze", dim, input.ndim)
    return reshape(input, [n for i, n in enumerate(input.shape) if n != 1 or i not in drop])


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A new dimension of size 1 at `dim`."""
    at = shapes.axis("unsqueeze", dim, input.ndim + 1)
    return reshape(input, (*input.shape[:at], 1, *input.shape[at:]))


def split(input: Tensor, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Views along dim: pieces of split_size (the last may be smaller), or of the given sizes."""
    axis = shapes.axis("split", dim, input.ndim)
    n = input.shape[axis]
    if isinstance(split_size, int):
        if split_size < 1:
            raise ArgumentError(f"split: split_size must be at least 1, not {split_size}")
        cuts = [*range(0, max(n, 1), split_size), n]
    else:
        cuts = [0, *itertools.accumulate(split_size)]
        if cuts[-1] != n or min(split_size, default=0) < 0:
            raise ArgumentError(f"split: sizes {split_size} must add up to dim {dim}'s size, {n}")
    before = (slice(None),) * axis
    return tuple(input[(*before, slice(a, b))] for a, b in itertools.pairwise(cuts))


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Views along dim: at most `chunks` pieces of equal size, the last may be smaller."""
    if chunks < 1:
        raise ArgumentError(f"chunk: chunks must be at least 1, not {chunks}")
    n = input.shape[shapes.axis("chunk", dim, input.ndim)]
    return split(input, max(1, -(-n // chunks)), dim)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along dim, without that dimension."""
    before = (slice(None),) * shapes.axis("unbind", dim, input.ndim)
    return tuple(input[(*before, i)] for i in range(input.shape[len(before)]))


def repeat(input: Tensor, *sizes: Any) -> Tensor:
    """Copies of the tensor side by side: sizes[d] of them along dimension d."""
    counts = shapes.from_args(sizes)
    if len(counts) < input.ndim or min(counts, default=0) < 0:
        raise ShapeError(f"repeat: {counts} must give each of {input.ndim} dimensions a number")
    out = reshape(input, (1,) * (len(counts) - input.ndim) + input.shape)
    for dim, count in enumerate(counts):
        out = cat([out] * count, dim) if count else out[(slice(None),) * dim + (slice(0, 0),)]
    return out


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors joined along an existing dimension; one of shape (0,) fits any others.

    The latter is PyTorch's habit, for programs that begin with an empty tensor and add to it.
    """
    if not len(tensors):
        raise ArgumentError("cat: takes at least one tensor, the sequence is empty")
    for i, t in enumerate(tensors):
        if t.ndim == 0:
            raise ShapeError(f"cat: tensor {i} is 0-dim and cannot be joined; use stack")
    full = next((t for t in tensors if t.shape != (0,)), tensors[0])
    axis = shapes.axis("cat", dim, full.ndim)
    nothing = (*full.shape[:axis], 0, *full.shape[axis + 1 :])
    fitting = [t if t.shape != (0,) else reshape(t, nothing) for t in tensors]
    return OPS["Cat"].apply(dim, *fitting)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors one below the other: joined along dimension 0, vectors as rows."""
    return cat([t if t.ndim > 1 else reshape(t, (1, -1)) for t in tensors])


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors side by side: joined along dimension 1, vectors along their only one."""
    parts = [t if t.ndim else reshape(t, (1,)) for t in tensors]
    return cat(parts, 0 if parts and parts[0].ndim == 1 else 1)


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape side by side along a new dimension."""
    return OPS["Stack"].apply(dim, *tensors)


# ---- picking elements ------------------------------------------------------------------------


def _places(op: str, input: Tensor, dim: int, index: Tensor) -> tuple:
    """Where gather and scatter_ go: at each place of index, itself but for dim."""
    axis = shapes.axis(op, dim, input.ndim)
    if index.ndim != input.ndim:
        raise ShapeError(f"{op}: index has {index.ndim} dimensions, but the tensor {input.ndim}")
    xp = module_of(index.array)
    grids = [xp.arange(n).reshape([-1 if i == d else 1 for i in range(index.ndim)])
             for d, n in enumerate(index.shape)]  # fmt: skip
    return tuple(index.array if d == axis else grid for d, grid in enumerate(grids))


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Along dim the elements that index names: with dim=1, y[i, j] = x[i, index[i, j]]."""
    if index.ndim == 0 and input.ndim == 1:
        return input[_places("gather", input, dim, reshape(index, (1,)))][0]
    return input[_places("gather", input, dim, index)]


def scatter_(self: Tensor, dim: int, index: Tensor, src: Any = None, value: Any = None) -> Tensor:
    """Writes to the places that index names: with dim=1, self[i, index[i, j]] = src[i, j].

    src is a tensor, of which the part of index's shape is used, or a number, which may be called
    value.  A 0-dim index names one place of a vector.
    """
    src = value if src is None else src
    if src is None:
        raise ArgumentError("scatter_: takes what to write: src (a tensor) or value (a number)")
    index = reshape(index, (1,)) if index.ndim == 0 and self.ndim == 1 else index
    if isinstance(src, Tensor):
        src = src if src.ndim == 0 else src[tuple(slice(n) for n in index.shape)]
    self[_places("scatter_", self, dim, index)] = src
    return self


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices along dim that a 1-dim index names."""
    return input[(slice(None),) * shapes.axis("index_select", dim, input.ndim) + (index,)]


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where mask holds, as a vector; the two shapes are broadcast."""
    shape = np.broadcast_shapes(input.shape, mask.shape)
    return input.expand(shape)[mask.expand(shape)]


def flip(input: Tensor, *dims: Any) -> Tensor:
    """The order of elements turned round along each of dims; a copy."""
    dims = shapes.from_args(dims)
    for axis in shapes.axes("flip", dims, input.ndim) if dims else ():
        backwards = module_of(input.array).arange(input.shape[axis])[::-1].copy()
        input = index_select(input, axis, Tensor(backwards))
    return input


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or the matrix that has this vector there and zeros elsewhere.

    diagonal > 0 means one above the main diagonal, < 0 one below.
    """
    xp = module_of(input.array)
    if input.ndim == 2:
        places = xp.arange(input.array.size).reshape(input.shape)
        return flatten(input)[Tensor(xp.diagonal(places, diagonal).copy())]
    if input.ndim != 1:
        raise ShapeError(f"diag: takes a vector or a matrix, not shape {input.shape}")
    places = xp.diag(xp.arange(1, len(input) + 1), diagonal)  # 0 means the zero put in front
    return cat([Tensor(xp.zeros(1, input.dtype)), input])[Tensor(places)]


def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal."""
    if input.ndim != 2:
        raise ShapeError(f"trace: takes a matrix, not shape {input.shape}")
    return diag(input).sum()


# ---- how it lies in memory -------------------------------------------------------------------


def size(self: Tensor, dim: int | None = None) -> Any:
    """The shape, or one of its sizes."""
    return self.shape if dim is None else self.shape[shapes.axis("size", dim, self.ndim)]


def stride(self: Tensor) -> tuple[int, ...]:
    """How many elements in memory lie between neighbours along each dimension."""
    return tuple(s // self.array.itemsize for s in self.array.strides)


def contiguous(self: Tensor) -> Tensor:
    """The tensor itself if it lies in memory in row-major order, else such a copy."""
    here = self.array.flags.c_contiguous
    like = None if here and self._base is None else in_order(self)
    if not (here if like is None else like.flags.c_contiguous):
        return Clone.apply(self)
    if here:
        return self
    with enable_grad():  # in PyTorch this is the tensor itself
        out = Clone.apply(self)
    stand_for_view(out, self)
    return out


def length(self: Tensor) -> int:
    """The size of the first dimension."""
    if self.ndim == 0:
        raise TypeError("a 0-dim tensor has no length")
    return self.shape[0]


def iterate(self: Tensor) -> Iterator[Tensor]:
    """The slices along the first dimension, one after another."""
    return (self[i] for i in range(len(self)))
