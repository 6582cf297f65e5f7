"""CONTRIBUTING.md to the letter: its Mish, put into a copy of this repository, is accepted."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core.caching import _CacheLocator

from minicnn.kernels.numba_cpu import cache_folder

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
SECTION = TEXT.partition("## How to add an op with a kernel")[2].partition("\n## ")[0]
HEADED = r"`([\w/.]+)`(?:, (before `[^`]+`|at the end))?:\n\n```(\w+)\n(.*?)\n```\n"
BLOCKS = re.findall(HEADED, SECTION, re.DOTALL)  # (file, where, language, code)


# ---- following the text ------------------------------------------------------------------------


def put(text, where, language, code):
    """A file's text with a block where CONTRIBUTING says that it goes."""
    if language == "diff":
        for hunk in code.split("\n@@\n"):
            before, after = (
                "\n".join(line[1:] for line in hunk.split("\n") if line[:1] in " " + sign) + "\n"
                for sign in "-+"
            )
            assert text.count(before) == 1, before
            text = text.replace(before, after)
        return text
    if where == "at the end":
        return f"{text}\n\n{code}\n"
    beginning = where.removeprefix("before ").strip("`")
    (line,) = [line for line in text.splitlines() if line.startswith(beginning)]
    return text.replace(f"\n{line}\n", f"\n{code}\n\n\n{line}\n")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the repository, with Mish."""
    folder = tmp_path_factory.mktemp("copy")
    command = "git", "ls-files", "--cached", "--others", "--exclude-standard"
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(lambda name: os.path.lexists(ROOT / name), listed.splitlines()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    for name, *block in BLOCKS:
        (folder / name).write_text(put((folder / name).read_text(), *block))
    take_over_compiled_kernels(folder)
    return folder


def take_over_compiled_kernels(copy):
    """Gives the copy what is compiled here, but for the file that was changed: that takes long.

    Numba knows its work by the file's folder, time and size; ours is under a hash of all files.
    """
    show = "from minicnn.kernels.numba_cpu import cache_folder; print(cache_folder())"
    done = python(copy, "-c", show)
    caches = cache_folder(), Path(done.stdout.strip())
    here, there = (
        cache / _CacheLocator.get_suitable_cache_subpath(str(root / "minicnn/kernels/numba_cpu/x"))
        for cache, root in zip(caches, (ROOT, copy), strict=True)
    )
    if here.exists():
        ignored = shutil.ignore_patterns("activation.*", "*.tmp.*")
        shutil.copytree(here, there, ignore=ignored)


def python(copy, *args):
    """A program that sees the copy instead of this repository: what it did, and printed."""
    environment = os.environ | {
        "PYTHONPATH": str(copy), "MINICNN_CACHE_DIR": str(copy / "cache"),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, *args], cwd=copy, env=environment, capture_output=True, text=True
    )


def suite(copy, which, *files):
    """The tests of these files that concern Mish, or lists it must be in."""
    paths = [f"tests/test_{name}.py" for name in files]
    return python(copy, "-m", "pytest", "-x", "-p", "no:cacheprovider", "-k", which, *paths)


# ---- what must hold there ----------------------------------------------------------------------


def test_every_block_has_its_place_and_they_touch_seven_files():
    assert len(BLOCKS) == SECTION.count("```") / 2
    assert len({name for name, *_ in BLOCKS}) <= 7


@pytest.mark.parametrize(
    ("files", "which", "least"),
    [
        (("ops", "layers"), "mish or every_op_has or which_ops or every_layer", 50),
        (("kernels", "crosscheck"), "mish or each_implementation or recorded or a_model_for", 40),
        (("cuda_kernels", "cuda_compile"), "(mish and not device) or activation", 30),
        (("structure",), "activation or functional or reference or core or path", 5),
    ],
    ids=lambda x: x[0] if isinstance(x, tuple) else "",
)
def test_the_suite_accepts_it(copy, files, which, least):
    done = suite(copy, which, *files)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= least


def test_it_is_in_style(copy):
    files = [name for name, *_ in BLOCKS if name.endswith(".py")]
    for command in ("check", "format --check"):
        done = python(copy, "-m", "ruff", *command.split(), *files)
        assert done.returncode == 0, done.stdout


FUSED = """
import torch
import minicnn as mc
from minicnn import nn

torch.manual_seed(0)
theirs = torch.nn.Sequential(
    torch.nn.Conv2d(2, 3, (3, 2)), torch.nn.Mish(), torch.nn.Flatten(), torch.nn.Linear(54, 4),
    torch.nn.Mish(),
).double()
ours = nn.Sequential(
    nn.Conv2d(2, 3, (3, 2)), nn.Mish(), nn.Flatten(), nn.Linear(54, 4), nn.Mish(),
).double()
ours.load_state_dict({name: p.detach().numpy() for name, p in theirs.state_dict().items()})
x = 3 * torch.randn(5, 2, 5, 7, dtype=torch.double)
a, b = mc.tensor(x.numpy()).requires_grad_(), x.requires_grad_()
y, z = ours(a), theirs(b)
print(y.grad_fn)
(y * y).sum().backward()
(z * z).sum().backward()
pairs = [(y.detach(), z), (a.grad, b.grad)]
pairs += [(p.grad, q.grad) for p, q in zip(ours.parameters(), theirs.parameters(), strict=True)]
for p, q in pairs:
    error = abs(p.numpy() - q.detach().numpy()).max()
    assert error <= 1e-11 * abs(q).max(), error
"""


def test_it_is_part_of_one_node_with_pytorchs_gradients(copy):
    done = python(copy, "-c", FUSED)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "<Conv2d+Mish+Reshape+Linear+Mish>\n"


# ---- and that it can fail ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "right", "wrong", "test"),
    [
        ("kernels/reference.py", "t + x * (1 - t * t)", "t - x * (1 - t * t)", "kernels"),
        ("kernels/numba_cpu/activation.py", "(one - t * t)", "(one - t)", "kernels"),
        ("kernels/cuda/activation.cuh", "x * (1 - t * t) /", "x * (1 + t * t) /", "cuda_kernels"),
        ("tests/oracles.py", '    "Mish": F.mish,\n', "", "ops"),
    ],
)
def test_a_mistake_in_the_text_is_refused(copy, name, right, wrong, test):
    path = copy / name
    before = path.read_text()
    assert before.count(right) == 1
    path.write_text(before.replace(right, wrong))
    try:
        done = suite(copy, "mish and not device", test)
    finally:
        path.write_text(before)
    assert done.returncode == 1, done.stdout[-3000:]
    assert "mish" in done.stdout.lower()
