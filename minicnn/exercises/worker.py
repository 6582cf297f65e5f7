"""The child process in which a learner's file is checked: python -m minicnn.exercises.worker."""

import sys

from .runner import answer

if __name__ == "__main__":
    answer(*sys.argv[1:])
