"""Learning-rate schedules: they write group["lr"] (and momentum) between an optimiser's steps."""

import math
from collections.abc import Callable, Sequence
from typing import Any, SupportsFloat

from ..errors import ArgumentError
from .optimizer import Optimizer


class LRScheduler:
    """Base of the schedules.  A subclass computes the lr of each group in `get_lr`.

    Making a schedule sets the lr of epoch 0; each `step()`, after the optimiser's, the next one.
    To resume, make it anew and load both state_dicts, the optimiser's last.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups to change.
    last_epoch : int
        The epoch before the first; -1 starts from the groups' present lr.  Any other takes the
        starting lr from group["initial_lr"], which an optimiser's loaded state has.

    Attributes
    ----------
    last_epoch : int
        How many steps were taken.
    base_lrs : list of float
        The lr of each group at the start.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self._attach(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group["initial_lr"] = group["lr"]
            elif "initial_lr" not in group:
                raise ArgumentError(
                    f"{type(self).__name__}: with last_epoch={last_epoch}, group {i} needs an "
                    '"initial_lr"; load the optimiser\'s state_dict first, or leave last_epoch out'
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.step()

    def _attach(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise ArgumentError(f"a schedule needs an Optimizer, not {type(optimizer).__name__}")
        self.optimizer = optimizer

    def _per_group(self, name: str, value: Any) -> list[Any]:
        """One value for each group: those given, or the same for all."""
        n = len(self.optimizer.param_groups)
        values = list(value) if isinstance(value, (list, tuple)) else [value] * n
        if len(values) != n:
            raise ArgumentError(
                f"{type(self).__name__}: {len(values)} values of {name}, but the optimiser has "
                f"{n} groups"
            )
        return values

    def get_lr(self) -> list[float]:
        """The lr of each group in epoch `last_epoch`."""
        raise NotImplementedError(f"{type(self).__name__} must define get_lr()")

    def get_last_lr(self) -> list[float]:
        """The lr of each group after the last step."""
        return self._last_lr

    def step(self) -> None:
        """Goes on by one epoch (or batch, where the schedule counts these)."""
        self.last_epoch += 1
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr
        self._last_lr = self._present_lr()

    def _present_lr(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser, whose own state_dict holds the present lr."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from where state_dict was taken; changes no lr before the next step."""
        self.__dict__.update(state_dict)


class _Multiplying(LRScheduler):
    """Multiplies the present lr, so that one set by hand or by another schedule is respected."""

    def _factor(self) -> float:
        raise NotImplementedError

    def get_lr(self) -> list[float]:
        """The present lr, times this epoch's factor."""
        factor = self._factor()
        return [lr * factor for lr in self._present_lr()]


class StepLR(_Multiplying):
    """lr *= gamma every step_size epochs."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        if step_size <= 0:
            raise ArgumentError(f"StepLR: step_size must be above 0, not {step_size}")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> float:
        return self.gamma if self.last_epoch and self.last_epoch % self.step_size == 0 else 1.0


class MultiStepLR(_Multiplying):
    """lr *= gamma when an epoch of `milestones` is reached; twice where it is there twice."""

    def __init__(
        self, optimizer: Optimizer, milestones: list[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> float:
        return self.gamma ** self.milestones.count(self.last_epoch)


class ExponentialLR(_Multiplying):
    """lr *= gamma every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> float:
        return self.gamma if self.last_epoch > 0 else 1.0


