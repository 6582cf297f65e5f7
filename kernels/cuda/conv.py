"""Convolution: conv.cu's kernels for small images, fused with what follows, else columns.py's way.

block_forward    conv.cu conv_forward     f(convolution + bias), and its pooling
block_backward   conv.cu conv_backward    dx, and parts of dw and db    one launch
                 conv.cu conv_add_parts   the parts added up            one more, if several
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ...arrays import Array
from ...shapes import Pair, Shape, Window
from ..reference import Gradients, Needs, Saved
from . import activation
from .activation import activation_of
from .columns import columns_backward, columns_forward
from .launch import WINDOW, contiguous, empty, launch, window_of

THREADS = 512  # of a block at most, as conv.cu's __launch_bounds__ say
SHARED = 48 << 10  # bytes of a block's shared memory
WORK = 2**28  # multiply-adds; with fewer, the kernels here are quicker than columns.py's way
WIDE = 64  # output channels of a group; with fewer, each number in the columns is used too little
BLOCKS = 264  # that do dw: two for each multiprocessor of a large GPU
POOLS = ("", "avg_pool2d", "max_pool2d")  # in the order of conv.cuh

_CONVOLUTION = np.dtype(
    [*((name, np.int32) for name in "n c h w o groups".split()), ("window", WINDOW),
     ("pitch", np.int32)],
)  # fmt: skip
_TAIL = np.dtype(
    [("f", activation.STRUCT), ("pool", np.int32), ("window", WINDOW)], align=True
)  # fmt: skip
_CUT = np.dtype(
    [(name, np.int32) for name in "dx_blocks dx_chunk dw_chunk chunks slices each".split()]
)


# ---- plans -------------------------------------------------------------------------------------


class Block(NamedTuple):
    """A convolution with what is fused to it."""

    window: Window
    groups: int
    f: tuple[Any, ...] = ("identity",)  # of activation_of
    pool: str = ""
    pool_window: Window | None = None


class Plan(NamedTuple):
    """How conv.cu does a Block on arrays of certain shapes."""

    convolution: np.ndarray  # the structs
    tail: np.ndarray
    out: Shape  # of what the block gives,
    y: Shape  # and of the convolution
    chunk: int  # planes at a time, and blocks, threads and bytes of shared memory
    grid: tuple[int, int]
    threads: int
    shared: int


def fuses(pool: str, window: Window, size: Pair, how: tuple | list) -> bool:
    """Whether conv.cu can pool images of this size in the same launch."""
    if window.padding != (0, 0) or window.overhang(size) != (0, 0) or window.dilation != (1, 1):
        return False
    if pool == "avg_pool2d":
        return how[1] is None  # divisor_override
    return pool == "max_pool2d" and math.prod(window.kernel_size) <= 256


@cache
def plan_of(block: Block, x_shape: Shape, weight_shape: Shape, size: int) -> Plan | None:
    """How conv.cu does it with numbers of `size` bytes; None if it is no work for it."""
    (n, c, h, w), (o, each, kh, kw), window = x_shape, weight_shape, block.window
    places = math.prod(window.out)
    work, wide = n * o * each * kh * kw * places, o // block.groups >= WIDE
    if not work or (work >= WORK and wide) or kh * kw >= THREADS or not h * w:
        return None
    (ph, pw), pool = window.padding, block.pool_window
    quad, plane = 4 * size, (h + 2 * ph) * (w + 2 * pw) * size
    room = SHARED - (quad * places if pool else 0)
    chunk = min(each, room // (kh * kw * quad + plane))
    y = n, o, *window.out
    fours = _fours(o, block.groups)
    if chunk < 1 or fours > 65535 or _cut(block, x_shape, weight_shape, size) is None:
        return None
    one = Window((1, 1), (1, 1), (0, 0), (1, 1), window.out)
    convolution = (n, c, h, w, o, block.groups, window_of(window)[0], w + 2 * pw)
    tail = (activation_of(*block.f)[0], POOLS.index(block.pool), window_of(pool or one)[0])
    return Plan(
        np.array([convolution], _CONVOLUTION), np.array([tail], _TAIL),
        (*y[:2], *(pool or window).out), y, chunk, (n, fours), _threads(places),
        SHARED - room + chunk * (kh * kw * quad + plane),
    )  # fmt: skip


class Backward(NamedTuple):
    """How conv.cu goes back: (planes, input channels ... at a time) and the blocks that do it."""

    dx_chunk: int
    dw_chunk: int
    chunks: int
    slices: int
    each: int
    parts: int
    dx_blocks: int
    dw_blocks: int
    threads: int
    shared: int


@cache
def _cut(block: Block, x_shape: Shape, weight_shape: Shape, size: int) -> Backward | None:
    """None where not even one plane has room."""
    (n, c, h, w), (o, each, kh, kw), window = x_shape, weight_shape, block.window
    (ph, pw), (oh, ow), kernel = window.padding, window.out, kh * kw
    quad, places = 4 * size, oh * ow
    dx_plane = kernel * quad + places * size
    dx_chunk = min(o // block.groups, SHARED // dx_plane)
    plane = (h + 2 * ph) * (w + 2 * pw) * size
    dw_chunk = min(each, (SHARED - quad * places - size) // plane, (THREADS - 1) // kernel)
    if dx_chunk < 1 or dw_chunk < 1:
        return None
    taps = dw_chunk * kernel + 1
    threads = min(THREADS, max(_threads(h * w), -(-taps // 32) * 32))
    slices = min(threads // taps, oh)
    chunks, fours = -(-each // dw_chunk), _fours(o, block.groups)
    share = -(-n // min(n, max(1, BLOCKS // (chunks * fours))))  # images of a block
    parts = -(-n // share)
    shared = max(
        dx_chunk * dx_plane, quad * places + dw_chunk * plane + size, slices * taps * quad
    )  # fmt: skip
    if shared > SHARED:
        return None
    return Backward(
        dx_chunk, dw_chunk, chunks, slices, share, parts, n * _fours(c, block.groups),
        fours * chunks * parts, threads, shared,
    )  # fmt: skip


def _fours(channels: int, groups: int) -> int:
    return groups * -(-channels // groups // 4)


def _threads(places: int) -> int:
    return min(THREADS, -(-places // 32) * 32)


# ---- a convolution with what is fused to it ----------------------------------------------------


def block_forward(
    plan: Plan, x: Array, weight: Array, bias: Array | None, wanted: bool
) -> tuple[Array, tuple]:
    """(result, what block_backward needs): x, weight and bias in C order, one launch.

    What is kept is nothing unless wanted; the activation's results if their slope depends on them,
    of which a maximum's are the result itself; and where each maximum was.
    """
    pool, kind = POOLS[plan.tail["pool"][0]], plan.tail["f"]["kind"][0]
    out = empty(plan.out, x)
    y = p = which = None
    if not pool:
        y = out
    else:
        p = out
        if wanted and pool == "max_pool2d":
            which = empty(plan.out, x, np.uint8)
        elif wanted and kind:
            y = empty(plan.y, x)
    launch(
        "conv", "conv_forward", x.dtype, plan.grid, plan.threads,
        x, weight, bias, y, p, which, plan.convolution, plan.tail, plan.chunk,
        shared=plan.shared,
    )  # fmt: skip
    kept = out if pool == "max_pool2d" else y
    return out, ((kept if kind else None, which) if wanted else ())


def block_backward(
    block: Block, plan: Plan, g: Array, kept: tuple, x: Array, weight: Array, needs: Needs
) -> Gradients:
    """dx, dw and db, those that `needs` names, in one launch, and another that adds parts up."""
    cut = _cut(block, x.shape, weight.shape, x.itemsize)
    assert cut is not None  # plan_of has seen to it
    dx = empty(x.shape, x) if needs[0] else None
    size, o = weight.size, len(weight)
    parts = empty((cut.parts, size + o), x) if needs[1] or needs[2] else None
    dx_blocks, dw_blocks = cut.dx_blocks if needs[0] else 0, 0 if parts is None else cut.dw_blocks
    numbers = (dx_blocks, cut.dx_chunk, cut.dw_chunk, cut.chunks, cut.slices, cut.each)
    launch(
        "conv", "conv_backward", x.dtype, dx_blocks + dw_blocks, cut.threads,
        contiguous(g), *kept, x, weight, dx, parts, plan.convolution, plan.tail,
        np.array([numbers], _CUT), shared=cut.shared,
    )  # fmt: skip
    if parts is None:
        return dx, None, None
    total = parts[0]
    if cut.parts > 1:
        total = empty(total.shape, x)
        launch(
            "conv", "conv_add_parts", x.dtype, -(-total.size // 32), (32, 8),
            parts, total, cut.parts, total.size,
        )  # fmt: skip
    dw, db = total[:size].reshape(weight.shape), total[size:]
    return dx, dw if needs[1] else None, db if needs[2] else None


# ---- the contract ------------------------------------------------------------------------------


def conv2d(x, weight, bias, window: Window, groups: int) -> tuple[Array, Saved]:
    """As in the reference."""
    x, weight, block = contiguous(x), contiguous(weight), Block(window, groups)
    bias = None if bias is None else contiguous(bias)
    plan = plan_of(block, x.shape, weight.shape, x.itemsize)
    if plan is None:
        y = columns_forward(x, weight, bias, None, window, groups)
    else:
        y, _ = block_forward(plan, x, weight, bias, False)
    return y, Saved(x, weight, block, plan, inputs=(x, weight))


def conv2d_backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """As in the reference."""
    x, weight, block, plan = saved.state
    needs = needs[:3]
    if not any(needs):
        return None, None, None
    if plan is None:
        return columns_backward(g, x, weight, block.window, block.groups, needs)
    return block_backward(block, plan, g, (None, None), x, weight, needs)
