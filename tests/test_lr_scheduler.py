"""Learning-rate schedules against PyTorch, step by step; resuming; and what they refuse."""

import copy
import json
import re

import numpy as np
import pytest
import torch

from minicnn import Tensor, optim
from minicnn.errors import ArgumentError
from minicnn.optim import lr_scheduler

STEPS = 60


def make_optimizer(module, kind="SGD", lrs=(0.5, 0.02)):
    """An optimiser of two parameters without gradients, in groups of different lr."""
    if module is optim:
        params = [Tensor(np.ones(2), requires_grad=True) for _ in lrs]
    else:
        params = [torch.ones(2, requires_grad=True) for _ in lrs]
    groups = [{"params": [p], "lr": lr} for p, lr in zip(params, lrs, strict=True)]
    return getattr(module, kind)(groups, **({"momentum": 0.9} if kind == "SGD" else {}))


def pair(kind="SGD", **options):
    return make_optimizer(optim, kind, **options), make_optimizer(torch.optim, kind, **options)


def values(optimizer):
    """(lr, momentum or beta1, beta2) of every group."""
    return [
        (group["lr"], *group["betas"]) if "betas" in group else (group["lr"], group["momentum"])
        for group in optimizer.param_groups
    ]


def same(ours, theirs):
    assert np.array(values(ours)) == pytest.approx(np.array(values(theirs)), rel=1e-9, abs=1e-15)


def step(*schedules, metric=()):
    """One step of each; the optimiser first, as torch wants it."""
    for schedule in schedules:
        schedule.optimizer.step()
        schedule.step(*metric)


SCHEDULES = [
    ("StepLR", {"step_size": 7}),
    ("StepLR", {"step_size": 1, "gamma": 0.9}),
    ("MultiStepLR", {"milestones": [3, 10, 11, 40]}),
    ("MultiStepLR", {"milestones": [20, 5, 20], "gamma": 0.5}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("LinearLR", {}),
    ("LinearLR", {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 40}),
    ("LambdaLR", {"lr_lambda": lambda epoch: 0.9 ** (epoch // 3)}),
    ("LambdaLR", {"lr_lambda": [lambda epoch: 1 / (epoch + 1), lambda epoch: epoch % 4]}),
    ("CosineAnnealingLR", {"T_max": 60}),
    ("CosineAnnealingLR", {"T_max": 25, "eta_min": 0.001}),  # rises again, and falls
    ("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.1}),  # above one group's own lr
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": STEPS}),
    ("OneCycleLR", {"max_lr": [0.3, 0.1], "epochs": 12, "steps_per_epoch": 5}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": STEPS, "anneal_strategy": "linear"}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": STEPS, "three_phase": True}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": STEPS, "three_phase": True, "pct_start": 0.7}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": STEPS, "pct_start": 0.0}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 61, "pct_start": 1.0}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 77, "div_factor": 3, "final_div_factor": 7.0}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": STEPS, "cycle_momentum": False}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 65, "base_momentum": 0.5, "max_momentum": 0.7}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 65, "base_momentum": [0.5, 0.6],
                    "max_momentum": [0.7, 0.8], "three_phase": True}),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize(("name", "options"), SCHEDULES)
def test_every_step_agrees_with_pytorch(name, options, kind):
    ours, theirs = pair(kind)
    a = getattr(lr_scheduler, name)(ours, **options)
    b = getattr(torch.optim.lr_scheduler, name)(theirs, **options)
    same(ours, theirs)
    assert a.base_lrs == pytest.approx(b.base_lrs)
    for _ in range(STEPS):  # for OneCycleLR one more than there are, which PyTorch allows
        step(a, b)
        same(ours, theirs)
        assert a.get_last_lr() == [group["lr"] for group in ours.param_groups]
        assert a.last_epoch == b.last_epoch


METRICS = {
    "falling": [1 / (t + 1) for t in range(STEPS)],
    "flat": [1.0] * STEPS,
    "rising": [0.1 * t for t in range(STEPS)],
    "negative": [-1 - 0.01 * t for t in range(STEPS)],
    "noisy": list(np.random.default_rng(3).standard_normal(STEPS)),
    "broken": [1.0] * 5 + [float("nan")] * 10 + [0.5] * 45,
}
PLATEAUS = [
    {},
    {"patience": 2},
    {"patience": 0, "factor": 0.5},
    {"patience": 3, "cooldown": 4},
    {"patience": 1, "min_lr": 0.01},
    {"patience": 1, "min_lr": [0.3, 1e-4], "factor": 0.7},
    {"patience": 2, "threshold": 0.05, "threshold_mode": "abs"},
    {"patience": 2, "threshold": 0.05},
    {"patience": 1, "eps": 1e-3},
]


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("options", PLATEAUS, ids=str)
def test_plateau_agrees_with_pytorch(options, mode):
    for name, metrics in METRICS.items():
        ours, theirs = pair()
        a = lr_scheduler.ReduceLROnPlateau(ours, mode, **options)
        b = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, mode, **options)
        for t, metric in enumerate(metrics):
            a.step(Tensor(np.array(metric)))
            b.step(torch.tensor(metric, dtype=torch.float64))
            assert a.get_last_lr() == pytest.approx(b.get_last_lr(), rel=1e-12), (name, t)
            assert values(ours) == values(theirs)
            assert a.num_bad_epochs == b.num_bad_epochs
        assert a.best == b.best


