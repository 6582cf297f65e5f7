"""Optimisers and gradient clipping against PyTorch in float64, state, and what is refused."""

import copy
import re

import numpy as np
import pytest
import torch

import minicnn
from minicnn import Tensor, optim
from minicnn.errors import ArgumentError, GradientError, InPlaceError, StateDictError
from minicnn.nn.utils import clip_grad_norm_, clip_grad_value_

STEPS = 50
SHAPES = [(3, 2), (4,), ()]
NOISE = [[np.random.default_rng([t, i]).standard_normal(s) for i, s in enumerate(SHAPES)]
         for t in range(STEPS)]  # fmt: skip


def start(dtype=np.float64):
    """The parameters' first values; representable in float32."""
    rng = np.random.default_rng(7)
    return [rng.standard_normal(s).astype(np.float32).astype(dtype) for s in SHAPES]


def gradient(t, i, p):
    """A gradient that depends on where the parameter is, so that a wrong step has consequences."""
    return (np.tanh(3 * p) + 0.5 * NOISE[t][i]).astype(p.dtype)


def ours(dtype=np.float64):
    return [Tensor(a, requires_grad=True) for a in start(dtype)]


def torchs():
    return [torch.tensor(a, requires_grad=True) for a in start()]


def missing(t, i):
    """The second parameter gets no gradient in some steps, the first among them."""
    return i == 1 and t % 3 == 0


def run(optimizer, params, steps):
    for t in steps:
        for i, p in enumerate(params):
            p.grad = None if missing(t, i) else Tensor(gradient(t, i, p.array))
        optimizer.step()


def run_torch(optimizer, params, steps):
    for t in steps:
        for i, p in enumerate(params):
            p.grad = None
            if not missing(t, i):
                p.grad = torch.from_numpy(np.asarray(gradient(t, i, p.detach().numpy())))
        optimizer.step()


def difference(a, b):
    """max|a - b| / max(1e-3, max|b|)."""
    b = b.detach().numpy()
    return np.abs(a - b).max() / max(1e-3, np.abs(b).max())


SGD = [
    {},
    {"lr": 0.1},
    {"lr": 0.1, "weight_decay": 0.1},
    {"lr": 0.05, "momentum": 0.9},
    {"lr": 0.05, "momentum": 0.9, "dampening": 0.3},
    {"lr": 0.05, "momentum": 0.8, "weight_decay": 0.05, "dampening": 0.5},
    {"lr": 0.05, "momentum": 0.9, "nesterov": True},
    {"lr": 0.05, "momentum": 0.7, "nesterov": True, "weight_decay": 0.1},
]
ADAM = [
    {},
    {"lr": 0.05},
    {"lr": 0.05, "betas": (0.5, 0.9)},
    {"lr": 0.05, "betas": (0.0, 0.0), "eps": 0.1},
    {"lr": 0.05, "eps": 0.5},
    {"lr": 0.05, "weight_decay": 0.2},
    {"lr": 0.05, "weight_decay": 0.2, "betas": (0.8, 0.95), "eps": 1e-3},
]
RMSPROP = [
    {},
    {"lr": 0.05, "alpha": 0.5, "eps": 0.1},
    {"lr": 0.05, "alpha": 0.0, "weight_decay": 0.1},
    {"lr": 0.01, "momentum": 0.9},
    {"lr": 0.01, "centered": True},
    {"lr": 0.01, "centered": True, "momentum": 0.5, "weight_decay": 0.2, "alpha": 0.9},
]
ADADELTA = [
    {},
    {"lr": 0.5, "rho": 0.5},
    {"lr": 2.0, "rho": 0.0, "eps": 0.1},
    {"rho": 0.95, "weight_decay": 0.2},
]
ADAGRAD = [
    {},
    {"lr": 0.1, "lr_decay": 0.2},
    {"lr": 0.1, "initial_accumulator_value": 0.5, "eps": 0.1},
    {"lr": 0.1, "weight_decay": 0.2},
]
CONFIGURATIONS = [
    pytest.param(name, options, id=f"{name}-{i}")
    for name, table in (
        ("SGD", SGD),
        ("Adam", ADAM),
        ("AdamW", ADAM),
        ("RMSprop", RMSPROP),
        ("Adadelta", ADADELTA),
        ("Adagrad", ADAGRAD),
    )
    for i, options in enumerate(table)
]


