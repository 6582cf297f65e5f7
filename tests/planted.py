"""Readers with the defects that tests/programs/fuzz.py is to notice, each under its name."""

import os
import sys
import warnings

from minicnn.errors import DataError


def write(m, folder):
    (folder / "x").write_bytes(m(b"sound"))
    m.done.append("something")


def write_soundly(m, folder):
    (folder / "x").write_bytes(b"sound")


def refuses(folder):
    raise DataError(f"{folder}: damaged")


def raises(folder):
    return [][1]


def allocates(folder):
    return bytearray(300 * 2**20)


def fails_to_allocate(folder):
    try:
        return bytearray(2**40)
    except MemoryError as error:
        raise DataError(f"{folder}: {error}") from None


def computes(folder):
    while True:
        pass


def segfaults(folder):
    os.kill(os.getpid(), 11)


def warns(folder):
    warnings.warn("odd", RuntimeWarning, stacklevel=1)


def prints(folder):
    print("odd", file=sys.stderr, flush=True)


def names_nothing(folder):
    raise DataError("damaged")


def two_lines(folder):
    raise DataError(f"{folder}: damaged\nvery")


def controls(folder):
    raise DataError(f"{folder}: \x1b[2J")


def talks(folder):
    raise DataError(f"{folder}: " + "x" * 2000)


def runs(folder):
    (folder / "harmed").touch()


PLANTED = {
    f.__name__: (write, f)
    for f in (
        raises, allocates, fails_to_allocate, computes, segfaults, warns, prints, names_nothing,
        two_lines, controls, talks, runs,
    )
} | {"refuses": (write_soundly, refuses)}  # fmt: skip
