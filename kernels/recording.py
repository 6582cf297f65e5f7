"""What a captured step needs beside its launches: the numbers that differ from replay to replay.

A launch that is captured in a CUDA graph keeps its arguments for ever.  A learning rate, a count of
steps or the offset of a random generator must not be kept: while a Recording is active, whoever
knows such a number reserves a slot for it in device memory, and gives the kernel the slot instead.

    capture   optimizer.step()  ->  slot 0: "my options"     the kernel reads slot 0
              dropout           ->  slot 1: "next counters"  the kernel reads slot 1
    replay    refresh() asks each in turn, as in a step, and writes the answers into the slots
"""

from collections.abc import Callable
from typing import Any

import numpy as np


class Recording:
    """The slots of one capture, and what fills them.

    Parameters
    ----------
    words
        Device memory for them: a CuPy array of int64.
    write
        write(words, values): puts the int64 values in front into it, without waiting.
    """

    def __init__(self, words: Any, write: Callable[[Any, np.ndarray], None]) -> None:
        self.words, self._write = words, write
        self.halt: Any = None  # an int32 in device memory: while it is not 0, nothing is updated
        self._values = np.zeros(words.size, np.int64)
        self._written: bytes | None = None  # what the words hold
        self._used = 0
        self._actions: list[tuple[slice | None, Callable[[], Any]]] = []

    def slot(self, size: int, refresh: Callable[[], np.ndarray]) -> Any:
        """`size` words that refresh(), an array of as many bytes, fills before every replay."""
        where = slice(self._used, self._used + size)
        if where.stop > self.words.size:
            raise MemoryError(f"a recording has room for {self.words.size} words")
        self._used = where.stop
        self._actions.append((where, refresh))
        return self.words[where]

    def each_time(self, action: Callable[[], Any]) -> None:
        """Has action() done before every replay, in its place among the slots."""
        self._actions.append((None, action))

    def refresh(self) -> None:
        """Does what the recorded steps did on the host, and fills the slots if need be."""
        for where, action in self._actions:
            value = action()
            if where is not None:
                self._values[where] = value.view(np.int64).reshape(-1)
        values = self._values[: self._used]
        if self._used and values.tobytes() != self._written:
            self._write(self.words, values)
            self._written = values.tobytes()


active: Recording | None = None
"""The recording of the capture that is going on, if one is."""
