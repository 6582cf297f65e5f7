"""All that needs a GPU, in one run of under 8 minutes: tests, sanitizer, speed, a training.

    python tests/gpu_run.py            (from the root; figures go to gpu-report/, see summary.md)
    python tests/gpu_run.py FOLDER

It needs pip install -e '.[test,cuda13]' nvidia-cuda-sanitizer-api, and a PyTorch with CUDA for the
comparison.  With a driver of CUDA 12: -e '.[test]', then pip uninstall -y cupy-cuda13x, for there
must be only one CuPy, and pip install 'cupy-cuda12x[ctk]' nvidia-cuda-sanitizer-api-cu12.
Each part has a time limit; one that fails or is stopped does not stop the others, and what it wrote
until then stays.  --stand-in runs a small form on the CPU stand-in for CuPy: a test of this script.
"""

import argparse
import contextlib
import csv
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
ROOT = HERE.parent
TOTAL = 460  # seconds for all parts
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
        python, me = sys.executable, str(HERE / "gpu_run.py")
        few = ["tests/test_cuda_device.py", "-k", "same_bits and lenet5"]
        tests = few if self.small else ["tests"]
        training = ["--limit", "20", "--batch-size", "8"] if self.small else []
        stand_in = ["--stand-in"] if self.small else []
        epochs = 1 if self.small else EPOCHS
        folder = str(self.folder)
        return [
            Part("environment", [python, me, "--part", "environment"], 30),
            Part("tests", [python, "-m", "pytest", "-m", "gpu", "-vv", *tests], 150),
            Part("bench", [python, me, "--part", "bench", folder, *stand_in], 150),
            Part(
                "training",
                [python, "-m", "minicnn", "train", "--device", "cuda", "--epochs", str(epochs),
                 "--out", f"{folder}/training", *training],
                40,
            ),
            *(self.sanitizer(tool) for tool in ("memcheck", "racecheck")),
        ]  # fmt: skip

    def sanitizer(self, tool: str) -> Part:
        """All kernels once under compute-sanitizer, if that is installed."""
        found = find_sanitizer()
        part = Part(tool, [], 60)
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
    write_summary(form.folder, parts)
    for part in parts:
        if part.command:
            print(f"{part.name} (at most {part.limit:.0f} s) ...", flush=True)
            run(part, form, end)
        print(f"{part.name}: {part.outcome}", flush=True)
        write_summary(form.folder, parts)
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
    """Writes bench.json and prints the table, after every round."""
    from minicnn.bench import table_of_gpu

    for figures in rounds(small):
        (folder / "bench.json").write_text(json.dumps(figures, indent=2) + "\n")
        print(f"\n{table_of_gpu(figures)}\n", flush=True)
    if any("why" in row["sides"]["minicnn"] for row in figures["rows"]):
        sys.exit("some steps failed: see the end of the table")


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


def write_summary(folder: Path, parts: list[Part]) -> None:
    """summary.md: each part's outcome, and the goals beside what was measured."""
    lines = ["# minicnn on a GPU", "", *_environment_lines(folder), ""]
    lines += ["| part | outcome | seconds | last line |", "| --- | --- | ---: | --- |"]
    lines += [
        f"| {p.name} | {p.outcome} | {p.seconds:.0f} | {p.last_line.replace('|', '/')[:120]} |"
        for p in parts
    ]
    lines += ["", "| goal | found | met |", "| --- | --- | --- |"]
    lines += [f"| {goal} | {found} | {met} |" for goal, found, met in goals(folder)]
    lines += [
        "",
        "What each part printed is in the file of its name; bench.json holds all figures.",
    ]
    text = "\n".join(lines) + "\n"
    temporary = folder / "summary.md.part"
    temporary.write_text(text)
    temporary.replace(folder / "summary.md")


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
    path = [str(folder), str(HERE), str(ROOT), os.environ.get("PYTHONPATH", "")]
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
