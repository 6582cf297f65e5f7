"""The course: the exercises themselves, and every command as a learner meets it."""

import contextlib
import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from minicnn import exercises
from minicnn.cli import main
from minicnn.errors import ArgumentError, DataError
from minicnn.exercises import progress, validation
from minicnn.exercises.checking import Wrong, compare, same, sizes
from minicnn.exercises.exercise import COURSE, Exercise, list_exercises, make, pick
from minicnn.exercises.learner import from_functions, load_file
from minicnn.exercises.mutants import Mutant
from minicnn.exercises.results import Finding, Result, Stop
from minicnn.exercises.runner import check_here
from minicnn.exercises.terminal import PLAIN, plain

SOLUTION = pick(6).solution
ENV = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent), "PYTHONIOENCODING": "utf-8"}


def command(folder, *args):
    """The command in this process: what it prints, and its exit code."""
    out, err, argv = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["minicnn", "exercises", *map(str, args)]
    try:
        with (
            contextlib.chdir(folder), contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err), pytest.raises(SystemExit) as end,
        ):  # fmt: skip
            main()
    finally:
        sys.argv = argv
    code = end.value.code or 0
    return subprocess.CompletedProcess(args, code, out.getvalue(), err.getvalue())


def program(folder, *args, **env):
    """The command as a program of its own."""
    return subprocess.run(
        [sys.executable, "-m", "minicnn", "exercises", *map(str, args)], capture_output=True,
        text=True, cwd=folder, env=ENV | env, encoding="utf-8",
    )  # fmt: skip


def refused(out, code=2):
    """The message of an error, which must be all there is."""
    assert out.returncode == code, (out.stdout, out.stderr)
    assert out.stdout == ""
    assert len(out.stderr.splitlines()) == 1, out.stderr
    return out.stderr.strip()


@pytest.fixture
def started(tmp_path):
    """A learner's folder in which exercise 6 is started, and its file."""
    assert command(tmp_path, "start", 6).returncode == 0
    return tmp_path, tmp_path / "exercises" / "ex06_linear.py"


def checked(started, source, *args):
    """What `check` prints of a file with this content, and its exit code."""
    folder, file = started
    file.write_text(source, "utf-8")
    out = command(folder, "check", 6, *args)
    assert out.stderr == ""
    return out.stdout, out.returncode


# ---- the exercises -----------------------------------------------------------------------------


@pytest.mark.parametrize("exercise", list_exercises(), ids=lambda exercise: exercise.key)
def test_stub_fails_solution_passes_and_every_mistake_is_named(exercise):
    report = validation.validate(exercise.folder, seeds=1)
    assert report.faults == []
    assert report.mutants >= 5


def copied(tmp_path, **texts):
    """The small exercise that `new` makes, with other texts in some of its files."""
    exercise = make(tmp_path / "22_twice")
    for name, (old, new) in texts.items():
        file = exercise.folder / name.replace("_", ".")
        text = file.read_text("utf-8")
        assert old in text
        file.write_text(text.replace(old, new), "utf-8")
    return exercise


def test_what_new_makes_is_valid(tmp_path):
    assert validation.validate(copied(tmp_path).folder, seeds=3).faults == []


