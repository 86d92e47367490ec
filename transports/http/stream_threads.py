"""How many streams are open, and how many workers waitress has for them.

A worker feeds a stream for as long as it is open. If all workers did, the next request would get
no answer. So their number follows the number of streams: some are always spare.
"""

import threading

SPARE_THREADS = 8


class StreamsUsedUp(Exception):
    """No further stream may be opened now; answered with 503."""


class StreamThreads:
    """Counts the open streams. Any thread."""

    def __init__(self, most):
        """`most`: streams that may be open at once."""
        self.most = most
        self.dispatcher = None  # waitress's, of its workers; None also once the server is ending
        self._lock = threading.Lock()
        # protected by _lock:
        self._open = 0
        self._threads = SPARE_THREADS

    def open(self, client_connection, on_disconnect):
        """One more stream; on_disconnect() is called if its client vanishes.

        Raises StreamsUsedUp. If it does not, `closed` must be called later.
        """
        self._count(1)
        client_connection.on_disconnect = on_disconnect
        if client_connection.has_hung_up():  # before the line above
            on_disconnect()

    def closed(self):
        self._count(-1)

    def count(self):
        with self._lock:
            return self._open

    def has_room(self):
        with self._lock:
            return self._open < self.most

    def _count(self, change):
        with self._lock:
            if self._open + change > self.most:
                raise StreamsUsedUp(f"{self.most} streams are open already.")
            needed, before = self._open + change + SPARE_THREADS, self._threads
            # In steps: starting and stopping a thread for every stream would cost more.
            if needed > before or needed + 3 * SPARE_THREADS < before:
                self._have(needed + SPARE_THREADS)
            self._open += change

    def _have(self, threads):
        """Requires _lock: or an older count may win. It only starts threads, or tells some to
        end."""
        if self.dispatcher:
            try:
                self.dispatcher.set_thread_count(threads)
            except RuntimeError:
                raise StreamsUsedUp("The system has no thread left for a stream.") from None
        self._threads = threads
