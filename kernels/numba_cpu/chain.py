"""Chains: layers that follow each other, run as one program, a part of the batch at a time.

             part 0: 16 images            part 1: 16 images
    x  --> | conv | relu | pool |  -->  | conv | relu | pool | ...  --> y
               scratch, in the cache        the same scratch

What backward needs is kept for every part (SAVED), everything else lies in scratch memory that all
parts share: in A and B in turn, a layer reading one and writing the other (see layer.py).
"""

import math
import weakref
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minicnn.kernels.calls import Call
from minicnn.kernels.numba_cpu import layout
from minicnn.kernels.numba_cpu.activation import Activation, flat, like
from minicnn.kernels.numba_cpu.compiling import INT, array, entry, strided
from minicnn.kernels.numba_cpu.conv import Conv2d
from minicnn.kernels.numba_cpu.layer import (
    DW,
    DX,
    LAYERS,
    ONCE,
    SAVED,
    WEIGHTS,
    A,
    B,
    Flatten,
    G,
    X,
    Y,
)
from minicnn.kernels.numba_cpu.layout import given_batch_last, ordered, turned
from minicnn.kernels.numba_cpu.linear import Linear  # noqa: F401  # makes its layers known
from minicnn.kernels.numba_cpu.pool import Pool  # noqa: F401
from minicnn.kernels.numba_cpu.program import PART, Place, Program
from minicnn.kernels.numba_cpu.program import run as run_program
from minicnn.kernels.reference import Saved
from minicnn.kernels.threads import get_num_threads, threads_for

ALIGNMENT = 64  # bytes
PLANS = 32  # of one chain, for batches of several sizes
BLOCKS = 16  # of parts, at most: as many threads can share them
SUMS = 8_000_000  # bytes of gradients that all blocks have together, at most
WIDTH = 16  # images, as a register tile with AVX2 (half of one with AVX-512): no tile is left empty
CACHE = 700_000  # bytes of a part's images, of a cache of 1 MB that weights and tables want too


ACTIVATIONS = {name for name, layer in LAYERS.items() if issubclass(layer, Activation)}


# ---- plans -----------------------------------------------------------------------------------