@pytest.mark.parametrize(
    ("texts", "fault"),
    [
        ({"solution_py": ("raise NotImplementedError", "return 2 * x + 1 if 'g' not in locals() "
          "else 2 * g")}, "stub, seed 0: must fail"),
        ({"solution_py": ("raise NotImplementedError", "return nothing")}, "and not by an error"),
        ({"solution_py": ("2 * g", "3 * g")}, "solution, seed 0: must pass"),
        ({"mutants_py": ('"GB005"', '"GB077"')}, "found GB005: "),
        ({"mutants_py": ('"return 4 * g"', '"return 2 * g"')}, "found nothing: it passes"),
        ({"mutants_py": ('"2 * x + 1", "2 * x"', '"2 * z", "2 * x"')}, "occurs 0 times"),
        ({"text_md": ("array([ 3., 11.])", "array([ 3., 12.])")}, "array([ 3., 11.])"),
        ({"text_md": (">>>", "   ")}, "no example (>>>)"),
        ({"text_md": ("# Twice", "Twice")}, "must begin with a heading"),
        ({"text_md": ("A small", "A ∮ small")}, "line 3: ∮ has no ASCII stand-in"),
        ({"text_md": ("──►", "──► ε")}, "stand-in of one character"),
        ({"text_md": ("A small", "A small" + 40 * " y")}, "columns, not at most 78"),
        ({"hints_md": ("# Formula", "# Formulae")}, "# Question, # Formula, # Line"),
        ({"checker_py": (", gradients, sizes", ", gradients")}, "name 'sizes' is not defined"),
    ],
)  # fmt: skip
def test_validate_sees(tmp_path, texts, fault):
    faults = validation.validate(copied(tmp_path, **texts).folder, seeds=1).faults
    assert fault in "\n".join(faults)


MARKED = '''"""Two functions."""

import math

#:
from elsewhere import helper


#:
class Hidden:
    x = 1

    y = 2


class Shown:
    def f(self, x):
        """Of x."""
        #: # begin with u
        #: raise NotImplementedError
        for u in x:

            helper(u)

    def g(self):
        return 2
'''
STUB = '''"""Two functions."""

import math

class Shown:
    def f(self, x):
        """Of x."""
        # begin with u
        raise NotImplementedError

    def g(self):
        return 2
'''


def test_the_stub_has_other_lines_in_the_place_of_marked_blocks(tmp_path):
    exercise = copied(tmp_path)
    (exercise.folder / "solution.py").write_text(MARKED)
    assert exercise.stub == STUB
    assert exercise.solution.splitlines() == [s for s in MARKED.splitlines() if "#:" not in s]


def test_validate_names_missing_files(tmp_path):
    exercise = copied(tmp_path)
    (exercise.folder / "hints.md").unlink()
    assert validation.validate(exercise.folder, 1).faults == ["hints.md is missing"]


def test_numbers_and_names(tmp_path):
    course = list_exercises()
    assert [exercise.number for exercise in course] == list(range(1, len(course) + 1))
    for which in (6, "6", "06", "linear", "06_linear", "ex06_linear.py", "LINEAR"):
        assert pick(which).key == "06_linear"
    with pytest.raises(ArgumentError, match=r"no exercise 'linaer'; did you mean linear\?"):
        pick("linaer")
    with pytest.raises(ArgumentError, match="no exercise 99; `minicnn exercises list` shows all"):
        pick(99)
    extra = copied(tmp_path)
    for path in (tmp_path, extra.folder):
        assert pick(22, [path]).folder == extra.folder
    with pytest.raises(DataError, match="has no folder named like 22_batch_norm"):
        list_exercises([tmp_path / "nowhere"])
    shutil.copytree(extra.folder, tmp_path / "06_again")
    with pytest.raises(DataError, match=r"6 is both .*06_linear and .*06_again"):
        list_exercises([tmp_path])


# ---- what a check sees -------------------------------------------------------------------------


def test_a_wrong_gradient_is_named_and_the_seed_repeats_it(started):
    wrong = SOLUTION.replace("g.T @ x", "g.T @ x / len(x)")
    text, code = checked(started, wrong, "--seed", 5)
    assert code == 1
    assert "exercise 6, linear: not yet" in text
    assert "GB018: linear_backward: mean over the batch added" in text
    assert "dweight is exactly 1/" in text
    assert "(--seed 5 repeats these inputs)" in text
    assert max(map(len, text.splitlines())) <= 80
    assert checked(started, wrong, "--seed", 5)[0] == text
    assert checked(started, wrong)[0] != text  # fresh inputs


def test_a_planted_mistake_is_recognised_however_it_is_written(started):
    einsum = "__import__('numpy').einsum('ni,oi->no', x, weight)"
    text, code = checked(started, SOLUTION.replace("x @ weight.T + bias", einsum))
    assert code == 1
    assert "bias-missing: the bias is not added" in text
    assert "+ bias, once per sample" in text
    assert "linear_forward(x, weight, bias)" in text


