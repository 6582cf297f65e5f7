"""gpu_run.py, the script for who has a GPU: on the stand-in, and its summary of made-up parts."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import gpu_run
import pytest
import test_cuda_device
from gpu_run import Form, Part

SCRIPT = Path(gpu_run.__file__)


def command(*args, **variables):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, args)], capture_output=True, text=True,
        env={**os.environ, **variables},
    )  # fmt: skip


@pytest.fixture
def sanitizer(tmp_path, monkeypatch):
    """A compute-sanitizer on PATH that notes its options, and runs the program."""
    folder = tmp_path / "bin"
    folder.mkdir()
    tool = folder / "compute-sanitizer"
    tool.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/options\nshift 4\nexec "$@"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "options"


def test_a_small_form_of_all_of_it_on_the_stand_in(tmp_path, sanitizer):
    folder = tmp_path / "report"
    out = command(folder, "--stand-in")
    assert out.returncode == 0, out.stdout + out.stderr
    summary = (folder / "summary.md").read_text()
    for part in ("environment", "tests", "bench", "training", "memcheck", "racecheck"):
        assert f"| {part} | passed | " in summary, summary
        assert (folder / f"{part}.txt").exists()
    title, overall = summary.splitlines()[:3:2]
    assert title == "# minicnn on the stand-in, no GPU: a test of this script"
    assert overall == "6 of 6 parts passed"
    assert "GPU          CPU stand-in" in summary
    assert "goal" not in summary
    (told,) = re.findall(r"\| tests \| passed \| \d+ \| (.*) \|", summary)
    assert re.fullmatch(r"1 passed.* in [\d.]+s", told)
    tools = [line.split()[:4] for line in sanitizer.read_text().splitlines()]
    assert tools == [["--tool", t, "--error-exitcode", "9"] for t in ("memcheck", "racecheck")]
    figures = json.loads((folder / "bench.json").read_text())
    assert set(figures["rows"][0]["sides"]["minicnn"]) > {"seconds", "bytes"}
    assert "Microseconds a step." in (folder / "bench.txt").read_text()
    assert command(folder, "--stand-in").stderr == (
        f"gpu_run: {folder} exists; move it away, or name another folder\n"
    )


def test_without_a_gpu_it_says_so_in_one_line(tmp_path):
    out = command(tmp_path / "report", CUDA_VISIBLE_DEVICES="")
    assert (out.returncode, out.stdout) == (1, "")
    (line,) = out.stderr.splitlines()
    assert line.startswith("gpu_run: device 'cuda'")
    assert not (tmp_path / "report").exists()


def program(name, code, limit=20.0):
    return Part(name, [sys.executable, "-c", code], limit)


def test_a_part_that_fails_or_is_stopped_does_not_stop_the_others(tmp_path, monkeypatch):
    slow = (  # its child would outlive it
        "import subprocess, sys, time; print('half', flush=True); "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        f"open(r'{tmp_path / 'child'}', 'w').write(str(child.pid)); time.sleep(60)"
    )
    parts = [
        program("bad", "print('some'); raise SystemExit('no GPU | at all')"),
        program("dead", "import os; os.kill(os.getpid(), 11)"),
        program("slow", slow, limit=1.5),
        Part("absent", [], 1.0, outcome="not run: compute-sanitizer is not installed"),
        program("good", "print('fine')"),
        program("tests", "print('=== 3 passed, 1 skipped in 2s ===')"),
    ]
    form = Form(tmp_path)
    monkeypatch.setattr(Form, "parts", lambda form: parts)
    start = time.monotonic()
    assert gpu_run.run_all(form) == parts
    assert time.monotonic() - start < 10
    lines = (tmp_path / "summary.md").read_text().splitlines()
    assert lines[0] == "# minicnn on a GPU"
    assert lines[2] == "2 of 6 parts passed, 2 failed, 1 stopped, 1 not run"
    rows = [line for line in lines if line.startswith("| ")]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows[2:8]]
    assert [(name, outcome, last) for name, outcome, _, last in cells] == [
        ("bad", "failed, exit code 1", "no GPU / at all"),
        ("dead", "failed, ended by SIGSEGV", ""),
        ("slow", "stopped after 2 s", "half"),
        ("absent", "not run: compute-sanitizer is not installed", ""),
        ("good", "passed", ""),
        ("tests", "passed", "3 passed, 1 skipped in 2s"),
    ]
    assert any(row.startswith("| AlexNet training, batch 128: at least 0.8") for row in rows)
    assert (tmp_path / "bad.txt").read_text() == "some\nno GPU | at all\n"
    number = int((tmp_path / "child").read_text())
    stat = Path(f"/proc/{number}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_what_the_time_does_not_last_for_is_not_run(tmp_path, monkeypatch):
    parts = [program("late", "print(1)")]
    monkeypatch.setattr(Form, "parts", lambda form: parts)
    monkeypatch.setattr(gpu_run, "TOTAL", 0)
    gpu_run.run_all(Form(tmp_path))
    assert parts[0].outcome == "not run: no time was left"
    assert gpu_run.overall(parts) == "0 of 1 parts passed, 1 not run"


def test_all_parts_together_stay_under_8_minutes(tmp_path, sanitizer):
    """Each has its time, whatever the others need."""
    parts = Form(tmp_path).parts()
    assert {p.name: p.limit for p in parts} == gpu_run.LIMITS
    assert all(p.command for p in parts)
    assert sum(p.limit for p in parts) < gpu_run.TOTAL < 8 * 60 - 10


def test_the_tests_are_shared_out_and_leave_the_training_to_its_part(tmp_path, monkeypatch):
    file, name = gpu_run.IN_TRAINING.split("::")
    assert gpu_run.ROOT / file == Path(test_cuda_device.__file__)
    assert getattr(test_cuda_device, name).pytestmark[0].name == "gpu"
    command = Form(tmp_path).tests()
    assert command[-5:] == ["-n", "4", "tests", "--deselect", gpu_run.IN_TRAINING]
    monkeypatch.setattr(gpu_run.importlib.util, "find_spec", lambda name: None)
    assert Form(tmp_path).tests() == [*command[:-5], *command[-3:]]


def row(model, batch, **seconds):
    names = {name.replace("_", "-"): s for name, s in seconds.items()}
    sides = {n: {"seconds": s} if isinstance(s, float) else {"why": s} for n, s in names.items()}
    return {"model": model, "work": "training", "batch": batch, "sides": sides, "ratios": {}}


def test_a_capture_that_fails_is_a_failure_of_the_bench(tmp_path, monkeypatch, capsys):
    """But for AlexNet's, and PyTorch's."""
    fine = [
        row("alexnet", 128, minicnn=20e-3, minicnn_graph="no capture", torch="no memory"),
        row("lenet-colour", 64, minicnn=2e-4, minicnn_graph=1e-4, torch_graph="no capture"),
    ]
    bad = [
        row("lenet-sigmoid", 64, minicnn=200e-6, minicnn_graph="a pointer moved"),
        row("alexnet", 128, minicnn="out of memory", minicnn_graph=1e-3),
    ]
    assert gpu_run.failures({"rows": fine}) == []
    monkeypatch.setattr("minicnn.bench.table_of_gpu", lambda figures: "the table")
    monkeypatch.setattr(gpu_run, "rounds", lambda small: iter([{"rows": [*fine, *bad]}]))
    with pytest.raises(SystemExit) as end:
        gpu_run.bench(tmp_path, False)
    assert end.value.code.splitlines() == [
        "minicnn-graph, lenet-sigmoid training, batch 64: a pointer moved",
        "minicnn, alexnet training, batch 128: out of memory",
    ]
    assert "the table" in capsys.readouterr().out
    assert json.loads((tmp_path / "bench.json").read_text())["rows"][2:] == bad


@pytest.mark.parametrize(("seconds", "rounds"), [(10, 3), (60, 2), (100, 1)])
def test_the_bench_begins_no_round_that_it_could_not_end(tmp_path, monkeypatch, seconds, rounds):
    clock, done = [0.0], []

    def figures(small):
        for number in range(3):
            clock[0] += seconds
            done.append(number)
            yield {"rows": []}

    monkeypatch.setattr("minicnn.bench.table_of_gpu", lambda figures: "")
    monkeypatch.setattr(gpu_run, "rounds", figures)
    monkeypatch.setattr(gpu_run.time, "monotonic", lambda: clock[0])
    gpu_run.bench(tmp_path, False)
    assert len(done) == rounds


def test_goals_stand_beside_what_was_found(tmp_path):
    rows = [
        row("lenet-sigmoid", 64, minicnn=200e-6, minicnn_graph=50e-6, torch=300e-6,
            torch_graph=70e-6),
        row("lenet-sigmoid", 256, minicnn=200e-6, minicnn_graph=90e-6, torch="no memory",
            torch_graph=180e-6),
        row("alexnet", 128, minicnn=20e-3, minicnn_graph="no capture", torch=15e-3,
            torch_graph=14e-3),
    ]  # fmt: skip
    (tmp_path / "bench.json").write_text(json.dumps({"rows": rows}))
    (tmp_path / "training").mkdir()
    (tmp_path / "training/test.json").write_text('{"accuracy": 0.9905}')
    (tmp_path / "training/history.csv").write_text("epoch,seconds\n1,2.5\n2,1.25\n")
    found = [(what, met) for _, what, met in gpu_run.goals(tmp_path)]
    assert found == [
        ("6.00", "yes"), ("1.40", "no"), ("not measured", "-"), ("2.00", "yes"),
        ("50.0 us", "yes"), ("0.75", "no"), ("99.05% in 3.8 s", "yes"),
    ]  # fmt: skip
    assert {met for *_, met in gpu_run.goals(tmp_path / "nothing")} == {"-"}
    (tmp_path / "bench.json").write_text('{"rows": [')  # stopped while writing
    assert gpu_run.goals(tmp_path)[0][1] == "not measured"


def test_the_sanitizer_is_found_where_cudas_toolkit_puts_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(gpu_run, "CUDA_FOLDERS", ())
    monkeypatch.delenv("CUDA_PATH", raising=False)
    monkeypatch.delenv("CUDA_HOME", raising=False)
    monkeypatch.setattr(sys, "path", [])
    assert gpu_run.find_sanitizer() is None
    part = Form(tmp_path).sanitizer("memcheck")
    assert (part.command, part.outcome) == ([], "not run: compute-sanitizer is not installed")
    tool = tmp_path / "cuda-13.0/bin/compute-sanitizer"
    tool.parent.mkdir(parents=True)
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setattr(gpu_run, "CUDA_FOLDERS", (f"{tmp_path}/cuda*/bin",))
    assert gpu_run.find_sanitizer() == str(tool)
    monkeypatch.setattr(gpu_run, "CUDA_FOLDERS", ())
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "cuda-13.0"))
    assert gpu_run.find_sanitizer() == str(tool)
    monkeypatch.delenv("CUDA_HOME")
    packaged = tmp_path / "site-packages/nvidia/cu13/bin/compute-sanitizer"
    packaged.parent.mkdir(parents=True)
    tool.rename(packaged)
    assert gpu_run.find_sanitizer() is None
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site-packages")])
    assert gpu_run.find_sanitizer() == str(packaged)


def test_the_stand_in_is_not_asked_which_names_cupy_has(tmp_path):
    """Not even by the first process of all, which nothing has been kept for yet."""
    code = (
        "from cuda_on_cpu import names; print('astype' in names._known().get('ndarray', 'astype'))"
    )
    environment = gpu_run.standin_environment(tmp_path) | {"MINICNN_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "True\n"
