"""What is around minicnn is missing, broken or full: a line says so, and what can go on goes on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BLOCK = """
import os, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in os.environ.get("MISSING", "").split():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""
# What happens when they are imported.
BROKEN = {
    "missing": ("numba", "raise ModuleNotFoundError(\"No module named 'numba'\", name='numba')"),
    "too old for NumPy": ("numba", "raise ImportError('Numba needs NumPy 1.26 or less. Got 2.3.')"),
    "no LLVM library": ("llvmlite", "raise OSError('Could not find/load shared object file')"),
}
TRAIN = ("train", "--limit", 40, "--epochs", 1, "--batch-size", 32)


@pytest.fixture
def around(tmp_path):
    """Runs the command line, or a script, with modules put before all others."""

    def run(*args, modules=None, script=None, **options):
        first = tmp_path / "first"
        first.mkdir(exist_ok=True)
        for name, text in {"sitecustomize": BLOCK, **(modules or {})}.items():
            (first / f"{name}.py").write_text(text)
        env = os.environ | {"PYTHONPATH": str(first)} | options.pop("env", {})
        what = ["-m", "minicnn", *map(str, args)] if script is None else ["-c", script]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        return subprocess.run([sys.executable, *what], env=env, timeout=300, **options)

    return run


def one_line(out, code=1):
    assert out.returncode == code, out.stderr
    assert len(out.stderr.splitlines()) == 1, out.stderr
    return out.stderr


# ---- packages ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", BROKEN)
def test_without_a_working_numba_the_reference_serves_and_one_line_says_so(how, around, tmp_path):
    name, text = BROKEN[how]
    out = around(*TRAIN, "--out", tmp_path / "run", modules={name: text})
    line = one_line(out, 0)
    assert line.startswith("minicnn: Numba does not work (")
    assert "many times slower; pip install 'numba>=0.61'" in line
    assert "test accuracy" in out.stdout

    out = around(modules={name: text}, script=(
        "import minicnn as mc; from minicnn import kernels\n"
        "kernels.use('numba'); kernels.use('numba'); mc.nn.Conv2d(1, 2, 3)(mc.ones(1, 1, 5, 5))\n"
        "print(kernels.which('conv2d'))"
    ))  # fmt: skip
    assert out.stdout == "reference\n"
    one_line(out, 0)


@pytest.mark.parametrize("args", [["warmup"], [*TRAIN, "--kernels", "crosscheck"]])
def test_what_needs_numba_says_so(args, around, tmp_path):
    out = around(*args, env={"MISSING": "numba"}, cwd=tmp_path)
    assert out.returncode == 1
    assert "Traceback" not in out.stderr
    assert "numba" in out.stderr.splitlines()[-1].lower()


@pytest.mark.parametrize("package", ["matplotlib", "PIL"])
def test_a_training_goes_on_without_pictures_and_says_so(package, around, tmp_path):
    out = around(*TRAIN, "--out", tmp_path / "run", env={"MISSING": package})
    assert out.returncode == 0, out.stderr
    assert out.stderr == ""
    lines = out.stdout.splitlines()
    assert lines[-3].startswith(f"no pictures: the package {package.replace('PIL', 'pillow')} ")
    assert lines[-2].startswith("test accuracy")
    assert (tmp_path / "run" / "test.json").exists()
    out = around("test", tmp_path / "run", env={"MISSING": package})
    assert out.returncode == 0, out.stderr
    assert "no pictures: " in out.stdout
    assert "pictures: /" not in out.stdout.replace("no pictures: ", "")


@pytest.mark.parametrize(
    ("package", "args"),
    [
        ("safetensors", TRAIN),
        ("pillow", ["predict", "run", "picture.png"]),
        ("typer", ["models"]),
        ("numpy", ["--version"]),
    ],
)
def test_a_missing_package_is_one_line_that_names_it(package, args, around, tmp_path):
    if args[0] == "predict":
        assert around(*TRAIN, "--out", "run", cwd=tmp_path).returncode == 0
        (tmp_path / "picture.png").write_bytes((tmp_path / "run/curves.png").read_bytes())
    name = package.replace("pillow", "PIL")
    out = around(*args, env={"MISSING": name}, cwd=tmp_path)
    assert one_line(out) == (
        f"minicnn: the package {package} cannot be imported (No module named {name!r}): "
        f"pip install {package}\n"
    )
    assert "epoch" not in out.stdout  # before the training, not after


# ---- variables ---------------------------------------------------------------------------------


def test_without_docstrings(around):
    for args in (["models"], ["exercises", "list"], ["bugs"], ["--help"]):
        out = around(*args, env={"PYTHONOPTIMIZE": "2"})
        assert out.returncode == 0, out.stderr


def test_pictures_are_drawn_whatever_mplbackend_says(around, tmp_path):
    out = around(*TRAIN, "--out", tmp_path / "run", env={"MPLBACKEND": "nonsense"})
    assert out.returncode == 0, out.stderr
    assert (tmp_path / "run" / "predictions.png").exists()
    script = (
        "from minicnn.training import pictures; pictures._figure(1); import os, matplotlib\n"
        "print(os.environ['MPLBACKEND'], matplotlib.get_backend())"
    )
    out = around(script=script, env={"MPLBACKEND": "svg"})
    assert out.stdout == "svg svg\n"


