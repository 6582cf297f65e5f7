"""The pretended GPUs' memory: CuPy's pool, whose freed blocks are used again at once.

    buffer   |  chunk in use  | free chunk |     chunk in use     |  one per cudaMalloc
             ^ an array and its views hold it; freed with the last of them, and then merged

A request takes the smallest free chunk of its stream that is large enough and splits it; only where
there is none, a new buffer is made.  Memory that is handed out is full of 1 bits (NaN), so what
forgets to write to it shows.  Under the sanitizers each array has a buffer of exactly its size.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import driver
from .order import Uses
from .shim import sanitizers

UNIT = 512  # bytes: the alignment of cudaMalloc


class Buffer:
    """What one cudaMalloc gives."""

    def __init__(self, size: int) -> None:
        spare = 0 if sanitizers() else UNIT
        storage = np.empty(size + spare, np.uint8)
        start = -storage.ctypes.data % UNIT if spare else 0
        self.bytes = storage[start : start + size]
        self.device = driver.machine.device
        self.released = False


class Chunk:
    """A part of a buffer; its neighbours are those of the same buffer."""

    def __init__(self, buffer: Buffer, start: int, size: int, stream: int) -> None:
        self.buffer, self.start, self.size, self.stream = buffer, start, size, stream
        self.uses = Uses()
        self.before: Chunk | None = None
        self.after: Chunk | None = None

    def split(self, size: int) -> "Chunk | None":
        """Keeps `size` bytes and returns the rest, if there is one."""
        if size == self.size:
            return None
        rest = Chunk(self.buffer, self.start + size, self.size - size, self.stream)
        rest.before, rest.after, self.after = self, self.after, rest
        if rest.after is not None:
            rest.after.before = rest
        rest.uses = self.uses.copy()
        self.size = size
        return rest

    def swallow(self) -> None:
        """Takes the next chunk in."""
        assert self.after is not None
        self.size += self.after.size
        self.uses.join(self.after.uses)
        self.after = self.after.after
        if self.after is not None:
            self.after.before = self


class DeviceMemory:
    """As cupy.cuda.Memory: what one cudaMalloc gives, in no pool."""

    def __init__(self, size: int) -> None:
        self.buffer = Buffer(size)


class Memory:
    """A chunk in use, given back when the last array that lies in it goes."""

    def __init__(self, chunk: Chunk, free: Callable[[Chunk], None] | None) -> None:
        self.chunk, self._free = chunk, free
        self.buffer, self.size = chunk.buffer, chunk.size
        self.bytes = chunk.buffer.bytes[chunk.start : chunk.start + chunk.size]
        self.ptr = self.bytes.ctypes.data if self.size else 0
        self.device_id = chunk.buffer.device

    def __del__(self) -> None:
        if self._free is not None:
            self._free(self.chunk)


class MemoryPointer:
    """As cupy.cuda.MemoryPointer: a place in a Memory."""

    def __init__(self, mem: Memory | DeviceMemory, offset: int) -> None:
        self.mem, self._offset = mem, offset

    ptr = property(lambda self: self.mem.ptr + self._offset)
    device_id = property(lambda self: self.mem.device_id)
    device = property(lambda self: driver.Device(self.mem.device_id))

    def __int__(self) -> int:
        return self.ptr

    def __add__(self, offset: int) -> "MemoryPointer":
        return MemoryPointer(self.mem, self._offset + offset)

    def _bytes(self, size: int) -> np.ndarray:
        return self.mem.bytes[self._offset : self._offset + size]

    def memset_async(self, value: int, size: int, stream: Any = None) -> None:
        """Fills with a byte."""
        target = self._bytes(size)
        with driver.on(stream):
            driver.submit(lambda: target.fill(value), [], [self.mem.chunk])

    def copy_from_device_async(self, src: "MemoryPointer", size: int, stream: Any = None) -> None:
        """Copies from other memory of a device."""
        target, source = self._bytes(size), src._bytes(size)
        with driver.on(stream):
            driver.submit(lambda: np.copyto(target, source), [src.mem.chunk], [self.mem.chunk])

    def copy_from_host_async(self, mem: Any, size: int, stream: Any = None) -> None:
        """Copies from the host; a graph reads the host's memory again at every replay."""
        target, source = self._bytes(size), host_bytes(mem, size)
        with driver.on(stream):
            driver.submit(lambda: np.copyto(target, source), [], [self.mem.chunk])


def host_bytes(address: Any, size: int) -> np.ndarray:
    """The host's memory at an address, a number or a ctypes.c_void_p."""
    where = address if isinstance(address, int) else address.value
    return np.frombuffer((ctypes.c_ubyte * size).from_address(where), np.uint8)


class PinnedMemory(bytearray):
    """As cupy.cuda.PinnedMemoryPointer: host memory that a GPU can read by itself."""

    ptr = property(lambda self: np.frombuffer(self, np.uint8).ctypes.data)

    def size(self) -> int:
        """How many bytes there are."""
        return len(self)


def alloc_pinned_memory(size: int) -> PinnedMemory:
    """As cupy.cuda.alloc_pinned_memory."""
    return PinnedMemory(max(size, 1))