def test_a_planted_mistake_of_a_backward_pass_names_the_gradient(tmp_path):
    loop = pick(12).solution.replace("dweight[o] += g[n, o, i, j] * window",
                                     "dweight[o] = window * g[n, o, i, j]")  # fmt: skip
    (tmp_path / "ex12_conv2d_backward.py").write_text(loop)
    (finding,) = exercises.check(12, folder=tmp_path).findings
    assert finding[:2] == ("GB044", "conv2d_backward: dweight is assigned, not added up")
    assert "dweight of conv2d_backward" in finding.where
    assert "`minicnn bugs GB044` explains it" in finding.where


def test_a_mistake_that_cannot_happen_on_these_inputs_is_passed_over():
    def ends(planted):
        raise Stop("type", "not the learner's doing")

    learner = load_file(COURSE / "06_linear" / "solution.py")
    assert learner.wrong(ends) == []  # of no exercise
    learner.exercise = pick(6)
    assert len(learner.wrong(ends)) == 3
    assert compare("f(x)", 2.0, 1.0, wrong=learner.wrong(ends))[0].code == "value"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("return x @ weight.T + bias", "raise NotImplementedError",
         "todo: linear_forward is not written yet"),
        ("def linear_backward(", "def linear_backwards(", "missing: there is no linear_backward"),
        ("g @ weight ", "g @ weigth ", "NameError: name 'weigth' is not defined"),
        ("def linear_forward(", "def linear_forward(:", "syntax: Python cannot read line 6"),
        ("dx = g @ weight", "exit()", "raises SystemExit"),
        ("dx = g @ weight", "import os; os._exit(3)", "died: Python ended with exit code 3"),
        ("dx = g @ weight", "input('?')", "EOFError"),
        ("dx = g @ weight", "dx = [] + x.tolist() + 1", "line 23, in linear_backward:"),
        ("def linear_forward(x, weight, bias)", "def linear_forward(x, w)",
         "arguments: linear_forward takes other arguments"),
        ('"""Exercise', "import nothing_like_it\n'''", "syntax: "),
    ],
)  # fmt: skip
def test_errors_of_the_learner_come_with_their_line(started, old, new, said):
    assert old in SOLUTION
    text, code = checked(started, SOLUTION.replace(old, new, 1))
    assert code == 1
    assert said in text
    assert "Traceback" not in text
    assert len(text.splitlines()) < 24


def test_what_a_checker_stumbles_over_is_told_kindly(tmp_path):
    file = tmp_path / "ex03_value.py"
    file.write_text(pick(3).solution.replace("self.grad ", "self.gradient "), "utf-8")
    (finding,) = exercises.check(3, folder=tmp_path).findings
    assert finding.code == "unexpected"
    assert finding.found == "AttributeError: 'Value' object has no attribute 'grad'"
    assert "checker.py; if your code is as the stub promises" in finding.where


def test_what_the_code_prints_is_shown_once_and_cut(started):
    text, _ = checked(started, SOLUTION.replace("    dx =", "    print('xyz' * 999)\n    dx ="))
    assert "your code printed\n  xyzxyz" in text
    assert "... (and more)" in text
    assert len(text) < 6000


def test_an_endless_loop_ends_with_its_line(tmp_path, monkeypatch):
    file = tmp_path / "ex06_linear.py"
    loop = "    import time\n    try:\n        time.sleep(9)\n    except:\n        pass\n"
    loop += "    while True:\n        pass\n"  # the first alarm is swallowed, the second is not
    file.write_text(SOLUTION.replace("    dx =", loop + "    dx ="), "utf-8")
    monkeypatch.setattr("minicnn.exercises.runner.LIMIT", 0.3)
    exercise = pick(6)
    result = check_here(exercise, lambda: load_file(file), [str(file)], 0)
    assert result.findings[0].code == "time"
    assert result.findings[0].title == "no end after 0.3 s"
    assert "in linear_backward" in result.findings[0].where


