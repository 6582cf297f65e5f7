"""The catalogue of gradient bugs: its operations against PyTorch, its mutants, its pages."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from typer.testing import CliRunner

from minicnn.cli import app
from minicnn.errors import ArgumentError
from minicnn.gradcheck.bugs import ALIASES, CATALOGUE, OPERATIONS, false_alarms, graph, pages

NOT_MISTAKES = {"GB010", "GB031"}
IN_THE_GRAPH = {"GB003", "GB004", "GB005", "GB006", "GB007", "GB015"}
# Right numbers at the first call, or a wrong forward: what is wrong is tested one by one below.
OTHERWISE_WRONG = {"GB008", "GB009", "GB011", "GB012", "GB013", "GB014"}


def subsample(x, a, b, kernel_size, stride, padding=0, ceil_mode=False):
    sums = F.avg_pool2d(x, kernel_size, stride, padding, ceil_mode, divisor_override=1)
    return sums * a[:, None, None] + b[:, None, None]


TORCH = {
    "linear": F.linear, "matmul": torch.matmul, "add": torch.add, "sub": torch.sub,
    "mul": torch.mul, "div": torch.div, "reshape": torch.reshape, "transpose": torch.transpose,
    "permute": torch.permute, "sum": torch.sum, "mean": torch.mean, "pad": F.pad,
    "sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": F.relu, "leaky_relu": F.leaky_relu,
    "scaled_tanh": lambda x: 1.7159 * torch.tanh(2 / 3 * x),
    "softmax_cross_entropy": F.cross_entropy, "softmax": F.softmax, "mse_loss": F.mse_loss,
    "conv2d": F.conv2d, "im2col": F.unfold, "col2im": F.fold,
    "avg_pool2d": F.avg_pool2d, "max_pool2d": F.max_pool2d, "subsample2d": subsample,
    "batch_norm": lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
    "layer_norm": lambda x, w, b: F.layer_norm(x, w.shape, w, b),
    "dropout": lambda x, mask, p: x * torch.as_tensor(mask) / (1 - p),
}  # fmt: skip


def by_torch(name, inputs, params, g):
    """(y, gradients) as PyTorch computes them in float64; None for integers."""
    tensors = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    y = TORCH[name](*tensors, **params)
    y.backward(torch.as_tensor(np.asarray(g)))
    return y.detach().numpy(), [None if t.grad is None else t.grad.numpy() for t in tensors]


def assert_agree(name, inputs, params, rng):
    op = OPERATIONS[name]
    y = op.forward(*inputs, **params)
    g = rng.standard_normal(np.shape(y))
    before = [x.copy() for x in (*inputs, g)]
    found = op.backward(g, *inputs, **params)
    expected_y, expected = by_torch(name, inputs, params, g)
    np.testing.assert_allclose(y, expected_y, rtol=1e-9, atol=1e-12)
    assert len(found) == len(expected) == len(op.inputs)
    for a, n in zip(found, expected, strict=True):
        assert (a is None) == (n is None)
        if n is not None:
            np.testing.assert_allclose(a, n, rtol=1e-9, atol=1e-12)
    for x, was in zip((*inputs, g), before, strict=True):
        np.testing.assert_array_equal(x, was)


def draws(op):
    """The operation's own samples, and those that its mutants ask for, in float64."""
    families = {op.sample, *(m.sample for m in op.mutants if m.sample)}
    return [f for f in families if f(np.random.default_rng(0))[0][0].dtype == np.float64]


def mutants(otherwise_wrong):
    return [
        pytest.param(op, m, id=f"{op.name}-{m.code}-{m.name}")
        for op in OPERATIONS.values()
        for m in op.mutants
        if (m.code in OTHERWISE_WRONG) == otherwise_wrong
    ]


# ---- operations ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_agree_with_pytorch(name):
    for seed in range(6):
        for family in draws(OPERATIONS[name]):
            rng = np.random.default_rng(seed)
            assert_agree(name, *family(rng), rng)


@pytest.mark.parametrize("name", OPERATIONS)
def test_examples_agree_with_pytorch(name):
    for inputs, params in OPERATIONS[name].examples:
        assert_agree(name, inputs, params, np.random.default_rng(0))


@pytest.mark.parametrize("name", ["avg_pool2d", "max_pool2d", "subsample2d"])
@pytest.mark.parametrize("padding", [0, 1, (1, 0)])
def test_pools_with_windows_that_stick_out(name, padding):
    """ceil_mode with padding: a window that starts beyond the padding in front is left out."""
    rng, seen = np.random.default_rng(7), set()
    for h, kernel in itertools.product(range(4, 9), (2, 3)):
        inputs = [rng.standard_normal((1, 2, h, 7)), *rng.standard_normal((2, 2))]
        how = {"kernel_size": kernel, "stride": (3, 2), "padding": padding}
        for ceil in (False, True):
            params = {**how, "ceil_mode": ceil}
            given = inputs if name == "subsample2d" else inputs[:1]
            assert_agree(name, given, params, rng)
            seen.add((h, kernel, OPERATIONS[name].forward(*given, **params).shape[2]))
    assert 10 < len(seen) < 20  # for some heights ceil_mode makes one more window, for others not


