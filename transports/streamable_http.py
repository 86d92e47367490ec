"""Streamable HTTP with sessions, the transport of revisions 2025-03-26, 2025-06-18, 2025-11-25.

    POST   /mcp, /mcp/{serverName}   one message; a request is answered on the POST itself
    GET    …                         the session's own stream, or, with Last-Event-ID, a broken one
    DELETE …                         the end of the session

Mostly the first thing that a call brings is its answer: then the POST is answered with that, as
JSON. If anything comes before it, or nothing for a while, the POST becomes a stream of events.
A connection that breaks is no cancellation: the call goes on, and its stream can be resumed.
"""

import itertools
import time

import flask

from .messages import (INVALID_REQUEST, REQUEST, REVISIONS, SERVER_UNAVAILABLE, InvalidMessage,
                       decode, kind_of)
from .replies import STILL_HERE, STREAM_HEADERS, event, is_json, plain, refusal, used_up
from .outbox import CLOSE
from .session import SessionsUsedUp
from .streams import Stream, StreamsUsedUp

RETRY = 1000                # milliseconds before a client resumes a broken stream
KEPT_STREAMS = 16           # streams of one session that are complete but may have to be resumed


class Refusal(Exception):
    """An HTTP error, as a response."""

    def __init__(self, status, text, code=INVALID_REQUEST):
        super().__init__(text)
        self.response = refusal(status, code, text)


def blueprint(transport):
    """The routes of GET and DELETE; POST, the hottest, takes a shorter way, see http.py."""
    routes = flask.Blueprint("streamable_http", __name__)
    for path in ("/mcp", "/mcp/<name>"):
        for method in (transport.get, transport.delete):
            routes.add_url_rule(path, f"{method.__name__} {path}", method,
                                methods=[method.__name__.upper()])
    routes.register_error_handler(Refusal, lambda problem: problem.response)
    return routes