def test_a_child_that_does_not_end_itself_is_killed(tmp_path, monkeypatch):
    file = tmp_path / "ex06_linear.py"
    deaf = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\n"
    file.write_text(deaf + "while True:\n    pass\n", "utf-8")
    monkeypatch.setattr("minicnn.exercises.runner.LIMIT", 0.2)
    monkeypatch.setattr("minicnn.exercises.runner.GRACE", 1.5)
    start = time.perf_counter()
    result = exercises.check(6, folder=tmp_path)
    assert result.findings[0].code == "time"
    assert time.perf_counter() - start < 10


LEARNED = {
    "by forward differences": """
def linear_backward(g, x, weight, bias):
    return tuple(slope(g, [x, weight, bias], i) for i in range(3))
def slope(g, inputs, k):
    result = np.zeros(inputs[k].shape)
    for i in np.ndindex(result.shape):
        moved = [a.copy() for a in inputs]
        moved[k][i] += 1.0
        result[i] = (g * (linear_forward(*moved) - linear_forward(*inputs))).sum()
    return result
""",
    "by the complex step": """
def linear_backward(g, x, weight, bias):
    f = lambda *inputs: (g * linear_forward(*inputs)).sum()
    def slope(k, i):
        moved = [a.astype(complex) for a in (x, weight, bias)]
        moved[k][i] += 1e-20j
        return f(*moved).imag / 1e-20
    return tuple(np.array([slope(k, i) for i in np.ndindex(a.shape)]).reshape(a.shape)
                 for k, a in enumerate((x, weight, bias)))
""",
    "inline, with a small step": """
def linear_backward(g, x, weight, bias):
    dx = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += 1e-6
        down[i] -= 1e-6
        dx[i] = (g * ((up @ weight.T + bias) - (down @ weight.T + bias))).sum() / 2e-6
    return dx, g.T @ x, g.sum(axis=0)
""",
}
BORROWED = {
    "the engine": "import minicnn as mc\ndef linear_forward(x, weight, bias):\n    return "
    "mc.nn.functional.linear(mc.tensor(x), mc.tensor(weight), mc.tensor(bias)).numpy()\n",
    "the kernels": "from minicnn.kernels.reference import linear as f\n"
    "def linear_forward(x, weight, bias):\n    return f(x, weight, bias)[0]\n",
    "PyTorch": "import torch\ndef linear_forward(x, weight, bias):\n    return "
    "torch.nn.functional.linear(*map(torch.from_numpy, (x, weight, bias))).numpy()\n",
}


@pytest.mark.parametrize(("codes", "expected"), [(LEARNED, "differences"), (BORROWED, "library")])
def test_shortcuts_are_seen(tmp_path, codes, expected):
    for how, code in codes.items():
        file = tmp_path / "ex06_linear.py"
        file.write_text(f"{SOLUTION}\nimport numpy as np\n{code}", "utf-8")
        result = check_here(pick(6), lambda f=file: load_file(f), [str(file)], 1)
        assert [finding.code for finding in result.findings] == [expected], how


def test_a_helper_that_is_called_with_an_array_much_like_the_input_is_no_shortcut(tmp_path):
    file = tmp_path / "ex01_f.py"
    file.write_text(
        "import numpy as np\n"
        "def relu(x):\n    return np.maximum(x, 0)\n"
        "def halved(y):\n    return y / 2\n"
        "def f(x):\n    return halved(relu(x)) + halved(relu(x))\n"
    )
    x = np.array([1.0, -2, 3])  # relu changes one entry
    assert load_file(file).f(x).tolist() == [1, 0, 3]


def test_a_changed_argument_is_seen():
    def f(x):
        x += 1
        return x

    learner = from_functions({"f": f, "g": lambda x: x + 1})
    learner.g(np.zeros(3))
    with pytest.raises(Stop) as stop:
        learner.f(np.zeros(3))
    assert stop.value.finding.code == "GB009"
    assert learner.plain("f")(np.zeros(3)).sum() == 3


