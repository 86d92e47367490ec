"""The room that keeps the messages that pass, for the live page and for --trace.

Comes in by router.py. May import: transports.fabric.

In reading order:
    tap.py      the last messages, for any number of readers
    links.py    which messages belong together, by their ids and tokens
    rates.py    how many calls were answered in each second, and how long they took
    trace.py    each message that passes, in a file
"""

from .trace import Trace


def begin_trace(path):
    """Begin the trace; returns the function that ends it. Raises ValueError."""
    return Trace(path).close
