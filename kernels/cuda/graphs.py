"""CUDA graphs: launches that are recorded once, and sent to the GPU again as one.

    capture   with the stream capturing, Python runs the work once: every launch is noted, none runs
    replay    the numbers that changed since are written into their slots; the launches go out

What the captured work allocates comes from a pool of its own, which lives as long as the graph:
each replay writes into the same places.
"""

import contextlib
import weakref
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from minicnn.errors import DeviceError
from minicnn.kernels import recording
from minicnn.kernels.cuda.driver import gpus
from minicnn.kernels.cuda.step import write_words

WORDS = 65536  # int64 numbers that may differ from replay to replay: 512 KB


# ---- memory --------------------------------------------------------------------------------------


class _Lane:
    """A stream to capture on, and memory for what is captured.

    Lanes are used again and again: CuPy never gives back what a pool holds that is dropped.
    """

    def __init__(self) -> None:
        cupy = gpus()
        self.stream = cupy.cuda.Stream(non_blocking=True)  # the default one cannot be captured
        self.memory = cupy.cuda.MemoryPool(self._more)
        self.captured = False  # whether a graph may use what is free in here

    def _more(self, size: int) -> Any:
        """Memory from the driver; a MemoryError where there is none, if a graph uses the lane.

        What CuPy does else would give back all that is free in here, under the graph's feet.
        """
        cuda = gpus().cuda
        try:
            return cuda.MemoryPointer(cuda.Memory(size), 0)
        except cuda.runtime.CUDARuntimeError as error:
            if not self.captured:
                raise
            raise MemoryError(f"{size} bytes more for a CUDA graph: {error}") from None


_lanes: list[_Lane] = []
_idle: defaultdict[int, list[_Lane]] = defaultdict(list)  # by device


def used_bytes() -> int:
    """Bytes that arrays hold of the memory of graphs, on the current device."""
    return sum(lane.memory.used_bytes() for lane in _lanes)


def free_idle() -> None:
    """Gives back what lanes have that no graph uses, on the current device."""
    for lane in _idle[gpus().cuda.runtime.getDevice()]:
        lane.memory.free_all_blocks()


def _retire(lane: _Lane, device: int, idle: list[_Lane]) -> None:
    """Gives back what no array holds, and lets another graph have the lane."""
    lane.captured = False
    if recording.active is None:  # a capture must not meet what waits for the GPU
        with gpus().cuda.Device(device):
            lane.memory.free_all_blocks()
    idle.append(lane)


class Pool:
    """Memory for what is captured, and the stream that goes with it; several graphs may share one.

    CuPy's pools keep what was freed apart by stream: what ran here leaves memory that the same
    work, when it is captured, finds again.
    """

    def __init__(self) -> None:
        device = gpus().cuda.runtime.getDevice()
        idle = _idle[device]
        try:
            self._lane = idle.pop()
        except IndexError:
            self._lane = _Lane()
            _lanes.append(self._lane)
        self.stream = self._lane.stream
        weakref.finalize(self, _retire, self._lane, device, idle).atexit = False

    @contextlib.contextmanager
    def inside(self, capturing: bool = False) -> Iterator[None]:
        """Work in here runs on the stream and takes its memory from the pool."""
        cupy, lane = gpus(), self._lane
        cupy.cuda.get_current_stream().synchronize()
        if not lane.memory.total_bytes():  # it will need as much as the default one has free
            cupy.get_default_memory_pool().free_all_blocks()
        lane.captured |= capturing
        with lane.stream, cupy.cuda.using_allocator(lane.memory.malloc):
            try:
                yield
            finally:
                lane.stream.synchronize()


# ---- graphs --------------------------------------------------------------------------------------


class CUDAGraph:
    """Work on a GPU that is captured once and can be replayed, with torch.cuda.CUDAGraph's methods.

        g = minicnn.cuda.CUDAGraph()
        with g.warm_up():  # kernels are compiled, optimisers make their state, memory is found
            step()
        with minicnn.cuda.graph(g):  # recorded, not run
            step()
        for images, labels in loader:  # step works on these very arrays
            x.copy_(images), y.copy_(labels)
            g.replay()

    What may differ from replay to replay is the contents of arrays, learning rates and momenta,
    Adam's count and the counters of random generators: `replay` gives the launches the numbers of
    now.  All other numbers, and everything else that Python does, stay as captured.

    Raises
    ------
    DeviceError
        Where there is no GPU.
    """

    def __init__(self) -> None:
        self._graph: Any = None
        self._recording: Any = None
        self._pool = Pool()  # goes last, when nothing uses its memory any more

    def warm_up(self) -> contextlib.AbstractContextManager[None]:
        """Inside, work runs as always, but with the memory and on the stream of the capture."""
        return self._pool.inside()

    def capture_begin(self, pool: Pool | None = None) -> None:
        """Launches from now on are recorded instead of run; other threads must launch nothing.

        Parameters
        ----------
        pool
            `pool()` of another graph, to share its memory: then no result of either must be
            needed after the other was replayed.
        """
        if recording.active is not None:
            raise DeviceError("capture_begin: a capture is going on already; end it first")
        cupy = gpus()
        self._pool, self._graph = pool or self._pool, None
        self._recording = recording.Recording(cupy.empty(WORDS, cupy.int64), write_words)
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._pool.inside(capturing=True))
            stack.callback(setattr, recording, "active", None)
            recording.active = self._recording
            self._pool.stream.begin_capture()
            self._capture = stack.pop_all()

    def capture_end(self) -> None:
        """Ends the capture; the graph can be replayed then."""
        if recording.active is None or recording.active is not self._recording:
            raise DeviceError("capture_end: there is no capture of this graph; begin one first")
        with self._capture:
            self._graph = self._pool.stream.end_capture()

    def replay(self) -> None:
        """Does the captured work again with the numbers of now; does not wait for the GPU."""
        if self._graph is None:
            raise DeviceError("replay: nothing was captured; use `with minicnn.cuda.graph(g):`")
        self._recording.refresh()
        self._graph.launch()

    def pool(self) -> Pool:
        """The stream and memory of this graph, for another one to share."""
        return self._pool

    def reset(self) -> None:
        """Forgets what was captured; not while that goes on."""
        if self._recording is not None and self._recording is recording.active:
            raise DeviceError("reset: a capture of this graph is going on; end it first")
        self._graph = self._recording = None


@contextlib.contextmanager
def graph(cuda_graph: CUDAGraph, pool: Pool | None = None) -> Iterator[None]:
    """Captures the work inside: `with graph(g): step()`, and from then on `g.replay()`.

    An error inside ends the capture and is passed on.
    """
    cuda_graph.capture_begin(pool)
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):  # CUDA's word for the same
            cuda_graph.capture_end()
        cuda_graph.reset()
        raise
    cuda_graph.capture_end()
