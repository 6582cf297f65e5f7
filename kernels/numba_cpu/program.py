"""Programs: calls of entries written down as numbers, so that one call from Python runs many.

A call of an entry from Python costs 3 us, more than the work of many a layer on one image.  Where
the same calls come again in every step, only the memory they work on is another.  So they are
written down once, every argument as a number beside the name of a base, and run with new bases:

    calls    | convolution: X + 0, WEIGHTS + 64, SAVED + 0, 28, .. | sigmoid: SAVED + 0, .. | ...
    bases    X = 0x7f10.., WEIGHTS = 0x7f58.., SAVED = 0x7f44..

A batch is done in parts that stay in the cache: each base moves on by its step from one part to the
next.  Parts come in blocks, so many that threads can share them, however many threads there are;
PART is the part's number in its block.  What parts add up, they add up block by block.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding, ir
from numba import cfunc, types
from numba.core import cgutils
from numba.core.datamodel import models, register_default
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from minicnn.kernels.numba_cpu.compiling import (
    INT,
    TYPES,
    Entry,
    array,
    entries,
    entry,
    inner,
    kept,
)
from minicnn.kernels.numba_cpu.parallel import parallel, share
from minicnn.kernels.numba_cpu.simd import pointer

INT64 = ir.IntType(64)
LONGEST = 256  # words of a call's arguments


# ---- an entry called with arguments from memory ----------------------------------------------


class Packed(types.Type):
    """The address of an entry's arguments, in words of 8 bytes, one after the other.

    A number is one word; an array its address, its shape and, unless C-ordered, its strides.
    """

    def __init__(self, symbol: str, args: tuple) -> None:
        self.symbol, self.args = symbol, args
        super().__init__(f"Packed({symbol}, {args})")


register_default(Packed)(models.OpaqueModel)


@intrinsic
def _call_entry(typing, packed):
    """Calls the entry whose arguments are packed."""

    def emit(context, builder, signature, values):
        words = builder.bitcast(values[0], INT64.as_pointer())
        taken = 0

        def take(count):
            nonlocal taken
            loaded = [
                builder.load(builder.gep(words, [INT64(taken + i)], source_etype=INT64), typ=INT64)
                for i in range(count)
            ]
            taken += count
            return loaded

        args = [_argument(context, builder, kind, take) for kind in packed.args]
        form = context.call_conv.get_function_type(types.void, packed.args)
        function = cgutils.get_or_insert_function(builder.module, form, packed.symbol)
        context.call_conv.call_function(builder, function, types.void, packed.args, args)
        return context.get_dummy_value()

    return types.void(packed), emit


def _argument(context, builder, kind, take):
    """One argument, made of as many words as it needs."""
    if not isinstance(kind, types.Array):
        (word,) = take(1)
        wanted = context.get_value_type(kind)
        if isinstance(kind, types.Float):
            return builder.bitcast(word, wanted)
        return word if wanted == INT64 else builder.trunc(word, wanted)
    made = context.make_array(kind)(context, builder)
    size = context.get_abi_sizeof(context.get_data_type(kind.dtype))
    address, *shape = take(1 + kind.ndim)
    strides = take(kind.ndim) if kind.layout == "A" else _c_strides(builder, shape, size)
    populate_array(
        made, builder.inttoptr(address, made.data.type), cgutils.pack_array(builder, shape),
        cgutils.pack_array(builder, strides), INT64(size), None,
    )  # fmt: skip
    return made._getvalue()


def _c_strides(builder, shape, size):
    strides = [INT64(size)]
    for n in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], n))
    return strides


def _packed(memory):
    _call_entry(memory)


_callers: dict[tuple[int, np.dtype], Any] = {}


def caller(function: Entry, dtype: np.dtype) -> int:
    """The address of a C function that calls an entry with arguments from memory."""
    key = id(function), dtype
    if key not in _callers:
        (compiled,) = function[dtype].overloads.values()
        args = tuple(function.signature(TYPES[dtype]))
        made = function.function
        symbol = f"minicnn_{made.__module__}.{made.__name__}{args}"
        native = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
        binding.add_symbol(symbol, native)
        _callers[key] = kept(cfunc, _packed, types.void(Packed(symbol, args)))
    return _callers[key].address


def warm_up(dtype: np.dtype) -> None:
    """Compiles every kernel for a number type, or loads it, before it is needed."""
    for each in entries:
        caller(each, dtype)


# ---- programs --------------------------------------------------------------------------------


class Place(NamedTuple):
    """Memory of a run: `offset` bytes behind a base, seen as an array of this shape.

    strides, in bytes, are for arguments that need not be C-ordered.
    """

    base: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None = None

    def seen_as(self, *shape: int, strides: tuple[int, ...] | None = None) -> "Place":
        """The same memory with another shape."""
        return Place(self.base, self.offset, shape, strides)

    def flat(self) -> "Place":
        """The same memory as one axis."""
        return Place(self.base, self.offset, (math.prod(self.shape),))


NOWHERE, PART = 0, 1  # bases: of plain numbers and tables; and the part's number in its block


class Program:
    """Calls of entries for one number type; `bases` are numbered by who writes it, from 2 on."""

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype
        self.words: list[tuple[int, int]] = []  # (number, base), and a call's head (address, count)
        self.tables: list[np.ndarray] = []  # tables, whose addresses are among the numbers

    def call(self, function: Entry, *args: Any) -> None:
        """Writes a call down; arguments are Places, tables, or numbers."""
        kinds = function.signature(TYPES[self.dtype])
        words = [w for kind, arg in zip(kinds, args, strict=True) for w in self._words(kind, arg)]
        if len(words) > LONGEST:
            raise ValueError(f"{len(words)} words for a call: raise LONGEST")
        self.words += [(caller(function, self.dtype), len(words)), *words]

    def _words(self, kind: Any, arg: Any) -> list[tuple[int, int]]:
        if isinstance(kind, types.Array) and len(arg.shape) != kind.ndim:
            raise ValueError(f"an array of shape {arg.shape} for an argument {kind}")
        if isinstance(arg, np.ndarray):  # a table: C-ordered, as all of them are
            self.tables.append(arg)
            return [(arg.ctypes.data, NOWHERE), *((n, NOWHERE) for n in arg.shape)]
        if isinstance(arg, Place):
            if not isinstance(kind, types.Array):  # the number of the part
                return [(arg.offset, arg.base)]
            numbers = arg.shape
            if kind.layout == "A":
                numbers += arg.strides or _strides(arg.shape, self.dtype.itemsize)
            return [(arg.offset, arg.base), *((n, NOWHERE) for n in numbers)]
        if isinstance(kind, types.Float):
            return [(int(np.float64(arg).view(np.int64)), NOWHERE)]
        return [(int(arg), NOWHERE)]

    def written(self) -> np.ndarray:
        """The calls as `run` takes them."""
        return np.array(self.words, np.int64).reshape(-1)


def _strides(shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    return tuple(itemsize * math.prod(shape[i + 1 :]) for i in range(len(shape)))


@intrinsic
def _call_address(typing, address, memory):
    """Calls the C function at an address with the address of its arguments."""

    def emit(context, builder, signature, values):
        form = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
        function = builder.inttoptr(values[0], form.as_pointer())
        builder.call(function, [builder.bitcast(values[1], form.args[0])])
        return context.get_dummy_value()

    return types.void(address, memory), emit


@inner
def _make(calls, first, last, bases, memory):
    """Makes the calls written in words first .. last - 1."""
    word = first
    while word < last:
        address, count = calls[word], calls[word + 1]
        for i in range(count):
            memory[i] = calls[word + 2 * i + 2] + bases[calls[word + 2 * i + 3]]
        _call_address(address, pointer(memory))
        word += 2 * count + 2


@inner
def _blocks(thread, threads, calls, repeated, bases, steps, parts, blocks):
    memory, moved = np.empty(LONGEST, np.int64), np.empty_like(bases)
    first, last = share(thread, threads, blocks)
    for block in range(first, last):
        begin, end = share(block, blocks, parts)
        for part in range(begin, end):
            for i in range(bases.size):
                moved[i] = (
                    bases[i] + part * steps[0, i] + block * steps[1, i] + thread * steps[2, i]
                )
            moved[PART] = bases[PART] + part - begin
            _make(calls, repeated, calls.size, moved, memory)


@entry(lambda t: (array(INT, 1), INT, array(INT, 1), array(INT, 2), INT, INT, INT))
def run(calls, repeated, bases, steps, parts, blocks, threads):
    """Runs a program: what is before word `repeated` once, the rest for every part.

    The parts are done in blocks, one block by one thread.  From part to part, from block to block,
    and from thread to thread the bases move on by the rows of `steps`.
    """
    _make(calls, 0, repeated, bases, np.empty(LONGEST, np.int64))
    parallel(threads, _blocks, (calls, repeated, bases, steps, parts, blocks))
