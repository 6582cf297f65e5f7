"""The pretended GPUs: devices, streams, events, and graphs that record work and replay it.

Work that is submitted runs at once, unless the current stream is capturing: then it is recorded,
nothing happens, and Graph.launch does it later, on the same addresses.  What CUDA forbids while a
stream captures (waiting, transfers, reading on the host) is refused with CUDA's words, and makes
the capture invalid as it does there.  Streams that use each other's memory without waiting are
refused (order.py).
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .order import Clock, Order

DEVICES = 2
GLOBAL, THREAD_LOCAL, RELAXED = range(3)  # modes of a capture

_ERRORS = {
    "cudaErrorMemoryAllocation": (2, "out of memory"),
    "cudaErrorInvalidValue": (1, "invalid argument"),
    "cudaErrorInvalidDevice": (101, "invalid device ordinal"),
    "cudaErrorIllegalState": (401, "the operation cannot be performed in the present state"),
    "cudaErrorIllegalAddress": (700, "an illegal memory access was encountered"),
    "cudaErrorStreamCaptureUnsupported": (
        900, "operation not permitted when stream is capturing",
    ),
    "cudaErrorStreamCaptureInvalidated": (
        901, "operation failed due to a previous error during capture",
    ),
    "cudaErrorStreamCaptureImplicit": (
        906, "operation would make the legacy stream depend on a capturing blocking stream",
    ),
}  # fmt: skip


class CUDARuntimeError(RuntimeError):
    """As cupy.cuda.runtime.CUDARuntimeError."""

    def __init__(self, name: str, detail: str = "") -> None:
        self.status, text = _ERRORS[name]
        super().__init__(f"{name}: {text}{detail}")


class Capture:
    """What a stream has been told while capturing.

    CUDA lets memory be allocated if the capture is relaxed, which is CuPy's default.  Here that has
    to be asked for by its name, but for a pool that never had any: what warmed a pool up must have
    found all memory that the same work needs.
    """

    def __init__(self, mode: int | None) -> None:
        self._relaxed = mode == RELAXED
        self._new_pools: list[Any] = []
        self.work: list[Callable[[], Any]] = []
        self.reads: dict[int, Any] = {}  # all pieces of memory that the work uses
        self.writes: dict[int, Any] = {}
        self.invalid = False

    def may_allocate(self, pool: Any) -> bool:
        """Whether a pool may get memory from the driver now."""
        if not pool.total:
            self._new_pools.append(pool)
        return self._relaxed or pool in self._new_pools


class _Machine:
    """Which device and streams are current, and what captures."""

    def __init__(self) -> None:
        self.device = 0
        self.streams: list[list[Stream]] = [[Stream.null] for _ in range(DEVICES)]
        self.capturing: list[Stream] = []
        self.next_stream = 16
        self.compute_types: dict[str, int] = {}  # of cuBLAS, by type of the numbers
        self.order = Order()

    @property
    def stream(self) -> "Stream":
        return self.streams[self.device][-1]


def capture() -> Capture | None:
    """What the current stream records into, or None if it does not capture."""
    return machine.stream._capture


def submit(work: Callable[[], Any], reads: Sequence[Any] = (), writes: Sequence[Any] = ()) -> None:
    """Does some work on the current stream, or records it if that stream captures.

    `reads` and `writes` are the pieces of memory (memory.Chunk) that it uses.
    """
    current = machine.stream
    if current._capture is None:
        if current.ptr == 0 and any(not s.is_non_blocking for s in machine.capturing):
            refuse("cudaErrorStreamCaptureImplicit", *machine.capturing)
        _use(current, reads, writes)
        work()
        return
    current._capture.work.append(work)
    current._capture.reads.update((id(m), m) for m in reads)
    current._capture.writes.update((id(m), m) for m in writes)


def _use(stream: "Stream", reads: Sequence[Any], writes: Sequence[Any]) -> None:
    if any(m.buffer.released for m in (*reads, *writes)):
        raise CUDARuntimeError("cudaErrorIllegalAddress", " (its memory has been given back)")
    machine.order.use(stream, machine.device, reads, writes)


def refuse(name: str, *streams: "Stream", detail: str = "") -> None:
    """Raises a CUDA error that also spoils the captures of these streams."""
    for stream in streams:
        if stream._capture is not None:
            stream._capture.invalid = True
    raise CUDARuntimeError(name, detail)


def not_while_capturing(what: str, stream: "Stream | None" = None) -> None:
    """Refuses what a stream cannot do while it captures."""
    stream = machine.stream if stream is None else stream
    if stream._capture is not None:
        refuse("cudaErrorStreamCaptureUnsupported", stream, detail=f" ({what})")


def host_waits(what: str, stream: "Stream | None" = None) -> None:
    """The host waits for all work of a stream; refused while that captures."""
    not_while_capturing(what, stream)
    stream = machine.stream if stream is None else stream
    machine.order.host_waits(machine.order.clock(stream, machine.device))


@contextmanager
def on(stream: "Stream | None") -> Iterator[None]:
    """Work goes to this stream, if one is given."""
    here = machine.streams[machine.device]
    here.append(here[-1] if stream is None else stream)
    try:
        yield
    finally:
        here.pop()


# ---- streams, events, graphs -------------------------------------------------------------------


class Stream:
    """As cupy.cuda.Stream."""

    null: "Stream"

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False,
        priority: int | None = None,
    ) -> None:  # fmt: skip
        self.is_non_blocking = non_blocking
        self._capture: Capture | None = None
        if null:
            self.ptr, self.device_id = 0, -1
            return
        machine.next_stream += 16
        self.ptr, self.device_id = machine.next_stream, machine.device

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and self.ptr == other.ptr

    def __hash__(self) -> int:
        return self.ptr

    def __enter__(self) -> "Stream":
        self._check_device()
        machine.streams[machine.device].append(self)
        return self

    def __exit__(self, *_: object) -> None:
        machine.streams[self.device_id if self.device_id >= 0 else machine.device].pop()

    def use(self) -> "Stream":
        """Makes this stream the current one for good."""
        self._check_device()
        machine.streams[machine.device][-1] = self
        return self

    def _check_device(self) -> None:
        if self.device_id not in (-1, machine.device):
            raise RuntimeError(
                f"The device that the stream is created on ({self.device_id}) does not match "
                f"with the current device ({machine.device})"
            )

    @property
    def done(self) -> bool:
        """Whether all work is done, as it always is here."""
        host_waits("asking whether a stream is done", self)
        return True

    def synchronize(self) -> None:
        """Waits for all work."""
        host_waits("waiting for a stream", self)

    def record(self, event: "Event | None" = None) -> "Event":
        """Records an event on this stream."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: "Event") -> None:
        """Makes later work of this stream wait for an event."""
        machine.order.stream_waits(self, machine.device, event._clock)

    def begin_capture(self, mode: int | None = None) -> None:
        """Records from now on what this stream is told."""
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self._capture is not None:
            raise CUDARuntimeError("cudaErrorIllegalState")
        self._capture = Capture(mode)
        machine.capturing.append(self)

    def end_capture(self) -> "Graph":
        """The graph of all that was recorded."""
        found, self._capture = self._capture, None
        if found is None:
            raise CUDARuntimeError("cudaErrorIllegalState")
        machine.capturing = [s for s in machine.capturing if s is not self]
        if found.invalid:
            raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated")
        graph = Graph.__new__(Graph)
        graph._work = found.work
        graph._reads, graph._writes = list(found.reads.values()), list(found.writes.values())
        return graph

    def is_capturing(self) -> bool:
        """Whether work is recorded instead of done."""
        if self._capture is not None and self._capture.invalid:
            raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated")
        return self._capture is not None


