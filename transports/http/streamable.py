"""Streamable HTTP with sessions, the transport of revisions 2025-03-26, 2025-06-18, 2025-11-25.

    POST   /mcp, /mcp/{serverName}   one message; a request is answered on the POST itself
    GET    …                         the session's own stream, or, with Last-Event-ID, a broken one
    DELETE …                         the end of the session

Mostly the first thing that a call brings is its answer: then the POST is answered with that, as
JSON, by the thread that brought it; until then it holds none. If anything comes before it, or
nothing for a while, the POST becomes a stream of events. A connection that breaks is no
cancellation: the call goes on, and its stream can be resumed.
"""

import functools
import logging
import time

import flask

from transports.fabric.messages import (INVALID_REQUEST, REQUEST, REVISIONS, SERVER_UNAVAILABLE,
                                        InvalidMessage, decode, kind_of)
from transports.fabric.outbox import CLOSE
from transports.fabric.session import SessionsUsedUp
from transports.http.engine.connection import channel_of

from .replies import (ACCEPTED, JSON, NO_JSON, STILL_HERE, EventResponse, Reply, event, is_json,
                      json_error, plain, used_up)
from .streams import ResumableStream

log = logging.getLogger("router")

TRANSPORT = "streamable-http"     # the name that our sessions bear
RETRY = 1000                # milliseconds before a client resumes a broken stream
KEPT_STREAMS = 16           # streams of one session that are complete but may have to be resumed


class HttpError(Exception):
    """An HTTP error, as a reply."""

    def __init__(self, status, text, code=INVALID_REQUEST):
        super().__init__(text)
        self.reply = json_error(status, code, text)


