"""The README keeps its word: its example prints what it shows, its commands and figures exist."""

import re
import subprocess
import sys
from pathlib import Path

import test_structure
from typer.testing import CliRunner

from minicnn.cli import app

README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_example_prints_what_the_readme_shows():
    code, shown = blocks("python")[0], blocks("text")[0]
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == shown
    assert len([line for line in code.splitlines() if line.strip()]) <= 15


def test_the_diagnosis_is_the_one_that_the_readme_shows():
    code, shown = blocks("python")[1], blocks("text")[1]
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    errors = r"error [0-9.e-]+"  # rounding, which is another one with another BLAS
    assert re.sub(errors, "", out.stdout).startswith(re.sub(errors, "", shown))


def test_the_lines_to_import_can_be_imported():
    code = blocks("python")[2]
    assert "import minicnn as torch" in code
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_training_from_python_runs(tmp_path):
    code = blocks("python")[3].replace("epochs=3, limit=2000", "epochs=1, limit=200")
    assert "limit=200)" in code
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert out.stdout.splitlines()[-1].startswith("runs/lenet5-mnist-1 0.")


def test_every_command_it_names_exists():
    named = set(re.findall(r"`minicnn (\w+)", README))
    commands = {c.name or c.callback.__name__ for c in app.registered_commands}
    assert named == commands | {group.name for group in app.registered_groups}
    for path in re.findall(r"`python ([\w/]+\.py)", README):
        assert (Path(__file__).parent.parent / path).exists()


def test_the_commands_are_one_line_each_and_make_their_environment():
    train, test, *_ = blocks("sh")
    for command in (train, test):
        assert len(command.splitlines()) == 1
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install")
    assert train.strip().endswith("minicnn train")
    assert "pytest" in test
    assert CliRunner().invoke(app, ["train", "--help"]).exit_code == 0


def test_the_reading_order_is_the_tests_and_so_are_its_limits():
    order = README.partition("## Reading order")[2].partition("\n## ")[0]
    first, _, rest = order.partition("\n4. ")
    assert re.findall(r"`((?:kernels|minicnn)/\w+(?:/\w+)?\.py)`", first) == (
        test_structure.READING_PATH
    )
    assert "`minicnn/fusion.py`" in rest
    assert f"at most {test_structure.PATH_STATEMENTS} statements" in order
    assert f"no file has more than {test_structure.FILE_STATEMENTS}" in order


def test_the_folders_it_names_exist():
    root = Path(__file__).parent.parent
    for name in re.findall(r"`((?:minicnn|kernels|tests)/[\w/.]*)`", README):
        assert (root / name).exists(), name
