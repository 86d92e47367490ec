"""A stream that can break and be resumed: Streamable HTTP has one for each call, one for the rest.

An Outbox forgets what it has handed out. A ResumableStream numbers its messages and keeps
the last of them, so that a client whose connection broke can say which number it has, and read on
(2025-11-25, Transports, Resumability and Redelivery).
"""

import collections
import logging
import threading

from transports.fabric.messages import encode
from transports.fabric.outbox import CLOSE, MAX_BEHIND_BYTES, MAX_BEHIND_MESSAGES

log = logging.getLogger("router")

KEPT_MESSAGES = 1000        # of a stream that nobody reads, or that may have to be resumed
KEPT_BYTES = 4 * 2**20


class StreamsUsedUp(Exception):
    """No further stream may be opened now; answered with 503."""


class ResumableStream:
    """Numbered messages, from any number of writers to one reader at a time.

    With `answers`, the stream of a call: it is complete with that many responses. `send` never
    blocks and never raises. A reader that reads on but stays too far behind loses the stream.
    """

    def __init__(self, name, number, answers=None):
        self.name, self.number = name, number
        self.reader = None          # whoever reads it now; a new reader takes it over
        self.on_behind = lambda: None   # called when it is closed for being too far behind
        self._changed = threading.Condition()
        # protected by _changed:
        self._kept = collections.deque()  # (number, bytes)
        self._bytes = 0
        self._last = 0              # the number of the newest message
        self._read = 0              # the highest number that a reader has got
        self._answers = answers
        self._answered = False      # whether all of them are here; else it is closed for good
        self._closed = False
        self._when_ready = None

    def send(self, message):
        data = encode(message)
        with self._changed:
            if self._closed:
                return
            self._last += 1
            self._kept.append((self._last, data))
            self._bytes += len(data)
            behind = self._forget()
            if self._answers is not None and "method" not in message:
                self._answers -= 1
                self._answered = self._answers == 0
                self._closed = self._closed or self._answered
            self._changed.notify_all()
        self.hurry()
        if behind:
            log.warning("%s: a stream was closed, because its client is too far behind", self.name)
            self.on_behind()

    def expect_one_less(self):
        """One of its answers will never come: its call was cancelled."""
        with self._changed:
            self._answers -= 1
            self._closed = self._closed or self._answers == 0
            self._changed.notify_all()
        self.hurry()

    def _forget(self):
        """Requires _changed. What was not read is forgotten only where nobody reads; True when
        the reader is so far behind that the stream ends."""
        reading = self.reader is not None
        most, most_bytes = ((MAX_BEHIND_MESSAGES, MAX_BEHIND_BYTES) if reading
                            else (KEPT_MESSAGES, KEPT_BYTES))
        if reading and (self._last - self._read > most or self._bytes - len(self._kept[-1][1])
                        > most_bytes and self._kept[0][0] > self._read):
            self._closed = True
            return True
        while len(self._kept) > 1 and (len(self._kept) > KEPT_MESSAGES
                                       or self._bytes > KEPT_BYTES):
            if reading and self._kept[0][0] > self._read:
                break
            self._bytes -= len(self._kept.popleft()[1])
        return False

    def read(self, after, reader, seconds):
        """The messages after that number, as [(number, bytes)]; [] if none come in time.

        CLOSE when there will be no more, or when another reader has taken over.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._last > after or self._closed
                                   or self.reader is not reader, seconds)
            if self.reader is not reader:
                return CLOSE
            found = [kept for kept in self._kept if kept[0] > after]
            self._read = max(self._read, self._last)
            return found or (CLOSE if self._closed else [])

    def when_ready(self, function):
        """Call function() once `read` would not wait: now, or in the thread that brings that
        about. It is no use to a reader that has gone."""
        with self._changed:
            if not self._last and not self._closed:
                self._when_ready = function
                return
        function()

    def hurry(self):
        """Call what `when_ready` was given, whether there is something to read or not."""
        with self._changed:
            function, self._when_ready = self._when_ready, None
        if function:
            function()

    def take_over(self, reader):
        """From now on this one reads; None: nobody does."""
        with self._changed:
            self.reader = reader
            self._changed.notify_all()
        self.hurry()

    def release(self, reader):
        """The reader has gone, unless another has taken over already."""
        with self._changed:
            if self.reader is reader:
                self.reader = self._when_ready = None
                self._changed.notify_all()

    def whole(self, reader):
        """The answer, if it is all that there ever will be, and this reader's; else None."""
        with self._changed:
            if self._answered and self._last == 1 and self.reader is reader:
                return self._kept[0][1]
            return None

    def is_complete(self):
        """Whether all its answers are in it."""
        with self._changed:
            return self._closed

    def last_read(self):
        """The highest number that a reader has got."""
        with self._changed:
            return self._read

    def close(self):
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.hurry()