# ---- more than one hand on the lr ------------------------------------------------------------


def test_step_schedules_multiply_each_other_and_what_is_set_by_hand():
    results = []
    for module, schedules in ((optim, lr_scheduler), (torch.optim, torch.optim.lr_scheduler)):
        optimizer = make_optimizer(module)
        both = (schedules.StepLR(optimizer, 4, 0.5), schedules.MultiStepLR(optimizer, [6, 9], 0.3))
        seen = []
        for t in range(20):
            step(*both)
            if t == 10:
                optimizer.param_groups[0]["lr"] = 0.7
            seen.append(values(optimizer))
        results.append(np.array(seen))
    assert results[0] == pytest.approx(results[1], rel=1e-12)


@pytest.mark.parametrize(
    ("name", "options"),
    [("StepLR", {"step_size": 3}), ("CosineAnnealingLR", {"T_max": 20, "eta_min": 1e-3})],
)
def test_a_second_schedule_starts_from_the_present_lr(name, options):
    ours, theirs = pair()
    step(*(m.StepLR(o, 1) for m, o in ((lr_scheduler, ours), (torch.optim.lr_scheduler, theirs))))
    a = getattr(lr_scheduler, name)(ours, **options)
    b = getattr(torch.optim.lr_scheduler, name)(theirs, **options)
    same(ours, theirs)
    for _ in range(20):
        step(a, b)
        same(ours, theirs)


# ---- resuming --------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule_after_state", [False, True])
@pytest.mark.parametrize(
    ("name", "options"), [*SCHEDULES, ("ReduceLROnPlateau", {"patience": 2, "cooldown": 3})]
)
def test_resuming_from_state_dicts_gives_the_same_bits(name, options, schedule_after_state):
    def make(optimizer):
        return getattr(lr_scheduler, name)(optimizer, **options)

    def go(optimizer, schedule, metrics):
        seen = []
        for metric in metrics:
            step(schedule, metric=(metric,) if name == "ReduceLROnPlateau" else ())
            seen.append(values(optimizer))
        return seen

    metrics = METRICS["noisy"]
    optimizer = make_optimizer(optim)
    schedule = make(optimizer)
    go(optimizer, schedule, metrics[:23])
    saved = copy.deepcopy((optimizer.state_dict(), schedule.state_dict()))
    last = schedule.get_last_lr()
    rest = go(optimizer, schedule, metrics[23:])

    fresh = make_optimizer(optim, lrs=(0.1, 0.1))
    if schedule_after_state:
        fresh.load_state_dict(saved[0])
    resumed = make(fresh)
    resumed.load_state_dict(saved[1])
    fresh.load_state_dict(saved[0])
    assert resumed.get_last_lr() == last
    assert [group["lr"] for group in fresh.param_groups] == last
    assert go(fresh, resumed, metrics[23:]) == rest


def test_making_a_cosine_schedule_leaves_the_lr_its_bits():
    for lr in np.linspace(0.001, 0.5, 30).tolist():
        optimizer = make_optimizer(optim, lrs=(lr,))
        lr_scheduler.CosineAnnealingLR(optimizer, 30, eta_min=0.1)
        assert optimizer.param_groups[0]["lr"] == lr


@pytest.mark.parametrize(
    ("name", "options"),
    [("StepLR", {"step_size": 5}), ("MultiStepLR", {"milestones": [12, 20]}),
     ("CosineAnnealingLR", {"T_max": 40}), ("OneCycleLR", {"max_lr": 0.3, "total_steps": 40})],
)  # fmt: skip
def test_resuming_by_last_epoch_agrees_with_pytorch(name, options):
    results = []
    for module, schedules in ((optim, lr_scheduler), (torch.optim, torch.optim.lr_scheduler)):
        optimizer = make_optimizer(module)
        schedule = getattr(schedules, name)(optimizer, **options)
        for _ in range(11):
            step(schedule)
        fresh = make_optimizer(module, lrs=(0.1, 0.1))
        fresh.load_state_dict(optimizer.state_dict())
        # epoch 10 is the last one done: step() after it has set the lr of 11 already
        resumed = getattr(schedules, name)(fresh, **options, last_epoch=10)
        seen = [values(fresh)]
        for _ in range(20):
            step(resumed)
            seen.append(values(fresh))
        results.append(np.array(seen))
    assert results[0] == pytest.approx(results[1], rel=1e-9)


