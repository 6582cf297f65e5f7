"""Adam and AdamW: steps scaled by running moments; the update is kernels/reference.py's."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..arrays import Array, module_of
from ..autograd import Tensor
from ..errors import ArgumentError
from .optimizer import Optimizer, check_number


class Adam(Optimizer):
    """Adam: each element's step is scaled by the running mean of its squared gradient.

    m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
    p -= lr m' / (sqrt(v') + eps), where m' = m / (1 - beta1^t) and v' = v / (1 - beta2^t) undo the
    start at 0.  Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        What to optimise; see Optimizer.
    lr : float
        The learning rate: about the size of a step of one element.
    betas : (float, float)
        How much of m and of v stays from step to step; at least 0 and below 1.
    eps : float
        Keeps the quotient finite where v is 0.
    weight_decay : float
        The factor of the L2 penalty: g = grad + weight_decay p, before everything else.
    amsgrad : False
        PyTorch's variant with the largest v so far is not supported.

    Raises
    ------
    ArgumentError
        A negative lr, eps or weight_decay; a beta outside [0, 1); amsgrad=True.
    """

    _decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
    ) -> None:
        if amsgrad:
            raise ArgumentError(f"{self._name}: amsgrad=True is not supported; leave it False")
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    def _check_options(self, options: dict[str, Any]) -> None:
        for name in ("lr", "eps", "weight_decay"):
            check_number(self._name, name, options[name])
        betas = options["betas"]
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ArgumentError(f"{self._name}: betas must be two numbers, not {betas!r}")
        for i, beta in enumerate(betas):
            check_number(self._name, f"betas[{i}]", beta, below=1)

    _kernel = "adam"

    def _begin(self, p: Tensor, group: dict[str, Any]) -> tuple:
        state = self.state[p]
        if not state:
            xp = module_of(p.array)
            # A float32, as in PyTorch's files; 2^24, where it stops counting, is late enough.
            state["step"] = Tensor(np.zeros((), np.float32))
            state["exp_avg"] = Tensor(xp.zeros_like(p.array))
            state["exp_avg_sq"] = Tensor(xp.zeros_like(p.array))
        state["step"].array += 1
        return (
            int(state["step"].array), float(group["lr"]), *map(float, group["betas"]),
            float(group["eps"]), float(group["weight_decay"]), self._decoupled,
        )  # fmt: skip

    def _arrays(self, p: Tensor, g: Array, group: dict[str, Any]) -> tuple:
        state = self.state[p]
        return p.array, g, state["exp_avg"].array, state["exp_avg_sq"].array


class AdamW(Adam):
    """Adam with decoupled weight decay: p *= 1 - lr weight_decay first, and g = grad.

    In Adam the penalty's gradient is divided by sqrt(v) with the rest, so that weights with large
    gradients decay less; here all decay alike.  Parameters and errors are Adam's.
    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019.
    """

    _decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)