class Plan:
    """The programs of one chain, forward and backward, for parts of n images of a batch of `pitch`.

    They are (calls, the first word that every part repeats).  `needs` says which gradients backward
    is to find, of x and of the weights; where there is none, nothing is saved.
    """

    def __init__(self, calls, x, n, pitch, needs, threaded, by_column=False):
        self.threaded, self.by_column = threaded, by_column
        self.n, self.pitch, self.dtype, self.needs = n, pitch, x.dtype, needs
        self.whole, self.saves = n == pitch, any(needs)
        self.zero, self.part = np.zeros(1, x.dtype), Place(PART, 0, ())
        self.sizes = dict.fromkeys((SAVED, A, B, ONCE), 0)  # in bytes
        self.tables: list[Any] = []  # that the programs point to
        self.layers = _layers_of(calls, x.shape[1:])
        self.gradients, self.gradients_size = [], 0
        self.forward = self._write_forward(x)
        self.backward = self._write_backward() if self.saves else None

    # -- what layers ask for

    def memory(self, shape, save=False, itemsize=0):
        """New memory: kept for backward, or in the lane that this layer does not read."""
        return self._take(SAVED if save else self.lane, shape, itemsize or self.dtype.itemsize)

    def output(self, shape, keep=False):
        """Where a layer's result goes; the last one's to the user's array if the batch is whole."""
        if self.last and self.whole:
            return Place(self.target, 0, tuple(shape))
        return self.memory(shape, keep)

    def threads_for(self, *work):
        """How many threads a call uses: one if the parts are shared among them already."""
        return threads_for(*work) if self.threaded else 1

    def flag(self):
        """A number, 0 if all is well, of those behind the gradients; see Compiled.backward."""
        self.flags += 1
        return Place(DW, self.gradients_size - self.flags * self.dtype.itemsize, (1,))

    def once(self, shape):
        """Memory that is filled once, for all parts."""
        return self._take(ONCE, shape, self.dtype.itemsize)

    def _take(self, base, shape, itemsize):
        offset = self.used[base]
        self.used[base] += _aligned(math.prod(shape) * itemsize)
        self.sizes[base] = max(self.sizes[base], self.used[base])
        return Place(base, offset, tuple(shape))

    def call(self, function, *args):
        """Writes a call down that every part makes."""
        self.program.call(function, *args)

    def call_once(self, function, *args):
        """Writes a call down that is made once, before all parts."""
        self.before.call(function, *args)

    def place(self, image, memory, before=(0, 0), phases=1):
        """Copies an image, batch-last or with strides of its own, with zeros around it."""
        if image.strides is None:
            c, h, w, n = image.shape
            image = self._images(image, n, (c, h, w))
        threads = self.threads_for(math.prod(memory.shape), 30_000)
        self.call(layout.fill, image, memory, *before, phases, threads)

    def _images(self, place, pitch, shape):
        """n of the images in batch-last memory of `pitch`, as (n, C, H, W) with strides."""
        c, h, w = shape if len(shape) == 3 else (*shape, 1, 1)
        size = self.dtype.itemsize
        strides = size, size * pitch * h * w, size * pitch * w, size * pitch
        return place.seen_as(self.n, c, h, w, strides=strides)

    def rows(self, x):
        """(n, features) memory of (features, n), or the other way round."""
        if 1 in x.shape:
            return x.seen_as(*x.shape[::-1])
        out, size = self.memory(x.shape[::-1]), self.dtype.itemsize
        x = x.seen_as(*x.shape, strides=(x.shape[1] * size, size))
        self.call(layout.turn_all, x, out)
        return out

    # -- writing

    def _start(self, target):
        self.target, self.used = target, dict.fromkeys((A, B, ONCE), 0) | {SAVED: self.sizes[SAVED]}
        self.program, self.before = Program(self.dtype), Program(self.dtype)
        self.flags = 0

    def _begin(self, live, last):
        """Before a layer: its lane is the one that it does not read."""
        self.lane, self.last = (B if live.base == A else A), last
        self.used[self.lane] = 0

    def _finish(self, place, shape):
        """Brings the last result to the user's array, if it is not there; returns the calls."""
        if place.base != self.target:
            size, features = self.dtype.itemsize, math.prod(shape)
            target = Place(self.target, 0, (features, self.n), (size * self.pitch, size))
            self.call(layout.put, place.seen_as(features, self.n), target)
        return self._written()

    def _written(self):
        before, calls = self.before.written(), self.program.written()
        self.tables += [self.before.tables, self.program.tables]
        return np.concatenate([before, calls]), len(before)

    def _write_forward(self, x):
        self._start(Y)
        layers = self.layers
        self.x_shape = x.shape[1:]
        self.x_direct = self.whole and x.transpose(*range(1, x.ndim), 0).flags.c_contiguous
        place = Place(X, 0, (*self.x_shape, self.n))
        if not self.x_direct:
            place = Place(X, 0, (self.n, *self.x_shape), x.strides)
            if not isinstance(layers[0], Conv2d):
                self._begin(place, False)
                save = self.saves and layers[0].keeps_input
                placed = self.memory((*self.x_shape, self.n), save)
                if x.ndim == 2:
                    self.call(layout.turn_all, place, placed)
                else:
                    self.place(place, placed)
                place = placed
        for i, layer in enumerate(layers):
            last = i + 1 == len(layers)
            keep = layer.keeps_output or (not last and layers[i + 1].keeps_input)
            self._begin(place, last)
            place = layer.forward(self, place, keep and self.saves)
        self.y_shape = place.shape[:-1]
        self.watched = [
            layer.first_weight + i for layer in layers for i in layer.kept_weights if self.saves
        ]
        self.reads_x = self.saves and self.x_direct and layers[0].keeps_input
        self.reads_y = self.saves and layers[-1].keeps_output and place.base == Y
        return self._finish(place, self.y_shape)

    def _write_backward(self):
        self._start(DX)
        self._place_gradients()
        g = Place(G, 0, (*self.y_shape, self.n))
        if not self.whole:
            self._begin(g, False)
            images = self._images(g, self.pitch, self.y_shape)
            placed = self.memory((*images.shape[1:], self.n))
            self.place(images, placed)
            g = placed.seen_as(*g.shape)
        wanted = [i for i, layer in enumerate(self.layers) if layer.wants_any(self)]
        lowest = 0 if self.needs[0] else min(wanted)
        for i in range(len(self.layers) - 1, lowest - 1, -1):
            self._begin(g, all(isinstance(layer, Flatten) for layer in self.layers[:i]))
            below = self.needs[0] or i > lowest
            passed = self.layers[i].backward(self, g, below)
            g = passed if below else g
        return self._finish(g, self.x_shape) if self.needs[0] else self._written()

    def _place_gradients(self):
        """Where in the gradients' memory each weight's gradient lies; None where none is needed."""
        self.gradients, self.slices, offset = [], [], 0  # offset and sizes in bytes
        shapes, size = [s for layer in self.layers for s in layer.shapes], self.dtype.itemsize
        for shape, needed in zip(shapes, self.needs[1:], strict=True):
            first, count = offset // size, math.prod(shape) if needed else 0
            self.gradients.append(Place(DW, offset, shape) if needed else None)
            self.slices.append((slice(first, first + count), shape) if needed else None)
            offset += _aligned(count * size)
        flags = sum(isinstance(layer, Conv2d) for layer in self.layers)
        self.gradients_size = offset + _aligned(flags * size)


