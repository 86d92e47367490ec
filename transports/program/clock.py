"""The clock: one thread that calls functions later, so that no other thread has to wait. They
must not wait there; they may send messages and start processes, as any thread may."""

import functools
import sched
import threading
import time

from transports.fabric.text import log


class Clock:
    """`start` and `close` it once; `after` and `forget` may be called by any thread."""

    def __init__(self):
        self._schedule = sched.scheduler(time.monotonic)
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)

    def start(self):
        self._thread.start()

    def after(self, seconds, function, *arguments):
        """Call the function in so many seconds; returns what `forget` needs."""
        event = [functools.partial(function, *arguments)]
        self._schedule.enter(seconds, 0, lambda: [call() for call in event])
        self._wake.set()
        return event

    def forget(self, event):
        """Do not call it after all, if it was not. It stays in the schedule: no search there."""
        if event:
            event.clear()

    def close(self):
        self._closed = True
        self._wake.set()
        self._thread.join()

    def _run(self):
        while not self._closed:
            self._wake.clear()  # before looking: what is entered after the look wakes us again
            try:
                seconds = self._schedule.run(blocking=False)
            except Exception:  # a bug in one deadline must not stop all the others
                log.exception("the clock survived an error")
                continue
            # The longest wait that Python allows is about 292 years on Linux, 49 days elsewhere.
            self._wake.wait(None if seconds is None else min(seconds, threading.TIMEOUT_MAX))
