"""How many threads the compiled kernels use; nothing here computes.

They share the work by OpenMP.  Each thread computes its own part of the result whole, and never a
part of a sum that others add to: the bits are the same at any number of threads.
"""

import os

from minicnn.errors import ArgumentError


def _sensible() -> int:
    """MINICNN_NUM_THREADS or OMP_NUM_THREADS, else the cores that this process may run on."""
    for name in ("MINICNN_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").strip()
        if value.isdecimal() and int(value) > 0:
            return int(value)
        if value and name.startswith("MINICNN"):  # what others mean by theirs is not ours to judge
            raise ArgumentError(f"{name} must be a whole number of at least 1, not {value!r}")
    cores = getattr(os, "sched_getaffinity", None)
    return len(cores(0)) if cores else os.cpu_count() or 1


_threads = _sensible()
_why_one = ""  # why there can be no more than one


def get_num_threads() -> int:
    """The number of threads that compiled kernels use at most."""
    return _threads


def set_num_threads(n: int) -> None:
    """Sets the number of threads that compiled kernels use at most.

    It stays 1 in a child made by os.fork(), which OpenMP's threads do not survive, and where
    OpenMP is missing.

    Raises
    ------
    ValueError
        n is no whole number of at least 1.
    """
    global _threads
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"set_num_threads: n must be a whole number of at least 1, not {n!r}")
    _threads = 1 if _why_one else n


def threads_for(work: int, grain: int = 500_000) -> int:
    """So many threads that each has at least `grain` of `work` to do: waking one takes 2 us."""
    n = work // grain
    return n if 1 < n < _threads else 1 if n < 2 else _threads


def only_one(why: str) -> None:
    """From now on there is one thread."""
    global _threads, _why_one
    _threads, _why_one = 1, why


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: only_one("after os.fork()"))