# ---- the pool ----------------------------------------------------------------------------------


class _DevicePool:
    """One device's chunks."""

    def __init__(self, allocator: Callable[[int], MemoryPointer]) -> None:
        self._allocator = allocator
        self.free: dict[int, list[Chunk]] = {}  # by stream
        self.used = 0
        self.total = 0

    def take(self, size: int) -> Memory:
        stream = driver.machine.stream.ptr
        candidates = self.free.setdefault(stream, [])
        fitting = [c for c in candidates if c.size == size or (c.size > size and not sanitizers())]
        if fitting:
            chunk = min(fitting, key=lambda c: (c.size, c.buffer.bytes.ctypes.data + c.start))
            candidates.remove(chunk)
            rest = chunk.split(size)
            if rest is not None:
                candidates.append(rest)
        else:
            chunk = self._cuda_malloc(size, stream)
        self.used += size
        return Memory(chunk, self._give_back)

    def _cuda_malloc(self, size: int, stream: int) -> Chunk:
        current = driver.machine.stream
        if current._capture is not None and not current._capture.may_allocate(self):
            driver.refuse(
                "cudaErrorStreamCaptureUnsupported", current,
                detail=f" (no free block of the allocator holds {size} bytes)",
            )  # fmt: skip
        try:
            new = self._allocator(size)
        except driver.CUDARuntimeError:  # out of memory
            self.release()
            try:
                new = self._allocator(size)
            except driver.CUDARuntimeError:
                raise MemoryError(
                    f"Out of memory allocating {size:,} bytes (allocated so far: {self.total:,} "
                    "bytes)."
                ) from None
        self.total += size
        return Chunk(new.mem.buffer, 0, size, stream)

    def _give_back(self, chunk: Chunk) -> None:
        self.used -= chunk.size
        free = self.free.setdefault(chunk.stream, [])
        if chunk.after is not None and chunk.after in free:
            free.remove(chunk.after)
            chunk.swallow()
        if chunk.before is not None and chunk.before in free:
            free.remove(chunk.before)
            chunk = chunk.before
            chunk.swallow()
        free.append(chunk)

    def release(self) -> None:
        """Gives buffers back to the driver that nothing lies in."""
        for stream, chunks in self.free.items():
            for c in chunks:
                if c.before is c.after is None:
                    c.buffer.released = True
                    self.total -= c.size
            self.free[stream] = [c for c in chunks if not c.buffer.released]


class MemoryPool:
    """As cupy.cuda.MemoryPool."""

    def __init__(self, allocator: Callable[[int], MemoryPointer] | None = None) -> None:
        allocator = allocator or (lambda size: MemoryPointer(DeviceMemory(size), 0))
        self._pools = [_DevicePool(allocator) for _ in range(driver.DEVICES)]

    _here = property(lambda self: self._pools[driver.machine.device])

    def malloc(self, size: int) -> MemoryPointer:
        """Memory for `size` bytes, full of 1 bits."""
        rounded = size if sanitizers() else -(-size // UNIT) * UNIT
        if size == 0:
            return MemoryPointer(Memory(Chunk(Buffer(0), 0, 0, 0), None), 0)
        memory = self._here.take(rounded)
        memory.bytes.fill(0xFF)
        return MemoryPointer(memory, 0)

    def used_bytes(self) -> int:
        """Bytes that arrays hold."""
        return self._here.used

    def free_bytes(self) -> int:
        """Bytes that wait to be used again."""
        return self._here.total - self._here.used

    def total_bytes(self) -> int:
        """Bytes that the pool got from the driver."""
        return self._here.total

    def n_free_blocks(self) -> int:
        """How many blocks wait to be used again."""
        return sum(map(len, self._here.free.values()))

    def free_all_blocks(self, stream: Any = None) -> None:
        """Gives back what nothing lies in."""
        self._here.release()


_default = MemoryPool()
_malloc = _default.malloc
_allocators: list[Callable[[int], MemoryPointer]] = []


def alloc(size: int) -> MemoryPointer:
    """Memory from the current allocator."""
    return get_allocator()(size)


def get_allocator() -> Callable[[int], MemoryPointer]:
    """The current allocator."""
    return _allocators[-1] if _allocators else _malloc


def set_allocator(allocator: Callable[[int], MemoryPointer] | None = None) -> None:
    """As cupy.cuda.set_allocator; None means no pool."""
    global _malloc
    if _allocators:
        raise ValueError(
            "Can't change the global allocator inside `using_allocator` context manager"
        )
    _malloc = MemoryPool().malloc if allocator is None else allocator


@contextmanager
def using_allocator(allocator: Callable[[int], MemoryPointer]) -> Iterator[None]:
    """As cupy.cuda.using_allocator."""
    _allocators.append(allocator)
    try:
        yield
    finally:
        _allocators.pop()


def get_default_memory_pool() -> MemoryPool:
    """As cupy.get_default_memory_pool."""
    return _default


def reset() -> None:
    """A new default pool."""
    global _default, _malloc
    _default = MemoryPool()
    _malloc = _default.malloc
    _allocators.clear()
