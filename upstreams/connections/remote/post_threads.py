"""Threads that send one message each to a remote server and wait for what it answers.

Their number follows the work: a job finds a thread that waits, or gets a new one, up to a bound;
then it waits for one to be free. A thread without work ends after a while, except the last one.
"""

import logging
import queue
import threading
import time

log = logging.getLogger("router")

IDLE_SECONDS = 30.0
MOST_WAITING = 20_000   # jobs that wait for a thread; more are refused

CLOSE = object()


class PostThreads:
    """`start` it once; `put`, `close` and `join` from any thread."""

    def __init__(self, name, most):
        self._name, self._most = name, most
        self._jobs = queue.SimpleQueue()
        self._lock = threading.Lock()
        # protected by _lock:
        self._threads = set()
        self._free = 0          # threads without work, less the jobs that wait
        self._begun = 0         # threads, ever: for their names

    def start(self):
        """Start the first thread. Raises RuntimeError if the system has none left."""
        with self._lock:
            self._start_one()

    def put(self, function, *arguments):
        """Have a thread call this; False if too much waits already."""
        with self._lock:
            if self._free <= -MOST_WAITING:
                return False
            if self._free <= 0 and len(self._threads) < self._most:
                try:
                    self._start_one()
                except RuntimeError:
                    log.warning("%s: the system has no thread left: a message waits", self._name)
            self._free -= 1
        self._jobs.put((function, arguments))
        return True

    def close(self):
        """The threads end after the jobs that wait."""
        self._jobs.put(CLOSE)

    def join(self, deadline):
        """Wait until they have ended, until this moment of time.monotonic(); False if they have
        not by then."""
        with self._lock:
            threads = list(self._threads)
        return all(ended(thread, deadline) for thread in threads)

    def _start_one(self):
        """Requires _lock. It only starts a thread."""
        number = self._begun + 1
        name = self._name if self._most == 1 else f"{self._name}-{number}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        thread.start()
        self._threads.add(thread)
        self._begun = number
        self._free += 1

    def _work(self):
        while job := self._next():
            function, arguments = job
            try:
                function(*arguments)
            except Exception:  # a bug of ours in one message must not end all that follow
                log.exception("%s: one message was lost", self._name)
            del job, function, arguments    # which may be large
            with self._lock:
                self._free += 1

    def _next(self):
        """The next job; None at the end, or if there is none for long, and another thread."""
        while True:
            try:
                job = self._jobs.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if self._free > 0 and len(self._threads) > 1:
                        self._free -= 1
                        self._threads.discard(threading.current_thread())
                        return None
                continue
            if job is CLOSE:
                self._jobs.put(CLOSE)   # for the others
                return None
            return job


def ended(thread, deadline):
    """Wait for a thread, until this moment; whether it has ended."""
    if thread is threading.current_thread():
        return False
    thread.join(max(0, deadline - time.monotonic()))
    return not thread.is_alive()
