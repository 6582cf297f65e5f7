"""Tries the exercises themselves: the stub fails, the solution passes, mistakes are named."""

import doctest
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import MinicnnError
from .exercise import FILES, Exercise, list_exercises
from .learner import Learner, beside, load_file
from .mutants import Mutant
from .results import Finding, Result
from .runner import check_here
from .terminal import PLAIN, WIDTH, plain

COLUMNS = 78  # of a terminal of 80, with the margin that code gets there
PICTURE = frozenset("─│┌┐└┘├┤┬┴┼█▓▒░●○▲▼◄►")


class Report(NamedTuple):
    """What validation says of one exercise."""

    exercise: str
    mutants: int
    seconds: float
    faults: list[str]

    def __str__(self) -> str:
        verdict = "ok" if not self.faults else f"{len(self.faults)} faults"
        lines = [f"{self.exercise}: {verdict}, {self.mutants} mutants, {self.seconds:.1f} s"]
        return "\n  ".join(lines + self.faults)


def validate_all(exercises: Sequence[Exercise], seeds: int) -> Iterator[Report]:
    """A report on each exercise, in order; they are tried in as many processes as there are cores.

    Each must pass with `seeds` different random inputs; the inputs are the same every time.
    """
    folders = [exercise.folder for exercise in exercises]
    workers = min(len(folders), os.cpu_count() or 1)
    if workers == 1:
        yield from (validate(folder, seeds) for folder in folders)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(validate, folders, [seeds] * len(folders))


def validate(folder: Path, seeds: int) -> Report:
    """Tries one exercise."""
    exercise, start = Exercise(folder), time.perf_counter()
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        return Report(str(exercise), 0, 0.0, [f"{name} is missing" for name in missing])
    mutants: list[Mutant] = []
    faults: list[str] = []
    try:
        faults += _text_faults(exercise)
        mutants = list(exercise.load("mutants.py")["MUTANTS"])
        with tempfile.TemporaryDirectory() as place, _importable(place):
            trial = _Trial(exercise, Path(place))
            faults += trial.example_faults()
            for seed in range(seeds):
                faults.extend(trial.faults(mutants, seed))
    except MinicnnError as error:
        faults.append(str(error))
    except Exception:  # of the exercise's own files: the instructor wants to see where
        faults += traceback.format_exc().splitlines()
    return Report(str(exercise), len(mutants), time.perf_counter() - start, faults)


@contextmanager
def _importable(folder: str) -> Iterator[None]:
    """Lets exercises import each other from a folder, and forgets them afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        for name in set(sys.modules) - before:
            if name.startswith("ex") and name[2:4].isdigit():
                del sys.modules[name]


class _Trial:
    """A folder with every solution as a learner's file, so that exercises can import others."""

    def __init__(self, exercise: Exercise, folder: Path) -> None:
        self.exercise, self.folder = exercise, folder
        for other in {e.key: e for e in (*list_exercises(), exercise)}.values():
            if (other.folder / "solution.py").is_file():
                (folder / other.file_name).write_text(other.solution, "utf-8")
        self.file = folder / exercise.file_name
        self.solution = exercise.solution

    def check(self, source: str, mutant: Mutant | None, seed: int) -> Result:
        """The check of a file with this content."""
        self.file.write_text(source, "utf-8")

        def load() -> Learner:
            learner = load_file(self.file)
            return learner.replacing(mutant.functions) if mutant and mutant.functions else learner

        planted = (mutant.functions or {}).values() if mutant else ()
        files = [*beside(self.file), *(function.__code__.co_filename for function in planted)]
        return check_here(self.exercise, load, files, seed, brief=True)

    def faults(self, mutants: Sequence[Mutant], seed: int) -> Iterator[str]:
        """Where stub, solution and mutants do not come out as they must."""
        result = self.check(self.exercise.stub, None, seed)
        if result or result.findings[0].code in ("syntax", "error"):
            yield f"stub, seed {seed}: must fail, and not by an error: {result!r}"
        result = self.check(self.solution, None, seed)
        if not result:
            yield f"solution, seed {seed}: must pass: {result!r}"
        for mutant in mutants:
            result = self.check(mutant.source(self.solution), mutant, seed)
            first = result.findings[0] if result.findings else Finding("nothing", "it passes")
            if first.code != mutant.code:
                yield f"mutant {mutant}, seed {seed}: found {first.code}: {first.title}"

    def example_faults(self) -> list[str]:
        """Examples (>>>) in the texts whose output is not what the solution gives."""
        self.file.write_text(self.solution, "utf-8")
        faults, count = [], 0
        for name in ("text.md", "hints.md", "explanation.md"):
            learner = load_file(self.file)
            parser = doctest.DocTestParser()
            text = self.exercise.read(name).replace("```", "\n")
            test = parser.get_doctest(text, {**learner.namespace, "np": np}, name, name, 0)
            count += len(test.examples) if name == "text.md" else 0
            said: list[str] = []
            doctest.DocTestRunner(verbose=False).run(test, out=said.append)
            faults += ["".join(said)] if said else []
        return faults + (["text.md has no example (>>>) to try"] if not count else [])


def _text_faults(exercise: Exercise) -> list[str]:
    """What would not read well in a terminal of 80 columns, or in ASCII."""
    faults = []
    assert exercise.hints  # raises if they are not three
    texts = {name: exercise.read(name) for name in ("text.md", "hints.md", "explanation.md")}
    for name, text in (texts | {"stub": exercise.stub, "solution.py": exercise.solution}).items():
        lines = text.splitlines()
        if name == "text.md" and not lines[0].startswith("# "):
            faults.append("text.md must begin with a heading: # Title")
        for number, line in enumerate(lines, 1):
            faults += [f"{name}, line {number}: {fault}" for fault in _line_faults(line)]
    return faults


def _line_faults(line: str) -> list[str]:
    beyond = {c for c in line if not c.isascii()}
    strange = sorted(beyond - set(PLAIN))
    faults = [f"{' '.join(strange)} has no ASCII stand-in"] if strange else []
    if len(line) > COLUMNS:
        faults.append(f"{len(line)} columns, not at most {COLUMNS}")
    elif len(plain(line)) > WIDTH:
        faults.append(f"{len(plain(line))} columns in ASCII, not at most {WIDTH}: {plain(line)}")
    if beyond & PICTURE and any(len(PLAIN.get(c, "")) > 1 for c in beyond):
        faults.append("a picture may only use characters with a stand-in of one character")
    return faults
