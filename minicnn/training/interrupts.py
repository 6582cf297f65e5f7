"""Stopping between two steps: signals are noted, and obeyed where nothing is half done."""

import signal
import threading
from types import FrameType
from typing import Any


class Stopped(KeyboardInterrupt):
    """Raised after a signal: between two steps, or wherever it was if a second one came.

    A KeyboardInterrupt, so that what catches errors does not catch this.

    Attributes
    ----------
    signal
        The signal's number.
    at_once
        Whether it was the second, so that a step may be half done.
    """

    def __init__(self, number: int, at_once: bool = False) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal, self.at_once = number, at_once


class Interrupts:
    """Inside a `with`, the first SIGINT, SIGTERM or SIGHUP is only noted; `check` obeys it.

    A second one ends the program at once.  Signals that were ignored before (`nohup`) stay so.
    Outside the main thread, which alone gets signals, nothing is changed.
    """

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)  # Windows has no SIGHUP
                if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exc: object) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            self.__exit__()
            raise Stopped(number, at_once=True)
        self.received = number

    def check(self) -> None:
        """Raises Stopped if a signal came."""
        if self.received:
            raise Stopped(self.received)