def test_compare_names_known_mistakes_and_finds_the_worst_entry():
    x = np.arange(12.0).reshape(3, 4)
    assert compare("f(x)", x + 1e-12, x) == []
    wrong = [
        Wrong("boom", "fails", lambda: x.reshape(5)),
        Wrong("twice", "doubled", 2 * x, "the 2"),
    ]
    assert compare("f(x)", 2 * x, x, wrong=wrong)[0][:2] == ("twice", "doubled")
    off = x.copy()
    off[1, 2] = 9.5
    (finding,) = compare("f(x)", off, x, axes="(N, C)", where="f")
    assert finding.code == "value"
    assert finding.expected == "6 at [1, 2] of (N, C)"
    assert finding.found == "9.5 there; wrong in 8% of 12 entries"
    assert compare("f(x)", x.T, x)[0].code == "shape"
    for nothing in (None, "a", [[1], [1, 2]], {}):
        assert compare("f(x)", nothing, x)[0].code == "type"
    (finding,) = compare("f(x)", x + 1e-9, x, derivative=True)
    assert finding.code == "differences"
    assert compare("f(x)", np.full((3, 4), np.nan), x)[0].code == "value"
    assert not same(x.astype(complex), x)
    rng = np.random.default_rng(0)
    assert all(len({*sizes(rng, 4)}) == 4 for _ in range(50))


# ---- the commands ------------------------------------------------------------------------------


def test_a_way_through_an_exercise(tmp_path):
    """From an empty folder by what is printed: list, start, check, hints, pass, solution."""
    out = command(tmp_path, "list")
    assert out.stdout.splitlines()[0] == "  1 [ ] chain_rule" + out.stdout.splitlines()[0][18:]
    assert out.stdout.splitlines()[-1] == "next: minicnn exercises start 1"
    assert not (tmp_path / "exercises").exists()  # looking leaves nothing behind
    assert "None is started yet: `minicnn exercises start 1`" in refused(command(tmp_path, "check"))
    assert "`minicnn exercises start 1` makes it" in refused(command(tmp_path, "check", 1))

    out = command(tmp_path, "start", "chain_rule")
    assert out.stdout.startswith("# The chain rule for numbers\n")
    assert out.stdout.endswith("when it is written: minicnn exercises check 1\n")
    file = tmp_path / "exercises" / "ex01_chain_rule.py"
    assert file.read_text() == pick(1).stub
    out = command(tmp_path, "check")
    assert out.returncode == 1
    assert "todo: chain_forward is not written yet" in out.stdout
    assert out.stdout.endswith("a hint: minicnn exercises hint 1\n")

    hints = [command(tmp_path, "hint").stdout for _ in range(4)]
    kinds = [hint.splitlines()[0].rpartition(" ")[2] for hint in hints]
    assert kinds == ["question", "formula", "line", "line"]
    assert "du = da * 2 * u" in hints[2]
    for name in ("solution", "diff"):
        message = refused(command(tmp_path, name))
        assert "is shown once you have passed" in message
        assert "--give-up" in message

    solution = pick(1).solution
    file.write_text(solution.replace("u**2", "u * u"))
    assert "already, and is unchanged" in command(tmp_path, "start", 1).stdout
    out = command(tmp_path, "check")
    assert out.returncode == 0
    assert out.stdout.startswith("exercise 1, chain_rule: passed\n")
    assert "# Why it is so" in out.stdout
    assert out.stdout.endswith("next: minicnn exercises start 2\n")
    assert "# Why it is so" not in command(tmp_path, "check").stdout  # once
    assert solution.strip() in command(tmp_path, "solution").stdout
    assert "-    a = u * u\n+    a = u**2\n" in command(tmp_path, "diff").stdout
    assert command(tmp_path, "list").stdout.startswith("  1 [x] chain_rule")

    entry = json.loads((tmp_path / "exercises/.minicnn/progress.json").read_text())
    entry = entry["exercises"]["01_chain_rule"]
    assert (entry["hints"], entry["checks"]) == (3, 3)
    assert "passed" in entry
    assert "gave_up" not in entry


