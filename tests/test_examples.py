"""The examples run in their small form, and the tutorials' among them are PyTorch programs too.

torchvision and torchsummary are not installed: in PyTorch's runs stand-ins take their place (the
fixture `torchvision`), which have the same names but do less, and give MNIST's images for all.
"""

import ast
import gzip
import importlib
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

import minicnn as mc
from minicnn.datasets import MNIST

FOLDER = Path(__file__).parent.parent / "examples"
PROGRAMS = sorted(str(p.relative_to(FOLDER)) for p in FOLDER.rglob("*.py"))
TUTORIALS = {
    "alexnet_fashion.py", "lenet_cifar10.py", "lenet_d2l.py", "lenet_tanh.py", "mnist_main.py",
    "lenet_fashion/model.py", "lenet_fashion/model_train.py", "lenet_fashion/model_test.py",
}  # fmt: skip


@pytest.fixture(scope="session")
def articles(tmp_path_factory):
    """A folder laid out as Fashion-MNIST's, with some of MNIST's images: there is no network."""
    folder = tmp_path_factory.mktemp("data")
    for part, train, count in (("train", True, 2000), ("t10k", False, 500)):
        digits = MNIST(train=train)
        arrays = ("images-idx3", digits.data), ("labels-idx1", digits.targets)
        for name, values in arrays:
            array = values.numpy()[:count].astype(np.uint8)
            sizes = np.array(array.shape, ">u4").tobytes()
            content = bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes()
            (folder / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(content, 1))
    return folder


def options(program, articles):
    """What the tests run a program with."""
    given = ["--small"] if "parser" in (FOLDER / program).read_text() else []
    fashion = "FashionMNIST" in (FOLDER / program).read_text()
    return [*given, "--data", str(articles)] if fashion else given


# ---- in minicnn --------------------------------------------------------------------------------

ALONE = [p for p in PROGRAMS if "/" not in p]
IN_ORDER = ["lenet_fashion/model.py", "lenet_fashion/model_train.py", "lenet_fashion/model_test.py"]


@pytest.mark.parametrize("programs", [*([p] for p in ALONE), IN_ORDER], ids=lambda p: p[-1])
def test_an_example_reaches_what_it_asserts(programs, articles, tmp_path):
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    for program in programs:
        command = [sys.executable, str(FOLDER / program), *options(program, articles)]
        run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
        assert run.returncode == 0, run.stderr
        assert run.stdout


TIME = r"\b(?:seconds|minutes?|hours?|[Tt]akes a second)\b"  # not "the second backward"


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_example_says_what_it_shows_and_asserts_it(program):
    tree = ast.parse((FOLDER / program).read_text())
    text = ast.get_docstring(tree)
    assert re.search(TIME, text), "how long does it take?"
    assert any(isinstance(node, ast.Assert) for node in ast.walk(tree))
    if program != "lenet_fashion/model.py":
        assert "--small" in text


def test_the_readme_names_every_example():
    readme = (FOLDER / "README.md").read_text()
    named = set(re.findall(r"`([\w/]+\.py)`", readme))
    assert named == set(PROGRAMS)


# ---- the tape: step 0 of the reading order -----------------------------------------------------