def _aligned(size):
    """So many bytes and those up to the next vector."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def _layers_of(calls, x_shape):
    """The layers that write these calls, for an input of this shape (without the batch)."""
    layers, first = [], 0
    for call in _rectified_last(calls):
        layers.append(LAYERS[call.kernel](call, first, x_shape))
        first += len(call.shapes)
        x_shape = call.shape[1:]
    for layer, after in zip(layers[-2::-1], layers[:0:-1], strict=True):
        if isinstance(layer, Flatten):  # whose result is its input
            layer.keeps_input = after.keeps_input
    return layers


def _rectified_last(calls):
    """Rectifiers behind the maximum that follows them: max(relu(x)) = relu(max(x)).

    To the bit, but for the sign of a zero; so are the gradients, 0 where the maximum is.  It is a
    fourth of the work, and of what is kept.  Not with padding: a window of nothing else has the
    maximum -inf, which relu would change.
    """
    calls = list(calls)
    for i in range(1, len(calls)):
        relu, pool = calls[i - 1], calls[i]
        if relu.kernel == "relu" and pool.kernel == "max_pool2d":
            (window,) = pool.arguments
            if window.padding == (0, 0):
                calls[i - 1 : i + 1] = pool, Call("relu", pool.shape, pool.dtype)
    return calls


# ---- chains ----------------------------------------------------------------------------------


class Compiled:
    """A chain for one shape of batch: a plan for its equal parts, and one for what is left over."""

    def __init__(self, calls, x, needs):
        self.calls, self.needs, self.dtype = calls, needs, x.dtype
        self.like = as_strided(np.empty(1, x.dtype), x.shape, x.strides)  # x without its memory
        batch, self.part = len(x), _part_size(calls, x, needs)
        # As many blocks at any number of threads, so that sums are the same to the bit.
        self.blocks = min(batch // self.part, BLOCKS)
        if any(needs):
            size = max(1, _weights_size(calls, x.itemsize))
            self.blocks = min(self.blocks, max(1, SUMS // size))
        threads = get_num_threads()
        self.threads = threads if 1 < threads <= self.blocks else 1  # else layers share the work
        self.runs, self.careful = self._plans(False), None
        self.known: tuple = (), None  # the weights of the run before, and the bases
        plan = self.plan = self.runs[0][-1]
        self.y_shape, self.dx_shape = (*plan.y_shape, batch), (*plan.x_shape, batch)
        self.y_axes = (len(plan.y_shape), *range(len(plan.y_shape)))  # batch first
        self.dx_axes = (len(plan.x_shape), *range(len(plan.x_shape)))
        self.y_size, self.dx_size = math.prod(self.y_shape), math.prod(self.dx_shape) * needs[0]
        self._set_steps(WEIGHTS + sum(len(call.shapes) for call in calls))

    def _plans(self, by_column):
        """(number of the first part, how many, in how many blocks, on how many threads, plan)."""
        x, n, batch = self.like, self.part, len(self.like)
        rest = self.calls, x, batch % n, batch, self.needs, True, by_column
        plan = Plan(self.calls, x, n, batch, self.needs, self.threads == 1, by_column)
        runs = [(0, batch // n, self.blocks, self.threads, plan)]
        return runs + ([(batch // n, 1, 1, 1, Plan(*rest))] if batch % n else [])

    def _set_steps(self, bases):
        """By how much the bases move on: from part to part, block to block, thread to thread."""
        plan, size = self.plan, self.dtype.itemsize
        a, b, once = (max(p.sizes[base] for *_, p in self.runs) for base in (A, B, ONCE))
        part = {X: self.part * self.like.strides[0], SAVED: plan.sizes[SAVED]}
        part |= dict.fromkeys((Y, G, DX), self.part * size)
        steps = part, {DW: plan.gradients_size}, dict.fromkeys((A, B), a + b)
        self.steps = np.array([[step.get(i, 0) for i in range(bases)] for step in steps])
        both = self.threads * (a + b)
        # In bytes: where in scratch memory B and ONCE begin.  In numbers: all of it, what is saved.
        self.b, self.once, self.scratch = a, both, (both + once + ALIGNMENT) // size
        self.saved = sum(parts * p.sizes[SAVED] for _, parts, _, _, p in self.runs) // size

    def _bases(self, weights):
        """The bases, those of the weights filled in; and the memory of the weights.

        An array's address takes as long as a small layer, so the last ones are remembered.
        """
        known, bases = self.known
        if bases is not None:
            for w, ref in zip(weights, known, strict=True):
                if ref is not None and ref() is not w:
                    break
            else:
                return bases.copy(), weights
        memory = tuple(None if w is None else ordered(w) for w in weights)
        bases = np.zeros(self.steps.shape[1], np.int64)
        bases[WEIGHTS:] = [0 if w is None else w.ctypes.data for w in memory]
        if all(a is b for a, b in zip(memory, weights, strict=True)):  # no copies
            self.known = [None if w is None else weakref.ref(w) for w in weights], bases
        return bases.copy(), memory

    def _run(self, runs, direction, bases, given, made, kept):
        """Runs the programs; given, made and kept are arrays with the numbers of their bases."""
        array = given[1] if given[1].ndim == 4 else given[1][:, :, None, None]
        scratch = np.empty(self.scratch, self.dtype)
        numbers = given[0], made[0], kept[0]
        locate[self.dtype](bases, array, made[1], kept[1], scratch, *numbers, self.b, self.once)
        for first, parts, blocks, threads, plan in runs:
            calls, repeated = getattr(plan, direction)
            moved = bases
            if first:
                moved = bases + first * self.steps[0]
                moved[PART] = first
            run_program[self.dtype](calls, repeated, moved, self.steps, parts, blocks, threads)

    def forward(self, x, weights):
        """(y's memory, the bases, the memory that they point into)."""
        bases, memory = self._bases(weights)
        y, saved = np.empty(self.y_size, self.dtype), np.empty(self.saved, self.dtype)
        self._run(self.runs, "forward", bases, (X, x), (Y, y), (SAVED, saved))
        return y, bases, (x, y, saved, memory)

    def backward(self, g, bases):
        """dx's memory, and the gradients of the weights, None where none is needed."""
        bases, size = bases.copy(), self.plan.gradients_size // self.dtype.itemsize
        gradients = np.empty((self.blocks, size), self.dtype)
        dx = np.empty(self.dx_size, self.dtype)
        arrays = (G, g), (DW, gradients.reshape(-1)), (DX, dx)
        self._run(self.runs, "backward", bases, *arrays)
        flags = max(plan.flags for *_, plan in self.runs)
        if any(gradients[0, -1 - i] != 0 for i in range(flags)):
            # Some weight of a convolution is not finite: it must meet no zero beside g.
            self.careful = self.careful or self._plans(True)
            self._run(self.careful, "backward", bases, *arrays)
        first = gradients[0]
        if self.blocks > 1:
            add_up[self.dtype](gradients)
            first = first.copy()  # the other rows shall not live as long as the gradients
        return dx, *[s and first[s[0]].reshape(s[1]) for s in self.plan.slices]


@entry(lambda t: (array(INT, 1), strided(t, 4), *[array(t, 1)] * 3, *[INT] * 5))
def locate(bases, given, made, kept, scratch, given_base, made_base, kept_base, b, once):
    """Fills in the bases of a run; in Python an array's address takes as long as a small layer."""
    bases[given_base], bases[made_base] = given.ctypes.data, made.ctypes.data
    bases[kept_base] = kept.ctypes.data
    start = (scratch.ctypes.data + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    bases[A], bases[B], bases[ONCE] = start, start + b, start + once


@entry(lambda t: (array(t, 2),))
def add_up(x):
    """Adds the other rows to the first."""
    for k in range(1, x.shape[0]):
        for i in range(x.shape[1]):
            x[0, i] += x[k, i]


def _part_size(calls, x, needs):
    """How many images are taken at a time: so many that they stay in the cache, in whole WIDTHs."""
    batch = len(x)
    if batch <= WIDTH:
        return batch
    trial = Plan(calls, x, WIDTH, batch, needs, True)
    image = sum(trial.sizes[base] for base in (A, B, SAVED)) / WIDTH
    # Each part reads all weights: they should not be more than the images.
    n = max(CACHE, _weights_size(calls, x.itemsize)) / image // WIDTH * WIDTH
    return min(max(int(n), WIDTH), batch)


def _weights_size(calls, itemsize):
    return sum(math.prod(s) * itemsize for call in calls for s in call.shapes if s)


# ---- the contract ------------------------------------------------------------------------------


def _compiled(chain, x, needs):
    """The chain, compiled for such an x."""
    key = x.shape, x.strides, x.dtype, needs, get_num_threads()
    plans = chain.kept.setdefault("numba", {})
    compiled = plans.get(key)
    if compiled is None:
        compiled = plans[key] = Compiled(chain.calls, x, needs)
        if len(plans) > PLANS:
            plans.pop(next(iter(plans)), None)  # the oldest
    return compiled


def run(chain, x, weights, needs):
    """As in kernels/__init__.py: y is (N, ...), in memory (..., N)."""
    if chain.kernels <= ACTIVATIONS:
        return _run_flat(chain, x, needs)
    x = x if x.flags.aligned else x.copy()
    compiled = _compiled(chain, x, needs)
    y, bases, memory = compiled.forward(x, weights)
    y = y.reshape(compiled.y_shape).transpose(compiled.y_axes)
    plan = compiled.plan
    inputs = [weights[i] for i in plan.watched] + [x] * plan.reads_x + [y] * plan.reads_y
    return y, Saved(compiled, bases, memory, None, inputs=tuple(inputs))


def _run_flat(chain, x, needs):
    """Activations alone: of one long image, so that y lies in memory as x does."""
    given, (x, memory) = x, flat(x)
    compiled = _compiled(chain, memory[None], needs)
    y, bases, memory = compiled.forward(memory[None], ())
    y = _lying_as(x, y)
    plan = compiled.plan
    inputs = [given] * (plan.reads_x and x is given) + [y] * plan.reads_y
    return y, Saved(compiled, bases, memory, y, inputs=tuple(inputs))


def _lying_as(x, memory):
    """Memory as an array of x's shape, its axes in x's order."""
    order = sorted(range(x.ndim), key=lambda axis: -x.strides[axis])
    back = sorted(range(x.ndim), key=order.__getitem__)
    return memory.reshape([x.shape[axis] for axis in order]).transpose(back)


def back(g, saved, needs):
    """The gradients of x and of all weights that forward was told of."""
    compiled, bases, _, y = saved.state
    if not any(needs):
        return (None,) * len(needs)
    if y is not None:
        dx, *_ = compiled.backward(like(g, y)[None], bases)
        return (_lying_as(y, dx),)
    if g.ndim == 2:
        g = g.T if g.T.flags.c_contiguous and g.flags.aligned else turned(g)
    else:
        g = given_batch_last(g)
    dx, *dweights = compiled.backward(g, bases)
    if not compiled.needs[0]:
        return None, *dweights
    return dx.reshape(compiled.dx_shape).transpose(compiled.dx_axes), *dweights