def test_without_a_command_there_is_help(tmp_path):
    out = command(tmp_path)
    assert (out.returncode, out.stderr) == (2, "")
    assert "Learn backpropagation by writing it" in out.stdout
    assert "by default ./exercises, or . if" in " ".join(
        command(tmp_path, "check", "--help").stdout.replace("│", " ").split()
    )


def test_giving_up_is_recorded(started):
    folder, file = started
    out = command(folder, "solution", 6, "--give-up")
    assert "dweight = g.T @ x" in out.stdout
    assert "[-] linear" in command(folder, "list").stdout
    assert "+    dweight = g.T @ x" in command(folder, "diff", 6).stdout
    file.write_text(SOLUTION)
    assert command(folder, "check", 6).returncode == 0
    entry = progress.load(folder / "exercises").exercises["06_linear"]
    assert {"gave_up", "passed"} <= set(entry)
    assert command(folder, "diff", 6).stdout == "your file is the solution, line for line\n"


def test_reset_keeps_what_was_written(started):
    folder, file = started
    command(folder, "hint", 6)
    for number, text in enumerate(("# first\n", "# second\n"), 1):
        file.write_text(text)
        out = command(folder, "reset", "linear")
        assert "is as at the start" in out.stdout
        backup = folder / "exercises" / ".minicnn" / "backups" / f"ex06_linear.{number}.py"
        assert backup.read_text() == text
        assert str(backup.relative_to(folder)) in out.stdout
        assert file.read_text() == pick(6).stub
    assert "hint 1 of 3" in command(folder, "hint", 6).stdout


def test_the_folder_is_here_where_it_has_been_begun(started):
    folder, file = started
    file.write_text(SOLUTION)
    assert command(file.parent, "check").returncode == 0
    other = folder / "other"
    assert f"your file: {other}/ex01" in command(folder, "start", 1, "--folder", other).stdout
    assert (other / ".minicnn" / "progress.json").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"current": 1, "exercises": {}}',
                                  '{"current": null, "exercises": {"a": 3}}', "\x00"])  # fmt: skip
def test_a_damaged_progress_file_is_told_and_kept(started, text):
    folder, _ = started
    path = folder / "exercises" / ".minicnn" / "progress.json"
    path.write_text(text)
    for words in (["list"], ["check", 6], ["hint", 6], ["start", 6], ["solution", 6, "--give-up"]):
        message = refused(command(folder, *words), 1)
        assert "progress.json is damaged" in message
        assert "was left as it is; your exercise files are safe" in message
        assert path.read_text() == text


def test_progress_is_written_in_one_step(tmp_path, monkeypatch):
    with progress.changing(tmp_path) as now:
        now.entry("06_linear")["checks"] = 7
    before = progress.place(tmp_path).read_bytes()

    def fails(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fails)
    with (
        pytest.raises(DataError, match="cannot be written: No space left"),
        progress.changing(tmp_path) as now,
    ):
        now.entry("06_linear")["checks"] = 8
    assert progress.place(tmp_path).read_bytes() == before
    assert [p.name for p in progress.place(tmp_path).parent.iterdir()] == ["progress.json"]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "exercises").write_text("a file")
    message = refused(command(tmp_path, "start", 1), 1)
    assert "cannot be" in message
    assert "exercises" in message


def test_a_check_is_shown_though_it_cannot_be_recorded(tmp_path, monkeypatch):
    (tmp_path / "ex06_linear.py").write_text(SOLUTION)
    with progress.changing(tmp_path) as now:
        now.current = "06_linear"

    def fails(*args):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("minicnn.exercises.progress.replace_file", fails)
    result = exercises.check("linear", folder=tmp_path)
    assert result
    assert "not recorded: " in repr(result)
    assert "Read-only file system" in repr(result)


