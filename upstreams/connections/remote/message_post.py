"""One message on its way to a remote server: its POST, and the answer to it.

A request has its answer in the response to its POST: as JSON, or in a stream of events, after
whatever else the server says on behalf of it. The stream of a legacy request may break before
that, and is resumed by a GET (2025-11-25, Transports, Resumability and Redelivery).
"""

import logging
import time

from transports.fabric.messages import dig, encode, is_id

from .connection import HttpFailed, Unreachable
from .event_stream import EventStream
from .message_headers import modern_version
from .problem import problem_of, shown

log = logging.getLogger("router")

NOTE_SECONDS = 30.0     # for the server to accept a notification or a response
MOST_RESUMPTIONS = 5    # of one stream in a row that bring nothing, and end at once
LASTS = 5.0             # seconds of a connection that did not end at once
RETRY = 1.0             # seconds before one, if the server does not say how many

INITIALIZED, CANCELLED = "notifications/initialized", "notifications/cancelled"
EVENTS = "text/event-stream"
_POST = [("Content-Type", "application/json"), ("Accept", f"application/json, {EVENTS}")]


class MessagePost:
    """A message for the server of this Remote; sent by `send_request` or `send_note`."""

    def __init__(self, message, remote):
        self.method = message.get("method")
        self.id = message.get("id") if self.method else None    # None: it is no request
        cancelled = dig(message, "params", "requestId") if self.method == CANCELLED else None
        self.cancels = cancelled if is_id(cancelled) else None
        self.is_modern = modern_version(message) is not None
        self.body = encode(message)
        self.over = False       # whether it has its answer, or nobody waits for that
        self.headers = {}       # of the first response to it
        self.wire = None        # while it is on its way
        self._remote = remote
        self._said = remote.message_headers.modern(message)

    def give_up(self):
        """Nobody waits for it any more. Any thread."""
        self.over = True
        if wire := self.wire:
            wire.abort(self.send_request)

    # -- NAME-post-N

    def send_request(self, wire):
        """Pass on its answer, and all that comes before."""
        remote = self._remote
        remote.ready.wait()
        self.wire = wire    # before `over` is looked at: `give_up` sets that first
        try:
            if not self.over and not remote.closing.is_set():
                self._converse()
        except Unreachable as problem:
            remote.is_unreachable(problem, self)
        except HttpFailed as problem:
            remote.fail(self, str(problem))
        except Exception:
            remote.fail(self, "could not be asked: a bug in the router, whose log says more")
            raise
        finally:
            remote.release(self)

    def _converse(self):
        remote, wire = self._remote, self.wire
        self._ask()
        self.headers = wire.headers
        if not 200 <= wire.status < 300:
            self._is_refused()
        elif remote.stream.is_old:
            wire.finish()   # no matter what it says: the answer is on the stream
        else:
            remote.release(self)
            self._read_answer()

    def _is_refused(self):
        problem = self._problem()
        if self.method == "initialize" and self._remote.becomes_old(problem):
            self._converse()
        else:
            self._remote.is_refused(problem, self)

    def _ask(self):
        remote = self._remote
        said = remote.message_headers.legacy() if self._said is None else self._said
        self.wire.ask("POST", remote.post_target, [*_POST, *said], self.body)

    def _problem(self):
        return problem_of(self.wire, self._remote.message_headers.session, self.id)

    def _read_answer(self):
        remote, wire, kind = self._remote, self.wire, self.wire.kind()
        if wire.status in (202, 204):
            raise HttpFailed(f"accepted the request with HTTP {wire.status}, and so does not "
                             "answer it")
        if kind == EVENTS:
            self._read_stream()
        elif kind == "application/json":
            data = wire.read(remote.longest)
            remote.take_in(data, self)
            if not self.over:
                text = shown(data.decode("utf-8", "replace"))
                raise HttpFailed(f"answered HTTP {wire.status} with something else than the "
                                 f"answer: {text}")
        else:
            raise HttpFailed(f"sent {kind or 'nothing'} in place of an answer; it "
                             f"{self._problem().text}")

    def _read_stream(self):
        """The stream of this request, to its end, over as many connections as that takes."""
        remote, wire, in_vain = self._remote, self.wire, 0
        events = EventStream(remote.longest)
        while True:
            before, began = events.last_id, time.monotonic()
            problem = self._read_events(events)
            if self.over or remote.closing.is_set():
                return
            lasted = time.monotonic() - began > LASTS
            in_vain = 0 if lasted or events.last_id != before else in_vain + 1
            if self.is_modern or not events.last_id or in_vain > MOST_RESUMPTIONS:
                raise problem
            remote.closing.wait(RETRY if events.retry is None else events.retry)
            remote.stream.get(wire, events.last_id)
            if wire.kind() != EVENTS:
                raise HttpFailed(f"{problem}, and it could not be resumed: "
                                 f"{self._problem().text}")

    def _read_events(self, events):
        """What comes on one connection, until it has the answer. Returns the HttpFailed that an
        earlier end would be."""
        try:
            for kind, data, whole in events.events(self.wire.pieces()):
                if kind == b"message" and data != b"":  # which would only tell an id
                    self._remote.take_in(data, self, whole)
                if self.over:
                    self.wire.finish()
                    break
        except HttpFailed as problem:
            return problem
        return HttpFailed("ended the stream of the request without an answer")

    # -- NAME-notes

    def send_note(self, wire):
        """Send a notification or a response."""
        remote, failed = self._remote, None
        self.wire = wire
        if remote.closing.is_set():
            return
        try:
            with wire.within(NOTE_SECONDS):
                self._ask()
            if not 200 <= wire.status < 300:
                problem = self._problem()
                failed = problem.text
                remote.is_refused(problem)
        except HttpFailed as problem:
            failed = str(problem)
        remote.note_sent(self)
        if failed and not remote.closing.is_set():
            log.warning("%s: did not take %s: %s", remote.label, self.method or "an answer",
                        remote.redact(failed))
        elif not failed and wire.kind() != EVENTS:
            wire.finish()
