"""How fast the models train and predict here, beside PyTorch: what `minicnn bench` prints.

`jobs` says what is timed and on which images, `worker` is the process that times one framework,
`contest` runs the workers in turn and compares them, `gpu` does so on a GPU, `table` shows the
result.
"""

from .contest import measure
from .gpu import measure_on_gpu
from .jobs import GPU_JOBS, JOBS
from .table import table, table_of_gpu

__all__ = ["GPU_JOBS", "JOBS", "measure", "measure_on_gpu", "table", "table_of_gpu"]
