"""Chains: layers that follow each other, run as one program, a part of the batch at a time.

             part 0: 16 images            part 1: 16 images
    x  --> | conv | relu | pool |  -->  | conv | relu | pool | ...  --> y
               scratch, in the cache        the same scratch

What backward needs is kept for every part (SAVED), everything else lies in scratch memory that all
parts share: in A and B in turn, a layer reading one and writing the other (see layers.py).
"""

import math
import threading
from operator import is_
from typing import Any

import numpy as np

from ..reference import Saved
from ..threads import get_num_threads, threads_for
from . import layout
from .compiling import INT, array, entry, strided
from .layers import DW, DX, ONCE, SAVED, WEIGHTS, A, B, Conv2d, G, X, Y, layers_of
from .layout import given_batch_last, ordered, turned
from .program import PART, Place, Program, run
from .simd import BYTES

ALIGNMENT = 64  # bytes
BLOCKS = 16  # of parts, at most: as many threads can share them
SUMS = 8_000_000  # bytes of gradients that all blocks have together, at most
CACHE = 700_000  # bytes of a part's images, of a cache of 1 MB that weights and tables want too


# ---- plans -----------------------------------------------------------------------------------


class Plan:
    """The programs of one chain, forward and backward, for parts of n images of a batch of `pitch`.

    They are (calls, the first word that every part repeats).  `needs` says which gradients backward
    is to find, of x and of the weights; where there is none, nothing is saved.
    """

    def __init__(self, spec, x, n, pitch, needs, threaded):
        self.threaded = threaded
        self.n, self.pitch, self.dtype, self.needs = n, pitch, x.dtype, needs
        self.whole, self.saves = n == pitch, any(needs)
        self.zero, self.part = np.zeros(1, x.dtype), Place(PART, 0, ())
        self.sizes = dict.fromkeys((SAVED, A, B, ONCE), 0)  # in bytes
        self.tables: list[Any] = []  # that the programs point to
        self.layers = layers_of(spec)
        self.gradients, self.gradients_size = [], 0
        self.forward = self._write_forward(x)
        self.backward = self._write_backward(False) if self.saves else None

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
        """A number, 0 if all is well, of those behind the gradients; see Chain.backward."""
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
        found, size = self.memory(x.shape[::-1]), self.dtype.itemsize
        x = x.seen_as(*x.shape, strides=(x.shape[1] * size, size))
        self.call(layout.turn_all, x, found)
        return found

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
        size, layers = self.dtype.itemsize, self.layers
        self.x_shape = x.shape[1:]
        self.x_direct = self.whole and x.transpose(*range(1, x.ndim), 0).flags.c_contiguous
        place = Place(X, 0, (*self.x_shape, self.n))
        if not self.x_direct:
            shape, strides = (self.n, *self.x_shape), x.strides
            more = 4 - x.ndim
            place = Place(X, 0, shape + (1,) * more, strides + (size,) * more)
            if not isinstance(layers[0], Conv2d):
                self._begin(place, False)
                found = self.memory(
                    (*place.shape[1:], self.n), self.saves and layers[0].keeps_input
                )
                self.place(place, found)
                place = found.seen_as(*self.x_shape, self.n)
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

    def _write_backward(self, by_column):
        self._start(DX)
        self.by_column = by_column
        self._place_gradients()
        g = Place(G, 0, (*self.y_shape, self.n))
        if not self.whole:
            self._begin(g, False)
            images = self._images(g, self.pitch, self.y_shape)
            found = self.memory((*images.shape[1:], self.n))
            self.place(images, found)
            g = found.seen_as(*g.shape)
        wanted = [i for i, layer in enumerate(self.layers) if layer.wants_any(self)]
        lowest = 0 if self.needs[0] else min(wanted)
        for i in range(len(self.layers) - 1, lowest - 1, -1):
            self._begin(g, i == 0)
            below = self.needs[0] or i > lowest
            found = self.layers[i].backward(self, g, below)
            g = found if below else g
        return self._finish(g, self.x_shape) if self.needs[0] else self._written()

    def write_by_column(self):
        """Writes backward so that no weight of a convolution meets zeros beside g."""
        self.backward = self._write_backward(True)

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


# ---- chains ----------------------------------------------------------------------------------