TAPE = (FOLDER / "tape.py").read_text()
ONLY_NUMPY = """
import runpy, sys

class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "numpy"}:
            raise ImportError(f"{name} is not NumPy")

sys.meta_path.insert(0, Refuses())
for name in ("minicnn", "torch", "numba"):
    assert name not in sys.modules
    try:
        __import__(name)
    except ImportError:
        continue
    raise AssertionError(f"{name} can be imported")
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def test_the_tape_needs_only_numpy_and_reaches_what_it_prints():
    command = [sys.executable, "-c", ONLY_NUMPY, str(FOLDER / "tape.py")]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    losses = [float(x) for x in re.findall(r"step +\d+: loss (\S+)", run.stdout)]
    assert len(losses) == 4
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.05
    (accuracy,) = re.findall(r"test: loss \S+, accuracy (\S+)%", run.stdout)
    assert float(accuracy) > 97
    by_backward, numeric = map(float, re.findall(r"(\S+) by", run.stdout))
    assert abs(by_backward) > 1e-4
    assert by_backward == pytest.approx(numeric, abs=2e-8)


def test_the_tape_is_one_page():
    assert len(TAPE.splitlines()) <= 120
    imports = [n for n in ast.walk(ast.parse(TAPE)) if isinstance(n, (ast.Import, ast.ImportFrom))]
    assert [ast.unparse(n) for n in imports] == ["import numpy as np"]


def test_the_tape_names_what_stands_for_it_in_the_engine():
    rows = re.findall(r"^    (\S.*?)  +(\S.*?)  +\S", ast.get_docstring(ast.parse(TAPE)), re.M)
    assert rows[0] == ("here", "minicnn")
    names = [name for _, column in rows[1:] for name in column.replace("/", "").split(", ")]
    assert {"autograd.Tensor", "autograd.Context", "autograd.Function"} < set(names)
    for name in names:
        module, _, attribute = f"minicnn.{name}".rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def tape_and_pytorch(text, rng):
    """Gradients by the tape and by PyTorch, and how often the tape's Tanh went back.

    In this network one value goes two ways; a second backward adds to what the first one left.
    """
    tape = executed("tape.py", text.partition("# ---- two spirals")[0])
    calls, backward = [], tape.Tanh.backward
    tape.Tanh.backward = lambda ctx, g: calls.append(ctx) or backward(ctx, g)
    arrays = [rng.standard_normal(shape) for shape in ((5, 3), (3, 4), (4,), (4, 2))]
    labels = np.array([0, 1, 1, 0, 1])
    leaves = [tape.Tensor(a) for a in arrays]
    for _ in range(2):
        x, w, b, v = leaves
        h = tape.Tanh.apply(x @ w + b)
        tape.CrossEntropy.apply((h + tape.Tanh.apply(h)) @ v, tape.Tensor(labels)).backward()
    expected = [torch.tensor(a, requires_grad=True) for a in arrays]
    for _ in range(2):
        x, w, b, v = expected
        h = torch.tanh(x @ w + b)
        torch.nn.functional.cross_entropy((h + h.tanh()) @ v, torch.tensor(labels)).backward()
    return [t.grad for t in leaves], [t.grad.numpy() for t in expected], len(calls)


def test_the_tapes_gradients_are_pytorchs(rng):
    found, expected, calls = tape_and_pytorch(TAPE, rng)
    for g, e in zip(found, expected, strict=True):
        assert g.dtype == np.float64
        np.testing.assert_allclose(g, e, rtol=1e-12, atol=1e-14)
    assert calls == 4  # each node once: the youngest first


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("else target.grad + g", "else g"),
        ("arrived.get(target, 0) + g", "g"),
        ("max(arrived", "min(arrived"),
        ("g.reshape(-1, *ctx.shape).sum(0)", "g.reshape(-1, *ctx.shape).mean(0)"),
        ("g @ ctx.b.T, ctx.a.T @ g", "g @ ctx.b.T, 2 * ctx.a.T @ g"),
        ("1 - ctx.y**2", "1 - ctx.y"),
        ("/ len(one_hot)", ""),
        ("(ctx.softmax - one_hot)", "ctx.softmax"),
    ],
)
def test_a_wrong_line_in_the_tape_is_noticed(right, wrong, rng):
    assert TAPE.count(right) == 1
    found, expected, calls = tape_and_pytorch(TAPE.replace(right, wrong), rng)
    close = all(np.allclose(g, e, rtol=1e-6) for g, e in zip(found, expected, strict=True))
    assert not close or calls != 4


# ---- in PyTorch --------------------------------------------------------------------------------

IMPORTS = {  # every import line of minicnn's in the tutorials' programs, and PyTorch's
    "import minicnn as torch": "import torch",
    "import minicnn.data as Data": "import torch.utils.data as Data",
    "import minicnn.nn as nn": "import torch.nn as nn",
    "import minicnn.nn.functional as F": "import torch.nn.functional as F",
    "import minicnn.optim as optim": "import torch.optim as optim",
    "from minicnn import nn, summary": "from torch import nn; from torchsummary import summary",
    "from minicnn import nn, transforms": "from torch import nn; "
    "from torchvision import transforms",
    "from minicnn import nn, summary, transforms": "from torch import nn; "
    "from torchsummary import summary; from torchvision import transforms",
    "from minicnn import transforms": "from torchvision import transforms",
    "from minicnn.datasets import CIFAR10": "from torchvision.datasets import CIFAR10",
    "from minicnn.datasets import FashionMNIST": "from torchvision.datasets import FashionMNIST",
    "from minicnn.datasets import MNIST": "from torchvision.datasets import MNIST",
    "from minicnn.optim.lr_scheduler import StepLR": "from torch.optim.lr_scheduler import StepLR",
    "from minicnn.utils.data import DataLoader, Subset": "from torch.utils.data import "
    "DataLoader, Subset",
}


def for_pytorch(program):
    """The program's text with other import lines; nothing else may speak of minicnn."""
    lines = [IMPORTS.get(line, line) for line in (FOLDER / program).read_text().splitlines()]
    text = "\n".join(lines)
    names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    modules = [
        getattr(node, "module", None) or node.names[0].name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    assert not [m for m in modules if m.startswith("minicnn")], "an import line that is not listed"
    assert "minicnn" not in names
    return text


class Digits(torch.utils.data.Dataset):
    """MNIST in torchvision's place: float images instead of PIL's, so that ToTensor has no work."""

    def __init__(self, root=None, train=True, transform=None, download=False):
        digits = MNIST(train=train)
        self.data = torch.from_numpy(digits.data.numpy()[:4000])
        self.targets = digits.targets.tolist()[:4000]
        self.classes, self.transform = digits.classes, transform

    def __getitem__(self, i):
        return self.transform(self.data[i][None] / 255), self.targets[i]

    def __len__(self):
        return len(self.data)


def compose(steps):
    def run(image):
        for step in steps:
            image = step(image)
        return image

    return run


def resize(size):
    return lambda image: torch.nn.functional.interpolate(image[None], (size, size))[0]


@pytest.fixture
def torchvision(monkeypatch):
    """Stand-ins for torchvision and torchsummary, which are not installed."""
    modules = {
        "torchvision": {},
        "torchvision.transforms": {
            "Compose": compose,
            "ToTensor": lambda: lambda image: image,
            "Resize": resize,
            "Pad": lambda n: lambda image: torch.nn.functional.pad(image, (n,) * 4),
            "Normalize": lambda mean, std: lambda image: (image - mean[0]) / std[0],
        },
        "torchvision.datasets": {"MNIST": Digits, "FashionMNIST": Digits, "CIFAR10": Digits},
        "torchsummary": {"summary": lambda model, size: model(torch.zeros(1, *size)).shape},
    }
    for name, contents in modules.items():
        module = types.ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules["torchvision"].transforms = sys.modules["torchvision.transforms"]
    loader = torch.utils.data.DataLoader
    monkeypatch.setattr(  # no worker processes, no warning that there is no GPU
        torch.utils.data,
        "DataLoader",
        lambda *args, num_workers=0, pin_memory=False, **kw: loader(*args, **kw),
    )


def executed(program, text, run="example"):
    module = types.ModuleType(run)
    exec(compile(text, f"{program} (PyTorch)", "exec"), vars(module))
    return module


@pytest.fixture
def in_pytorch(torchvision, monkeypatch):
    """program -> its namespace after its definitions, or after all of it, have run in PyTorch."""

    def run(program, name="example"):
        model = FOLDER / program.replace(Path(program).name, "model.py")
        if model.exists():
            found = executed(model.name, for_pytorch("lenet_fashion/model.py"))
            monkeypatch.setitem(sys.modules, "model", found)
        return executed(program, for_pytorch(program), name)

    return run


MODELS = {  # what makes the model, and its input
    "lenet_fashion/model.py": ("LeNet", (3, 1, 28, 28)),
    "lenet_d2l.py": ("net", (3, 1, 28, 28)),
    "lenet_cifar10.py": ("LeNet", (3, 3, 32, 32)),
    "lenet_tanh.py": ("TanhLeNet", (3, 1, 32, 32)),
    "mnist_main.py": ("Net", (3, 1, 28, 28)),
    "alexnet_fashion.py": ("AlexNet", (1, 1, 227, 227)),
}


@pytest.mark.parametrize("program", MODELS)
def test_a_step_is_pytorchs(program, in_pytorch, rng):
    """The same weights and images: the same loss before and after one step."""
    name, shape = MODELS[program]
    ours = getattr(executed(program, (FOLDER / program).read_text()), name)
    theirs = getattr(in_pytorch(program), name)
    ours, theirs = (m if name == "net" else m() for m in (ours, theirs))
    theirs.load_state_dict({k: torch.from_numpy(v.numpy()) for k, v in ours.state_dict().items()})
    x = rng.random(shape, np.float32)
    y = rng.integers(0, 10, len(x))
    found, expected = (
        losses(lib, net.eval(), lib.from_numpy(x), lib.from_numpy(y))
        for lib, net in ((mc, ours), (torch, theirs))
    )
    assert expected[0] != expected[1]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def losses(lib, net, x, y):
    """Before and after a step; in evaluation mode, since dropout's masks differ."""
    optimizer = lib.optim.SGD(net.parameters(), lr=0.01)
    first = lib.nn.functional.cross_entropy(net(x), y)
    first.backward()
    optimizer.step()
    with lib.no_grad():
        return first.item(), lib.nn.functional.cross_entropy(net(x), y).item()


WHOLE = [  # the whole of a large AlexNet once in PyTorch is not worth its time
    ["lenet_d2l.py"], ["lenet_cifar10.py"], ["lenet_tanh.py"], ["mnist_main.py"], IN_ORDER,
]  # fmt: skip


@pytest.mark.parametrize("programs", WHOLE, ids=lambda p: p[-1])
def test_a_tutorial_runs_in_pytorch(programs, in_pytorch, articles, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for program in programs:
        monkeypatch.setattr(sys, "argv", [program, *options(program, articles)])
        in_pytorch(program, "__main__")


def test_the_tutorials_are_all_tried():
    assert {p for ps in WHOLE for p in ps} | set(MODELS) == TUTORIALS
    assert set(PROGRAMS) >= TUTORIALS