@pytest.mark.parametrize("grouped", [False, True], ids=["one group", "two groups"])
@pytest.mark.parametrize(("name", "options"), CONFIGURATIONS)
def test_50_steps_agree_with_pytorch(name, options, grouped):
    def make(module, params):
        if grouped:
            other = {"params": params[:1], "lr": 0.02, "weight_decay": 0.03}
            params = [other, {"params": params[1:]}]
        return getattr(module, name)(params, **options)

    theirs = torchs()
    theirs_optimizer = make(torch.optim, theirs)
    run_torch(theirs_optimizer, theirs, range(STEPS))
    saved = theirs_optimizer.state_dict()["state"]
    for dtype, tolerance in ((np.float64, 1e-9), (np.float32, 1e-4)):
        params = ours(dtype)
        optimizer = make(optim, params)
        run(optimizer, params, range(STEPS))
        for a, b in zip(params, theirs, strict=True):
            assert a.dtype == dtype
            assert difference(a.array, b) <= tolerance
        state = optimizer.state_dict()["state"]
        assert state.keys() == saved.keys()
        for i, entry in saved.items():
            assert state[i].keys() == entry.keys()
            for key, value in entry.items():
                assert difference(state[i][key].array, value) <= tolerance, key


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_an_update_may_pass_another_gradient_on(kind):
    class Halved(kind):
        def _update(self, p, g, group):
            super()._update(p, g / 2, group)

    ends = []
    for optimizer, g in ((Halved, 3.0), (kind, 1.5)):
        p = minicnn.ones(2, requires_grad=True)
        o = optimizer([p], lr=0.1)
        p.grad = minicnn.full((2,), g)
        o.step()
        ends.append((p.tolist(), p.grad.tolist()))
    assert ends == [(ends[0][0], [3, 3]), (ends[0][0], [1.5, 1.5])]


def test_options_changed_between_steps_act_at_once():
    results = []
    for module, make, go in ((optim, ours, run), (torch.optim, torchs, run_torch)):
        params = make()
        optimizer = module.SGD(params[:2], lr=0.1)
        go(optimizer, params, range(10))
        optimizer.param_groups[0].update(lr=0.03, momentum=0.9)
        optimizer.add_param_group({"params": params[2], "lr": 0.2})
        go(optimizer, params, range(10, 30))
        results.append(params)
    for a, b in zip(*results, strict=True):
        assert difference(a.array, b) <= 1e-9


@pytest.mark.parametrize(
    ("name", "options"),
    [("SGD", {"lr": 0.1, "momentum": 0.9}), ("AdamW", {"lr": 0.1, "eps": 1e-3})],
)
def test_numpy_scalars_do_not_widen_the_arithmetic(name, options):
    plain, scalars = ours(np.float32), ours(np.float32)
    wide = {key: np.float64(value) for key, value in options.items()}
    run(getattr(optim, name)(plain, **options), plain, range(10))
    run(getattr(optim, name)(scalars, **wide), scalars, range(10))
    assert all(np.array_equal(a.array, b.array) for a, b in zip(plain, scalars, strict=True))


# ---- step and zero_grad ----------------------------------------------------------------------


def test_closure_is_called_once_and_records():
    p = Tensor(np.array([3.0, -1.0]), requires_grad=True)
    optimizer = optim.SGD([p], lr=0.25)
    calls = []

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        calls.append(loss.item())
        return loss

    with minicnn.no_grad():
        assert optimizer.step(closure).item() == 10.0
        assert not minicnn.is_grad_enabled()
    assert calls == [10.0]
    assert p.array.tolist() == [1.5, -0.5]
    assert optimizer.step() is None


def test_a_step_keeps_the_array_and_counts_as_a_change_in_place():
    p = Tensor(np.array([3.0]), requires_grad=True)
    array = p.array
    y = (p * p).sum()
    p.grad = Tensor(np.array([1.0]))
    optim.SGD([p], lr=1.0).step()
    assert p.array is array
    assert p.grad.array.tolist() == [1.0]
    with pytest.raises(InPlaceError, match="changed in place"):
        y.backward()


@pytest.mark.parametrize("momentum", [0, 0.9])
def test_the_gradient_is_left_as_it_was(momentum):
    p = Tensor(np.array([3.0]), requires_grad=True)
    p.grad = Tensor(np.array([1.0]))
    optimizer = optim.SGD([p], lr=0.1, momentum=momentum, weight_decay=0.5)
    optimizer.step()
    optimizer.step()
    assert p.grad.array.tolist() == [1.0]


