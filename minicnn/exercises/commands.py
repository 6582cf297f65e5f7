"""The commands `minicnn exercises ...`; what they do is in the other files of this package."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import DataError
from ..training.progress import say
from .terminal import show, show_code, show_line

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Learn backpropagation by writing it: 21 exercises, from the chain rule to LeNet-5.",
    epilog="`list` shows them, `start 1` begins.  You write in plain files in the folder "
    "exercises; `check` says what is wrong.",
)

Which = Annotated[str, typer.Argument(metavar="N", help="Number or name of an exercise.")]
Current = Annotated[
    str | None,
    typer.Argument(metavar="N", help="Number or name; by default the one started last."),
]
Folder = Annotated[
    Path | None,
    typer.Option(help="Where you work; by default ./exercises, or . if .minicnn is in it."),
]
Paths = Annotated[
    list[Path] | None, typer.Option("--path", help="More exercises: a folder of them; repeatable.")
]
POLL_SECONDS = 0.2


@app.callback(invoke_without_command=True)
def _help(context: typer.Context) -> None:
    """Shows the help where there is no command."""
    if context.invoked_subcommand is None:
        say(context.get_help())
        raise typer.Exit(2)


def _picked(n: str | None, folder: Path | None, path: list[Path] | None) -> "tuple[Any, Any]":
    """(the learner's workspace, one of its exercises)."""
    from .workspace import Workspace

    workspace = Workspace(folder, path or [])
    return workspace, workspace.pick(n)


@app.command(name="list")
def list_(folder: Folder = None, path: Paths = None) -> None:
    """Show all exercises, and how far you are."""
    from . import progress
    from .workspace import Workspace

    workspace = Workspace(folder, path or [])
    now = progress.load(workspace.folder)
    exercises = workspace.exercises
    width = max(len(exercise.name) for exercise in exercises)
    for exercise in exercises:
        state = now.state(exercise.key)
        mark = {"passed": "[x]", "given up": "[-]", "started": "[.]", "new": "[ ]"}[state]
        entry = now.exercises.get(exercise.key, {})
        score = "  {} of {} points".format(*entry["score"]) if "score" in entry else ""
        show_line(f"{exercise.number:3} {mark} {exercise.name:{width}}  {exercise.title}{score}")
    done = sum(now.state(exercise.key) == "passed" for exercise in exercises)
    say(f"\n{done} of {len(exercises)} passed.  [x] passed  [.] started  [-] given up")
    following = next((e for e in exercises if now.state(e.key) in ("new", "started")), None)
    if following is not None:
        say(f"next: minicnn exercises start {following.number}")


@app.command()
def start(n: Which, folder: Folder = None, path: Paths = None) -> None:
    """Show the text of an exercise, and put a file to fill in into your folder."""
    workspace, exercise = _picked(n, folder, path)
    fresh = workspace.start(exercise)
    show(exercise.read("text.md"))
    file = workspace.file(exercise)
    say(
        f"\nyour file: {file}{'' if fresh else ' (it was there already, and is unchanged)'}\n"
        f"when it is written: minicnn exercises check {exercise.number}"
    )


@app.command()
def check(
    n: Current = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Check whenever the file is saved, until it passes.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Repeat the inputs of an earlier check.")
    ] = None,
    folder: Folder = None,
    path: Paths = None,
) -> None:
    """Check your file on fresh random inputs, and say what is wrong; exit code 1 if it is."""
    workspace, exercise = _picked(n, folder, path)
    if watch:
        _watch(workspace, exercise, seed)
    elif not _check_once(workspace, exercise, seed):
        raise typer.Exit(1)


