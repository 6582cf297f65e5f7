"""check_state: whether a checkpoint can be of this training, before anything of it is used."""

import copy
import math
from collections import defaultdict
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..errors import StateDictError
from ..nn import Parameter
from ..optim.lr_scheduler import LRScheduler

MOVING = ("lr", "_last_lr", "last_epoch", "betas", "momentum")
"""What steps change in an optimiser's groups and in a schedule; all else stays as it was made."""


def check_state(trainer: Any, state: Any) -> None:
    """Compares what `Trainer.state_dict` returned at some time with what it returns now.

    Raises
    ------
    StateDictError
        That names the first place where a value is missing, of another type, or out of its range.
    """
    own = trainer.state_dict()
    _expect(isinstance(state, dict) and state.keys() == own.keys(), "state", sorted(own), state)
    if state["sizes"] != own["sizes"]:
        raise StateDictError(
            f"Trainer.load_state_dict: saved was a training of {_sizes(state['sizes'])}, this one "
            f"has {_sizes(own['sizes'])}"
        )
    steps = _check_position(trainer, state, own)
    _check_alike(state["model"], own["model"], f"model ({type(trainer.model).__name__})")
    _check_optimizer(trainer, state["optimizer"], own["optimizer"])
    foreign = type(trainer.schedule).__module__ != LRScheduler.__module__  # what moves is unknown
    _check_alike(state["schedule"], own["schedule"], "schedule", moving=foreign)
    if trainer.schedule is not None:
        epoch = state["schedule"]["last_epoch"]
        _expect(epoch == steps, "schedule.last_epoch", steps, epoch)
    _check_generator(state["generator"], own["generator"])
    _check_history(state, own["model"], state["position"][0] - 1)


def _expect(fine: bool, where: str, expected: Any, value: Any) -> None:
    if not fine:
        shown = f"a {type(value).__name__}"
        if isinstance(value, Tensor):
            shown = f"{value.dtype} {value.shape}"
        elif value is None or isinstance(value, (bool, int, float, str)):
            shown = f"{value!r:.60}"
        raise StateDictError(
            f"Trainer.load_state_dict: {where}: expected {expected!s:.200}, found {shown}"
        )


def _sizes(sizes: Any) -> str:
    fine = type(sizes) is list and len(sizes) == 2 and all(map(_is_count, sizes))
    return "{} epochs of {} batches".format(*sizes) if fine else "unknown size"


def _is_count(x: Any, most: float = 2.0**63) -> bool:
    return type(x) is int and 0 <= x <= most


def _is_figure(x: Any) -> bool:
    """A number at least 0, infinity, or NaN: a validation's loss may be that."""
    return type(x) in (int, float) and not x < 0


def _check_position(trainer: Any, state: Any, own: Any) -> int:
    """Where the training stood, and what it had counted; returns the number of steps done."""
    where = state["position"]
    fine = type(where) is list and len(where) == 3 and all(map(_is_figure, where))
    fine = fine and _is_count(where[0], trainer.epochs + 1) and where[0] >= 1
    fine = fine and _is_count(where[1], trainer.batches if where[0] <= trainer.epochs else 0)
    _expect(fine, "position", "[epoch, batch, seconds] of the training", where)
    _expect(_is_count(state["seed"]), "seed", "a number at least 0", state["seed"])
    seen = min(where[1] * trainer.batch_size, len(trainer.train))
    for name, count in (("tally", {seen}), ("val_tally", range(len(trainer.val or ()) + 1))):
        tally = state[name]
        fine = isinstance(tally, dict) and tally.keys() == own[name].keys()
        fine = fine and all(map(_is_figure, tally.values())) and _is_count(tally["count"])
        fine = fine and tally["count"] in count and _is_count(tally["right"], tally["count"])
        _expect(fine, name, f"figures, right <= count, and count in {count}", tally)
    return (where[0] - 1) * trainer.batches + where[1]


