"""Right gradients that other checkers reject: GB010 and GB031, which must pass with a note."""

from typing import Any, NamedTuple

from .activation import leaky_relu, relu
from .conv import conv2d
from .linear import linear
from .operation import Operation, in_float32
from .pool import max_pool2d, tied


class Rightful(NamedTuple):
    """A right backward pass, `operation.backward`, on inputs that mislead; `sample` as there."""

    code: str
    operation: Operation
    sample: Any


def _on_the_kink(operation: Operation) -> Any:
    def drawn(rng):
        (x,), params = operation.sample(rng)
        x[rng.random(x.shape) < 0.4] = 0.0
        x.flat[0] = 0.0
        return [x], params

    return drawn


CASES = (
    *(Rightful("GB010", op, in_float32(op.sample)) for op in (linear, conv2d, relu, max_pool2d)),
    *(Rightful("GB031", op, _on_the_kink(op)) for op in (relu, leaky_relu)),
    Rightful("GB031", max_pool2d, tied),
)
