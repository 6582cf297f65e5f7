"""gradcheck, check_module and check_model: derivatives of the engine's tensors and modules."""

import re

import numpy as np
import pytest

import minicnn as mc
from minicnn import nn
from minicnn.autograd import Function
from minicnn.errors import ArgumentError, DtypeError, GradientError
from minicnn.gradcheck import check_model, check_module, gradcheck, numeric_gradient
from minicnn.gradcheck.bugs import graph
from minicnn.nn import functional as F


def leaf(array):
    return mc.tensor(np.asarray(array, np.float64), requires_grad=True)


# ---- numeric_gradient ------------------------------------------------------------------------


def test_numeric_gradient_of_a_polynomial(rng):
    """Central differences are exact for degree 2, but for rounding, and to h^2 for degree 3."""
    x, w = rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    np.testing.assert_allclose(numeric_gradient(lambda: (w * x).sum(), x), w, atol=1e-8)
    np.testing.assert_allclose(numeric_gradient(lambda: (w * x * x).sum(), x), 2 * w * x, atol=1e-8)
    cubic = numeric_gradient(lambda: (x**3).sum(), x, eps=1e-3)
    extra = 1e-6 * np.maximum(1, abs(x)) ** 2  # ((x + h)^3 - (x - h)^3) / 2h = 3 x^2 + h^2
    np.testing.assert_allclose(cubic, 3 * x**2 + extra, atol=1e-10)


def test_numeric_gradient_of_sin(rng):
    x = rng.uniform(-3, 3, (2, 5))
    found = numeric_gradient(lambda: np.sin(x).sum(), x)
    assert np.abs(found - np.cos(x)).max() < 1e-9
    coarse = numeric_gradient(lambda: np.sin(x).sum(), x, eps=0.1)
    assert 1e-4 < np.abs(coarse - np.cos(x)).max() < 0.09 / 6  # h^2 / 6, h at most 0.3


def test_a_large_output_does_not_drown_a_small_ones_gradient():
    x = mc.tensor([0.3, 0.7], dtype=mc.float64, requires_grad=True)
    assert gradcheck(lambda x: mc.cat([x * 0 + 1e12, x * x]), [x], atol=1e-7, rtol=1e-6)


def test_numeric_gradient_takes_steps_as_large_as_the_number():
    """At 1e9 a step of 1e-6 would be lost in rounding."""
    for value in (1e9, -3e9, 1e-9):
        x = np.array([value])
        found = numeric_gradient(lambda x=x: (2 * x).sum(), x)
        np.testing.assert_allclose(found, 2, rtol=1e-8)


def test_numeric_gradient_in_float32_uses_the_step_really_taken():
    """1 + 1e-6 is 1 + 9.5e-7 in float32, so dividing by the step asked for is 5 % wrong."""
    x = np.array([1.0, 1.5], np.float32)
    found = numeric_gradient(lambda: float(x[0]) * 2 + float(x[1]) * 3, x)
    np.testing.assert_allclose(found, [2, 3], rtol=1e-6)
    assert found.dtype == np.float32


def test_numeric_gradient_reads_views_numbers_and_nothing():
    base = np.arange(12.0).reshape(3, 4)
    view = base.T[::2, ::-1]
    found = numeric_gradient(lambda: (base**2).sum(), view)
    np.testing.assert_allclose(found, 2 * view, atol=1e-7)
    number = np.array(3.0)
    np.testing.assert_allclose(numeric_gradient(lambda: float(number) ** 2, number), 6, atol=1e-8)
    assert numeric_gradient(lambda: 0.0, np.zeros((0, 2))).shape == (0, 2)


AWKWARD = np.array([[0.1, -0.0, 1e300], [5e-324, 1 / 3, -1e9]])


def test_inputs_are_put_back_bit_for_bit():
    x = AWKWARD.copy()
    numeric_gradient(lambda: 0.0, x)
    assert x.tobytes() == AWKWARD.tobytes()
    x = leaf([[0.1, -0.0, 3e1], [5e-324, 1 / 3, -1e2]])
    before = x.array.tobytes()
    assert gradcheck(lambda x: x * 2, x)
    assert not gradcheck(lambda x: Wrong.apply(x, lambda g: 2 * g), x, raise_exception=False)
    assert x.array.tobytes() == before
    assert x.grad is None


