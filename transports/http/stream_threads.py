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

    def open(self, client_connection, on_disconnect, refuse=True):
        """One more stream; on_disconnect() is called if its client vanishes.

        Raises StreamsUsedUp, unless `refuse` is False. If it does not raise, `closed` must be
        called later.
        """
        self._count(1, self.most if refuse else None)
        client_connection.on_disconnect = on_disconnect
        if client_connection.has_hung_up():  # before the line above
            on_disconnect()

    def closed(self):
        self._count(-1)

    def count(self):
        with self._lock:
            return self._open

    def _count(self, change, most=None):
        with self._lock:
            if most is not None and self._open + change > most:
                raise StreamsUsedUp(f"{most} streams are open already.")
            self._open += change
            needed, before = self._open + SPARE_THREADS, self._threads
            # In steps: starting and stopping a thread for every stream would cost more.
            if needed > before or needed + 8 * SPARE_THREADS < before or (
                    self._open == 0 and before > 2 * SPARE_THREADS):
                self._threads = needed + SPARE_THREADS
            if self._threads != before and self.dispatcher:
                # With the lock held, or an older count may win. It only starts threads, or tells
                # some to end.
                self.dispatcher.set_thread_count(self._threads)