class Graph:
    """As cupy.cuda.Graph: made by end_capture only."""

    _work: list[Callable[[], Any]]
    _reads: list[Any]
    _writes: list[Any]

    def __init__(self, *args: object, **kwargs: object) -> None:
        raise NotImplementedError(
            "currently this class cannot be initiated by the user and must be created via "
            "stream capture"
        )

    def launch(self, stream: Stream | None = None) -> None:
        """Does the recorded work, on the addresses it was recorded with."""
        stream = machine.stream if stream is None else stream
        not_while_capturing("launching a graph", stream)
        _use(stream, self._reads, self._writes)
        for work in self._work:
            work()

    def upload(self, stream: Stream | None = None) -> None:
        """Nothing to do."""


class Event:
    """As cupy.cuda.Event."""

    def __init__(
        self, block: bool = False, disable_timing: bool = False, interprocess: bool = False
    ) -> None:
        self._timing = not disable_timing
        self._time: float | None = None
        self._clock: Clock = {}
        self._captured = False

    def record(self, stream: Stream | None = None) -> None:
        """Notes the time."""
        stream = machine.stream if stream is None else stream
        self._captured = stream._capture is not None
        self._clock = dict(machine.order.clock(stream, machine.device))
        self._time = time.perf_counter()

    done = property(lambda self: True)

    def synchronize(self) -> None:
        """Waits for the work before the event."""
        if self._captured and machine.capturing:
            refuse("cudaErrorStreamCaptureUnsupported", *machine.capturing)
        machine.order.host_waits(self._clock)


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    """Milliseconds between two events."""
    if start_event._time is None or end_event._time is None:
        raise CUDARuntimeError("cudaErrorInvalidValue", " (an event that was never recorded)")
    return 1000 * (end_event._time - start_event._time)