def test_texts_in_ascii(tmp_path):
    out = program(tmp_path, "start", 6, PYTHONIOENCODING="ascii", TERM="dumb")
    assert out.returncode == 0
    assert out.stdout.isascii()
    assert "?" not in out.stdout.replace("input reach, and with what factor?", "")
    assert "dL/dx[n,i] = sum g[n,o] weight[o,i]" in out.stdout
    assert all(len(line) <= 90 for line in out.stdout.splitlines())


def test_every_stand_in_is_ascii():
    assert all(len(key) == 1 and value.isascii() for key, value in PLAIN.items())
    assert plain("∂L/∂x → 2·x²") == "dL/dx > 2*x^2"


def in_a_terminal(folder, *args):
    """What is written to a terminal of 80 columns."""
    parent, child = pty.openpty()
    env = ENV | {"TERM": "xterm-256color", "COLUMNS": "80"}
    process = subprocess.Popen(
        [sys.executable, "-m", "minicnn", "exercises", *map(str, args)], cwd=folder, env=env,
        stdout=child, stderr=child, stdin=child,
    )  # fmt: skip
    os.close(child)
    text = b""
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        text += piece
    process.wait()
    os.close(parent)
    return text.decode()


def test_a_terminal_gets_the_text_rendered(tmp_path):
    text = in_a_terminal(tmp_path, "start", 6)
    assert "\x1b[" in text
    assert "```" not in text
    assert "## The gradients" not in text
    assert "The gradients" in text


