"""The queue between the threads that send to a peer and the one stream or pipe that leads to it.

Any thread may send, and none may wait for the peer: a slow client must not stop the thread that
reads a server, because every other client of that server waits for the same thread. Only the
feeder, the one thread that feeds this stream, waits. A peer that falls too far behind is
disconnected.

Waking the feeder costs more than all the rest of a message. So the sender writes its message
itself if nothing is in the way: nobody else is writing, nothing waits in the queue, and the write
cannot block. The right to write is the *pen*. There is one for each outbox, which keeps the
order. At any moment exactly one of these is true:

    FREE            nobody holds it, and nothing waits
    WITH_SENDER     a sender writes one message
    ON_ITS_WAY      the feeder gets it next: something waits, or the outbox is closed
    WITH_FEEDER     the feeder writes what waits, batch after batch; also at the beginning, until
                    the feeder asks for the first time

    FREE         -> WITH_SENDER   a message is sent
    WITH_SENDER  -> FREE          it is written, and nothing else waits by now
    WITH_SENDER  -> ON_ITS_WAY    it could not be written, or something else waits
    FREE         -> ON_ITS_WAY    the outbox is closed
    ON_ITS_WAY   -> WITH_FEEDER   the feeder gets it, with the first batch
    WITH_FEEDER  -> FREE          the feeder asks for the next batch, and nothing waits
"""

import collections
import logging
import os
import queue
import select
import stat
import threading

from .messages import encode
from .passing import passing

log = logging.getLogger("router")

CLOSE = object()  # what the feeder gets in the end

MAX_BEHIND_MESSAGES = 20_000
MAX_BEHIND_BYTES = 64 * 2**20
BATCH_BYTES = 2**16     # that the feeder gets at once, or one message

FREE, WITH_SENDER, ON_ITS_WAY, WITH_FEEDER = "free", "with a sender", "on its way", "with feeder"


class Outbox:
    """A bounded queue of encoded messages with one feeder, ended by CLOSE."""

    def __init__(self, name, on_behind=lambda: None):
        self.name = name
        self.on_behind = on_behind  # called once, when it is closed for being too far behind
        # write_at_once(message as bytes) → True, or False if that could block, or failed.
        self.write_at_once = lambda data: False
        # Holds one item while the pen is ON_ITS_WAY, else none; here the feeder waits.
        self._handed_over = queue.SimpleQueue()
        self._lock = threading.Lock()
        # protected by _lock:
        self._pen = WITH_FEEDER     # until the feeder asks for the first time
        self._waiting = collections.deque()
        self._bytes = 0             # of the messages that wait
        self._closed = False

    # -- called by any thread

    def send(self, message):
        """Send a message to a client. Never blocks and never raises."""
        data = encode(message)
        if passing.watched:
            passing.observer.to_client(self.name, message, data)
        self.put(data)

    def put(self, data):
        """Send a message that is encoded already, to a client or a server."""
        with self._lock:
            if self._closed:
                return
            if self._pen is FREE:
                self._pen = WITH_SENDER
                behind = None
            # Checked before this message is added: a single one may have any size.
            elif len(self._waiting) < MAX_BEHIND_MESSAGES and self._bytes <= MAX_BEHIND_BYTES:
                self._waiting.append(data)
                self._bytes += len(data)
                return
            else:
                self._closed = True
                behind = len(self._waiting), self._bytes
        if behind:
            log.warning("%s: closed, because it is %d messages (%d bytes) behind", self.name,
                        *behind)
            self.on_behind()
            return
        written = self.write_at_once(data)
        with self._lock:
            if not written:
                self._waiting.appendleft(data)  # before the messages that came meanwhile
                self._bytes += len(data)
            if self._waiting or self._closed:
                self._hand_over()
            else:
                self._pen = FREE

    def close(self):
        """The feeder gets what is queued, and then CLOSE. May be called any number of times."""
        with self._lock:
            self._closed = True
            if self._pen is FREE:
                self._hand_over()

    def _hand_over(self):
        """Give the pen to the feeder. Requires _lock."""
        self._pen = ON_ITS_WAY
        self._handed_over.put(None)

    # -- called by the feeder

    def get(self, seconds=None):
        """The next messages, a list of bytes; [] if none come in time; CLOSE at the end.

        A feeder that asks again says by this that it has written what it got before.
        """
        with self._lock:
            if self._pen is WITH_FEEDER:
                if self._waiting or self._closed:
                    return self._take()
                self._pen = FREE
        try:
            self._handed_over.get(timeout=seconds)
        except queue.Empty:
            return []
        with self._lock:
            self._pen = WITH_FEEDER
            return self._take()

    def _take(self):
        """The next batch, or CLOSE. Requires _lock."""
        found, size = [], 0
        while self._waiting and size < BATCH_BYTES:
            found.append(self._waiting.popleft())
            size += len(found[-1])
        self._bytes -= size
        return found or CLOSE


def feed_pipe(outbox, pipe):
    """Feed a pipe: write each message as a line, until CLOSE. Run by the pipe's feeder thread.

    Raises OSError if nobody reads the pipe any more.
    """
    outbox.write_at_once = pipe_writer(pipe)
    while (found := outbox.get()) is not CLOSE:
        pipe.write(b"\n".join(found) + b"\n")
        pipe.flush()
        del found  # up to 64 MB, which would stay in memory until the next message


def pipe_writer(pipe):
    """An outbox's write_at_once for a pipe or a Unix socket.

    A pipe that is ready takes PIPE_BUF bytes without blocking, and in one piece (POSIX). Anything
    else, a file for example, is always left to the feeder.
    """
    descriptor = pipe.fileno()
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)) or not hasattr(select, "poll"):
        return lambda data: False
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)

    def write_at_once(data):
        if len(data) >= select.PIPE_BUF or not poll.poll(0):
            return False
        try:
            os.write(descriptor, data + b"\n")
        except OSError:
            return False  # the feeder gets the same error, and handles it
        return True

    return write_at_once
