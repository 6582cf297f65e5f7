"""CUDA graphs: launches that are recorded once, and sent to the GPU again as one.

    capture   with the stream capturing, Python runs the work once: every launch is noted, none runs
    replay    the numbers that changed since are written into their slots; the launches go out

What the captured work allocates comes from a pool of its own, which lives as long as the graph:
each replay writes into the same places.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from ...errors import DeviceError
from .. import recording
from .driver import gpus
from .step import write_words

WORDS = 8192  # int64 numbers that may differ from replay to replay: 64 KB


class Pool:
    """A stream to capture on, and memory for what is captured; several graphs may share one."""

    def __init__(self) -> None:
        cupy = gpus()
        self.stream = cupy.cuda.Stream(non_blocking=True)  # the default one cannot be captured
        self.memory = cupy.cuda.MemoryPool()

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Work in here runs on the stream and takes its memory from the pool.

        CuPy's pools keep what was freed apart by stream: what ran in here leaves memory that the
        same work, when it is captured, finds again.
        """
        cupy = gpus()
        cupy.cuda.get_current_stream().synchronize()
        with self.stream, cupy.cuda.using_allocator(self.memory.malloc):
            try:
                yield
            finally:
                self.stream.synchronize()


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
        self._pool = Pool()
        self._graph: Any = None
        self._recording: Any = None

    def warm_up(self) -> contextlib.AbstractContextManager[None]:
        """Inside, work runs as always, but with the memory and on the stream of the capture."""
        return self._pool.inside()

    def capture_begin(self, pool: Pool | None = None) -> None:
        """Launches from now on, in this thread, are recorded instead of run.

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
            stack.enter_context(self._pool.inside())
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

    def perform(self) -> None:
        """Does only what a replay does on the host: draws counters, counts steps."""
        self._recording.perform()

    def pool(self) -> Pool:
        """The stream and memory of this graph, for another one to share."""
        return self._pool

    def reset(self) -> None:
        """Forgets what was captured."""
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
