"""What the command line says of Ctrl-C and what is missing or wrong while Python still imports.

Its own handler (cli.main) is not there yet, and `minicnn/__init__.py` is imported before anything
else of the package, by the console script and by `python -m minicnn`.  So the last resort of the
process, `sys.excepthook`, says it; elsewhere than in the command line nothing is changed.
"""

import os
import sys
from typing import Any

from .errors import MinicnnError, missing


def _say(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    line = missing(error) if isinstance(error, ImportError) else None
    if isinstance(error, MinicnnError):  # a setting in the environment that makes no sense
        line = str(error)
    stopped = isinstance(error, KeyboardInterrupt)
    if "--debug" in sys.argv or not (line or stopped):
        sys.__excepthook__(kind, error, trace)
        return
    print(f"minicnn: {line or 'stopped'}", file=sys.stderr, flush=True)
    os._exit(130 if stopped else 1)  # Python would end itself by the signal after Ctrl-C


_name = os.path.basename((getattr(sys, "argv", None) or [""])[0])
if _name == "minicnn" or (_name == "-m" and "minicnn" in sys.orig_argv):
    sys.excepthook = _say