def watching(folder):
    """`check 6 --watch` as a program of its own, which is ended if it hangs."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "minicnn", "exercises", "check", "6", "--watch"], cwd=folder,
        env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        start_new_session=True,
    )  # fmt: skip
    end = threading.Timer(60, process.kill)
    end.daemon = True
    end.start()
    return process


def read_until(process, words):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return "".join(lines)
    raise AssertionError("".join(lines) + process.stderr.read())


def test_watch_checks_again_when_the_file_is_saved(started):
    folder, file = started
    process = watching(folder)
    try:
        assert "todo: linear_forward" in read_until(process, "waiting for the file to be saved")
        file.write_text(SOLUTION.replace("g @ weight", "-g @ weight"))
        assert "GB002" in read_until(process, "waiting for the file to be saved")
        file.write_text(SOLUTION)
        assert "linear: passed" in read_until(process, "next: minicnn exercises start 7")
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()


def test_ctrl_c_ends_watching(started):
    process = watching(started[0])
    try:
        read_until(process, "waiting for the file to be saved")
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=10)
    finally:
        process.kill()
    assert out.strip() == "stopped watching"
    assert err == ""
    assert process.returncode == 0


def test_new_and_path(tmp_path):
    out = command(tmp_path, "new", "mine/22_twice")
    assert "minicnn exercises validate 22 --path" in out.stdout
    guide = Path(out.stdout.splitlines()[-1].removeprefix("how an exercise is written: "))
    assert guide.read_text("utf-8").startswith("# How an exercise is written")
    assert refused(command(tmp_path, "new", "mine/22_twice"), 1).endswith("File exists")
    assert "must be named NUMBER_NAME" in refused(command(tmp_path, "new", "mine/twice"), 1)
    assert command(tmp_path, "validate", 22, "--path", "mine").stdout.startswith(
        "exercise 22, twice: ok, 5 mutants"
    )
    assert " 22 [ ] twice" in command(tmp_path, "list", "--path", "mine/22_twice").stdout
    assert "--path adds others" in refused(command(tmp_path, "start", 22))
    command(tmp_path, "start", 22, "--path", "mine")
    shutil.copy(tmp_path / "mine/22_twice/solution.py", tmp_path / "exercises/ex22_twice.py")
    assert command(tmp_path, "check", "--path", "mine").returncode == 0


def test_validate_fails_with_the_faults(tmp_path):
    exercise = copied(tmp_path, solution_py=("2 * g", "3 * g"))
    out = command(tmp_path, "validate", 22, "--path", exercise.folder, "--seeds", 1)
    assert out.returncode == 1
    assert "solution, seed 0: must pass" in out.stdout
    assert out.stderr.startswith("minicnn: exercises: ")


# ---- notebooks and pytest ----------------------------------------------------------------------


def linear_forward(x, weight, bias):
    return x @ weight.T + bias


def linear_backward(g, x, weight, bias):
    return g @ weight, g.T @ x, g.sum(axis=0)


def test_functions_of_a_notebook(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    right = exercises.check("linear", linear_forward, linear_backward)
    assert right
    assert repr(right) == "exercise 6, linear: passed"
    assert not list(tmp_path.iterdir())  # nothing is left in a folder that was not begun
    wrong = {
        "linear_forward": linear_forward,
        "linear_backward": lambda g, x, weight, bias: (g @ weight, g.T @ x / len(x), g.sum(0)),
    }
    result = exercises.check("linear", wrong, seed=3)
    assert not result
    assert result.findings[0].code == "GB018"
    assert "GB018" in result._repr_html_()
    assert result.seed == 3
    assert len({exercises.check("linear", wrong).seed for _ in range(3)}) > 1
    alone = exercises.check("linear", linear_forward)
    assert alone.findings[0].title == "there is no linear_backward"
    with progress.changing(tmp_path / "exercises") as now:
        now.current = "06_linear"
    exercises.check("linear", linear_forward, linear_backward)
    assert progress.load(tmp_path / "exercises").state("06_linear") == "passed"


def test_a_class_of_a_notebook(tmp_path):
    learner = load_file(COURSE / "03_value" / "solution.py")
    assert exercises.check("value", learner.Value, folder=tmp_path).findings == []


def test_assert_passes(tmp_path):
    exercises.assert_passes("linear", linear_forward, linear_backward, folder=tmp_path)
    (tmp_path / "ex06_linear.py").write_text(SOLUTION.replace("g.T @ x", "-g.T @ x"))
    with pytest.raises(AssertionError, match=r"GB002: linear_backward: sign"):
        exercises.assert_passes(6, folder=tmp_path)


def test_results_survive_the_way_from_a_child():
    result = Result("exercise 1, a", [Finding("a", "b", "c\nd", "e", "f")], 7, "print", (3, 8))
    again = Result.from_json(json.loads(json.dumps(vars(result))))
    assert repr(again) == repr(result)
    assert "3 of 8 points" in repr(again)
    assert "    expected  c\n              d\n" in repr(again)


def test_the_best_score_is_kept(tmp_path):
    from minicnn.exercises.workspace import Workspace

    workspace, exercise = Workspace(tmp_path), pick(1)
    workspace.start(exercise)
    for points, best in ((3, 3), (5, 5), (2, 5)):
        workspace.record(exercise, Result("", [], 0, "", (points, 8)))
        assert progress.load(tmp_path).exercises[exercise.key]["score"] == [best, 8]


def test_exercises_can_import_each_other(tmp_path):
    (tmp_path / "ex01_chain_rule.py").write_text("ANSWER = 41\n")
    file = tmp_path / "ex06_linear.py"
    file.write_text("from ex01_chain_rule import ANSWER\n" + SOLUTION)
    assert exercises.check(6, folder=tmp_path)
    (tmp_path / "ex01_chain_rule.py").write_text("\nANSWER = 1 / 0\n")
    (finding,) = exercises.check(6, folder=tmp_path).findings
    assert finding.found == "ZeroDivisionError: division by zero"
    assert finding.where.startswith("ex01_chain_rule.py, line 2")


def test_mutants_must_fit_the_solution():
    assert Mutant("x", "a", "b").source("cat") == "cbt"
    assert Mutant("x", new="def f(): ...").source("y = 1").endswith("\n\ndef f(): ...\n")
    with pytest.raises(DataError, match=r"'a' occurs 2 times in solution.py, not 1"):
        Mutant("x", "a", "b").source("aa")


def test_exercise_folders_have_a_number_and_a_name(tmp_path):
    with pytest.raises(DataError, match="must be named NUMBER_NAME, as in 06_linear"):
        Exercise(tmp_path / "linear")
