"""Runs a checker on the learner's code: in this process, or safely in a child process."""

import contextlib
import io
import json
import secrets
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np

from ..errors import DataError
from .exercise import Exercise
from .learner import (
    Learner,
    beside,
    load_file,
    stopping_on_errors,
    time_limit,
    too_long,
    unexpected,
)
from .results import Finding, Result, Stop

LIMIT = 10.0  # seconds for a check, unless its checker.py names another LIMIT
GRACE = 10.0  # for starting the child, and for ending itself by its own alarm
PRINTED = 2000  # characters kept of what the learner's code prints


def fresh_seed() -> int:
    """A seed that no check had before, short enough to type."""
    return secrets.randbelow(1_000_000)


def check_here(
    exercise: Exercise, load: Callable[[], Learner], files: list[str], seed: int, brief=False
) -> Result:
    """The result of a check in this process; errors in `files` become findings.

    An endless loop is stopped by an alarm if this is the main thread; a crash is not survived.
    With `brief` it is the checker's check_briefly, where it has one.
    """
    checker = exercise.load("checker.py")
    check = checker["check_briefly" if brief and "check_briefly" in checker else "check"]
    printed, screen = _Beginning(), sys.stdout
    score = None
    try:
        with (
            contextlib.redirect_stdout(printed), warnings.catch_warnings(),
            time_limit(checker.get("LIMIT", LIMIT), files), stopping_on_errors(files),
        ):  # fmt: skip
            warnings.simplefilter("ignore")
            learner = load()
            learner.allow = frozenset(checker.get("ALLOW", ()))
            learner.exercise = exercise
            learner.screen = printed if brief else screen
            findings = list(islice(check(learner, np.random.default_rng(seed)), 1))
            score = learner.points
    except Stop as stop:
        findings = [stop.finding]
    except Exception as error:
        findings = [unexpected(error)]
    return Result(str(exercise), findings, seed, printed.getvalue(), score)


def check_file(exercise: Exercise, path: Path, seed: int) -> Result:
    """The result of a check of the learner's file in a child process, which may loop or crash."""
    limit = exercise.load("checker.py").get("LIMIT", LIMIT)
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "result.json")
        command = [sys.executable, "-m", "minicnn.exercises.runner"]
        command += [str(exercise.folder), str(path.resolve()), str(seed), str(answer)]
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
        )  # fmt: skip
        try:
            errors = child.communicate(timeout=limit + GRACE)[1]
        except subprocess.TimeoutExpired:
            return Result(str(exercise), [too_long(limit)], seed)
        finally:  # Ctrl-C too
            child.kill()
            child.communicate()
        if answer.exists():
            return Result.from_json(json.loads(answer.read_text("utf-8")))
    return Result(str(exercise), [_died(exercise, child.returncode, errors)], seed)


def _died(exercise: Exercise, code: int, errors: str) -> Finding:
    """The child ended without an answer: the learner's doing, or a fault of the checker."""
    last = (errors.strip().splitlines() or [""])[-1]
    if code == 1:
        raise DataError(f"{exercise}: its checker failed, which is no fault of yours: {last}")
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return Finding(
        "died", f"Python ended with {how} during the check", "a return value", last,
        "os._exit, very deep recursion, or memory that ran out",
    )  # fmt: skip


def answer(folder: str, path: str, seed: str, result: str) -> None:
    """The child's part: check, and leave the result in a file."""
    sys.path.insert(0, str(Path(path).parent))  # so that exercises can import each other
    file = Path(path)
    outcome = check_here(Exercise(Path(folder)), lambda: load_file(file), beside(file), int(seed))
    Path(result).write_text(json.dumps(vars(outcome)), "utf-8")


class _Beginning(io.StringIO):
    """Keeps the first characters written to it, and says that there were more."""

    def write(self, text: str) -> int:
        room = PRINTED - self.tell()
        if room > 0:
            super().write(text if len(text) <= room else text[:room] + "\n... (and more)\n")
        return len(text)


if __name__ == "__main__":
    answer(*sys.argv[1:])