def test_average_pooling_that_does_not_count_its_padding():
    rng = np.random.default_rng(8)
    how = {"kernel_size": (3, 2), "stride": 2, "padding": 1, "count_include_pad": False}
    for ceil in (False, True):
        x = rng.standard_normal((2, 3, 6, 5))
        assert_agree("avg_pool2d", [x], {**how, "ceil_mode": ceil}, rng)


@pytest.mark.parametrize("name", OPERATIONS)
def test_forwards_take_a_complex_step(name):
    """Complex inputs pass through, and the imaginary part is the derivative."""
    op, rng = OPERATIONS[name], np.random.default_rng(6)
    inputs, params = op.sample(rng)
    moving = [x.dtype.kind == "f" for x in inputs]
    along = [rng.standard_normal(x.shape) if m else 0 for x, m in zip(inputs, moving, strict=True)]
    stepped = [x + 1e-30j * d if m else x for x, d, m in zip(inputs, along, moving, strict=True)]
    y = op.forward(*stepped, **params)
    g = rng.standard_normal(np.shape(y))
    gradients = by_torch(name, inputs, params, g)[1]
    expected = sum((n * d).sum() for n, d in zip(gradients, along, strict=True) if n is not None)
    assert (np.imag(y) * g).sum() / 1e-30 == pytest.approx(expected, rel=1e-9)


def test_every_operation_has_an_oracle_and_a_mutant():
    assert set(TORCH) == set(OPERATIONS)
    assert all(op.mutants for op in OPERATIONS.values())
    assert set(ALIASES.values()) <= set(OPERATIONS)
    assert not set(ALIASES) & set(OPERATIONS)


def test_samples_are_asymmetric_and_sometimes_square():
    """Sizes that may be confused differ in some samples and agree in others."""
    shapes = [OPERATIONS["conv2d"].sample(np.random.default_rng(s)) for s in range(60)]
    kernels = [inputs[1].shape[2:] for inputs, _ in shapes]
    images = [inputs[0].shape[2:] for inputs, _ in shapes]
    assert {h == w for h, w in kernels} == {h == w for h, w in images} == {True, False}
    strides = [p["stride"] for _, p in shapes if isinstance(p["stride"], tuple)]
    assert any(sh != sw for sh, sw in strides)
    assert any(p["groups"] > 1 for _, p in shapes)
    assert any(p["dilation"] == (2, 2) for _, p in shapes)


# ---- mutants ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("op", "mutant"), mutants(otherwise_wrong=False))
def test_a_mutant_is_wrong_on_its_samples(op, mutant):
    for seed in range(12):
        rng = np.random.default_rng(seed)
        inputs, params = (mutant.sample or op.sample)(rng)
        g = rng.standard_normal(np.shape(op.forward(*inputs, **params)))
        right = op.backward(g, *inputs, **params)
        wrong = mutant.backward(g.copy(), *(x.copy() for x in inputs), **params)
        assert len(wrong) == len(right)
        pairs = [(a, n) for a, n in zip(wrong, right, strict=True) if n is not None]
        assert any(a.shape != n.shape or not np.allclose(a, n, rtol=1e-6) for a, n in pairs)


@pytest.mark.parametrize(("op", "mutant"), mutants(otherwise_wrong=True))
def test_a_mutant_is_otherwise_wrong(op, mutant):
    rng = np.random.default_rng(0)
    inputs, params = (mutant.sample or op.sample)(rng)
    y = op.forward(*inputs, **params)
    g = rng.standard_normal(np.shape(y))
    wrong_forward = mutant.forward or op.forward
    if mutant.code == "GB008":
        first = mutant.backward(g, *inputs, **params)
        kept = [a.copy() for a in first]
        mutant.backward(2 * g, *inputs, **params)
        assert any((a != k).any() for a, k in zip(first, kept, strict=True))
    elif mutant.code == "GB009":
        given = [x.copy() for x in (*inputs, g)]
        mutant.backward(given[-1], *given[:-1], **params)
        assert any((a != b).any() for a, b in zip(given, (*inputs, g), strict=True))
    elif mutant.code == "GB011":
        assert wrong_forward(*inputs, **params).dtype.kind == "i"
    elif mutant.code == "GB012":
        assert (wrong_forward(*inputs, **params) != wrong_forward(*inputs, **params)).any()
    elif mutant.code == "GB013":
        found = mutant.backward(g.astype(y.dtype), *inputs, **params)
        assert any(a.dtype != x.dtype for a, x in zip(found, inputs, strict=True))
    else:
        assert not np.allclose(wrong_forward(*inputs, **params), y)


