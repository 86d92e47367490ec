"""Memory that a large message has taken goes back to the system."""

import contextlib
import ctypes


def give_memory_back():
    """Else glibc keeps, in the heap of each thread, twice as much as the largest block that was
    ever freed."""
    with contextlib.suppress(AttributeError, OSError, TypeError):   # another C library
        ctypes.CDLL(None).mallopt(-1, 2**17)    # M_TRIM_THRESHOLD
