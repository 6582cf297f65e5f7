"""Convolution: conv.cu's kernels for small images, fused with what follows, else columns.py's way.

forward    conv.cu conv_forward     f(convolution + bias), and its pooling
backward   conv.cu conv_backward    dx, and parts of dw and db    one launch
           conv.cu conv_add_parts   the parts added up            one more, if several
"""

import math
from typing import NamedTuple

import numpy as np

from minicnn.kernels.calls import Call
from minicnn.kernels.cuda import activation
from minicnn.kernels.cuda.activation import IDENTITY, fusable
from minicnn.kernels.cuda.columns import columns_backward, columns_forward
from minicnn.kernels.cuda.launch import WINDOW, empty, launch, window_of
from minicnn.kernels.cuda.layer import Layer
from minicnn.shapes import Pair, Shape, Window

THREADS = 512  # of a block at most, as conv.cu's __launch_bounds__ say
SHARED = 48 << 10  # bytes of a block's shared memory
WORK = 2**28  # multiply-adds; with fewer, the kernels here are quicker than columns.py's way
WIDE = 64  # output channels of a group; with fewer, each number in the columns is used too little
BLOCKS = 264  # that do dw: two for each multiprocessor of a large GPU
POOLS = ("", "avg_pool2d", "max_pool2d")  # in the order of conv.cuh

