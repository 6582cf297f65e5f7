"""Right gradients that other checkers reject: GB010 and GB031, which must pass with a note."""

from typing import Any, NamedTuple

import numpy as np

from .activation import leaky_relu, relu
from .conv import conv2d
from .kinds import Operation
from .linear import linear
from .pool import max_pool2d
from .pool_mutants import tied


class Rightful(NamedTuple):
    """A right backward pass, `operation.backward`, on inputs that mislead; `sample` as there."""

    code: str
    operation: Operation
    sample: Any


def _in_float32(operation: Operation) -> Any:
    def drawn(rng):
        inputs, params = operation.sample(rng)
        return [x.astype(np.float32) for x in inputs], params

    return drawn


def _on_the_kink(operation: Operation) -> Any:
    def drawn(rng):
        (x,), params = operation.sample(rng)
        x[rng.random(x.shape) < 0.4] = 0.0
        x.flat[0] = 0.0
        return [x], params

    return drawn


CASES = (
    *(Rightful("GB010", op, _in_float32(op)) for op in (linear, conv2d, relu, max_pool2d)),
    *(Rightful("GB031", op, _on_the_kink(op)) for op in (relu, leaky_relu)),
    Rightful("GB031", max_pool2d, tied),
)
