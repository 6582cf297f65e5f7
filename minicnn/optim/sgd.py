"""SGD: stochastic gradient descent, with momentum; the update itself is kernels/reference.py's."""

from collections.abc import Iterable
from typing import Any

from ..arrays import Array, module_of
from ..autograd import Tensor
from ..errors import ArgumentError
from .optimizer import Optimizer, check_number


class SGD(Optimizer):
    """Stochastic gradient descent, by default without momentum.

    g = grad + weight_decay p;  v = momentum v + (1 - dampening) g, but v = g the first time;
    p -= lr v, or p -= lr (g + momentum v) with nesterov.

    The velocity here does not contain lr, so that a change of lr acts at once; in the papers
    v = momentum v - lr g.  Sources: Polyak 1964, "Some methods of speeding up the convergence of
    iteration methods"; Nesterov's in the form of Sutskever et al., "On the importance of
    initialization and momentum in deep learning", ICML 2013; this order is PyTorch's.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        What to optimise; see Optimizer.
    lr : float
        The learning rate.
    momentum : float
        The part of the velocity that stays from step to step.
    dampening : float
        The part of the gradient that does not enter the velocity.
    weight_decay : float
        The factor of the L2 penalty, weight_decay/2 |p|^2.
    nesterov : bool
        Look ahead along the velocity; needs a momentum and no dampening.

    Raises
    ------
    ArgumentError
        A negative lr, momentum or weight_decay; nesterov without momentum or with dampening.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
        }
        super().__init__(params, defaults)

    def _check_options(self, options: dict[str, Any]) -> None:
        for name in ("lr", "momentum", "weight_decay"):
            check_number(self._name, name, options[name])
        if options["nesterov"] and (options["momentum"] == 0 or options["dampening"] != 0):
            raise ArgumentError(
                f"{self._name}: nesterov needs a momentum above 0 and a dampening of 0, not "
                f"momentum={options['momentum']} and dampening={options['dampening']}"
            )

    _kernel = "sgd"

    def _begin(self, p: Tensor, group: dict[str, Any]) -> tuple:
        first = bool(group["momentum"]) and "momentum_buffer" not in self.state[p]
        if first:
            zeros = module_of(p.array).zeros_like(p.array)
            self.state[p]["momentum_buffer"] = Tensor(zeros)
        return (
            first, float(group["lr"]), float(group["momentum"]), float(group["dampening"]),
            float(group["weight_decay"]), bool(group["nesterov"]),
        )  # fmt: skip

    def _arrays(self, p: Tensor, g: Array, group: dict[str, Any]) -> tuple:
        velocity = self.state[p]["momentum_buffer"].array if group["momentum"] else None
        return p.array, g, velocity