def test_zero_grad():
    with_grad, without = ours()[:2]
    optimizer = optim.SGD([{"params": [with_grad]}, {"params": [without]}])
    with_grad.grad = Tensor(np.full((3, 2), np.nan))
    held = with_grad.grad
    optimizer.zero_grad(set_to_none=False)
    assert with_grad.grad is held
    assert not held.array.any()
    assert without.grad is None
    optimizer.zero_grad()
    assert with_grad.grad is None


@pytest.mark.parametrize(
    "grad", [np.ones((1, 2)), np.ones((3, 2), np.float32)], ids=["shape", "dtype"]
)
def test_a_gradient_that_does_not_fit_is_refused(grad):
    p = ours()[0]
    p.grad = Tensor(grad)
    message = f"SGD.step: a parameter of shape (3, 2) and float64 has a grad of shape {grad.shape}"
    with pytest.raises(GradientError, match=re.escape(f"{message} and {grad.dtype}")):
        optim.SGD([p]).step()


def test_the_base_class_says_what_is_missing():
    p = ours()[0]
    p.grad = Tensor(np.ones((3, 2)))
    with pytest.raises(NotImplementedError, match="Optimizer must define _update"):
        optim.Optimizer([p], {}).step()


# ---- construction ----------------------------------------------------------------------------


def test_defaults_and_repr_are_pytorchs():
    for name in ("SGD", "Adam", "AdamW", "RMSprop", "Adadelta", "Adagrad"):
        a = getattr(optim, name)([{"params": ours()[:1], "lr": 0.5}, {"params": ours()[1:]}])
        b = getattr(torch.optim, name)([{"params": torchs()[:1], "lr": 0.5},
                                        {"params": torchs()[1:]}])  # fmt: skip
        left_out = {key for key in b.defaults if key not in a.defaults}
        assert a.defaults == {key: b.defaults[key] for key in a.defaults}
        lines = [line for line in repr(b).split("\n") if line.strip().split(":")[0] not in left_out]
        assert repr(a) == "\n".join(lines)


def test_generators_and_single_tensors_in_groups_are_accepted():
    params = ours()
    optimizer = optim.Adam(p for p in params)
    assert [p is q for p, q in zip(optimizer.param_groups[0]["params"], params, strict=True)]
    given = {"params": params[0], "lr": 1}
    assert len(optim.Adam([given]).param_groups[0]["params"]) == 1
    assert given.keys() == {"params", "lr"}  # the caller's dict is left alone


LEAF = Tensor(np.ones(2), requires_grad=True)
OTHER = Tensor(np.ones((2, 3)), requires_grad=True)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([], "SGD: no parameters to optimise; pass model.parameters()"),
        (iter(()), "an iterator that was used before is empty"),
        (LEAF, "SGD: params must be a list of Tensors, not one Tensor"),
        ({LEAF}, "not a set, which has no fixed order"),
        ([{"params": {LEAF}}], "not a set, which has no fixed order"),
        ([LEAF, LEAF * 2], "parameter 1 of group 0 is the result of <Mul>, not a leaf"),
        ([LEAF, np.ones(2)], "parameter 1 of group 0 is a ndarray; only Tensors are optimised"),
        (["weight"], "parameter 0 of group 0 is a str"),
        ([OTHER, LEAF, OTHER], "parameter 2 of group 0, of shape (2, 3), was given before"),
        ([{"params": [LEAF]}, {"params": [OTHER, LEAF]}], "parameter 1 of group 1, of shape (2,)"),
        ([{"params": [LEAF]}, [OTHER]], 'must be a dict with the key "params", not list'),
        ([{"lr": 0.1}], 'must be a dict with the key "params"'),
    ],
)
def test_bad_parameters_are_refused(params, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        optim.SGD(params)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("SGD", {"lr": -1}, "SGD: lr must be a number of at least 0, not -1"),
        ("SGD", {"lr": float("nan")}, "SGD: lr must be a number of at least 0, not nan"),
        ("SGD", {"lr": "0.1"}, "SGD: lr must be a number of at least 0, not '0.1'"),
        ("SGD", {"momentum": -0.1}, "SGD: momentum must be"),
        ("SGD", {"weight_decay": -0.1}, "SGD: weight_decay must be"),
        ("SGD", {"nesterov": True}, "nesterov needs a momentum above 0 and a dampening of 0"),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "and dampening=0.1"),
        ("Adam", {"lr": -1}, "Adam: lr must be"),
        ("Adam", {"eps": -1e-9}, "Adam: eps must be a number of at least 0, not -1e-09"),
        ("Adam", {"betas": (1.0, 0.9)}, "betas[0] must be a number of at least 0 and below 1"),
        ("Adam", {"betas": (0.9, -0.1)}, "betas[1] must be"),
        ("Adam", {"betas": 0.9}, "Adam: betas must be two numbers, not 0.9"),
        ("AdamW", {"weight_decay": -1}, "AdamW: weight_decay must be"),
    ],
)
def test_bad_options_are_refused(name, options, message):
    for params in ([LEAF], [{"params": [LEAF], **options}]):
        with pytest.raises(ArgumentError, match=re.escape(message)):
            getattr(optim, name)(params, **({} if isinstance(params[0], dict) else options))


