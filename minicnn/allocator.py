"""Keeps freed memory in the process, because fresh pages are the slow part of an allocation.

Outputs and gradients are new arrays at every step.  By default glibc gives large ones back to the
system when they are freed, and the next step pays for their pages again: about a quarter of a
training step of LeNet.
"""

import os


def keep_freed_memory() -> None:
    """Raises glibc's thresholds, unless MINICNN_MALLOC=system or a MALLOC_* variable is set.

    Does nothing where the C library is not glibc.
    """
    chosen = any(name.startswith("MALLOC_") for name in os.environ)
    if chosen or os.environ.get("MINICNN_MALLOC") == "system":
        return
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    m_trim_threshold, m_top_pad, m_mmap_threshold = -1, -2, -3  # from malloc.h
    mallopt(m_mmap_threshold, 1 << 30)
    mallopt(m_trim_threshold, 1 << 30)
    mallopt(m_top_pad, 64 << 20)
