"""The activations' kernels: sigmoid, tanh, scaled tanh and ReLU."""

from functools import cache

import numpy as np

from ...arrays import Array
from ..reference import Gradients, Needs, Saved
from .launch import THREADS, contiguous, empty, grid_of, launch

KINDS = ("identity", "sigmoid", "tanh", "scaled_tanh", "relu")  # in the order of activation.cuh
STRUCT = np.dtype(
    [("kind", np.int32), *((name, np.float64) for name in ("amplitude", "slope", "ratio"))], True
)


@cache
def activation_of(name: str, amplitude: float = 1.0, slope: float = 1.0) -> np.ndarray:
    """An activation as the struct of activation.cuh."""
    ratio = np.divide(slope, amplitude)  # an amplitude of 0 gives infinity, not an error
    return np.array([(KINDS.index(name), amplitude, slope, ratio)], STRUCT)


def _forward(x: Array, f: np.ndarray) -> tuple[Array, Saved]:
    x = contiguous(x)
    y = empty(x.shape, x)
    if x.size:
        launch("activation", "activate", x.dtype, grid_of(x.size), THREADS, x, y, f, x.size)
    return y, Saved(y, f, inputs=(y,))


def _backward(g: Array, saved: Saved, needs: Needs) -> Gradients:
    """g f'(x), by way of y."""
    y, f = saved.state
    g, dx = contiguous(g), empty(y.shape, y)
    if y.size:
        launch(
            "activation", "activate_backward", y.dtype, grid_of(y.size), THREADS,
            g, y, dx, f, y.size,
        )  # fmt: skip
    return (dx,)


def sigmoid(x: Array) -> tuple[Array, Saved]:
    """As in the reference."""
    return _forward(x, activation_of("sigmoid"))


def tanh(x: Array) -> tuple[Array, Saved]:
    """As in the reference."""
    return _forward(x, activation_of("tanh"))


def scaled_tanh(x: Array, amplitude: float, slope: float) -> tuple[Array, Saved]:
    """As in the reference."""
    return _forward(x, activation_of("scaled_tanh", amplitude, slope))


def relu(x: Array) -> tuple[Array, Saved]:
    """As in the reference."""
    return _forward(x, activation_of("relu"))


sigmoid_backward = tanh_backward = scaled_tanh_backward = relu_backward = _backward
