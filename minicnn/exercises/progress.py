"""What a learner has done so far: .minicnn/progress.json in the learner's folder."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..serialization import replace_file


class Progress:
    """The file's content: an entry per exercise, and the one that is being worked on.

    An entry has started, passed and gave_up (times, where it happened), hints (shown), checks
    (made) and score ([points, of], the best).
    """

    def __init__(self, data: dict[str, Any]) -> None:
        self.current: str | None = data.get("current")
        self.exercises: dict[str, dict[str, Any]] = data.get("exercises", {})

    def entry(self, key: str) -> dict[str, Any]:
        """What is known of an exercise; made if need be."""
        return self.exercises.setdefault(key, {"hints": 0, "checks": 0})

    def state(self, key: str) -> str:
        """new, started, given up, or passed."""
        entry = self.exercises.get(key, {})
        if "passed" in entry:
            return "passed"
        if "gave_up" in entry:
            return "given up"
        return "started" if entry else "new"

    def may_see_solution(self, key: str) -> bool:
        """After passing, and after giving up."""
        return self.state(key) in ("passed", "given up")


def now() -> str:
    """The time, as the file has it."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def place(folder: Path) -> Path:
    """Where a learner's folder keeps its progress."""
    return folder / ".minicnn" / "progress.json"


def load(folder: Path) -> Progress:
    """What the learner has done; nothing yet, where there is no file.

    Raises
    ------
    DataError
        If the file is damaged.  Nothing overwrites it then.
    """
    path = place(folder)
    try:
        data = json.loads(path.read_text("utf-8"))
        _check(data)
    except FileNotFoundError:
        return Progress({})
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{path} is damaged ({error}), and was left as it is; your exercise files are safe.  "
            "Mend it, or rename it to begin a new one"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    return Progress(data)


def _check(data: Any) -> None:
    exercises = data.get("exercises") if isinstance(data, dict) else None
    if not isinstance(exercises, dict) or not isinstance(data.get("current"), str | None):
        raise ValueError("it does not have the form of a progress file")
    for key, entry in exercises.items():
        counts = [entry.get(n) for n in ("hints", "checks")] if isinstance(entry, dict) else [None]
        if not all(isinstance(count, int) for count in counts):
            raise ValueError(f"the entry {key!r} does not have the form of one")


@contextmanager
def changing(folder: Path) -> Iterator[Progress]:
    """Reads the progress, and writes it in one step when the block ends without an error.

    Each change reads the file anew, so that two commands at work do not undo each other's.
    """
    progress = load(folder)
    yield progress
    data = {"current": progress.current, "exercises": progress.exercises}
    write(place(folder), (json.dumps(data, indent=1) + "\n").encode())


def write(path: Path, content: bytes) -> None:
    """Puts a file into the learner's folder in one step."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(str(path), content)
    except OSError as error:
        raise DataError(
            f"exercises: {path} cannot be written: {error.strerror or error}; "
            "--folder names another folder"
        ) from None
