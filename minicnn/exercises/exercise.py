"""The exercises there are: folders, their numbers and names, and the files in each."""

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ..errors import ArgumentError, DataError

COURSE = Path(__file__).parent / "course"
BLANK = Path(__file__).parent / "blank"  # what an instructor begins with
WRITING = Path(__file__).parent / "WRITING.md"  # how an exercise is written
FILES = (
    "text.md", "hints.md", "explanation.md", "solution.py", "checker.py", "mutants.py",
)  # fmt: skip
HINTS = ("question", "formula", "line")
# Lines that begin with #: and, in what follows, the lines that are indented at least as they are;
# two blank lines end it.
SOLVED = re.compile(r"^( *)(#:.*\n(?:\1#:.*\n)*)(?:\n?\1.*\S.*\n)+(\n\n)?", re.MULTILINE)


class Exercise:
    """One exercise: a folder named like `06_linear` that holds the files named in FILES."""

    def __init__(self, folder: Path) -> None:
        match = re.fullmatch(r"(\d+)_(\w+)", folder.name)
        if not match:
            raise DataError(f"exercises: {folder} must be named NUMBER_NAME, as in 06_linear")
        self.folder, self.key = folder, folder.name
        self.number, self.name = int(match[1]), match[2]
        self.file_name = f"ex{folder.name}.py"  # of the learner: a name that Python can import

    def __str__(self) -> str:
        return f"exercise {self.number}, {self.name}"

    def read(self, name: str) -> str:
        """The text of one of its files."""
        try:
            return (self.folder / name).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self}: {self.folder / name} cannot be read: {error}") from None

    @cached_property
    def solution(self) -> str:
        """solution.py without the lines that begin with #:."""
        return re.sub(r"^ *#:.*\n", "", self.read("solution.py"), flags=re.MULTILINE)

    @cached_property
    def stub(self) -> str:
        """What is put into the learner's folder: solution.py with its `#:` blocks replaced."""
        return SOLVED.sub(_unsolved, self.read("solution.py"))

    @cached_property
    def title(self) -> str:
        """The first line of the text, which is a heading."""
        return self.read("text.md").partition("\n")[0].removeprefix("#").strip()

    @cached_property
    def hints(self) -> list[str]:
        """Question, formula and line: the parts of hints.md below the headings of these names."""
        parts = re.split(r"^# (\w+)\n", self.read("hints.md"), flags=re.MULTILINE)
        by_name = dict(zip((h.lower() for h in parts[1::2]), parts[2::2], strict=True))
        if tuple(by_name) != HINTS:
            wanted = ", ".join(f"# {h.title()}" for h in HINTS)
            raise DataError(f"{self}: hints.md must have the headings {wanted}, in this order")
        return [text.strip() for text in by_name.values()]

    @cached_property
    def mistakes(self) -> "list[tuple[Any, SimpleNamespace]]":
        """(mutant, what its file defines) for each planted mistake that has a title."""
        planted = []
        for mutant in self.load("mutants.py")["MUTANTS"]:
            if mutant.title:
                namespace: dict[str, Any] = {"__name__": "planted"}
                exec(compile(mutant.source(self.solution), "planted", "exec"), namespace)
                planted.append((mutant, SimpleNamespace(**namespace)))
        return planted

    def load(self, name: str) -> dict[str, Any]:
        """What its checker.py or mutants.py defines; a module's namespace."""
        path = self.folder / name
        namespace: dict[str, Any] = {
            "__name__": f"exercise_{self.key}_{path.stem}", "__file__": str(path),
        }  # fmt: skip
        exec(compile(self.read(name), str(path), "exec"), namespace)
        return namespace


def _unsolved(block: re.Match[str]) -> str:
    """What learners get in place of a block: what its lines say after #:, or nothing."""
    indent, marked, end = block[1], block[2], block[3] or ""
    texts = re.findall(r"#: ?(.*)", marked)
    if not any(texts):
        return ""
    return "".join(f"{indent}{text}".rstrip() + "\n" for text in texts) + end


def list_exercises(paths: Sequence[Path] = ()) -> list[Exercise]:
    """Every exercise by number: the course's, then those in `paths`.

    A path is a folder of exercises, or one exercise.

    Raises
    ------
    DataError
        If a path has no exercise, or two exercises have the same number or name.
    """
    exercises: list[Exercise] = []
    for place in (COURSE, *paths):
        one = (place / "checker.py").is_file()
        folders = [place.resolve()] if one else sorted(place.glob("[0-9]*_*"))
        folders = [folder for folder in folders if folder.is_dir()]
        if not folders and place != COURSE:
            raise DataError(f"exercises: {place} has no folder named like 22_batch_norm in it")
        exercises += map(Exercise, folders)
    _refuse_doubles(exercises)
    return sorted(exercises, key=lambda exercise: exercise.number)


def _refuse_doubles(exercises: list[Exercise]) -> None:
    seen: dict[Any, Exercise] = {}
    for exercise in exercises:
        for label in (exercise.number, exercise.name):
            other = seen.setdefault(label, exercise)
            if other is not exercise:
                raise DataError(
                    f"exercises: {label} is both {other.folder} and {exercise.folder}; "
                    "numbers and names must differ"
                )


def pick(which: "str | int", paths: Sequence[Path] = ()) -> Exercise:
    """The exercise with this number or name: 6, "6", "linear" and "06_linear" are the same.

    Raises
    ------
    ArgumentError
        If there is none; the message lists near names.
    """
    from difflib import get_close_matches

    exercises = list_exercises(paths)
    text = str(which).strip().lower().removeprefix("ex").removesuffix(".py")
    for exercise in exercises:
        if text in (exercise.name, exercise.key) or (
            text.isdecimal() and int(text) == exercise.number
        ):
            return exercise
    near = get_close_matches(text, [exercise.name for exercise in exercises], 3)
    there = (
        f"did you mean {' or '.join(near)}?"
        if near
        else "`minicnn exercises list` shows all, --path adds others"
    )
    raise ArgumentError(f"exercises: there is no exercise {which!r}; {there}")


def make(target: Path) -> Exercise:
    """A new exercise: a folder with a small complete one in it, to be changed.

    Raises
    ------
    DataError
        If the folder is there already, is not named like 22_batch_norm, or cannot be written.
    """
    exercise = Exercise(target.resolve())
    try:
        target.mkdir(parents=True)
        for name in FILES:
            (target / name).write_text((BLANK / name).read_text("utf-8"), "utf-8")
    except OSError as error:
        raise DataError(f"exercises: {target} cannot be made: {error.strerror}") from None
    return exercise
