"""All that needs a GPU, in one run of under 8 minutes: tests, sanitizer, speed, a training.

    python tests/programs/gpu_run.py           (from the root; it writes gpu-report/summary.md)
    python tests/programs/gpu_run.py FOLDER

What it needs, with a driver of CUDA 13:

    pip install -e '.[test,cuda13]' nvidia-cuda-sanitizer-api

and for the comparison a PyTorch built for CUDA, as PyPI's for Linux is.  With a driver of CUDA 12:
pip install -e '.[test]', then pip uninstall -y cupy-cuda13x, for there must be only one CuPy, then
pip install 'cupy-cuda12x[ctk]' nvidia-cuda-sanitizer-api-cu12, and a PyTorch built for CUDA 12, as
pytorch.org says.

Each part has a time limit; one that fails or is stopped does not stop the others, and what it wrote
until then stays.  --stand-in runs a small form on the CPU stand-in for CuPy: a test of this script.
"""

import argparse
import contextlib
import csv
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
TESTS = HERE.parent
ROOT = TESTS.parent
TOTAL = 460  # seconds for all parts: more than their limits together
LIMITS = {
    "environment": 20, "tests": 150, "bench": 140, "training": 40, "memcheck": 50, "racecheck": 50
}  # fmt: skip
WORKERS = 4  # processes that share the tests, if pytest-xdist is there
IN_TRAINING = (  # the same run as the part "training"
    "tests/test_cuda_device.py::test_lenet_reaches_the_accuracy_that_it_has_on_the_cpu"
)
UNCAPTURED = {"alexnet"}  # whose products are cuBLAS's, which CuPy does not capture
EPOCHS = 3
ACCURACY = 0.989  # of LeNet after these epochs on the CPU

CUDA_FOLDERS = ("/usr/local/cuda*/bin", "/usr/local/cuda*/compute-sanitizer", "/opt/cuda/bin")


@dataclass
class Part:
    """A command, how long it may take, and what came of it."""

    name: str
    command: list[str]
    limit: float
    outcome: str = "not reached"
    seconds: float = 0.0
    last_line: str = ""


@dataclass
class Form:
    """What is run: everything on a GPU, or a small form of it on the stand-in."""

    folder: Path
    small: bool = False
    environment: dict[str, str] = field(
        default_factory=lambda: {**os.environ, "PYTHONUNBUFFERED": "1"}
    )

    def parts(self) -> list[Part]:
        """In the order of their worth, in case the time does not last."""
        me = [sys.executable, str(HERE / "gpu_run.py"), "--part"]
        stand_in = ["--stand-in"] if self.small else []
        commands = {
            "environment": [*me, "environment"],
            "tests": self.tests(),
            "bench": [*me, "bench", str(self.folder), *stand_in],
            "training": self.training(),
        }
        parts = [Part(name, command, LIMITS[name]) for name, command in commands.items()]
        return [*parts, *(self.sanitizer(tool) for tool in ("memcheck", "racecheck"))]

    def tests(self) -> list[str]:
        """pytest on what is marked gpu, but for the training that is a part of its own."""
        which = ["tests", "--deselect", IN_TRAINING]
        if self.small:
            which = ["tests/test_cuda_device.py", "-k", "same_bits and lenet5"]
        workers = 1 if self.small else WORKERS
        shared = ["-n", str(workers)] if importlib.util.find_spec("xdist") else []
        return [sys.executable, "-m", "pytest", "-m", "gpu", "-vv", *shared, *which]

    def training(self) -> list[str]:
        """LeNet as the command line trains it."""
        command = [sys.executable, "-m", "minicnn", "train", "--device", "cuda"]
        small = ["--limit", "20", "--batch-size", "8"] if self.small else []
        epochs = "1" if self.small else str(EPOCHS)
        return [*command, "--epochs", epochs, "--out", str(self.folder / "training"), *small]

    def sanitizer(self, tool: str) -> Part:
        """All kernels once under compute-sanitizer, if that is installed."""
        found = find_sanitizer()
        part = Part(tool, [], LIMITS[tool])
        if found is None:
            part.outcome = "not run: compute-sanitizer is not installed"
        else:
            small = ["--small"] if self.small else []
            script = [sys.executable, str(HERE / "gpu_kernels.py"), *small]
            part.command = [found, "--tool", tool, "--error-exitcode", "9", *script]
        return part