# ---- standard output ---------------------------------------------------------------------------


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize(
    "args",
    ["models", "datasets", "bugs", "exercises list", "exercises validate 1", "--version",
     "gradcheck --op sigmoid"],
)  # fmt: skip
def test_a_full_standard_output_is_one_line_and_an_error(args, around):
    with open("/dev/full", "w") as full:
        out = around(*args.split(), stdout=full)
    assert one_line(out) == "minicnn: standard output: No space left on device\n"


# ---- signals -----------------------------------------------------------------------------------

STOPS = "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(10)"


@pytest.mark.parametrize("module", ["numpy", "typer"])
@pytest.mark.parametrize("script", [False, True])
def test_ctrl_c_while_python_imports_is_one_line(module, script, around, tmp_path):
    entry = None
    if script:  # as pip writes it
        entry = f"import sys; sys.argv = ['{tmp_path}/minicnn', 'models']\n"
        entry += "from minicnn.cli import main; sys.exit(main())"
    out = around("models", modules={module: STOPS}, script=entry)
    assert one_line(out, 130) == "minicnn: stopped\n"


def test_a_program_that_imports_minicnn_keeps_its_own_handling(around):
    out = around(modules={"numpy": STOPS}, script="import minicnn")
    assert "Traceback" in out.stderr


@pytest.mark.skipif(not os.path.exists("/proc"), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_bench_takes_its_worker_along(number, tmp_path):
    command = [sys.executable, "-m", "minicnn", "bench", "--models", "lenet", "--threads", "1"]
    env = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=env, text=True)
    while not (children := _children(process.pid)):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(30) == 128 + number
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    time.sleep(0.1)
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert not list(tmp_path.iterdir())  # the data for the workers


def _children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


# ---- the cache of compiled kernels ---------------------------------------------------------------

STEP = """
import minicnn as mc
from minicnn import nn
nn.ReLU()(mc.ones(3, requires_grad=True)).sum().backward()
"""
READ_ONLY = """
import os
real = os.access
os.access = lambda path, mode: "disk" not in str(path) and real(path, mode)
"""


def test_a_cache_deleted_in_mid_run_is_made_anew(around, tmp_path):
    cache = tmp_path / "cache"
    delete = f"import shutil; shutil.rmtree({str(cache)!r})\n"
    script = STEP + delete + STEP.replace("ReLU", "Tanh")
    out = around(script=script, env={"MINICNN_CACHE_DIR": str(cache)})
    assert out.returncode == 0, out.stderr
    assert list(cache.rglob("*.nbc"))


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """A filled cache."""
    folder = tmp_path_factory.mktemp("of") / "disk"
    env = os.environ | {"MINICNN_CACHE_DIR": str(folder)}
    subprocess.run([sys.executable, "-c", STEP], env=env, check=True, capture_output=True)
    return folder


def test_a_filled_cache_on_a_read_only_disk_serves(disk, around, tmp_path):
    before = sorted(path.name for path in disk.rglob("*"))
    env = {"MINICNN_CACHE_DIR": str(disk), "TMPDIR": str(tmp_path)}
    out = around(script=READ_ONLY + STEP, env=env)
    assert (out.returncode, out.stderr) == (0, "")  # not compiled
    copied = next(tmp_path.glob("minicnn-*"))
    assert sorted(path.name for path in copied.rglob("*")) == before
    assert sorted(path.name for path in disk.rglob("*")) == before
    assert around(script=READ_ONLY + STEP, env=env).stderr == ""


@pytest.mark.parametrize("how", ["open to all", "of another user"])
@pytest.mark.parametrize("part", ["disk", "kernels-*", "kernels-*/**/*.nbi", "kernels-*/**/*.nbc"])
def test_only_a_cache_that_others_cannot_write_is_read(part, how, disk, tmp_path, monkeypatch):
    from minicnn.kernels.numba_cpu import compiling

    folder = shutil.copytree(disk, tmp_path / "disk")
    (kernels,) = folder.iterdir()
    assert compiling._trusted(kernels)
    path = folder if part == "disk" else next(folder.glob(part))
    if how == "open to all":
        path.chmod(0o777)
        assert not compiling._trusted(kernels)
        return
    real = os.lstat

    def lstat(of, *args, **options):
        about = list(real(of, *args, **options))
        about[4] = 12345 if Path(of) == path else about[4]
        return os.stat_result(about)

    monkeypatch.setattr(Path, "lstat", lstat)
    assert not compiling._trusted(kernels)


def test_a_cache_behind_a_link_is_not_trusted(disk, tmp_path):
    from minicnn.kernels.numba_cpu import compiling

    folder = shutil.copytree(disk, tmp_path / "disk")
    (kernels,) = folder.iterdir()
    index = next(kernels.rglob("*.nbi"))
    index.rename(tmp_path / "elsewhere")
    index.symlink_to(tmp_path / "elsewhere")
    assert not compiling._trusted(kernels)
