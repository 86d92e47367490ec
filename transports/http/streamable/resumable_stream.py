"""A stream that can break and be resumed: each POST with a request has one, and each session.

An Outbox forgets what it has handed out. A ResumableStream numbers its messages and keeps the last
of them, so that a client whose connection broke can say which number it has, and read on
(2025-11-25, Transports, Resumability and Redelivery).

The first thing that the call of a POST brings decides about the POST; until then it holds no
thread. A connection that breaks is no cancellation (Sending Messages to the Server, item 6).

    the answer, and nothing else    it is answered with that, as JSON, by the thread that brings it
    anything else, or silence       it becomes a stream of events, which a worker feeds, if
                                    one more may be open
    its client hangs up             it is forgotten, but its call goes on
"""

import collections
import itertools
import threading
import time

from transports.fabric.messages import encode
from transports.fabric.outbox import CLOSE, too_far_behind
from transports.fabric.peers import passing
from transports.fabric.session import Session, UsedUp
from transports.fabric.text import log
from transports.http.replies import JSON, Reply, used_up

KEPT_MESSAGES = 1000        # of a stream that nobody reads, or that may have to be resumed
KEPT_BYTES = 4 * 2**20


class ResumableStream:
    """Numbered messages, from any thread, for one reader at a time, which is disconnected if it
    falls too far behind. With `answers`, the stream of a POST: it is complete with that many."""

    def __init__(self, name, number, answers=None):
        self.name, self.number = name, number
        self.post = None                # the WaitingPost whose stream this may become
        self.on_news = lambda: None     # called after a change, by the thread that made it
        self._lock = threading.Lock()
        # written under _lock:
        self._changed = None        # a Condition, once somebody has had to wait
        self.reader = None          # the ClientConnection on which it is read, or None
        self.had_reader = False     # whether there has been one
        self.last_read = 0          # the highest number that a reader has got
        self.size = 0               # of the messages that are kept, in bytes
        self._kept = collections.deque()    # (number, bytes)
        self.last = 0              # the number of the newest message
        self._answers = answers     # that are still to come
        self.may_be_alone = answers == 1    # whether its answer will do, without what comes before
        self._answered = False      # whether the last of them has come
        self._closed = False        # whether nothing more will come
        self._is_for_one_reader = False     # whether nobody else will read what is kept

    # -- called by any thread

    def send(self, message):
        data = encode(message)
        if passing.watched:
            passing.observer.to_client(self.name, message, data)
        with self._lock:
            if self._closed:
                return
            reader, unread = self.reader, self._kept and self._kept[0][0] > self.last_read
            behind = reader is not None and too_far_behind(
                self.last - self.last_read, self.size if unread else 0)
            self.last += 1
            self._kept.append((self.last, data))
            self.size += len(data)
            self._forget()
            self.may_be_alone = self.may_be_alone and not ("id" in message and "method" in message)
            if self._answers and "method" not in message:
                self._answers -= 1
                self._answered = self._answers == 0
            self._closed = behind or self._answered
            self._tell()
        self.on_news()
        if behind:
            log.warning("%s: a stream was closed, because its client is too far behind", self.name)
            reader.disconnect()

    def _forget(self):
        """Forget the oldest messages; of those that the reader has not read, none. Requires
        _lock."""
        while len(self._kept) > 1 and (len(self._kept) > KEPT_MESSAGES or self.size > KEPT_BYTES):
            if self.reader is not None and self._kept[0][0] > self.last_read:
                return
            self.size -= len(self._kept.popleft()[1])

    def _tell(self):
        """Requires _lock."""
        if self._changed:
            self._changed.notify_all()

    def expect_one_less(self):
        """One of its answers will never come: its call was cancelled."""
        with self._lock:
            self._answers -= 1
            self._closed = self._closed or self._answers == 0
            self._tell()
        self.on_news()

    def close(self):
        """Nothing more will come, and nobody will resume it: what is kept is only for the reader
        that it has now."""
        with self._lock:
            self._closed = self._is_for_one_reader = True
            self._drop_unreadable()
            self._tell()
        self.on_news()

    def _drop_unreadable(self):
        if self._is_for_one_reader and self.reader is None:
            self._kept.clear()
            self.size = 0

    def is_complete(self):
        """Whether nothing more will come."""
        return self._closed

    def sole_answer(self, reader, has_room):
        """The answer as bytes, if nothing else is in it, or that may be left out as there is no
        room for a stream, and this reader has it; else None."""
        with self._lock:
            is_sole = self.last == 1 or self.may_be_alone and not has_room
            return self._kept[-1][1] if is_sole and self._answered and self.reader is reader \
                else None

    # -- for the reader, whose thread feeds the HTTP response

    def take_over(self, reader):
        """From now on this ClientConnection reads; another that does gets CLOSE."""
        with self._lock:
            self.reader, self.had_reader = reader, True
            self._tell()
        self.on_news()

    def release(self, reader):
        """The reader has gone, unless another has taken over already. Any thread."""
        with self._lock:
            if self.reader is reader:
                self.reader = None
                self._drop_unreadable()
                self._tell()

    def read(self, after, reader, seconds):
        """The messages after that number, as [(number, bytes)]; [] if none come in time; CLOSE
        when there will be no more, or when another reader has taken over."""
        with self._lock:
            self._changed = self._changed or threading.Condition(self._lock)
            self._changed.wait_for(lambda: self.last > after or self._closed
                                   or self.reader is not reader, seconds)
            if self.reader is not reader:
                return CLOSE
            found = [kept for kept in self._kept if kept[0] > after]
            self.last_read = max(self.last_read, self.last)
            return found or (CLOSE if self._closed else [])


