"""How the program is told to end: a signal once for a clean end, a second one for an end at once.

Both work in the main thread, which is where Python runs signal handlers: SystemExit is raised
wherever that thread is, in waitress's socket loop or reading our stdin.
"""

import os
import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl+C, and what service managers and hosts send


def end_on_signals():
    """From now on a signal raises SystemExit in the main thread."""

    def end(_signal, _frame):
        for number in SIGNALS:
            signal.signal(number, at_once)
        raise SystemExit

    def at_once(_signal, _frame):
        os._exit(130)  # the guardian process sees it, and ends the servers

    for number in SIGNALS:
        signal.signal(number, end)