def find_sanitizer() -> str | None:
    """compute-sanitizer on PATH, or where CUDA's toolkit or its package for Python puts it."""
    named = [os.environ[n] + "/bin" for n in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(n)]
    usual = [str(p) for f in CUDA_FOLDERS for p in sorted(Path("/").glob(f[1:]), reverse=True)]
    packages = [str(p) for f in sys.path for p in sorted(Path(f).glob("nvidia/*/bin"))]
    path = os.pathsep.join([os.environ.get("PATH", ""), *named, *usual, *packages])
    return shutil.which("compute-sanitizer", path=path)


# ---- running -------------------------------------------------------------------------------------


def run_all(form: Form) -> list[Part]:
    """Runs the parts one after another; the summary is written anew after each."""
    form.folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + TOTAL
    parts = form.parts()
    write_summary(form, parts)
    for part in parts:
        if part.command:
            print(f"{part.name} (at most {part.limit:.0f} s) ...", flush=True)
            run(part, form, end)
        print(f"{part.name}: {part.outcome}", flush=True)
        write_summary(form, parts)
    return parts


def run(part: Part, form: Form, end: float) -> None:
    """Runs a part until it ends or its time is over; its output goes to a file of its name."""
    limit = min(part.limit, end - time.monotonic())
    if limit <= 0:
        part.outcome = "not run: no time was left"
        return
    log = form.folder / f"{part.name}.txt"
    start = time.monotonic()
    with open(log, "w") as out:
        process = subprocess.Popen(
            part.command, cwd=ROOT, env=form.environment, stdout=out, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(limit)
            part.outcome = "passed" if code == 0 else f"failed, {_ended(code)}"
        except subprocess.TimeoutExpired:
            part.outcome = f"stopped after {limit:.0f} s"
        finally:  # its children too, and when this process is interrupted
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    part.seconds = time.monotonic() - start
    lines = log.read_text(errors="replace").strip().splitlines()
    part.last_line = lines[-1] if lines else ""


def _ended(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"ended by {signal.Signals(-code).name}"


# ---- the parts that are functions of this file ---------------------------------------------------


def environment() -> None:
    """Prints the GPU, and the versions of all that takes part."""
    import platform
    from importlib import metadata

    import minicnn
    from minicnn.arrays import import_cupy

    runtime = import_cupy().cuda.runtime
    about = runtime.getDeviceProperties(0)
    print(f"GPU          {about['name'].decode()}, compute capability {about['major']}."
          f"{about['minor']}, {about['totalGlobalMem'] / 1e9:.0f} GB")  # fmt: skip
    print(f"CUDA         {runtime.runtimeGetVersion()}, driver {runtime.driverGetVersion()}")
    print(f"python       {platform.python_version()} on {platform.platform()}")
    print(f"minicnn      {minicnn.__version__}")
    for name in ("numpy", "torch", "cupy-cuda12x", "cupy-cuda13x", "nvidia-cuda-nvrtc"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            print(f"{name:12} {metadata.version(name)}")
    sys.stdout.flush()
    if shutil.which("nvidia-smi"):
        subprocess.run(["nvidia-smi"])


def bench(folder: Path, small: bool) -> None:
    """Writes bench.json and prints the table, after every round there is time for."""
    from minicnn.bench import table_of_gpu

    start = before = time.monotonic()
    for figures in rounds(small):
        (folder / "bench.json").write_text(json.dumps(figures, indent=2) + "\n")
        print(f"\n{table_of_gpu(figures)}\n", flush=True)
        now = time.monotonic()
        if 1.1 * (now - before) > LIMITS["bench"] - (now - start):
            break
        before = now
    reasons = failures(figures)
    if reasons:
        sys.exit("\n".join(reasons))


def failures(figures: dict) -> list[str]:
    """What minicnn could not do, a line each; that AlexNet is not captured is no failure."""
    return [
        f"{name}, {row['model']} {row['work']}, batch {row['batch']}: {side['why']}"
        for row in figures["rows"]
        for name, side in row["sides"].items()
        if "why" in side
        and (name == "minicnn" or (name == "minicnn-graph" and row["model"] not in UNCAPTURED))
    ]


def rounds(small: bool) -> Iterator[dict]:
    """The bench's figures after each round; without PyTorch where that has no GPU."""
    from minicnn.bench.gpu import rounds_on_gpu
    from minicnn.errors import MinicnnError

    if small:
        yield from rounds_on_gpu(["lenet-sigmoid"], [2], quick=True)
        return
    try:
        yield from rounds_on_gpu(against="torch")
    except MinicnnError as error:
        if "PyTorch" not in str(error):
            raise
        print(f"PyTorch is not measured: {error}", flush=True)
        yield from rounds_on_gpu()


# ---- the summary ---------------------------------------------------------------------------------


def write_summary(form: Form, parts: list[Part]) -> None:
    """summary.md: each part's outcome, and on a GPU the goals beside what was measured."""
    title = "the stand-in, no GPU: a test of this script" if form.small else "a GPU"
    lines = [f"# minicnn on {title}", "", overall(parts), "", *_environment_lines(form.folder), ""]
    lines += ["| part | outcome | seconds | last line |", "| --- | --- | ---: | --- |"]
    lines += [
        f"| {p.name} | {p.outcome} | {p.seconds:.0f} | {_told(p).replace('|', '/')[:120]} |"
        for p in parts
    ]
    if not form.small:
        lines += ["", "| goal | found | met |", "| --- | --- | --- |"]
        lines += [f"| {goal} | {found} | {met} |" for goal, found, met in goals(form.folder)]
    lines += [
        "",
        "What each part printed is in the file of its name; bench.json holds all figures.",
    ]
    text = "\n".join(lines) + "\n"
    temporary = form.folder / "summary.md.part"
    temporary.write_text(text)
    temporary.replace(form.folder / "summary.md")


def overall(parts: list[Part]) -> str:
    """For example "4 of 6 parts passed, 2 not run"."""
    counts = {
        kind: sum(p.outcome.startswith(kind) for p in parts)
        for kind in ("passed", "failed", "stopped", "not run", "not reached")
    }
    others = [f"{n} {kind}" for kind, n in counts.items() if n and kind != "passed"]
    return ", ".join([f"{counts['passed']} of {len(parts)} parts passed", *others])


def _told(part: Part) -> str:
    """The last line of a part, where it says something: how many tests passed, or what failed."""
    says = part.name == "tests" or part.outcome.startswith(("failed", "stopped"))
    return part.last_line.strip("= ") if says else ""


def _environment_lines(folder: Path) -> list[str]:
    path = folder / "environment.txt"
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return [f"    {line}" for line in lines[:10]]


def goals(folder: Path) -> list[tuple[str, str, str]]:
    """(goal, what was found, whether it is met) for every goal; "not measured" where it is so."""
    rows = {}
    with contextlib.suppress(OSError, ValueError):
        figures = json.loads((folder / "bench.json").read_text())
        rows = {(row["model"], row["work"], row["batch"]): row for row in figures["rows"]}
    found = []
    for batch in (64, 256):
        row = rows.get(("lenet-sigmoid", "training", batch))
        for theirs, title, least in (
            ("torch", "PyTorch eager", 5.0), ("torch-graph", "PyTorch with CUDA graphs", 1.5)
        ):  # fmt: skip
            goal = f"sigmoid LeNet training, batch {batch}: at least {least} times {title}"
            found.append(_at_least(goal, _ratio(row, theirs), least))
    seconds = _seconds(rows.get(("lenet-sigmoid", "training", 64)))
    goal = "sigmoid LeNet training, batch 64: a step in at most 60 us"
    text = None if seconds is None else f"{1e6 * seconds:.1f} us"
    found.append(_judged(goal, text, (seconds or 1) <= 60e-6))
    goal = "AlexNet training, batch 128: at least 0.8 times PyTorch eager"
    found.append(_at_least(goal, _ratio(rows.get(("alexnet", "training", 128)), "torch"), 0.8))
    return [*found, _training_goal(folder)]


def _seconds(row: dict | None) -> float | None:
    """Of minicnn's step: that of its graph, which it trains with, or eager where there is none."""
    sides = {} if row is None else row["sides"]
    for name in ("minicnn-graph", "minicnn"):
        if "seconds" in sides.get(name, {}):
            return sides[name]["seconds"]
    return None


def _ratio(row: dict | None, theirs: str) -> float | None:
    ours = _seconds(row)
    seconds = None if row is None else row["sides"].get(theirs, {}).get("seconds")
    return None if ours is None or seconds is None else seconds / ours


def _at_least(goal: str, ratio: float | None, least: float) -> tuple[str, str, str]:
    return _judged(goal, None if ratio is None else f"{ratio:.2f}", (ratio or 0) >= least)


def _judged(goal: str, found: str | None, met: bool) -> tuple[str, str, str]:
    return goal, found or "not measured", "-" if found is None else "yes" if met else "no"


def _training_goal(folder: Path) -> tuple[str, str, str]:
    goal = f"LeNet, {EPOCHS} epochs: a test accuracy of at least {ACCURACY:.1%}, as on the CPU"
    try:
        accuracy = json.loads((folder / "training/test.json").read_text())["accuracy"]
        history = (folder / "training/history.csv").read_text().splitlines()
        seconds = sum(float(row["seconds"]) for row in csv.DictReader(history))
    except (OSError, ValueError, KeyError):
        return _judged(goal, None, False)
    return _judged(goal, f"{accuracy:.2%} in {seconds:.1f} s", accuracy >= ACCURACY)


# ---- the command ---------------------------------------------------------------------------------


def standin_environment(folder: Path) -> dict[str, str]:
    """Variables with which every Python finds the stand-in in place of CuPy when it starts."""
    (folder / "sitecustomize.py").write_text(
        "from types import SimpleNamespace\n"
        "from cuda_on_cpu import standin\n"
        "standin.install(SimpleNamespace(setitem=dict.__setitem__))\n"
    )
    path = [str(folder), str(TESTS), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def missing() -> str | None:
    """What a machine lacks for this, in one line."""
    sys.path.insert(0, str(ROOT))
    from minicnn import cuda
    from minicnn.errors import DeviceError

    try:
        cuda.get_device_name()
    except DeviceError as error:
        return str(error)
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs all that needs a GPU.")
    parser.add_argument("folder", nargs="?", default="gpu-report", type=Path)
    parser.add_argument("--stand-in", action="store_true", help="a small form, on the CPU")
    parser.add_argument("--part", choices=("environment", "bench"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part == "environment":
        environment()
        return 0
    if args.part == "bench":
        bench(args.folder, args.stand_in)
        return 0
    lacking = None if args.stand_in else missing()
    if lacking is None and args.folder.exists():
        lacking = f"{args.folder} exists; move it away, or name another folder"
    if lacking is not None:
        print(f"gpu_run: {lacking}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="minicnn-gpu-") as temporary:
        form = Form(args.folder.absolute(), args.stand_in)
        if form.small:
            form.environment |= standin_environment(Path(temporary))
        parts = run_all(form)
    print(f"the figures are in {args.folder}/summary.md")
    return 1 if any(p.outcome.startswith(("failed", "stopped")) for p in parts) else 0


if __name__ == "__main__":
    sys.exit(main())