class StreamableSession(Session):
    """A session with a stream of its own and one for each POST that is answered. It outlives its
    connections, so it also ends if its client is silent for too long."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.outbox = ResumableStream(self.name, 0)
        self.streams = {}                       # others, of calls, by their number
        self.numbers = itertools.count(1)       # for these
        self.last_used = time.monotonic()       # by its client

    def close_streams(self):
        super().close_streams()
        for stream in list(self.streams.values()):
            stream.close()
        self.streams.clear()

    def _stream_of(self, question):
        """A client need not open a stream of its own. Then a question that may belong to several
        of its calls goes out on the stream of the latest one at that server."""
        stream = super()._stream_of(question)
        if stream is not self.outbox or stream.reader:
            return stream
        calls = [call for call in self.calls.all() if call.last_at is question.asker]
        return [stream, *(call.reply_to for call in calls if call.reply_to.reader)][-1]

    def seconds_silent(self):
        """0 while its client reads on some connection, or waits for an answer there."""
        if any(stream.reader for stream in [self.outbox, *list(self.streams.values())]):
            return 0.0
        return time.monotonic() - self.last_used


class WaitingPost:
    """A POST whose answer is still to come; its call sends to the ResumableStream."""

    def __init__(self, router, session, stream, connection, is_first, open_stream, has_room):
        """`is_first`: the POST is the `initialize` that the session began with. open_stream(this):
        the response that is a stream of events. Raises UsedUp; mostly has_room() tells before."""
        self.session, self.stream = session, stream
        self._router, self._is_first, self._open_stream = router, is_first, open_stream
        self.connection, self._has_room = connection, has_room
        self.since = time.monotonic()
        self._decided = threading.Lock()    # acquired once, by the thread that decides

    def wait(self):
        """Called once, when the message is under way. From now on any thread may call what is
        below; here already, if something has come."""
        self.session.streams[self.stream.number] = self.stream
        self.stream.post = self
        self.connection.when_gone(self.gone)    # first: an answer takes it back
        self.stream.on_news = self.ready
        if self.stream.last or self.stream.is_complete():   # before the lines above
            self.ready()

    def ready(self):
        """Something has come, or its end, or another reader; or a sign of life is needed."""
        has_room = self._has_room()
        if self.stream.may_be_alone and not (has_room or self.stream.is_complete()) \
                or not self._decides():
            return
        answer = self.stream.sole_answer(self.connection, has_room)
        if answer is None:
            self.connection.become_stream(self)
            return
        self.session.streams.pop(self.stream.number, None)
        if self._is_first and self.session.version is None:  # initialize was refused
            self._router.leave(self.session)
            self._is_first = False
        self.connection.answer(Reply(answer, "200 OK", [JSON, *self.headers()]))

    def as_stream(self):
        """The response. The call goes on even if there is no room for a stream."""
        try:
            return self._open_stream(self)
        except UsedUp as problem:
            self.gone()
            return used_up(problem)

    def _decides(self):
        """True for the first thread that calls it."""
        is_first = self._decided.acquire(blocking=False)
        if is_first:
            self.stream.post, self.stream.on_news = None, lambda: None
        return is_first

    def gone(self):
        """The client has hung up. It has no number to resume from, so nobody will ask for what
        comes now; nor for the session, if the POST is its first."""
        log.debug("%s: the client of a POST has hung up", self.session.name)
        self._decides()
        self.session.streams.pop(self.stream.number, None)
        self.session.last_used = time.monotonic()
        self.stream.release(self.connection)
        self.stream.close()
        if self._is_first:
            self._router.leave(self.session)

    def headers(self):
        """The session's id, if the client does not know it yet."""
        return [("Mcp-Session-Id", self.session.id)] if self._is_first else []
