"""Which work waits for which: streams run beside each other unless something orders them.

On a GPU, work of one stream that uses what another stream writes may come before it or after.  Here
work is done in the order of the program, so that only bookkeeping shows the mistake: each stream
counts its work and knows which counts of the others it comes after; each piece of memory knows who
read and wrote it last, at which count.
"""

from collections.abc import Iterable
from typing import Any

Clock = dict[int, int]  # by stream: work up to this count is done


class StreamOrderError(RuntimeError):
    """Memory is used by two streams of which none waits for the other."""


def _join(clock: Clock, other: Clock) -> None:
    for stream, count in other.items():
        clock[stream] = max(count, clock.get(stream, 0))


class Uses:
    """Who used a piece of memory."""

    def __init__(self) -> None:
        self.reads: Clock = {}
        self.writes: Clock = {}
        self._joined: Uses | None = None

    def now(self) -> "Uses":
        """Those of the larger piece that it has become a part of, if it has."""
        return self if self._joined is None else self._joined.now()

    def copy(self) -> "Uses":
        """For a part that is split off."""
        new = Uses()
        new.reads, new.writes = dict(self.reads), dict(self.writes)
        return new

    def join(self, other: "Uses") -> None:
        """Two pieces become one."""
        _join(self.reads, other.reads)
        _join(self.writes, other.writes)
        other._joined = self


class Order:
    """The clocks of all streams, and the host's."""

    def __init__(self) -> None:
        self._clocks: dict[int, Clock] = {}
        self._host: Clock = {}
        self._blocking: dict[int, set[int]] = {}  # by default stream: those that it waits for

    def clock(self, stream: Any, device: int) -> Clock:
        """What a stream's next work comes after; its own count is that of its work."""
        default = -1 - device
        key = stream.ptr or default
        own = self._clocks.setdefault(key, {key: 0})
        _join(own, self._host)
        if key == default:
            for other in self._blocking.get(default, ()):
                _join(own, self._clocks[other])
        elif not stream.is_non_blocking:
            self._blocking.setdefault(default, set()).add(key)
            _join(own, self._clocks.setdefault(default, {default: 0}))
        return own

    def use(self, stream: Any, device: int, reads: Iterable[Any], writes: Iterable[Any]) -> None:
        """Notes that a stream's next work reads and writes memory; refuses if that is a race."""
        clock, key = self.clock(stream, device), stream.ptr or -1 - device
        reads, writes = [r.uses.now() for r in reads], [w.uses.now() for w in writes]
        for uses in (*reads, *writes):
            _check(clock, uses.writes, key, "uses", "wrote")
        for uses in writes:
            _check(clock, uses.reads, key, "writes", "read")
        clock[key] += 1
        for uses in reads:
            uses.reads[key] = clock[key]
        for uses in writes:
            uses.writes[key] = clock[key]

    def stream_waits(self, stream: Any, device: int, clock: Clock) -> None:
        """A stream's next work comes after an event, whose clock this is."""
        _join(self.clock(stream, device), clock)

    def host_waits(self, clock: Clock) -> None:
        """The host knows that work is done; what it tells any stream from now on comes after."""
        _join(self._host, clock)

    def host_waits_for_all(self) -> None:
        """The host has waited for a device."""
        for clock in self._clocks.values():
            _join(self._host, clock)


def _check(clock: Clock, before: Clock, key: int, does: str, did: str) -> None:
    for stream, count in before.items():
        if clock.get(stream, 0) < count:
            raise StreamOrderError(
                f"stream {max(key, 0)} {does} memory that stream {max(stream, 0)} {did}, and does "
                "not wait for it: synchronise, or let an event order them"
            )
