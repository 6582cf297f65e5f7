"""How fast the models train and predict here, beside PyTorch: what `minicnn bench` prints.

`jobs` says what is timed and on which images, `worker` is the process that times one framework,
`contest` runs the workers in turn and compares them, `table` shows the result.
"""

from .contest import measure
from .jobs import JOBS
from .table import table

__all__ = ["JOBS", "measure", "table"]