def test_inputs_are_put_back_when_f_fails():
    x = AWKWARD.copy()
    calls = []

    def f():
        calls.append(x.tobytes())
        if len(calls) == 4:
            raise KeyError("in the middle")
        return 0.0

    with pytest.raises(KeyError, match="in the middle"):
        numeric_gradient(f, x)
    assert calls[3] != AWKWARD.tobytes()
    assert x.tobytes() == AWKWARD.tobytes()


# ---- right gradients -------------------------------------------------------------------------


def test_right_gradients_pass(rng):
    x, y = leaf(rng.standard_normal((2, 3))), leaf(rng.uniform(0.5, 2, (3,)))
    assert gradcheck(lambda x: x.exp() * x, x).ok is True
    assert gradcheck(lambda x, y: x / y + y.log(), [x, y])
    assert gradcheck(lambda x, y: (x * y).sum(), (x, y))
    assert gradcheck(lambda x: x.T.reshape(2, 3) @ x.T, x)
    assert gradcheck(lambda x: x.softmax(1).max(dim=1).values, x)


def test_right_gradients_of_layers_pass(rng):
    x = leaf(rng.standard_normal((2, 2, 6, 5)))
    w, b = leaf(rng.standard_normal((3, 2, 3, 2))), leaf(rng.standard_normal(3))
    assert gradcheck(lambda x, w, b: F.conv2d(x, w, b, (2, 1), 1), [x, w, b])
    assert gradcheck(lambda x: F.max_pool2d(x, 2), x)
    target = mc.tensor([1, 0])
    assert gradcheck(lambda x: F.cross_entropy(x.flatten(1), target, label_smoothing=0.1), x)


def test_a_models_parameters_pass(rng):
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x = mc.tensor(rng.standard_normal((5, 3)))
    assert gradcheck(lambda *parameters: net(x), list(net.parameters()))


def test_a_value_that_is_no_leaf_is_checked_too(rng):
    x = leaf(rng.standard_normal(4))
    assert gradcheck(lambda y: y * y, x * 2)


def test_an_input_that_is_not_used_has_gradient_zero(rng):
    x, unused = leaf(rng.standard_normal(4)), leaf(rng.standard_normal(3))
    assert gradcheck(lambda x, unused: x * 2, [x, unused])


def test_inputs_without_gradient_and_other_arguments_are_passed_on(rng):
    x = leaf(rng.standard_normal((4, 3)))
    fixed = mc.tensor(rng.standard_normal((4, 3)).astype("f4"))
    assert gradcheck(lambda x, t, power, i: x**power * t.double()[i], [x, fixed, 3, 2])


def test_one_tensor_as_two_inputs(rng):
    x = leaf(rng.standard_normal(3))
    assert gradcheck(lambda a, b: a * b, [x, x])


# ---- wrong gradients -------------------------------------------------------------------------


class Wrong(Function):
    """y = x, with a gradient made wrong by a function of the right one."""

    @staticmethod
    def forward(ctx, x, change):
        ctx.change = change
        return x.copy()

    @staticmethod
    def backward(ctx, g):
        return ctx.change(g), None


def shifted(g):
    return np.roll(g, 1, axis=1)


def missing(g):
    g = g.copy()
    g[0, 1] = 0
    return g


def mistaken_once(g):
    g = g.copy()
    g[2, 0] += 1e-2
    return g


