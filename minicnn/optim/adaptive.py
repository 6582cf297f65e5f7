"""RMSprop, Adadelta and Adagrad: steps divided by the size of past gradients, in NumPy."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..arrays import Array, module_of
from ..autograd import Tensor
from .optimizer import Optimizer, check_number


class _Adaptive(Optimizer):
    """What the three have in common: the check of their options, and a state of arrays."""

    def _check_options(self, options: dict[str, Any]) -> None:
        for name, value in options.items():
            if name in ("alpha", "rho"):
                check_number(self._name, name, value, below=1 if name == "alpha" else 1 + 1e-16)
            elif name not in ("params", "centered", "initial_lr"):
                check_number(self._name, name, value)

    def _array(self, p: Tensor, name: str, value: float = 0.0) -> Array:
        """The array that the state of p has under this name, at first filled with value."""
        state = self.state[p]
        if name not in state:
            state[name] = Tensor(module_of(p.array).full_like(p.array, value))
        return state[name].array

    def _count(self, p: Tensor) -> int:
        """The number of this step, from 1 up; kept as a float32, as in PyTorch's files."""
        step = self.state[p].setdefault("step", Tensor(np.zeros((), np.float32)))
        step.array += 1
        return int(step.array)


def _decayed(p: Tensor, g: Array, group: dict[str, Any]) -> Array:
    """The gradient with that of the L2 penalty."""
    return g + float(group["weight_decay"]) * p.array if group["weight_decay"] else g


class RMSprop(_Adaptive):
    """The gradient over the root of its running mean square.

    g = grad + weight_decay p;  v = alpha v + (1 - alpha) g^2;  p -= lr g / (sqrt(v) + eps).
    With momentum, p -= lr b, where b = momentum b + g / (sqrt(v) + eps).  Centered, v is the
    variance: the square of the running mean of g is taken off.
    Source: Tieleman and Hinton, "Neural networks for machine learning", lecture 6.5, 2012;
    centered: Graves, "Generating sequences with recurrent neural networks", 2013.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        What to optimise; see Optimizer.
    lr : float
        The learning rate.
    alpha : float
        How much of the running means stays from step to step; at least 0 and below 1.
    eps : float
        Keeps the quotient finite.
    weight_decay : float
        The factor of the L2 penalty.
    momentum : float
        The part of the velocity b that stays from step to step.
    centered : bool
        Divide by the standard deviation instead of the root mean square.

    Raises
    ------
    ArgumentError
        An option below 0; an alpha of 1 or more.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay,
            "momentum": momentum, "centered": centered,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _update(self, p: Tensor, g: Array, group: dict[str, Any]) -> None:
        lr, alpha, eps = (float(group[name]) for name in ("lr", "alpha", "eps"))
        self._count(p)
        g = _decayed(p, g, group)
        v = self._array(p, "square_avg")
        v[...] = alpha * v + (1 - alpha) * g * g
        if group["centered"]:
            mean = self._array(p, "grad_avg")
            mean += (1 - alpha) * (g - mean)
            v = v - mean * mean
        step = g / (module_of(v).sqrt(v) + eps)
        if group["momentum"]:
            velocity = self._array(p, "momentum_buffer")
            velocity[...] = float(group["momentum"]) * velocity + step
            step = velocity
        p.array[...] -= lr * step


class Adadelta(_Adaptive):
    """The gradient in the unit of the parameter: times its own last steps, over its size.

    g = grad + weight_decay p;  v = rho v + (1 - rho) g^2;  d = g sqrt(u + eps) / sqrt(v + eps);
    u = rho u + (1 - rho) d^2;  p -= lr d.
    Source: Zeiler, "ADADELTA: an adaptive learning rate method", 2012.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        What to optimise; see Optimizer.
    lr : float
        A factor of the steps; 1 in the paper.
    rho : float
        How much of the running means stays from step to step; from 0 to 1.
    eps : float
        Starts the steps, and keeps the quotient finite.
    weight_decay : float
        The factor of the L2 penalty.

    Raises
    ------
    ArgumentError
        An option below 0; a rho above 1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
    ) -> None:
        defaults = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    def _update(self, p: Tensor, g: Array, group: dict[str, Any]) -> None:
        lr, rho, eps = (float(group[name]) for name in ("lr", "rho", "eps"))
        sqrt = module_of(g).sqrt
        self._count(p)
        g = _decayed(p, g, group)
        v, u = self._array(p, "square_avg"), self._array(p, "acc_delta")
        v[...] = rho * v + (1 - rho) * g * g
        step = sqrt(u + eps) / sqrt(v + eps) * g
        u[...] = rho * u + (1 - rho) * step * step
        p.array[...] -= lr * step


class Adagrad(_Adaptive):
    """The gradient over the root of the sum of all its squares: steps that become smaller.

    g = grad + weight_decay p;  s = s + g^2;  p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps).
    Source: Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and
    stochastic optimization", JMLR 12, 2011.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        What to optimise; see Optimizer.
    lr, lr_decay : float
        The learning rate, and how fast it falls with the number t of the step.
    weight_decay : float
        The factor of the L2 penalty.
    initial_accumulator_value : float
        What s starts from.
    eps : float
        Keeps the quotient finite.

    Raises
    ------
    ArgumentError
        An option below 0.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
    ) -> None:
        defaults = {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _update(self, p: Tensor, g: Array, group: dict[str, Any]) -> None:
        lr = float(group["lr"]) / (1 + (self._count(p) - 1) * float(group["lr_decay"]))
        g = _decayed(p, g, group)
        s = self._array(p, "sum", float(group["initial_accumulator_value"]))
        s += g * g
        p.array[...] -= lr * g / (module_of(s).sqrt(s) + float(group["eps"]))