def _check_once(workspace, exercise, seed: int | None) -> bool:
    """Checks, and prints what there is to say and what to do next."""
    from . import progress
    from .runner import fresh_seed

    first = progress.load(workspace.folder).state(exercise.key) != "passed"
    result = workspace.check(exercise, fresh_seed() if seed is None else seed)
    show_line(repr(result))
    number = exercise.number
    if not result:
        say(f"\na hint: minicnn exercises hint {number}")
        return False
    if first:
        say("")
        show(exercise.read("explanation.md"))
    say(f"\nanother way to write it: minicnn exercises diff {number}, or solution {number}")
    later = [other.number for other in workspace.exercises if other.number > number]
    say(f"next: minicnn exercises {f'start {later[0]}' if later else 'list'}")
    return True


def _watch(workspace, exercise, seed: int | None) -> None:
    """Checks now, and whenever the file's time changes; ends when it passes, or at Ctrl-C."""
    file, seen = workspace.file(exercise), None
    try:
        while True:
            changed = file.stat().st_mtime_ns if file.exists() else seen  # editors replace files
            if changed != seen or seen is None:
                seen = changed
                say(f"---- {time.strftime('%H:%M:%S')} {file}")
                if _check_once(workspace, exercise, seed):
                    return
                say("waiting for the file to be saved; Ctrl-C ends")
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        say("\nstopped watching")


@app.command()
def hint(n: Current = None, folder: Folder = None, path: Paths = None) -> None:
    """Show a hint: first a question, the next time the formula, then the line."""
    from .exercise import HINTS

    workspace, exercise = _picked(n, folder, path)
    number, text = workspace.hint(exercise)
    say(f"hint {number} of {len(HINTS)} for {exercise}: the {HINTS[number - 1]}\n")
    show(text)


@app.command()
def solution(
    n: Current = None,
    give_up: Annotated[
        bool, typer.Option("--give-up", help="Show it before you have passed; this is recorded.")
    ] = False,
    folder: Folder = None,
    path: Paths = None,
) -> None:
    """Show the solution and why it is so, once you have passed."""
    workspace, exercise = _picked(n, folder, path)
    show_code(workspace.solution(exercise, give_up))
    say("")
    show(exercise.read("explanation.md"))


@app.command()
def diff(n: Current = None, folder: Folder = None, path: Paths = None) -> None:
    """Show what the solution does differently from your file, once you have passed or given up."""
    workspace, exercise = _picked(n, folder, path)
    lines = workspace.diff(exercise)
    show_code(lines, "diff") if lines else say("your file is the solution, line for line")


@app.command()
def reset(n: Which, folder: Folder = None, path: Paths = None) -> None:
    """Begin an exercise again; what you wrote is kept in a backup."""
    workspace, exercise = _picked(n, folder, path)
    backup = workspace.reset(exercise)
    say(f"{workspace.file(exercise)} is as at the start; what you wrote is in {backup}")


@app.command()
def validate(
    n: Annotated[
        list[str] | None, typer.Argument(metavar="N...", help="Exercises; by default all.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many random inputs each.")] = 2,
    path: Paths = None,
) -> None:
    """For instructors: the stub must fail, the solution pass, each planted mistake be named."""
    from .exercise import list_exercises, pick
    from .validation import validate_all

    exercises = [pick(one, path or []) for one in n] if n else list_exercises(path or [])
    faults = 0
    for report in validate_all(exercises, seeds):
        show_line(str(report))
        faults += len(report.faults)
    if faults:
        raise DataError(f"exercises: {faults} faults; see above")


@app.command()
def new(
    target: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="To be made, named like mine/22_batch_norm.")
    ],
) -> None:
    """For instructors: make a folder with a small complete exercise, to be changed into yours."""
    from .exercise import WRITING, make

    exercise = make(target)
    say(
        f"{exercise.folder} has a complete exercise about 2x + 1: change its files\n"
        f"minicnn exercises validate {exercise.number} --path {exercise.folder} tries it,\n"
        f"minicnn exercises start {exercise.number} --path {exercise.folder} is what learners see\n"
        f"how an exercise is written: {WRITING}"
    )