WRONG = {
    "scaled": lambda g: 1.01 * g,
    "negated": np.negative,
    "transposed": lambda g: g.T,
    "shifted": shifted,
    "one missing": missing,
    "all missing": np.zeros_like,
    "one entry": mistaken_once,
    "absent": lambda g: None,
    "NaN": lambda g: np.full_like(g, np.nan),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_gradients_fail(kind, rng):
    x = leaf(rng.standard_normal((3, 3)))

    def f(x):
        return Wrong.apply(x * 3, WRONG[kind])

    with pytest.raises(GradientError, match="gradcheck: the gradient of input 0"):
        gradcheck(f, x)
    assert gradcheck(f, x, raise_exception=False).ok is False
    assert gradcheck(lambda x: Wrong.apply(x * 3, lambda g: g), x)


def test_the_message_names_the_input_the_worst_entry_and_both_values():
    def change(g):  # wrong in three entries, most of all in (1, 2)
        return g + np.array([[0, 0.5, 0], [0, 0.5, -7]])

    x, y = leaf(np.ones((4,))), leaf(np.ones((2, 3)))
    with pytest.raises(GradientError) as caught:
        gradcheck(lambda x, y: (Wrong.apply(y, change) * 2).sum() + x.sum(), [x, y], seed=3)
    upstream = np.random.default_rng(3).standard_normal()
    pattern = (
        r"gradcheck: the gradient of input 1, shape \(2, 3\), is wrong in 3 of 6 entries; "
        r"worst at \(1, 2\): analytic (\S+), numeric (\S+)"
    )
    analytic, numeric = map(float, re.match(pattern, str(caught.value)).groups())
    assert analytic == pytest.approx(2 * upstream - 7, abs=1e-6)
    assert numeric == pytest.approx(2 * upstream, abs=1e-6)


def test_the_worst_entry_is_a_nan_if_there_is_one(rng):
    def change(g):
        g = g + 5
        g[1, 0] = np.nan
        return g

    with pytest.raises(GradientError, match=r"wrong in 4 of 4 .* worst at \(1, 0\): analytic nan"):
        gradcheck(lambda x: Wrong.apply(x, change), leaf(rng.standard_normal((2, 2))))


def test_only_the_wrong_input_is_named(rng):
    good, bad = (leaf(rng.standard_normal((2, 2))) for _ in range(2))
    fixed = mc.zeros(2, 2, dtype=mc.float64)

    def f(fixed, good, bad):
        return fixed + good * 2 + Wrong.apply(bad, lambda g: 2 * g)

    with pytest.raises(GradientError, match="the gradient of input 2, shape"):
        gradcheck(f, [fixed, good, bad])
    with pytest.raises(GradientError, match="the gradient of input 1, shape"):
        gradcheck(lambda fixed, bad, good: f(fixed, good, bad), [fixed, bad, good])


def test_a_wrong_gradient_of_the_second_output_is_found(rng):
    x = leaf(rng.standard_normal((2, 2)))
    right, wrong = (lambda x: x * 2), (lambda x: Wrong.apply(x, np.negative))
    assert gradcheck(lambda x: (right(x), right(x).sum()), x)
    assert gradcheck(lambda x: [right(x), x.exp()], x)
    for outputs in ((right, wrong), (wrong, right)):
        assert not gradcheck(
            lambda x, fs=outputs: tuple(f(x) for f in fs), x, raise_exception=False
        )


def test_tolerances_decide(rng):
    x = leaf(rng.uniform(1, 2, (2, 3)))

    def f(x):
        return Wrong.apply(x, lambda g: g * 1.01)

    assert not gradcheck(f, x, raise_exception=False)
    assert gradcheck(f, x, rtol=0.02)
    assert gradcheck(f, x, rtol=0, atol=0.1)
    assert not gradcheck(f, x, rtol=0, atol=1e-3, raise_exception=False)
    for scale in (1e-6, 1e6):  # rtol is of the numeric gradient
        assert gradcheck(lambda x, scale=scale: f(x) * scale, x, rtol=0.02, atol=0)
        assert not gradcheck(
            lambda x, scale=scale: f(x) * scale, x, rtol=0.005, atol=0, raise_exception=False
        )


# ---- why the upstream gradient is random -----------------------------------------------------


class TransposedOfSquare(Function):
    """y = x^T of a square matrix, with a backward that forgets to transpose back."""

    @staticmethod
    def forward(ctx, x):
        return x.T.copy()

    @staticmethod
    def backward(ctx, g):
        return g


class NormalisedWithoutMean(Function):
    """y = x - mean(x), with the backward of y = 0: right for an upstream gradient of ones."""

    @staticmethod
    def forward(ctx, x):
        return x - x.mean()

    @staticmethod
    def backward(ctx, g):
        return np.zeros_like(g)


@pytest.mark.parametrize("op", [TransposedOfSquare, NormalisedWithoutMean])
def test_a_random_upstream_gradient_sees_what_ones_cannot(op, rng):
    x = leaf(rng.standard_normal((3, 3)))
    assert gradcheck(lambda x: op.apply(x).sum(), x)  # the sum sends the same number everywhere
    for seed in range(5):
        with pytest.raises(GradientError, match="the gradient of input 0"):
            gradcheck(op.apply, x, seed=seed)


# ---- what it refuses -------------------------------------------------------------------------


def test_float32_leaves_are_checked_as_float64(rng):
    """Differences in float32 would have 2 or 3 digits; the tensors are untouched afterwards."""
    x = mc.tensor(rng.standard_normal((2, 3)).astype("f4"), requires_grad=True)
    before = x.array
    report = gradcheck(lambda x: x.exp() * x, x)
    assert report.ok
    assert report.inputs[0].error < 1e-8
    assert x.array is before
    assert not gradcheck(
        lambda x: Wrong.apply(x, lambda g: g * (1 + 1e-6)), x, raise_exception=False
    )


def test_float32_that_fn_insists_on_is_checked_more_coarsely(rng):
    x = mc.tensor(rng.standard_normal((2, 3)).astype("f4"), requires_grad=True)
    weight = mc.tensor(rng.standard_normal((4, 3)).astype("f4"))
    report = gradcheck(lambda x: F.linear(x, weight), x)
    assert report.ok
    assert "GB010" in str(report)
    wrong = gradcheck(
        lambda x: Wrong.apply(F.linear(x, weight), lambda g: g * np.float32(1.1)), x,
        raise_exception=False,
    )  # fmt: skip
    assert not wrong


def test_float32_that_is_no_leaf_is_refused():
    x = mc.ones(2, requires_grad=True) * 2
    with pytest.raises(DtypeError, match=r"float32 in a tensor that is no leaf; use x\.double\(\)"):
        gradcheck(lambda x: x * 2, x)


def test_inputs_without_gradient_are_refused():
    x = mc.ones(2, dtype=mc.float64)
    with pytest.raises(GradientError, match="no input requires grad, so there is nothing to chec"):
        gradcheck(lambda x: x * 2, x)
    with pytest.raises(GradientError, match="no input requires grad"):
        gradcheck(lambda x, n: x * n, [x, 3])


@pytest.mark.parametrize(
    "f", [lambda x: x.detach() * 2, lambda x: mc.tensor(x.tolist()), lambda x: x.argmax()]
)
def test_an_output_without_graph_is_refused(f):
    with pytest.raises(GradientError, match="no output of fn has a gradient; was the graph cut"):
        gradcheck(f, leaf([1.0, 2.0]))


def test_a_function_run_without_recording_is_refused():
    with mc.no_grad(), pytest.raises(GradientError, match="no output of fn has a gradient"):
        gradcheck(lambda x: x * 2, leaf([1.0, 2.0]))


def test_integer_outputs_are_ignored(rng):
    x = leaf(rng.standard_normal((3, 4)))
    assert gradcheck(lambda x: x.max(dim=1), x)
    assert gradcheck(lambda x: (x.argmax(1), x * 2), x)
    wrong = gradcheck(
        lambda x: (x.argmax(1), Wrong.apply(x, np.negative)), x, raise_exception=False
    )
    assert wrong.ok is False


# ---- what the report says ----------------------------------------------------------------------


def test_the_report_is_returned_and_names_the_mistake(rng):
    def f(x):
        return Wrong.apply(x.exp(), lambda g: g / 3)

    report = gradcheck(f, leaf(rng.standard_normal((3, 4))), raise_exception=False)
    assert not report.ok
    assert not report
    assert report.diagnosis[0].code == "GB018"
    assert "exactly 1/3 of what it should be" in report.diagnosis[0].evidence
    assert "3 is the batch size" in report.diagnosis[0].evidence
    with pytest.raises(
        GradientError, match=r"worst at .*\[GB018 mean over the batch added: dinput 0"
    ):
        gradcheck(f, leaf(rng.standard_normal((3, 4))))


@pytest.mark.parametrize("case", graph.CASES, ids=lambda c: f"{c.code} {c.name}")
def test_mistakes_of_the_graph_are_named(case, rng):
    function, inputs = case.make(rng)
    report = gradcheck(function, inputs, raise_exception=False)
    assert not report.ok
    assert report.diagnosis[0].code == case.code


def test_a_cut_graph_is_severed(rng):
    report = gradcheck(lambda x: x.detach(), leaf(rng.standard_normal(3)), raise_exception=False)
    assert [d.code for d in report.diagnosis] == ["GB003"]
    partly = gradcheck(
        lambda x, w: x * w.detach(), [leaf([1.0, 2]), leaf([3.0, 4])], raise_exception=False
    )
    assert [r.ok for r in partly.inputs] == [True, False]
    assert partly.diagnosis[0].code == "GB003"
    assert partly.inputs[1].problem == "backward returned None for it"


# ---- modules and models ------------------------------------------------------------------------


class Decayed(nn.Module):
    """A linear layer whose weight's gradient is changed by a hook."""

    def __init__(self, hook):
        super().__init__()
        self.layer = nn.Linear(3, 4)
        self.layer.weight.register_hook(hook)

    def forward(self, x):
        return self.layer(x).tanh()


def test_every_parameter_of_a_module_is_checked(rng):
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten())
    report = check_module(net, mc.tensor(rng.standard_normal((4, 2, 5, 4)).astype("f4")))
    assert report.ok, str(report)
    assert [r.name for r in report.inputs] == [
        "input", "0.weight", "0.bias", "1.weight", "1.bias",
    ]  # fmt: skip
    assert report.inputs[0].error < 1e-6


