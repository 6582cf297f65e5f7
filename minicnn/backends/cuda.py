"""torch.backends.cuda's switches: whether large products of float32 matrices may be TF32."""

import os
import sys

import numpy as np


class _MatMul:
    """What cuBLAS, which computes large products by way of CuPy, may do."""

    @property
    def allow_tf32(self) -> bool:
        """Whether factors may be cut to TF32's 10 bits of mantissa; False unless set.

        The same as CuPy's environment variable CUPY_TF32=1.
        """
        return os.environ.get("CUPY_TF32", "0") != "0"

    @allow_tf32.setter
    def allow_tf32(self, allowed: bool) -> None:
        os.environ["CUPY_TF32"] = str(int(allowed))
        if (cupy := sys.modules.get("cupy")) is not None:
            cupy._core.set_compute_type(np.float32, 0)  # undecided: the next product reads it


matmul = _MatMul()
