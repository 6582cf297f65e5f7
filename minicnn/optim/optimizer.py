"""Optimizer: parameters in groups, their options and their state; no update rule lives here."""

import copy
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from .. import kernels
from ..arrays import Array
from ..autograd import Tensor, enable_grad
from ..devices import to_device
from ..errors import ArgumentError, GradientError, StateDictError
from ..fusion import settle
from ..kernels import recording
from . import fused


class Optimizer:
    """Base of the optimisers.

    A subclass gives each option a default, refuses bad ones in `_check_options`, and changes one
    parameter in `_update`; or it overrides `step`, as with torch.optim.Optimizer.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        The leaves to optimise.  A dict is a group with options of its own,
        `{"params": tensors, "lr": 0.1}`; what it leaves out takes the default.
    defaults : dict
        The options of a group and their default values.

    Attributes
    ----------
    param_groups : list of dict
        The groups, complete with all options; change `group["lr"]` whenever you like.
    state : dict
        What the update rule remembers of each parameter, a dict of Tensors.

    Raises
    ------
    ArgumentError
        No parameters, one given twice, one that is no Tensor or no leaf, a bad option.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._check_options(defaults)
        groups = self._as_list(params)
        if not groups:
            raise ArgumentError(
                f"{self._name}: no parameters to optimise; pass model.parameters() (an iterator "
                "that was used before is empty) or a list of Tensors"
            )
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _check_options(self, options: dict[str, Any]) -> None:
        """Raises ArgumentError for an option out of its range."""

    _kernel = ""  # the kernel that updates a parameter, if one does; then there are also ...

    def _begin(self, p: Tensor, group: dict[str, Any]) -> tuple:
        """The kernel's numbers for p in the step that begins; makes p's state the first time."""
        raise NotImplementedError(f"{self._name} must define _update(p, g, group), or step")

    def _arrays(self, p: Tensor, g: Array, group: dict[str, Any]) -> tuple:
        """The kernel's arrays for p, its own first and its gradient g second."""
        raise NotImplementedError

    def _update(self, p: Tensor, g: Array, group: dict[str, Any]) -> None:
        """Changes p.array in place, given its gradient g and its group's options."""
        numbers = self._begin(p, group)
        kernels.call(self._kernel, *self._arrays(p, g, group), *numbers)

    def _update_all(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        own = type(self)._update is not Optimizer._update or not self._kernel
        on_cpu = type(parameters[0].array) is np.ndarray
        if not on_cpu and not own and self._fuses(parameters):
            fused.update(self, parameters, group)
            return
        if recording.active is not None:
            raise GradientError(
                f"{self._name}.step: cannot be captured in a CUDA graph; SGD and Adam as they are "
                "can, with float32 or float64 parameters"
            )
        first = parameters[0].array
        update = None if own else kernels.kernel(self._kernel, first)
        for p in parameters:
            g = p.grad.array  # type: ignore[union-attr]
            if update is not None and p.array.dtype == first.dtype:  # which kernel is known
                numbers = self._begin(p, group)
                update(*self._arrays(p, g, group), *numbers)
            else:
                self._update(p, g, group)

    def _fuses(self, parameters: list[Tensor]) -> bool:
        """Whether one launch can update them all."""
        return all(kernels.offers(f"{self._kernel}_all", p.array) for p in parameters)

    def _parameters(self) -> Iterator[Tensor]:
        for group in self.param_groups:
            yield from group["params"]

    def _as_list(self, params: Any) -> list[Any]:
        if isinstance(params, (Tensor, set)):
            kind = "one Tensor" if isinstance(params, Tensor) else "a set, which has no fixed order"
            raise ArgumentError(f"{self._name}: params must be a list of Tensors, not {kind}")
        return list(params)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Optimises more parameters: `{"params": tensors, "lr": 0.1, ...}`."""
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise ArgumentError(
                f'{self._name}: a parameter group must be a dict with the key "params", '
                f"not {type(param_group).__name__}"
            )
        params = param_group["params"]
        params = [params] if isinstance(params, Tensor) else self._as_list(params)
        group = {**self.defaults, **param_group, "params": params}
        self._check_options(group)
        known = set(self._parameters())
        for i, p in enumerate(params):
            what = f"{self._name}: parameter {i} of group {len(self.param_groups)}"
            if not isinstance(p, Tensor):
                raise ArgumentError(f"{what} is a {type(p).__name__}; only Tensors are optimised")
            if not p.is_leaf:
                raise ArgumentError(
                    f"{what} is the result of {p.grad_fn!r}, not a leaf, and has no .grad; pass "
                    "the Tensor it was computed from, or use its detach().requires_grad_()"
                )
            if p in known:
                raise ArgumentError(f"{what}, of shape {p.shape}, was given before; give it once")
            known.add(p)
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients; with set_to_none=False fills them with zeros instead."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Changes every parameter that has a gradient.

        Parameters
        ----------
        closure : callable, optional
            Clears the gradients, computes the loss, calls backward and returns the loss; called
            first, with recording switched on.

        Returns
        -------
        What closure returned, or None.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        settle()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            for p in parameters:
                g = p.grad.array
                if g.shape != p.array.shape or g.dtype != p.array.dtype:
                    raise GradientError(
                        f"{self._name}.step: a parameter of shape {p.shape} and {p.dtype} has a "
                        f"grad of shape {g.shape} and {g.dtype}; they must be the same"
                    )
                p._counter[0] += 1  # so that a backward through its old value is noticed
            if parameters:
                self._update_all(parameters, group)
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Everything but the parameters: {"state": {index: ...}, "param_groups": [...]}.

        Parameters are numbered in the order of the groups.  The Tensors are the optimiser's own,
        which later steps change: take a copy.deepcopy to keep a moment in memory.
        """
        index = {p: i for i, p in enumerate(self._parameters())}
        return {
            "state": {index[p]: dict(entry) for p, entry in self.state.items()},
            "param_groups": [
                {**group, "params": [index[p] for p in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over options and state, as copies, for the parameters of this optimiser.

        Raises
        ------
        StateDictError
            Groups, parameters or options that do not fit; then nothing is changed.
        """
        saved_groups = state_dict["param_groups"]
        sizes = [len(group["params"]) for group in self.param_groups]
        saved_sizes = [len(group["params"]) for group in saved_groups]
        if sizes != saved_sizes:
            raise StateDictError(
                f"{self._name}.load_state_dict: expected groups of {sizes} parameters, but saved "
                f"are {saved_sizes}; make the optimiser with the same groups first"
            )
        for i, saved in enumerate(saved_groups):
            if missing := self.defaults.keys() - saved.keys():
                raise StateDictError(
                    f"{self._name}.load_state_dict: saved group {i} lacks {sorted(missing)}; was "
                    "it saved by another class of optimiser?"
                )
        saved_order = [i for saved in saved_groups for i in saved["params"]]
        parameters = dict(zip(saved_order, self._parameters(), strict=True))
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        for i, entry in state_dict["state"].items():
            p = parameters[i]
            state[p] = {key: self._loaded(value, key, i, p) for key, value in entry.items()}
        self.state = state
        for saved, group in zip(saved_groups, self.param_groups, strict=True):
            options = {**copy.deepcopy(saved), "params": group["params"]}
            group.clear()  # in place: a captured step asks this very dict for its options
            group.update(options)

    def _loaded(self, value: Any, key: str, i: int, p: Tensor) -> Any:
        """A saved value of parameter i as a copy; in its dtype and on its device if an array."""
        if not isinstance(value, Tensor) or key == "step":  # a count does not follow the dtype
            return copy.deepcopy(value)
        if value.shape != p.shape:
            raise StateDictError(
                f"{self._name}.load_state_dict: {key} of parameter {i} has shape {value.shape}, "
                f"but the parameter has {p.shape}"
            )
        return Tensor(to_device(value.array, p.device).astype(p.dtype))  # astype copies

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
            lines.append("")
        return "\n".join(lines)[:-1] + "\n)"


def check_number(owner: str, name: str, value: Any, below: float = math.inf) -> None:
    """Raises ArgumentError unless 0 <= value < below."""
    if not (isinstance(value, (int, float, np.number)) and 0 <= value < below):
        limit = "" if below == math.inf else f" and below {below}"
        raise ArgumentError(f"{owner}: {name} must be a number of at least 0{limit}, not {value!r}")
