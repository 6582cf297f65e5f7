"""`python -m minicnn` is the command line."""

from .cli import main

main()