def test_a_bad_default_is_refused_even_where_no_group_takes_it():
    with pytest.raises(ArgumentError, match="SGD: lr must be"):
        optim.SGD([{"params": [LEAF], "lr": 0.1}], lr=-1)


def test_a_refused_group_leaves_the_optimizer_as_it_was():
    optimizer = optim.SGD([LEAF])
    with pytest.raises(ArgumentError, match="was given before"):
        optimizer.add_param_group({"params": [OTHER, LEAF]})
    assert len(optimizer.param_groups) == 1
    optimizer.add_param_group({"params": [OTHER]})


# ---- state_dict ------------------------------------------------------------------------------


def two_groups(name, params, **options):
    groups = [{"params": params[:1], "lr": 0.02}, {"params": params[1:]}]
    return getattr(optim, name)(groups, **options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"lr": 0.1}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
        ("Adam", {"lr": 0.1, "weight_decay": 0.1}),
        ("AdamW", {"lr": 0.1, "betas": (0.5, 0.9)}),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_resuming_gives_the_same_bits(name, options, dtype):
    params = ours(dtype)
    optimizer = two_groups(name, params, **options)
    run(optimizer, params, range(20))
    saved = copy.deepcopy(optimizer.state_dict())
    resumed = [Tensor(p.array.copy(), requires_grad=True) for p in params]
    run(optimizer, params, range(20, 40))

    fresh = two_groups(name, resumed)  # without the options: those come from the file
    fresh.load_state_dict(saved)
    as_saved = copy.deepcopy(saved)
    run(fresh, resumed, range(20, 40))
    for a, b in zip(params, resumed, strict=True):
        assert np.array_equal(a.array, b.array)
        assert a.dtype == b.dtype
    for i, entry in saved["state"].items():  # what was loaded is a copy
        for key, value in entry.items():
            assert np.array_equal(value.array, as_saved["state"][i][key].array)


def test_state_dict_has_pytorchs_layout():
    params, theirs = ours(), torchs()
    a = optim.Adam([{"params": params[:1], "lr": 0.02}, {"params": params[1:]}])
    b = torch.optim.Adam([{"params": theirs[:1], "lr": 0.02}, {"params": theirs[1:]}])
    run(a, params, range(3))
    run_torch(b, theirs, range(3))
    a, b = a.state_dict(), b.state_dict()
    assert a.keys() == b.keys()
    for ours_group, group in zip(a["param_groups"], b["param_groups"], strict=True):
        assert ours_group == {key: group[key] for key in ours_group}
    for i, entry in b["state"].items():
        for key, value in entry.items():
            assert str(a["state"][i][key].dtype) == str(value.dtype).removeprefix("torch.")
            assert a["state"][i][key].shape == value.shape


def test_loaded_state_takes_the_parameters_dtype_but_not_the_count():
    params = ours()
    optimizer = optim.Adam(params)
    run(optimizer, params, range(3))
    other = optim.Adam(ours(np.float16))
    other.load_state_dict(optimizer.state_dict())
    state = other.state_dict()["state"][0]
    assert state["exp_avg"].dtype == np.float16
    assert state["step"].dtype == np.float32
    assert state["step"].item() == 3