class StreamableHttp:
    """The views. Each runs in a waitress thread of its own, and may wait there."""

    def __init__(self, router, clock, streams, heartbeat):
        self._router, self._clock = router, clock
        self._streams, self._heartbeat = streams, heartbeat
        self._end_idle_sessions()

    # -- POST

    def post(self, name, environ, start_response):
        """A WSGI application: 202 for what needs no answer; else JSON, or a stream of events."""
        try:
            response = self._post(name, environ)
        except Refusal as problem:
            response = problem.response
        except (SessionsUsedUp, StreamsUsedUp) as problem:
            response = used_up(problem)
        if isinstance(response, flask.Response):
            return response(environ, start_response)
        body, headers = response  # the common case, without the cost of a Response
        start_response("200 OK", [("Content-Length", str(len(body))), *headers])
        return [body]

    def _post(self, name, environ):
        """A Response, or (JSON as bytes, headers); raises a Refusal."""
        message = self._message(environ)
        answers = sum(map(_is_answered, message)) if isinstance(message, list) else (
            isinstance(message, dict) and _is_answered(message) and "method" in message)
        new = isinstance(message, dict) and answers and "HTTP_MCP_SESSION_ID" not in environ \
            and message["method"] == "initialize"
        session = self._open(name) if new else self._session(name, environ)
        try:
            return self._call(session, message, answers, new, environ)
        except (Refusal, StreamsUsedUp):
            if new:
                self._router.leave(session)
            raise

    def _call(self, session, message, answers, new, environ):
        stream = Stream(session.name, next(session.numbers), int(answers))
        if not answers:
            self._handle(session, message, stream)
            return flask.Response(status=202)
        reader = object()
        stream.take_over(reader)
        # Counted before the call is passed on: refused with 503, it must not have run.
        stream.on_behind = self._streams.open(environ, lambda: stream.release(reader))
        try:
            self._handle(session, message, stream)
        except Refusal:
            self._streams.closed()
            raise
        return self._answer(session, stream, reader, new)

    def _message(self, environ):
        """The body of the POST, or a Refusal."""
        if not _accepts(environ, "application/json", "text/event-stream"):
            raise Refusal(406, "Accept both application/json and text/event-stream.")
        if not is_json(environ):
            raise Refusal(415, "The body must be one JSON-RPC message, with the header "
                               "Content-Type: application/json.")
        try:
            return decode(environ["wsgi.input"].read())
        except InvalidMessage as problem:
            raise Refusal(400, str(problem), problem.code) from None

    def _handle(self, session, message, stream):
        try:
            self._router.handle(session, message, stream)
        except InvalidMessage as problem:
            raise Refusal(400, str(problem), problem.code) from None

    def _answer(self, session, stream, reader, new):
        """Wait for the first thing that the call brings: it decides what the POST becomes."""
        session.streams[stream.number] = stream
        first = stream.read(0, reader, self._heartbeat)
        if not (stream.is_complete() and first is not CLOSE and len(first) == 1):
            return self._event_stream(session, stream, reader, 0,
                                      {"Mcp-Session-Id": session.id} if new else {})
        session.streams.pop(stream.number, None)
        self._streams.closed()
        headers = [("Content-Type", "application/json")]
        if new and session.version is None:  # initialize was refused: there is no session
            self._router.leave(session)
        elif new:
            headers.append(("Mcp-Session-Id", session.id))
        return first[0][1], headers

    # -- GET

    def get(self, name=None):
        """The session's own stream, or what a broken one had after Last-Event-ID."""
        if not _accepts(flask.request.environ, "text/event-stream"):
            raise Refusal(406, "Accept text/event-stream.")
        session = self._session(name, flask.request.environ)
        last = flask.request.headers.get("Last-Event-ID")
        stream, after, reader = session.outbox, session.outbox.last_read(), object()
        if last is not None:
            number, _, after = last.partition("-")
            if not (number.isdecimal() and after.isdecimal() and len(last) < 40):
                raise Refusal(400, f"Last-Event-ID {last[:40]!r} is none of ours.")
            after = int(after)
            stream = session.outbox if int(number) == 0 else session.streams.get(int(number))
            if stream is None:
                raise Refusal(400, "That stream is not kept any more: ask again.")
        elif stream.reader is not None:
            raise Refusal(409, "This session has a stream already; resume it with Last-Event-ID, "
                               "or close it first.")
        abandon = self._streams.open(flask.request.environ, lambda: stream.release(reader))
        stream.take_over(reader)  # only now: refused with 503, the old reader goes on
        stream.on_behind = abandon
        return self._event_stream(session, stream, reader, after, {})

    def _event_stream(self, session, stream, reader, after, headers):
        response = flask.Response(self._events(session, stream, reader, after),
                                  headers={**STREAM_HEADERS, **headers})

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
        self._router.leave(self._session(name, flask.request.environ))
        return plain(200, "The session has ended.")

    # -- sessions

    def _open(self, name):
        try:
            session = self._router.open(name, lambda session_name: Stream(session_name, 0))
        except LookupError as problem:
            raise Refusal(404, str(problem)) from None
        session.numbers = itertools.count(1)
        session.last_used = time.monotonic()
        return session

    def _session(self, name, environ):
        """The session that the request belongs to, or a Refusal."""
        id = environ.get("HTTP_MCP_SESSION_ID")
        if id is None:
            raise Refusal(400, "Mcp-Session-Id is missing: begin with initialize.")
        session = self._router.sessions.find(id)
        # 404 tells a client to begin anew; 400 would not (Session Management, items 3 and 4).
        if session is None or session.server_name != name \
                or not isinstance(session.outbox, Stream):
            raise Refusal(404, "No such session: it has ended, or never was. Begin anew with "
                               "initialize.", SERVER_UNAVAILABLE)
        revision = environ.get("HTTP_MCP_PROTOCOL_VERSION")
        if revision is not None and revision != session.version:
            known = "was not negotiated" if revision in REVISIONS else "is not supported"
            raise Refusal(400, f"MCP-Protocol-Version {revision[:40]!r} {known}; this session "
                               f"speaks {session.version}.")
        session.last_used = time.monotonic()
        return session

    def _end_idle_sessions(self):
        """Called by the clock, a few times in the span that a session may be idle."""
        allowed = self._router.limits.idle
        for session in self._router.sessions.all():
            if isinstance(session.outbox, Stream) and not _is_busy(session) \
                    and time.monotonic() - session.last_used >= allowed:
                self._router.leave(session)
        self._clock.after(allowed / 10, self._end_idle_sessions)


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


def _accepts(environ, *types):
    """Whether the client takes all these types; one that does not say takes anything."""
    accepted = environ.get("HTTP_ACCEPT")
    if not accepted or all(one in accepted for one in types):
        return True
    return all(one in flask.Request(environ).accept_mimetypes for one in types)  # wildcards