class Chain:
    """A chain for one shape of batch: a plan for its equal parts, and one for what is left over."""

    def __init__(self, spec, x, needs):
        batch, n = len(x), _part_size(spec, x, needs)
        parts, rest, size = batch // n, batch % n, x.itemsize
        weights = sum(math.prod(s) * size for _, shapes, _ in spec for s in shapes if s)
        # As many blocks at any number of threads, so that sums are the same to the bit.
        self.blocks = min(
            parts, BLOCKS, max(1, SUMS // weights) if any(needs) and weights else parts
        )
        threads = get_num_threads()
        self.threads = threads if 1 < threads <= self.blocks else 1  # else layers share the work
        # (number of the first part, how many, in how many blocks, on how many threads, their plan)
        self.plan = Plan(spec, x, n, batch, needs, self.threads == 1)
        self.runs = [(0, parts, self.blocks, self.threads, self.plan)]
        if rest:
            self.runs.append((parts, 1, 1, 1, Plan(spec, x, rest, batch, needs, True)))
        self.needs, self.dtype = needs, x.dtype
        self.y_shape, self.dx_shape = (*self.plan.y_shape, batch), (*self.plan.x_shape, batch)
        self.y_axes, self.dx_axes = (
            (len(shape) - 1, *range(len(shape) - 1)) for shape in (self.y_shape, self.dx_shape)
        )
        self.y_size, self.dx_size = math.prod(self.y_shape), math.prod(self.dx_shape) * needs[0]
        self._set_steps(n, x, WEIGHTS + sum(len(shapes) for _, shapes, _ in spec))
        self.known: tuple = (), np.zeros(self.steps.shape[1], np.int64)

    def _set_steps(self, n, x, bases):
        """By how much the bases move on: from part to part, block to block, thread to thread."""
        plan = self.plan
        a, b, once = (max(p.sizes[base] for *_, p in self.runs) for base in (A, B, ONCE))
        part = {X: n * x.strides[0], SAVED: plan.sizes[SAVED]}
        part |= dict.fromkeys((Y, G, DX), n * x.itemsize)
        steps = part, {DW: plan.gradients_size}, dict.fromkeys((A, B), a + b)
        self.steps = np.array([[step.get(i, 0) for i in range(bases)] for step in steps])
        # Of B and ONCE, and where scratch memory ends, in bytes; how many numbers are saved.
        both = self.threads * (a + b)
        self.offsets = a, both, both + once + ALIGNMENT
        self.saved = sum(parts * p.sizes[SAVED] for _, parts, _, _, p in self.runs) // x.itemsize

    def _bases(self, weights):
        """The bases, those of the weights filled in; and the memory of the weights."""
        known, bases = self.known
        if len(known) != len(weights) or not all(map(is_, known, weights)):
            memory = tuple(None if w is None else ordered(w) for w in weights)
            bases = np.zeros(self.steps.shape[1], np.int64)
            bases[WEIGHTS:] = [0 if w is None else w.ctypes.data for w in memory]
            if not all(map(is_, memory, weights)):  # copies, that will not do for the next step
                return bases, memory
            self.known = weights, bases
        return bases.copy(), weights

    def _run(self, bases, direction, *arrays):
        """Runs the programs on (base, array) pairs: what is given, what is made, what is kept."""
        given, made, kept = arrays
        b, once, end = self.offsets
        scratch = np.empty(end // self.dtype.itemsize, self.dtype)
        locate[self.dtype](
            bases, given[1] if given[1].ndim == 4 else given[1][:, :, None, None], made[1], kept[1],
            scratch, given[0], made[0], kept[0], b, once,
        )  # fmt: skip
        for first, parts, blocks, threads, plan in self.runs:
            calls, repeated = getattr(plan, direction)
            moved = bases
            if first:
                moved = bases + first * self.steps[0]
                moved[PART] = first
            run[self.dtype](calls, repeated, moved, self.steps, parts, blocks, threads)

    def forward(self, x, weights):
        """(y, Saved): y is (N, ...), in memory (..., N)."""
        plan = self.plan
        bases, memory = self._bases(weights)
        y, saved = np.empty(self.y_size, self.dtype), np.empty(self.saved, self.dtype)
        self._run(bases, "forward", (X, x), (Y, y), (SAVED, saved))
        image = y.reshape(self.y_shape).transpose(self.y_axes)
        inputs = [weights[i] for i in plan.watched]
        inputs += [x] * plan.reads_x + [image] * plan.reads_y
        return image, Saved(self, bases, (saved, memory), inputs=tuple(inputs))

    def backward(self, g, bases):
        """The gradients of x and of the weights, None where none is needed."""
        plan, work = self.plan, bases.copy()
        gradients = np.empty(self.blocks * plan.gradients_size // self.dtype.itemsize, self.dtype)
        dx = np.empty(self.dx_size, self.dtype)
        arrays = (G, g), (DW, gradients), (DX, dx)
        self._run(work, "backward", *arrays)
        first = gradients[: plan.gradients_size // self.dtype.itemsize]
        if not plan.by_column and any(first[-1 - i] != 0 for i in range(plan.flags)):
            # Some weight of a convolution is not finite: it must meet no zero beside g.
            with _writing:
                for *_, each in self.runs:
                    each.write_by_column()  # for good: such weights do not get better
            self._run(work, "backward", *arrays)
        if self.blocks > 1:
            add_up[self.dtype](gradients.reshape(self.blocks, -1))
        found = [s and first[s[0]].reshape(s[1]) for s in plan.slices]
        return dx.reshape(self.dx_shape).transpose(self.dx_axes) if self.needs[0] else None, *found


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


def _part_size(spec, x, needs):
    """How many images are taken at a time: whole vectors of them, that stay in the cache."""
    batch, lanes = len(x), BYTES // x.itemsize
    if batch <= lanes:
        return batch
    trial = Plan(spec, x, lanes, batch, needs, True)
    image = sum(trial.sizes[base] for base in (A, B, SAVED)) / lanes
    weights = sum(math.prod(s) * x.itemsize for _, shapes, _ in spec for s in shapes if s)
    # Each part reads all weights: they should not be more than the images.
    n = max(CACHE / image, weights / image) // lanes * lanes
    return min(max(int(n), lanes), batch)


_chains: dict[Any, Chain] = {}
_writing = threading.Lock()


def _chain_of(spec, x, needs):
    key = spec, x.shape, x.strides, x.dtype, needs, get_num_threads()
    found = _chains.get(key)
    if found is None:
        if len(_chains) > 256:
            _chains.clear()
        found = _chains[key] = Chain(spec, x, needs)
    return found


def chain(x, spec, needs, *weights):
    """Layers one after another: spec is (name, the shapes of its weights, arguments) of each."""
    x = x if x.flags.aligned else x.copy()
    return _chain_of(spec, x, needs).forward(x, weights)


def chain_backward(g, saved, needs):
    """The gradients of x and of all weights."""
    found, bases, _ = saved.state
    if g.ndim == 2:
        g = g.T if g.T.flags.c_contiguous and g.flags.aligned else turned(g)
    else:
        g = given_batch_last(g)
    return found.backward(g, bases)