def _check_alike(saved: Any, own: Any, where: str, moving: bool = False) -> None:
    """The same types and shapes everywhere, and the same values where nothing moves."""
    if isinstance(own, dict):
        fine = isinstance(saved, dict) and saved.keys() == own.keys()
        _expect(fine, where, list(own), saved)
        for key, value in own.items():
            _check_alike(saved[key], value, f"{where}.{key}", moving or key in MOVING)
    elif isinstance(own, (list, tuple)):
        fine = type(saved) is type(own) and len(saved) == len(own)
        _expect(fine, where, f"a {type(own).__name__} of {len(own)}", saved)
        for i, value in enumerate(own):
            _check_alike(saved[i], value, f"{where}[{i}]", moving)
    elif isinstance(own, Tensor):
        fine = isinstance(saved, Tensor) and (saved.shape, saved.dtype) == (own.shape, own.dtype)
        _expect(fine, where, f"{own.dtype} {own.shape}", saved)
    elif moving and type(own) in (int, float):
        fine = type(saved) is int or (type(saved) is float and math.isfinite(saved))
        _expect(fine, where, "a finite number", saved)
    else:
        _expect(type(saved) is type(own) and saved == own, where, repr(own), saved)


def _check_optimizer(trainer: Any, saved: Any, own: Any) -> None:
    """Options in their ranges, and for each parameter what this kind of optimiser remembers."""
    _expect(isinstance(saved, dict) and saved.keys() == own.keys(), "optimizer", list(own), saved)
    _check_alike(saved["param_groups"], own["param_groups"], "optimizer.param_groups")
    for group in saved["param_groups"]:
        trainer.optimizer._check_options(group)
    entries = saved["state"]
    _expect(isinstance(entries, dict), "optimizer.state", "a dict", entries)
    numbered = enumerate((p, g) for g in trainer.optimizer.param_groups for p in g["params"])
    rules = {i: _remembered(trainer.optimizer, p, group) for i, (p, group) in numbered}
    for i, entry in entries.items():
        _expect(type(i) is int and i in rules, "optimizer.state", "numbers of parameters", i)
        _check_alike(entry, rules[i], f"optimizer.state[{i}]", moving=True)
        if "step" in entry:
            step = float(entry["step"])
            _expect(0 <= step < 2**24 + 1, f"optimizer.state[{i}].step", "a count", step)


def _remembered(optimizer: Any, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
    """What an optimiser remembers of a parameter, found out with a single number in its place."""
    one = Parameter(np.zeros(1, p.dtype))
    one.grad = Tensor(np.zeros(1, p.dtype))
    tried = copy.copy(optimizer)
    tried.state, tried.param_groups = defaultdict(dict), [{**group, "params": [one]}]
    tried.step()
    return {
        key: p.detach() if isinstance(value, Tensor) and value.shape else value
        for key, value in tried.state[one].items()
    }


def _check_generator(saved: Any, own: Any) -> None:
    """The types; NumPy itself checks the ranges of its part."""
    _expect(isinstance(saved, dict) and saved.keys() == own.keys(), "generator", list(own), saved)
    for name in ("seed", "offset"):
        _expect(_is_count(saved[name]), f"generator.{name}", "a number at least 0", saved[name])
    _check_alike(saved["numpy"], own["numpy"], "generator.numpy", moving=True)


def _check_history(state: Any, model: Any, epochs: int) -> None:
    """A row of figures for every epoch that is done, the best of them, and its weights."""
    from .trainer import HISTORY

    rows = state["history"]
    _expect(type(rows) is list and len(rows) == epochs, "history", f"{epochs} rows", rows)
    for row in [*rows, *([state["best"]] if rows else [])]:
        fine = (
            isinstance(row, dict) and tuple(row) == HISTORY and all(map(_is_figure, row.values()))
        )
        _expect(fine, "history and best", f"figures of {', '.join(HISTORY)}", row)
    if rows:
        _check_alike(state["best_state"], model, "best_state")
    else:
        fine = state["best"] is None and state["best_state"] == {}
        _expect(fine, "best", "nothing before the first epoch", state["best"])