_CONVOLUTION = np.dtype(
    [*((name, np.int32) for name in "n c h w o groups".split()), ("window", WINDOW),
     ("rows", np.int32), ("pitch", np.int32)],
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
    f: np.ndarray = IDENTITY
    pool: str = ""
    pool_window: Window | None = None


class Cut(NamedTuple):
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
    cut: Cut


def pools(call: Call, size: Pair) -> bool:
    """Whether a call pools images of this size in a way that conv.cu can in the same launch."""
    if call.kernel not in POOLS:
        return False
    window, *how = call.arguments
    if window.padding != (0, 0) or window.overhang(size) != (0, 0) or window.dilation != (1, 1):
        return False
    if call.kernel == "avg_pool2d":
        return how[1] is None  # divisor_override
    return math.prod(window.kernel_size) <= 256


def _staged(window: Window, size: Pair) -> Pair:
    """The rows and columns of an image with the zeros that its windows reach."""
    (h, w), (ph, pw), (behind_h, behind_w) = size, window.padding, window.overhang(size)
    return h + ph + behind_h, w + pw + behind_w


def plan_of(block: Block, x_shape: Shape, weight_shape: Shape, size: int) -> Plan | None:
    """How conv.cu does it with numbers of `size` bytes; None if it is no work for it."""
    (n, c, h, w), (o, each, kh, kw), window = x_shape, weight_shape, block.window
    places = math.prod(window.out)
    work, wide = n * o * each * kh * kw * places, o // block.groups >= WIDE
    if not work or (work >= WORK and wide) or kh * kw >= THREADS or not h * w:
        return None
    (rows, pitch), pool = _staged(window, (h, w)), block.pool_window
    quad, plane = 4 * size, rows * pitch * size
    room = SHARED - (quad * places if pool else 0)
    chunk = min(each, room // (kh * kw * quad + plane))
    y = n, o, *window.out
    fours = _fours(o, block.groups)
    cut = _cut(block, x_shape, weight_shape, size)
    if chunk < 1 or fours > 65535 or cut is None:
        return None
    one = Window((1, 1), (1, 1), (0, 0), (1, 1), window.out)
    convolution = (n, c, h, w, o, block.groups, window_of(window)[0], rows, pitch)
    tail = (block.f[0], POOLS.index(block.pool), window_of(pool or one)[0])
    return Plan(
        np.array([convolution], _CONVOLUTION), np.array([tail], _TAIL),
        (*y[:2], *(pool or window).out), y, chunk, (n, fours), _threads(places),
        SHARED - room + chunk * (kh * kw * quad + plane), cut,
    )  # fmt: skip


def _cut(block: Block, x_shape: Shape, weight_shape: Shape, size: int) -> Cut | None:
    """None where not even one plane has room."""
    (n, c, h, w), (o, each, kh, kw), window = x_shape, weight_shape, block.window
    (oh, ow), kernel = window.out, kh * kw
    quad, places = 4 * size, oh * ow
    dx_plane = kernel * quad + places * size
    dx_chunk = min(o // block.groups, SHARED // dx_plane)
    plane = math.prod(_staged(window, (h, w))) * size
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
    return Cut(
        dx_chunk, dw_chunk, chunks, slices, share, parts, n * _fours(c, block.groups),
        fours * chunks * parts, threads, shared,
    )  # fmt: skip


def _fours(channels: int, groups: int) -> int:
    return groups * -(-channels // groups // 4)


def _threads(places: int) -> int:
    return min(THREADS, -(-places // 32) * 32)


# ---- the layer ---------------------------------------------------------------------------------


class Conv2d(Layer, kernel="conv2d"):
    """A convolution with the activation and, by conv.cu, the pooling behind it."""

    weights = 2

    def __init__(self, calls, x_shape):
        window, groups = calls[0].arguments
        weight_shape, size = calls[0].shapes[0], calls[0].dtype.itemsize
        f, self.calls = fusable(calls[1:]), 1
        if f is not None:
            self.calls = 2
        self.block = Block(window, groups, IDENTITY if f is None else f)
        pool = [call for call in calls[self.calls :][:1] if pools(call, window.out)]
        if pool:
            self.block = self.block._replace(pool=pool[0].kernel, pool_window=pool[0].arguments[0])
        self.plan = plan_of(self.block, x_shape, weight_shape, size)
        if self.plan is not None:
            self.calls += len(pool)

    def forward(self, x, weights, wanted):
        """Of the activation's results those are kept that its slope depends on.

        For a maximum they are the results themselves; where each was is kept too.
        """
        (weight, bias), plan, (window, groups, f, pool, _) = weights, self.plan, self.block
        active = f is not IDENTITY
        if plan is None:
            y = columns_forward(x, weight, bias, f, window, groups)
            return y, (x, weight, y if active else None, None)
        out = empty(plan.out, x)
        p, y, which = (out if pool else None), (None if pool else out), None
        if wanted and pool == "max_pool2d":
            which = empty(plan.out, x, np.uint8)
        elif wanted and pool and active:
            y = empty(plan.y, x)
        launch(
            "conv", "conv_forward", x.dtype, plan.grid, plan.threads,
            x, weight, bias, y, p, which, plan.convolution, plan.tail, plan.chunk,
            shared=plan.shared,
        )  # fmt: skip
        slope = out if pool == "max_pool2d" else y
        return out, (x, weight, slope if active else None, which)

    def backward(self, g, kept, needs):
        if self.plan is not None:
            return self._by_blocks(self.plan, g, kept, needs)
        (x, weight, y, _), (window, groups, f, *_) = kept, self.block
        gz = g if y is None else activation.before(g, y, f)
        return columns_backward(gz, x, weight, window, groups, needs)

    @staticmethod
    def _by_blocks(plan, g, kept, needs):
        """Those that `needs` names, in one launch, and another that adds parts up."""
        (x, weight, y, which), cut = kept, plan.cut
        dx = empty(x.shape, x) if needs[0] else None
        size, o = weight.size, len(weight)
        parts = empty((cut.parts, size + o), x) if needs[1] or needs[2] else None
        dx_blocks = cut.dx_blocks if needs[0] else 0
        dw_blocks = 0 if parts is None else cut.dw_blocks
        numbers = (dx_blocks, cut.dx_chunk, cut.dw_chunk, cut.chunks, cut.slices, cut.each)
        launch(
            "conv", "conv_backward", x.dtype, dx_blocks + dw_blocks, cut.threads,
            g, y, which, x, weight, dx, parts, plan.convolution, plan.tail,
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