def test_a_state_that_does_not_fit_is_refused():
    params = ours()
    optimizer = optim.SGD(params, momentum=0.9)
    run(optimizer, params, range(2))
    saved = optimizer.state_dict()

    with pytest.raises(StateDictError, match=re.escape("expected groups of [1, 2] parameters, but "
                                                       "saved are [3]")):  # fmt: skip
        two_groups("SGD", ours()).load_state_dict(saved)
    with pytest.raises(StateDictError, match=re.escape("saved group 0 lacks ['betas', 'eps']; was "
                                                       "it saved by another class")):  # fmt: skip
        optim.Adam(ours()).load_state_dict(saved)
    swapped = optim.SGD(ours()[::-1])
    with pytest.raises(StateDictError, match=re.escape("momentum_buffer of parameter 0 has shape "
                                                       "(3, 2), but the parameter has ()")):  # fmt: skip  # noqa: E501
        swapped.load_state_dict(saved)
    assert not swapped.state
    assert swapped.param_groups[0]["momentum"] == 0


# ---- clipping --------------------------------------------------------------------------------


def with_gradients(dtype=np.float64):
    """Our parameters and torch's, with equal gradients; the second has none."""
    params, theirs = ours(dtype), torchs()
    for i, (a, b) in enumerate(zip(params, theirs, strict=True)):
        if i != 1:
            g = np.asarray(NOISE[0][i].astype(np.float32).astype(dtype))
            a.grad, b.grad = Tensor(g.copy()), torch.from_numpy(g.astype(np.float64))
    return params, theirs


@pytest.mark.parametrize("norm_type", [2.0, 1, 3.5, float("inf"), "inf"])
@pytest.mark.parametrize("max_norm", [0.5, 100.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_clip_grad_norm_agrees_with_pytorch(norm_type, max_norm, dtype, tolerance):
    params, theirs = with_gradients(dtype)
    held = params[0].grad.array
    norm = clip_grad_norm_(iter(params), max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, float(norm_type))
    assert isinstance(norm, Tensor)
    assert norm.dtype == dtype
    assert norm.shape == ()
    assert difference(norm.array, expected) <= tolerance
    assert params[1].grad is None
    assert params[0].grad.array is held
    for a, b in zip(params[::2], theirs[::2], strict=True):
        assert a.grad.dtype == dtype
        assert difference(a.grad.array, b.grad) <= tolerance


def test_clip_grad_norm_leaves_small_gradients_their_bits():
    params, _ = with_gradients(np.float32)
    before = params[0].grad.array.copy()
    clip_grad_norm_(params, 1e6)
    assert np.array_equal(params[0].grad.array, before)


@pytest.mark.parametrize("clip", [clip_grad_norm_, clip_grad_value_])
def test_clipping_counts_as_a_change_in_place(clip):
    params, _ = with_gradients()
    y = (params[0] * params[0].grad).sum()
    clip(params, 0.5)
    with pytest.raises(InPlaceError, match="changed in place"):
        y.backward()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_clip_grad_norm_of_nonfinite_gradients(value):
    params, theirs = with_gradients()
    params[0].grad.array[0, 0] = theirs[0].grad[0, 0] = value
    with pytest.raises(GradientError, match=f"norm of order 2.0 is {value}; find its cause"):
        clip_grad_norm_(params, 1.0, error_if_nonfinite=True)
    with np.errstate(invalid="ignore"):  # inf * 0, which NumPy warns of
        clip_grad_norm_(params, 1.0)
    torch.nn.utils.clip_grad_norm_(theirs, 1.0)
    assert np.array_equal(params[0].grad.array, theirs[0].grad.numpy(), equal_nan=True)


@pytest.mark.parametrize("clip_value", [0.3, 100])
def test_clip_grad_value_agrees_with_pytorch(clip_value):
    params, theirs = with_gradients()
    held = params[0].grad.array
    assert clip_grad_value_(params, clip_value) is None
    torch.nn.utils.clip_grad_value_(theirs, clip_value)
    assert params[0].grad.array is held
    for a, b in zip(params[::2], theirs[::2], strict=True):
        assert np.array_equal(a.grad.array, b.grad.numpy())


def test_clipping_of_one_tensor_and_of_nothing():
    params, _ = with_gradients()
    clip_grad_value_(params[0], 0.1)
    assert np.abs(params[0].grad.array).max() == 0.1
    clip_grad_norm_(params[0], 0.05)
    assert np.linalg.norm(params[0].grad.array) == pytest.approx(0.05, rel=1e-4)
    assert clip_grad_norm_([params[1]], 1.0).item() == 0
    assert clip_grad_norm_([], 1.0).item() == 0
    with pytest.warns(UserWarning, match="the iterator of parameters is empty"):
        clip_grad_norm_(iter(()), 1.0)
    with pytest.warns(UserWarning, match="the iterator of parameters is empty"):
        clip_grad_value_(iter(()), 1.0)