def test_forwards_of_gb014_fit_their_backwards():
    """They are consistently wrong: the directional derivative is what backward says."""
    for op in OPERATIONS.values():
        for m in (m for m in op.mutants if m.code == "GB014"):
            rng = np.random.default_rng(1)
            inputs, params = (m.sample or op.sample)(rng)
            moving = [i for i, x in enumerate(inputs) if x.dtype.kind == "f"]
            along = {i: rng.standard_normal(inputs[i].shape) for i in moving}
            g = rng.standard_normal(np.shape(m.forward(*inputs, **params)))
            gradients = m.backward(g, *inputs, **params)

            def value(h, op=op, m=m, inputs=inputs, params=params, along=along, g=g):
                moved = [x + h * along[i] if i in along else x for i, x in enumerate(inputs)]
                return (m.forward(*moved, **params) * g).sum()

            slope = (value(1e-6) - value(-1e-6)) / 2e-6
            expected = sum((gradients[i] * along[i]).sum() for i in moving)
            assert slope == pytest.approx(expected, rel=1e-6, abs=1e-7), (op.name, m.name)


def test_names_are_unique_within_an_operation():
    for op in OPERATIONS.values():
        names = [m.name for m in op.mutants]
        assert len(set(names)) == len(names), op.name


RATIOS = [
    ("linear", "dW averaged over the batch", 1, lambda i, p: 1 / len(i[0])),
    ("linear", "dW with the sign of the update", 1, lambda i, p: -1),
    ("softmax_cross_entropy", "no 1/N", 0, lambda i, p: len(i[0])),
    ("softmax_cross_entropy", "1/N twice", 0, lambda i, p: 1 / len(i[0])),
    ("softmax_cross_entropy", "1/C", 0, lambda i, p: i[0].shape[0] / i[0].shape[1]),
    ("scaled_tanh", "S lost", 0, lambda i, p: 1.5),
    ("scaled_tanh", "A lost", 0, lambda i, p: 1 / 1.7159),
    ("conv2d", "db averaged over the batch", 2, lambda i, p: 1 / len(i[0])),
    ("avg_pool2d", "divided by kh", 0, lambda i, p: p["kernel_size"][1]),
    ("subsample2d", "means for dcoefficient", 1, lambda i, p: 1 / np.prod(p["kernel_size"])),
    ("add", "the mean over the batch", 1, lambda i, p: 1 / len(i[0])),
    ("dropout", "not divided by keep", 0, lambda i, p: 1 - p["p"]),
    ("dropout", "divided by keep twice", 0, lambda i, p: 1 / (1 - p["p"])),
]


@pytest.mark.parametrize(("name", "mutant", "place", "ratio"), RATIOS)
def test_constant_ratios_are_as_the_catalogue_says(name, mutant, place, ratio):
    op = OPERATIONS[name]
    (found,) = (m for m in op.mutants if m.name == mutant)
    rng = np.random.default_rng(2)
    inputs, params = (found.sample or op.sample)(rng)
    g = rng.standard_normal(np.shape(op.forward(*inputs, **params)))
    a = found.backward(g, *inputs, **params)[place]
    n = by_torch(name, inputs, params, g)[1][place]
    np.testing.assert_allclose(a, n * ratio(inputs, params), rtol=1e-9)


# ---- graph, right cases ----------------------------------------------------------------------


@pytest.mark.parametrize("case", graph.CASES, ids=lambda c: f"{c.code}-{c.name}")
def test_graph_cases_are_wrong_and_their_right_programs_right(case):
    rng = np.random.default_rng(3)
    function, (x, w) = case.make(rng)
    g = rng.standard_normal(function(x, w).shape)
    t, u = (torch.tensor(a.array, requires_grad=True) for a in (x, w))
    y = {
        "x x + w": lambda: t * t + u,
        "With h = tanh(x w): h h": lambda: torch.tanh(t * u) ** 2,
        "With h = x + w: h + tanh(h); the short way back to h comes first": lambda: (
            t + u + torch.tanh(t + u)
        ),
        "tanh(x w)": lambda: torch.tanh(t * u),
        "tanh(x) w w": lambda: torch.tanh(t) * u * u,
        "A loss with weight decay: the sum of tanh(x w) + lam/2 w^2": lambda: (
            torch.tanh(t * u) + graph.DECAY / 2 * u * u
        ).sum(),
    }[case.right.__doc__.split(": the one")[0].removesuffix(".")]()
    y.backward(torch.tensor(g))
    output = function(x, w)
    np.testing.assert_allclose(output.array, y.detach().numpy(), rtol=1e-12)
    expected = [t.grad.numpy(), u.grad.numpy()]
    right = graph.gradients(case.right, graph.walk, g, x.array, w.array)
    for a, n in zip(right, expected, strict=True):
        np.testing.assert_allclose(a, n, rtol=1e-10)
    output.backward(g)
    wrong = [None if v.grad is None else v.grad.array for v in (x, w)]
    assert any(a is None or not np.allclose(a, n) for a, n in zip(wrong, expected, strict=True))