@pytest.mark.parametrize(("name", "options"), SCHEDULES)
def test_state_is_plain_data(name, options):
    schedule = getattr(lr_scheduler, name)(make_optimizer(optim), **options)
    state = schedule.state_dict()
    assert "optimizer" not in state
    json.dumps(state)


# ---- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("StepLR", {"step_size": 0}, "StepLR: step_size must be above 0, not 0"),
        ("CosineAnnealingLR", {"T_max": -3}, "CosineAnnealingLR: T_max must be above 0, not -3"),
        ("StepLR", {"step_size": 3, "last_epoch": 4},
         'StepLR: with last_epoch=4, group 0 needs an "initial_lr"; load the optimiser\'s'),
        ("LinearLR", {"start_factor": 0}, "start_factor must be above 0 and at most 1, not 0"),
        ("LinearLR", {"end_factor": 1.5}, "LinearLR: end_factor must be from 0 to 1, not 1.5"),
        ("OneCycleLR", {"max_lr": 1}, "OneCycleLR: total_steps is None; pass an integer above 0"),
        ("OneCycleLR", {"max_lr": 1, "epochs": 3}, "or epochs and steps_per_epoch"),
        ("OneCycleLR", {"max_lr": 1, "total_steps": 9.0}, "is 9.0; pass an integer above 0"),
        ("OneCycleLR", {"max_lr": 1, "epochs": 2, "steps_per_epoch": -2}, "is -4; pass an integer"),
        ("OneCycleLR", {"max_lr": 1, "total_steps": 9, "pct_start": 1.5},
         "OneCycleLR: pct_start must be in [0, 1], not 1.5"),
        ("OneCycleLR", {"max_lr": 1, "total_steps": 9, "anneal_strategy": "exp"},
         "OneCycleLR: anneal_strategy 'exp' is not cos or linear"),
        ("OneCycleLR", {"max_lr": [1, 2, 3], "total_steps": 9},
         "OneCycleLR: 3 values of max_lr, but the optimiser has 2 groups"),
        ("OneCycleLR", {"max_lr": 1, "total_steps": 9, "max_momentum": [0.9]},
         "OneCycleLR: 1 values of max_momentum"),
        ("ReduceLROnPlateau", {"factor": 1.0}, "factor must be below 1, not 1.0"),
        ("ReduceLROnPlateau", {"mode": "least"}, "mode 'least' is not min or max"),
        ("ReduceLROnPlateau", {"threshold_mode": "x"}, "threshold_mode 'x' is not rel or abs"),
        ("ReduceLROnPlateau", {"min_lr": [0.1]}, "1 values of min_lr, but the optimiser has 2"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(name, options, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        getattr(lr_scheduler, name)(make_optimizer(optim), **options)


@pytest.mark.parametrize(
    ("name", "options"),
    [("StepLR", {"step_size": 3}), ("OneCycleLR", {"max_lr": 1, "total_steps": 9}),
     ("ReduceLROnPlateau", {})],
)  # fmt: skip
def test_only_optimizers_are_scheduled(name, options):
    with pytest.raises(ArgumentError, match="a schedule needs an Optimizer, not dict"):
        getattr(lr_scheduler, name)({}, **options)


def test_one_cycle_ends():
    schedule = lr_scheduler.OneCycleLR(make_optimizer(optim), max_lr=1, total_steps=5)
    for _ in range(5):
        step(schedule)
    with pytest.raises(ArgumentError, match="step 6, but the schedule has only 5; was total_steps"):
        step(schedule)


def test_one_cycle_may_be_all_rise():
    optimizer = make_optimizer(optim)
    schedule = lr_scheduler.OneCycleLR(optimizer, max_lr=1, total_steps=5, pct_start=1.0)
    for _ in range(4):
        step(schedule)
    assert optimizer.param_groups[0]["lr"] == 1
    step(schedule)  # one more, where PyTorch divides by 0
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1 / 25 / 1e4)


def test_one_cycle_needs_a_momentum_to_cycle():
    p = Tensor(np.ones(2), requires_grad=True)
    plain = optim.Optimizer([p], {"lr": 0.1})
    with pytest.raises(ArgumentError, match="Optimizer has no momentum; pass cycle"):
        lr_scheduler.OneCycleLR(plain, max_lr=1, total_steps=5)
    lr_scheduler.OneCycleLR(plain, max_lr=1, total_steps=5, cycle_momentum=False)
    assert plain.param_groups[0]["lr"] == pytest.approx(1 / 25)


def test_the_base_class_says_what_is_missing():
    with pytest.raises(NotImplementedError, match=re.escape("LRScheduler must define get_lr()")):
        lr_scheduler.LRScheduler(make_optimizer(optim))