def test_a_module_is_put_back_as_it_was(rng):
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    before = {name: (t, t.clone()) for name, t in net.state_dict().items()}
    arrays = [p.array for p in net.parameters()]
    report = check_module(net, mc.randn(5, 3))
    assert report.ok
    assert report.notes == ["dropout was switched off for the check"]
    assert all(p.array is a for p, a in zip(net.parameters(), arrays, strict=True))
    assert all(p.grad is None for p in net.parameters())
    for name, t in net.state_dict().items():
        assert (t == before[name][1]).all()
    assert net[2].training


def test_a_wrong_parameter_of_a_module_is_named(rng):
    net = Decayed(lambda g: g * 2)
    report = check_module(net, mc.randn(5, 3))
    assert [r.name for r in report.inputs if not r.ok] == ["layer.weight"]
    assert report.diagnosis[0].code == "GB005"
    net = Decayed(lambda g: g + 0.25 * net.layer.weight.detach())
    report = check_module(net, mc.randn(5, 3))
    assert report.diagnosis[0].code == "GB015"
    assert "off by 0.25 times layer.weight itself" in report.diagnosis[0].evidence


def test_a_loss_can_be_differentiated(rng):
    target = mc.tensor([1, 0, 3, 2, 1])
    net = nn.Linear(3, 4)
    report = check_module(net, mc.randn(5, 3), loss=lambda y: F.cross_entropy(y, target))
    assert report.ok, str(report)


def test_a_model_is_checked_by_samples_and_printed(capsys):
    from minicnn.models import LeNet5

    report = check_model(LeNet5(), entries=4)
    assert report.ok
    printed = capsys.readouterr().out
    assert printed.startswith("gradient check of LeNet5: right")
    assert re.search(r"dc3\.weight +\(16, 6, 5, 5\) +right +4 of 2400 sampled, error \d", printed)
    assert max(map(len, printed.splitlines())) <= 80


def test_a_model_without_a_known_input_is_refused():
    with pytest.raises(ArgumentError, match="Linear has no input_shape; give input"):
        check_model(nn.Linear(3, 4))