def test_ratios_of_the_graph():
    """x*x assigned is half of it; counted twice and stale gradients are twice of it."""
    x, w, g = np.random.default_rng(4).standard_normal((3, 2, 3))
    half = graph.gradients(graph.reused, graph.assigning, g, x, w)[0]
    np.testing.assert_allclose(half, g * x)
    h = np.tanh(x * w)
    double = graph.gradients(graph.branched, graph.twice, g, x, w)[0]
    np.testing.assert_allclose(double, 2 * (g * 2 * h * (1 - h * h) * w))
    stale = graph.Stale()
    graph.gradients(graph.chained, stale, g, x, w)
    again = graph.gradients(graph.chained, stale, g, x, w)[0]
    np.testing.assert_allclose(again, 2 * (g * (1 - h * h) * w))


@pytest.mark.parametrize("case", false_alarms.CASES, ids=lambda c: f"{c.code}-{c.operation.name}")
def test_right_cases_are_right(case):
    rng = np.random.default_rng(5)
    inputs, params = case.sample(rng)
    y = case.operation.forward(*inputs, **params)
    g = rng.standard_normal(y.shape).astype(y.dtype)
    found = case.operation.backward(g, *inputs, **params)
    _, expected = by_torch(case.operation.name, inputs, params, g)
    assert y.dtype == inputs[0].dtype
    for a, n, x in zip(found, expected, inputs, strict=True):
        assert a.dtype == x.dtype
        np.testing.assert_allclose(a, n, rtol=1e-4 if a.dtype == np.float32 else 1e-12, atol=1e-5)


# ---- the catalogue and its pages -------------------------------------------------------------


def test_the_catalogue_is_complete():
    assert list(CATALOGUE) == [f"GB{i:03d}" for i in range(1, 92)]
    assert {c for c, bug in CATALOGUE.items() if not bug.mistake} == NOT_MISTAKES
    for code, bug in CATALOGUE.items():
        assert bug.code == code
        assert all(isinstance(t, str) and t.isascii() for t in bug[1:6])
        assert len(bug.title) <= 60
        assert bug.remedy.endswith((".", ")"))
        assert not any("\n" in line for line in (bug.wrong, bug.right))
        assert max(len(bug.wrong), len(bug.right)) <= 66, "the page would break the line"
        assert bug.wrong != bug.right


def test_every_mistake_is_implemented():
    mutants = {m.code for op in OPERATIONS.values() for m in op.mutants}
    cases = {case.code for case in graph.CASES}
    assert cases == IN_THE_GRAPH
    assert mutants | cases == set(CATALOGUE) - NOT_MISTAKES
    assert {case.code for case in false_alarms.CASES} == NOT_MISTAKES


@pytest.mark.parametrize("code", CATALOGUE)
def test_a_page_reads_well(code):
    text, bug = pages.page(code), CATALOGUE[code]
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 80
    words = " ".join(text.split())
    for part in (code, bug.title, bug.wrong, bug.right, bug.signature, bug.remedy):
        assert " ".join(part.split()) in words
    assert "Example: " in text


def test_a_page_computes_its_example():
    """GB044 by hand: the middle pixel of 3x3 receives from four windows, assigned from the last."""
    lines = pages.page("GB044").splitlines()
    at = next(i for i, line in enumerate(lines) if "dinput, right" in line)
    assert lines[at + 1 : at + 4] == [
        "   2  3 -2          2 -1 -2",
        "  -1 12  3          1  3  6",
        "  -1  0  9         -1 -3  9",
    ]


def test_the_command_lists_and_shows():
    listed = CliRunner().invoke(app, ["bugs"])
    assert listed.exit_code == 0
    assert all(f"{c}  {b.title}" in listed.output for c, b in CATALOGUE.items())
    assert listed.output.startswith("General\n  GB001  ignores g\n")
    for given in ("GB044", "gb44", "44"):
        shown = CliRunner().invoke(app, ["bugs", given])
        assert shown.output.startswith("GB044  col2im assigns instead of adds\n")


@pytest.mark.parametrize(
    ("given", "nearest"),
    [("GB092", "GB091 (no mask), GB090"), ("0", "GB001 (ignores g)"), ("sign", "GB002 (sign)")],
)
def test_an_unknown_code_names_the_nearest(given, nearest):
    with pytest.raises(ArgumentError, match="bugs: there is no") as error:
        pages.page(given)
    assert nearest in str(error.value)
    assert "\n" not in str(error.value)