def get_current_stream(device_id: int = -1) -> Stream:
    """The stream that work goes to."""
    return machine.streams[machine.device if device_id == -1 else device_id][-1]


# ---- devices -----------------------------------------------------------------------------------


class Device:
    """As cupy.cuda.Device."""

    compute_capability = "75"

    def __init__(self, device: "int | Device | None" = None) -> None:
        self.id = machine.device if device is None else int(device)
        self._before: list[int] = []

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return self.id

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def use(self) -> None:
        """Makes it the current one."""
        set_device(self.id)

    def __enter__(self) -> "Device":
        self._before.append(machine.device)
        set_device(self.id)
        return self

    def __exit__(self, *_: object) -> None:
        set_device(self._before.pop())

    def synchronize(self) -> None:
        """Waits for all work of all streams."""
        if machine.capturing:
            refuse("cudaErrorStreamCaptureUnsupported", *machine.capturing)
        machine.order.host_waits_for_all()

    @property
    def mem_info(self) -> tuple[int, int]:
        """(free, total) bytes."""
        return 1 << 30, 1 << 30


def set_device(index: int) -> None:
    """Makes a device current."""
    if not 0 <= index < DEVICES:
        raise CUDARuntimeError("cudaErrorInvalidDevice")
    machine.device = index


def get_device_properties(index: int) -> dict[str, Any]:
    """What the smallest GPU says that the kernels are for."""
    if not 0 <= index < DEVICES:
        raise CUDARuntimeError("cudaErrorInvalidDevice")
    return {
        "name": b"CPU stand-in", "major": 7, "minor": 5, "totalGlobalMem": 1 << 30,
        "multiProcessorCount": 2, "warpSize": 32, "maxThreadsPerBlock": 1024,
        "sharedMemPerBlock": 48 << 10, "sharedMemPerBlockOptin": 64 << 10,
    }  # fmt: skip


def get_compute_type(dtype: Any) -> int:
    """How cuBLAS multiplies: COMPUTE_TYPE_DEFAULT, or COMPUTE_TYPE_TF32 if that is asked for."""
    kinds, name = machine.compute_types, np.dtype(dtype).name
    if not kinds.get(name):  # COMPUTE_TYPE_TBD
        kinds[name] = 7 if name == "float32" and int(os.environ.get("CUPY_TF32", "0")) else 1
    return kinds[name]


def set_compute_type(dtype: Any, compute_type: int) -> None:
    """As cupy._core.set_compute_type."""
    machine.compute_types[np.dtype(dtype).name] = compute_type


def reset() -> None:
    """Everything as when the process started."""
    global machine
    machine = _Machine()


machine: Any = None
Stream.null = Stream(null=True)
reset()
