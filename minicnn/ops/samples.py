"""Sample: one call of an op, as plain data; each op yields its own and every test reads them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Sample:
    """One call `op.apply(*args, **kwargs)`; floating arrays in args are differentiable inputs.

    A sample with `raises` must be refused with that error and a message that matches the regular
    expression `match`.  `kink` marks one that sits on a kink or a tie, where no numeric gradient
    exists, though the op promises a definite one.
    """

    args: tuple
    kwargs: dict[str, Any] = field(default_factory=dict)
    raises: type[Exception] | None = None
    match: str = ""
    kink: bool = False


Samples = Iterator[Sample]


def sample(*args: Any, **kwargs: Any) -> Sample:
    """A call that works."""
    return Sample(args, kwargs)


def refused(error: type[Exception], match: str, *args: Any, **kwargs: Any) -> Sample:
    """A call that must be refused."""
    return Sample(args, kwargs, raises=error, match=match)


def on_kink(*args: Any, **kwargs: Any) -> Sample:
    """A call that works, on a kink or a tie."""
    return Sample(args, kwargs, kink=True)


def changed(a: Any, index: int, value: int) -> Any:
    """A copy of an array with one element changed."""
    a = a.copy()
    a[index] = value
    return a
