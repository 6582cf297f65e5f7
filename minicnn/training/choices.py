"""The optimisers and schedules that one can choose by name: everything else derives from these."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from ..errors import ArgumentError
from ..optim import SGD, Adam, AdamW, Optimizer
from ..optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR, OneCycleLR


class OptimizerChoice(NamedTuple):
    """What makes an optimiser of parameters and a learning rate, and the rate if none is given."""

    make: Callable[..., Optimizer]
    lr: float

    def __call__(self, parameters: Any, lr: float) -> Optimizer:
        return self.make(parameters, lr)


OPTIMIZERS = {
    "adam": OptimizerChoice(Adam, 4e-3),
    "adamw": OptimizerChoice(AdamW, 4e-3),
    "sgd": OptimizerChoice(SGD, 0.3),
    "momentum": OptimizerChoice(partial(SGD, momentum=0.9), 0.05),
}
"""By name; the learning rates suit LeNet with batches of 64, as the highest of a schedule."""

SCHEDULES: dict[str, Callable[[Optimizer, float, int], LRScheduler | None]] = {
    "onecycle": lambda optimizer, lr, steps: OneCycleLR(optimizer, max_lr=lr, total_steps=steps),
    "cosine": lambda optimizer, lr, steps: CosineAnnealingLR(optimizer, T_max=steps),
    "step": lambda optimizer, lr, steps: MultiStepLR(optimizer, [steps // 2, steps * 3 // 4]),
    "constant": lambda optimizer, lr, steps: None,
}
"""What makes a schedule, by name, of an optimiser, the highest learning rate and the number of
steps: one cycle (up for 30 % of all steps, then down to nearly 0), half a cosine, a tenth after
half and again after three quarters of all steps, or no change."""


def by_name(what: str, table: Mapping[str, Any], choice: Any) -> Any:
    """The entry of a table by its name; a function is taken as it is."""
    if not callable(choice) and choice not in table:
        raise ArgumentError(f"Trainer: {what} {choice!r} is not one of {', '.join(table)}")
    return choice if callable(choice) else table[choice]