class StreamableHttp:
    """The views, each run by a waitress thread, which may wait; and `post`, which may not."""

    def __init__(self, router, clock, streams, heartbeat):
        self._router, self._clock = router, clock
        self._streams, self._heartbeat = streams, heartbeat
        self._waiting = {}      # ResumableStream of a POST that has got nothing yet → since when
        self._end_idle_sessions()
        self._hurry_the_late()

    def views(self):
        """A Flask blueprint."""
        routes = flask.Blueprint("streamable_http", __name__)
        for path in ("/mcp", "/mcp/", "/mcp/<name>"):
            for method, view in (("POST", self.go_on_as_stream), ("GET", self.get),
                                 ("DELETE", self.delete)):
                routes.add_url_rule(path, f"{method} {path}", view, methods=[method])
        routes.register_error_handler(HttpError, lambda problem: problem.reply.response())
        return routes

    # -- POST

    def session_of(self, request):
        """The session that a request names, or None."""
        return self._router.sessions.find(request.header("Mcp-Session-Id"))

    def post(self, request, channel):
        """Begin what a POST asks for. Returns the reply; None if it comes later."""
        try:
            message = self._message(request)
            answers = sum(map(_is_answered, message)) if isinstance(message, list) else (
                isinstance(message, dict) and _is_answered(message) and "method" in message)
            new = isinstance(message, dict) and answers and message["method"] == "initialize" \
                and request.header("Mcp-Session-Id") is None
            name = request.path.lstrip("/")[len("mcp/"):] or None
            session = self._open(name) if new else self._session(name, request.header)
            return self._call(session, message, int(answers), new, channel)
        except HttpError as problem:
            return problem.reply
        except SessionsUsedUp as problem:
            return used_up(problem)

    def _message(self, request):
        """The body of the POST, or a HttpError."""
        if not _accepts(request.header, "application/json", "text/event-stream"):
            raise HttpError(406, "Accept both application/json and text/event-stream.")
        if not is_json(request.header("Content-Type", "")):
            raise HttpError(415, NO_JSON)
        try:
            return decode(request.body())
        except InvalidMessage as problem:
            raise HttpError(400, str(problem), problem.code) from None

    def _call(self, session, message, answers, new, channel):
        stream, reader = ResumableStream(session.name, next(session.numbers), answers), object()
        if answers:
            stream.take_over(reader)
            session.streams[stream.number] = stream
        try:
            self._router.handle(session, message, stream)
        except InvalidMessage as problem:
            session.streams.pop(stream.number, None)
            if new:
                self._router.leave(session)
            raise HttpError(400, str(problem), problem.code) from None
        if not answers:
            return ACCEPTED
        self._waiting[stream] = time.monotonic()
        gone = channel.on_disconnect = functools.partial(self._gone, session, stream, reader, new)
        stream.when_ready(functools.partial(self._ready, channel, session, stream, reader, new))
        if not channel.connected and channel.on_disconnect is gone:  # it closed too soon to tell
            gone()
        return None

    def _ready(self, channel, session, stream, reader, new):
        """Any thread: the first thing that a call brings decides what its POST becomes."""
        self._waiting.pop(stream, None)
        headers = [("Mcp-Session-Id", session.id)] if new else []
        answer = stream.whole(reader)
        if answer is None:
            channel.go_on((session, stream, reader, headers))
            return
        session.streams.pop(stream.number, None)
        if new and session.version is None:  # initialize was refused: there is no session
            self._router.leave(session)
            headers = []
        channel.answer(Reply("200 OK", answer, [JSON, *headers]))

    def _gone(self, session, stream, reader, new):
        """The client of a POST has hung up. Its call goes on, but it has no number to resume the
        stream from: nobody will ever ask for what comes now; nor for a session that is new."""
        log.debug("%s: the client of a POST has hung up", session.name)
        self._waiting.pop(stream, None)
        session.streams.pop(stream.number, None)
        session.last_used = time.monotonic()
        stream.release(reader)
        stream.close()
        if new:
            self._router.leave(session)

    def _hurry_the_late(self):
        """Called by the clock: who waits in silence gets a stream, which shows signs of life."""
        self._clock.after(self._heartbeat / 3, self._hurry_the_late)
        for stream, since in list(self._waiting.items()):
            if time.monotonic() - since >= self._heartbeat:
                stream.hurry()

    def go_on_as_stream(self, name=None):
        """The view of a POST that becomes a stream. It is never refused: its call has run."""
        channel = channel_of(flask.request.environ)
        (session, stream, reader, headers), channel.begun = channel.begun, None
        stream.on_behind = channel.abandon
        self._streams.open(channel, functools.partial(stream.release, reader), refuse=False)
        return self._event_stream(session, stream, reader, channel, 0, headers)

    # -- GET

    def get(self, name=None):
        """The session's own stream, or what a broken one had after Last-Event-ID."""
        header = flask.request.headers.get
        if not _accepts(header, "text/event-stream"):
            raise HttpError(406, "Accept text/event-stream.")
        session = self._session(name, header)
        last = header("Last-Event-ID")
        stream, after, reader = session.outbox, session.outbox.last_read(), object()
        if last is not None:
            number, _, after = last.partition("-")
            if not (number.isdecimal() and after.isdecimal() and len(last) < 40):
                raise HttpError(400, f"Last-Event-ID {last[:40]!r} is none of ours.")
            after = int(after)
            stream = session.outbox if int(number) == 0 else session.streams.get(int(number))
            if stream is None:
                raise HttpError(400, "That stream is not kept any more: ask again.")
        elif stream.reader is not None:
            raise HttpError(409, "This session has a stream already; resume it with "
                                 "Last-Event-ID, or close it first.")
        channel = channel_of(flask.request.environ)
        self._streams.open(channel, functools.partial(stream.release, reader))
        stream.take_over(reader)  # only now: refused with 503, the old reader goes on
        stream.on_behind = channel.abandon
        return self._event_stream(session, stream, reader, channel, after)

    def _event_stream(self, session, stream, reader, channel, after, headers=()):
        response = EventResponse(self._events(session, stream, reader, after), channel, headers)

        def ended():
            self._streams.closed()
            stream.release(reader)
            session.last_used = time.monotonic()
            _forget_oldest(session)

        response.call_on_close(ended)
        return response

    def _events(self, session, stream, reader, after):
        """Run by the waitress thread that holds the stream. The first yield sends the headers."""
        # An id to resume from before anything has come (2025-11-25, Sending Messages, item 6).
        # Older clients take an event without data for a broken message.
        yield (b"id: %d-%d\nretry: %d\ndata: \n\n" % (stream.number, after, RETRY)
               if session.version == REVISIONS[-1] else STILL_HERE)
        while (found := stream.read(after, reader, self._heartbeat)) is not CLOSE:
            if not found:
                yield STILL_HERE
                continue
            after = found[-1][0]
            yield b"".join(event(data, id=f"{stream.number}-{number}") for number, data in found)

    # -- DELETE

    def delete(self, name=None):
        """End the session: what is under way is answered with an error."""
        self._router.leave(self._session(name, flask.request.headers.get))
        return plain(200, "The session has ended.").response()

    # -- sessions

    def _open(self, name):
        try:
            return self._router.open(TRANSPORT, name, lambda named: ResumableStream(named, 0))
        except LookupError as problem:
            raise HttpError(404, str(problem)) from None

    def _session(self, name, header):
        """The session that the request belongs to, or a HttpError."""
        id = header("Mcp-Session-Id")
        if id is None:
            raise HttpError(400, "Mcp-Session-Id is missing: begin with initialize.")
        session = self._router.sessions.find(id)
        # 404 tells a client to begin anew; 400 would not (Session Management, items 3 and 4).
        if session is None or session.server_name != name \
                or session.transport != TRANSPORT:
            raise HttpError(404, "No such session: it has ended, or never was. Begin anew with "
                               "initialize.", SERVER_UNAVAILABLE)
        revision = header("Mcp-Protocol-Version")
        if revision is not None and revision != session.version:
            known = "was not negotiated" if revision in REVISIONS else "is not supported"
            raise HttpError(400, f"MCP-Protocol-Version {revision[:40]!r} {known}; this session "
                               f"speaks {session.version}.")
        session.last_used = time.monotonic()
        return session

    def _end_idle_sessions(self):
        """Called by the clock, a few times in the span that a session may be idle."""
        allowed = self._router.limits.idle
        self._clock.after(allowed / 10, self._end_idle_sessions)
        for session in self._router.sessions.all():
            if session.transport == TRANSPORT and not _is_busy(session) \
                    and time.monotonic() - session.last_used >= allowed:
                self._router.leave(session)


def _is_busy(session):
    return len(session.calls) or session.outbox.reader or any(
        stream.reader for stream in list(session.streams.values()))


def _forget_oldest(session):
    """Of the streams that are complete, only some are kept, in case they have to be resumed."""
    complete = [number for number, stream in list(session.streams.items()) if stream.is_complete()]
    for number in complete[:-KEPT_STREAMS]:
        session.streams.pop(number, None)


def _is_answered(message):
    """Whether there will be an answer: to a request, or to what is no message at all."""
    try:
        return kind_of(message) is REQUEST
    except InvalidMessage:
        return True


def _accepts(header, *types):
    """Whether the client takes all these types; one that does not say takes anything."""
    accepted = header("Accept")
    if not accepted or all(one in accepted for one in types):
        return True
    acceptable = flask.Request({"HTTP_ACCEPT": accepted}).accept_mimetypes  # knows wildcards
    return all(one in acceptable for one in types)