class LinearLR(_Multiplying):
    """lr goes evenly from start_factor to end_factor times its start in total_iters epochs."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ArgumentError(
                f"LinearLR: start_factor must be above 0 and at most 1, not {start_factor}"
            )
        if not 0 <= end_factor <= 1:
            raise ArgumentError(f"LinearLR: end_factor must be from 0 to 1, not {end_factor}")
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> float:
        if self.last_epoch == 0:
            return self.start_factor
        if self.last_epoch > self.total_iters:
            return 1.0
        rise = self.end_factor - self.start_factor
        last = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return 1 + rise / last  # the quotient of this epoch's part and the last one's


class LambdaLR(LRScheduler):
    """lr = base_lr * lr_lambda(epoch); lr_lambda is a function, or a list with one for each group.

    The functions are not in the state_dict: they are those that the schedule is made with.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self._attach(optimizer)
        self.lr_lambdas = self._per_group("lr_lambda", lr_lambda)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The product above."""
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [base * factor(self.last_epoch) for base, factor in pairs]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser and the functions."""
        return {key: value for key, value in super().state_dict().items() if key != "lr_lambdas"}


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (base_lr - eta_min) (1 + cos(pi epoch / T_max)) / 2, and up again after T_max.

    A function of the epoch alone: unlike PyTorch, which computes the ratio of two epochs, an lr
    set by hand in between lasts until the next step.
    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts",
    ICLR 2017, without the restarts.
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        if T_max <= 0:
            raise ArgumentError(f"CosineAnnealingLR: T_max must be above 0, not {T_max}")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The closed form above."""
        part = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [part * base + (1 - part) * self.eta_min for base in self.base_lrs]


class OneCycleLR(LRScheduler):
    """One rise of lr to max_lr and one fall to almost 0, while momentum falls and rises.

    lr goes from max_lr / div_factor to max_lr in the first pct_start of all steps, then to
    max_lr / div_factor / final_div_factor; with three_phase first back to where it began, in as
    many steps as the rise.  `step()` belongs after every batch.
    Source: Smith and Topin, "Super-convergence", 2018; the details are PyTorch's.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups to change.
    max_lr, base_momentum, max_momentum : float, or list with one for each group
        The highest lr; the lowest and the highest momentum (beta1 of Adam).
    total_steps, epochs, steps_per_epoch : int, optional
        The length in steps: total_steps, or epochs * steps_per_epoch.
    pct_start : float
        The part of the steps in which lr rises, from 0 to 1.
    anneal_strategy : {"cos", "linear"}
        The form of rise and fall.
    cycle_momentum : bool
        Whether to change the momentum at all.
    div_factor, final_div_factor : float
        max_lr / first lr, and first lr / last lr.
    three_phase : bool
        Fall symmetrically first, then to the last lr.
    last_epoch : int
        See LRScheduler.

    Raises
    ------
    ArgumentError
        No length, an argument out of range; later, more steps than total_steps.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self._attach(optimizer)
        if total_steps is None and epochs and steps_per_epoch:
            total_steps = epochs * steps_per_epoch
        if not isinstance(total_steps, int) or total_steps <= 0:
            wanted = "an integer above 0, or epochs and steps_per_epoch"
            raise ArgumentError(f"OneCycleLR: total_steps is {total_steps}; pass {wanted}")
        if not 0 <= pct_start <= 1:
            raise ArgumentError(f"OneCycleLR: pct_start must be in [0, 1], not {pct_start}")
        if anneal_strategy not in _ANNEAL:
            raise ArgumentError(
                f"OneCycleLR: anneal_strategy {anneal_strategy!r} is not cos or linear"
            )
        if cycle_momentum and not {"momentum", "betas"} & optimizer.defaults.keys():
            who = type(optimizer).__name__
            raise ArgumentError(f"OneCycleLR: {who} has no momentum; pass cycle_momentum=False")
        self.total_steps, self.phases = total_steps, _phases(total_steps, pct_start, three_phase)
        self.anneal_strategy, self.cycle_momentum = anneal_strategy, cycle_momentum
        peaks = self._per_group("max_lr", max_lr)
        highs = self._per_group("max_momentum", max_momentum)
        lows = self._per_group("base_momentum", base_momentum)
        if last_epoch == -1:  # else the groups have all this from their state_dict
            each = zip(optimizer.param_groups, peaks, highs, lows, strict=True)
            for group, peak, high, low in each:
                first = peak / div_factor
                group |= {"lr": first, "max_lr": peak, "min_lr": first / final_div_factor}
                if cycle_momentum:
                    group |= {"max_momentum": high, "base_momentum": low}
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The lr of each group; sets its momentum too."""
        if self.last_epoch > self.total_steps:
            raise ArgumentError(
                f"OneCycleLR: step {self.last_epoch}, but the schedule has only "
                f"{self.total_steps}; was total_steps counted in epochs instead of batches?"
            )
        ends = [phase[0] for phase in self.phases]
        i = next((i for i, end in enumerate(ends) if self.last_epoch <= end), len(ends) - 1)
        start = ends[i - 1] if i else 0
        end, lr0, lr1, momentum0, momentum1 = self.phases[i]
        part = (self.last_epoch - start) / ((end - start) or 1)
        anneal = _ANNEAL[self.anneal_strategy]
        for group in self.optimizer.param_groups if self.cycle_momentum else ():
            momentum = anneal(group[momentum0], group[momentum1], part)
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum
        return [anneal(group[lr0], group[lr1], part) for group in self.optimizer.param_groups]


def _phases(n: int, pct_start: float, three_phase: bool) -> list[tuple]:
    """(last step, lr from, to, momentum from, to) of each phase; values by their group key."""
    rise = (pct_start * n - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum")
    if not three_phase:
        return [rise, (n - 1, "max_lr", "min_lr", "base_momentum", "max_momentum")]
    fall = (2 * pct_start * n - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum")
    return [rise, fall, (n - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum")]


_ANNEAL = {
    "cos": lambda a, b, part: b + (a - b) / 2 * (1 + math.cos(math.pi * part)),
    "linear": lambda a, b, part: a + (b - a) * part,
}


class ReduceLROnPlateau(LRScheduler):
    """lr *= factor when a metric has not improved for more than `patience` epochs.

    Give `step` a metric of the validation set, never of the test set.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups to change.
    mode : {"min", "max"}
        Which way is better.
    factor : float
        What lr is multiplied by; below 1.
    patience : int
        How many epochs without improvement are borne.
    threshold, threshold_mode : float, {"rel", "abs"}
        How much better counts: than best * (1 -+ threshold), or than best -+ threshold.
    cooldown : int
        Epochs after a reduction that do not count.
    min_lr : float, or list with one for each group
        lr does not fall below it.
    eps : float
        A change of lr no larger than this is not made.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        self._attach(optimizer)
        if factor >= 1:
            raise ArgumentError(f"ReduceLROnPlateau: factor must be below 1, not {factor}")
        if mode not in ("min", "max"):
            raise ArgumentError(f"ReduceLROnPlateau: mode {mode!r} is not min or max")
        if threshold_mode not in ("rel", "abs"):
            raise ArgumentError(
                f"ReduceLROnPlateau: threshold_mode {threshold_mode!r} is not rel or abs"
            )
        self.mode, self.threshold_mode = mode, threshold_mode
        self._per_group("min_lr", min_lr)
        self.factor, self.patience, self.threshold = factor, patience, threshold
        self.cooldown, self.min_lr, self.eps = cooldown, min_lr, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0
        self._last_lr = self._present_lr()

    def step(self, metrics: SupportsFloat) -> None:  # type: ignore[override]
        """Takes in the metric of one more epoch."""
        current = float(metrics)
        self.last_epoch += 1
        if self._is_better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = self._present_lr()

    def _is_better(self, current: float) -> bool:
        margin = self.threshold if self.mode == "max" else -self.threshold
        bound = self.best * (1 + margin) if self.threshold_mode == "rel" else self.best + margin
        return current > bound if self.mode == "max" else current < bound

    def _reduce(self) -> None:
        limits = self._per_group("min_lr", self.min_lr)
        for group, limit in zip(self.optimizer.param_groups, limits, strict=True):
            lr = max(group["lr"] * self.factor, limit)
            if group["lr"] - lr > self.eps:
                group["lr"] = lr
