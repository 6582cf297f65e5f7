"""The learner's folder: files to work on, backups, checks that are recorded."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from ..errors import ArgumentError, DataError
from . import progress
from .exercise import Exercise, list_exercises, pick
from .results import Result
from .runner import check_file

FOLDER = Path("exercises")


class Workspace:
    """A learner's folder, and the exercises there are for it.

    Parameters
    ----------
    folder
        By default the current folder if it has a .minicnn in it, else ./exercises.
    paths
        Folders of exercises beside the course's.
    """

    def __init__(self, folder: "str | Path | None" = None, paths: Sequence[Path] = ()) -> None:
        here = Path()
        inside = progress.place(here).parent.is_dir()
        self.folder = Path(folder) if folder is not None else here if inside else FOLDER
        self.paths = list(paths)

    @property
    def exercises(self) -> list[Exercise]:
        """All of them, by number."""
        return list_exercises(self.paths)

    def pick(self, which: "str | int | None") -> Exercise:
        """An exercise by number or name; without one, the one that was started last."""
        if which is None:
            which = progress.load(self.folder).current
            if which is None:
                raise ArgumentError(
                    "exercises: which one?  None is started yet: `minicnn exercises start 1`"
                )
        return pick(which, self.paths)

    def file(self, exercise: Exercise) -> Path:
        """Where the learner writes."""
        return self.folder / exercise.file_name

    def start(self, exercise: Exercise) -> bool:
        """Puts the stub there, unless there is a file already; whether it did."""
        path, fresh = self.file(exercise), False
        with progress.changing(self.folder) as now:
            now.current = exercise.key
            now.entry(exercise.key).setdefault("started", progress.now())
            if not path.exists():
                progress.write(path, exercise.stub.encode())
                fresh = True
        return fresh

    def reset(self, exercise: Exercise) -> Path:
        """Puts the stub in place of the learner's file, and returns where that is kept."""
        path = self._existing(exercise)
        backups = progress.place(self.folder).parent / "backups"
        number = 1 + len(list(backups.glob(f"{path.stem}.*.py")))
        backup = backups / f"{path.stem}.{number}.py"
        progress.write(backup, path.read_bytes())
        progress.write(path, exercise.stub.encode())
        with progress.changing(self.folder) as now:
            now.entry(exercise.key)["hints"] = 0
        return backup

    def check(self, exercise: Exercise, seed: int) -> Result:
        """Checks the learner's file, and records it."""
        path = self._existing(exercise)
        progress.load(self.folder)  # a damaged file is told before, not after
        result = check_file(exercise, path, seed)
        try:
            self.record(exercise, result)
        except DataError as error:  # the result is what was asked for
            result.note = f"not recorded: {error}"
        return result

    def record(self, exercise: Exercise, result: Result) -> None:
        """Counts a check, if the folder has a progress file."""
        if not progress.place(self.folder).exists():
            return
        with progress.changing(self.folder) as now:
            entry = now.entry(exercise.key)
            entry["checks"] += 1
            if result:
                entry.setdefault("passed", progress.now())
            if result.score:
                entry["score"] = max(entry.get("score", [0, 0]), list(result.score))

    def hint(self, exercise: Exercise) -> tuple[int, str]:
        """The next hint, and its number from 1; the last one again after the last."""
        with progress.changing(self.folder) as now:
            entry = now.entry(exercise.key)
            entry["hints"] = number = min(entry["hints"] + 1, len(exercise.hints))
        return number, exercise.hints[number - 1]

    def solution(self, exercise: Exercise, give_up: bool = False) -> str:
        """The model solution, for who has passed or gives up."""
        if give_up and not progress.load(self.folder).may_see_solution(exercise.key):
            with progress.changing(self.folder) as now:
                now.entry(exercise.key)["gave_up"] = progress.now()
        if not progress.load(self.folder).may_see_solution(exercise.key):
            raise ArgumentError(
                f"exercises: the solution of {exercise.number} is shown once you have passed; "
                f"`minicnn exercises hint {exercise.number}` helps, "
                f"`solution {exercise.number} --give-up` shows it all the same"
            )
        return exercise.solution

    def diff(self, exercise: Exercise) -> str:
        """From the learner's file to the solution; empty if they are the same."""
        wanted, path = self.solution(exercise), self._existing(exercise)
        own = path.read_text("utf-8", errors="replace")
        lines = difflib.unified_diff(
            own.splitlines(), wanted.splitlines(), str(path), "the solution", lineterm=""
        )
        return "\n".join(lines)

    def _existing(self, exercise: Exercise) -> Path:
        path = self.file(exercise)
        if not path.is_file():
            raise ArgumentError(
                f"exercises: there is no {path}; `minicnn exercises start {exercise.number}` "
                "makes it, --folder names another folder"
            )
        return path
