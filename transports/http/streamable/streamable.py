"""Streamable HTTP with sessions, the transport of revisions 2025-03-26, 2025-06-18, 2025-11-25.

    POST   /mcp, /mcp/{name}   one message; a request is answered on the POST itself, with JSON or
                               a stream of events, see resumable_stream.py
    GET    …                   the session's own stream, or, with Last-Event-ID, a broken one
    DELETE …                   the end of the session

{name} is a server's or a group's."""

import functools
import time

import flask

from transports.fabric.messages import (INVALID_REQUEST, REQUEST, REVISIONS, SERVER_UNAVAILABLE,
                                        InvalidMessage, decode, dig, kind_of)
from transports.fabric.outbox import CLOSE
from transports.fabric.session import UsedUp
from transports.http.replies import (ACCEPTED, BY_WORKER, NO_JSON, STILL_HERE, accepts, event,
                                     is_json, json_error, plain, used_up)

from .resumable_stream import ResumableStream, StreamableSession, WaitingPost

TRANSPORT = "streamable-http"   # what our sessions say of themselves
RETRY = 1000                # milliseconds before a client resumes a broken stream
GONE_SECONDS = 120.0        # of silence, after its own stream has closed: the client has left
KEPT_STREAMS = 16           # streams of one session that are complete but may have to be resumed
KEPT_STREAMS_BYTES = 4 * 2**20  # of these altogether; but the newest may have any size


class HttpError(Exception):
    """An HTTP error, as a reply."""

    def __init__(self, status, text, code=INVALID_REQUEST):
        super().__init__(text)
        self.reply = json_error(status, code, text)


class StreamableHttp:
    """The views, each run by a worker, which may wait; and `post`, which may not."""

    title, path = "Streamable HTTP", "/mcp"

    def __init__(self, router, clock, workers, heartbeat):
        self._router, self._clock = router, clock
        self._workers, self._heartbeat = workers, heartbeat
        self._look()

    def views(self):
        routes = flask.Blueprint("streamable_http", __name__)
        for path in ("/mcp", "/mcp/", "/mcp/<name>"):
            # The rule of POST is for the 405 of others: see `post`.
            for method, view in (("POST", None), ("GET", self.get), ("DELETE", self.delete)):
                routes.add_url_rule(path, f"{method} {path}", view, methods=[method])
        routes.register_error_handler(HttpError, lambda problem: problem.reply)
        return routes

    def reads(self, request):
        """(the name behind /mcp or None, what the headers of a session say, the Reply to what does
        not fit or None)"""
        if request.path != "/mcp" and not request.path.startswith("/mcp/"):
            return None
        refused = None
        if not accepts(request.header("Accept"), "application/json", "text/event-stream"):
            refused = HttpError(406, "Accept both application/json and text/event-stream.").reply
        elif not is_json(request.header("Content-Type", "")):
            refused = HttpError(415, NO_JSON).reply
        return request.path[len("/mcp/"):] or None, _of_session(request.header), refused

    def post(self, request, said, connection, quickly):
        """Begin what a POST asks for. Returns the Reply; None if it comes later."""
        name, (id, revision), refused = said
        session = self._router.sessions.find(id)
        if refused or quickly and not (session and session.initialized):
            return refused or BY_WORKER
        try:
            message = decode(request.body())
            answers = _count_answers(message)
            is_first = answers and id is None and dig(message, "method") == "initialize"
            session = self._named(self._router.open, TRANSPORT, name, StreamableSession) \
                if is_first else self._checked(session, name, id, revision)
            if not answers:
                self._router.handle(session, message, session.outbox)
                return ACCEPTED
            stream = ResumableStream(session.name, next(session.numbers), answers)
            stream.take_over(connection)
            self._router.handle(session, message, stream)
        except HttpError as problem:
            return problem.reply
        except InvalidMessage as problem:
            return json_error(400, problem.code, str(problem), problem.data)
        except UsedUp as problem:
            return used_up(problem)
        WaitingPost(self._router, session, stream, connection, is_first, self._as_stream,
                    self._has_room).wait()
        return None

    def _named(self, function, *arguments):
        """What the function returns; a HttpError if there is nothing of the name in these."""
        try:
            return function(*arguments)
        except LookupError as problem:
            raise HttpError(404, str(problem)) from None

    def _has_room(self):
        """Whether one more stream may begin."""
        return self._workers.streams < self._workers.most_streams

    def _as_stream(self, post):
        response = self._open(post.session, post.stream, post.connection, 0, post.headers())
        # Its last message may come while nobody reads it.
        post.stream.on_news = functools.partial(_forget_oldest, post.session)
        return response

    def get(self, name=None):
        """The session's own stream, or what a broken one had after Last-Event-ID."""
        header = flask.request.headers.get
        if not accepts(header("Accept"), "text/event-stream"):
            raise HttpError(406, "A GET here is for a stream: Accept text/event-stream. Messages "
                                 "are POSTed here; the older HTTP+SSE is at /sse.")
        session = self._session(name, header)
        stream, after = _stream_to_read(session, header("Last-Event-ID"))
        reader = flask.request.environ["router.connection"]
        response = self._open(session, stream, reader, after)
        stream.take_over(reader)  # only now: refused with 503, the old reader goes on
        return response

    def delete(self, name=None):
        """End the session: what is under way is answered with an error."""
        self._router.leave(self._session(name, flask.request.headers.get))
        return plain(200, "The session has ended.")

    # -- streams

    def _open(self, session, stream, reader, after, headers=()):
        return self._workers.open_stream(
            reader, self._events(session, stream, reader, after),
            functools.partial(_release, session, stream, reader),
            functools.partial(self._ended, session, stream, reader), headers)

    def _ended(self, session, stream, reader):
        """The response has ended: its stream is complete, or its connection has broken."""
        _release(session, stream, reader)
        if stream is session.outbox:
            if stream.is_complete():  # its client was too far behind: nothing can be told it
                self._router.leave(session)  # any more. With 404 it will begin anew
        elif not stream.last_read and session.version != REVISIONS[-1]:
            stream.close()  # its client has no number to resume it from
        _forget_oldest(session)

    def _events(self, session, stream, reader, after):
        # An id to resume from before anything has come (2025-11-25, Sending Messages, item 6).
        # Older clients take an event without data for a broken message.
        yield (b"id: %d-%d\nretry: %d\ndata: \n\n" % (stream.number, after, RETRY)
               if session.version == REVISIONS[-1] else STILL_HERE)
        while (found := stream.read(after, reader, self._heartbeat)) is not CLOSE:
            after = found[-1][0] if found else after
            yield b"".join(event(data, id=f"{stream.number}-{number}")
                           for number, data in found) or STILL_HERE

    # -- sessions

    def _session(self, name, header):
        """The session that the request belongs to, or a HttpError."""
        id, revision = _of_session(header)
        return self._checked(self._router.sessions.find(id), name, id, revision)

    def _checked(self, session, name, id, revision):
        if id is None:
            self._named(self._router.surface, name)
            raise HttpError(400, "Mcp-Session-Id is missing: begin with initialize, which is "
                                 "POSTed here; the older HTTP+SSE is at /sse.")
        # 404 tells a client to begin anew; 400 would not (Session Management, items 3 and 4).
        if session is None or session.transport != TRANSPORT or session.surface_name != name:
            raise HttpError(404, "No such session: it has ended, or never was. Begin anew with "
                               "initialize.", SERVER_UNAVAILABLE)
        if revision is not None and revision != session.version:
            known = "was not negotiated" if revision in REVISIONS else "is not supported"
            raise HttpError(400, f"MCP-Protocol-Version {revision[:40]!r} {known}; this session "
                               f"speaks {session.version}.")
        session.last_used = time.monotonic()
        return session

    def _look(self):
        """Called by the clock again and again. A POST that waits in silence becomes a stream. A
        session whose client has gone ends: most never send DELETE."""
        idle = self._router.limits.idle
        gone = min(idle, GONE_SECONDS)
        self._clock.after(min(self._heartbeat / 3, gone / 10), self._look)
        for session in self._router.sessions.all():
            if session.transport != TRANSPORT:
                continue
            for post in [stream.post for stream in list(session.streams.values())]:
                if post and time.monotonic() - post.since >= self._heartbeat and self._has_room():
                    post.ready()
            silent = session.seconds_silent()
            if silent >= idle or silent >= gone and session.outbox.had_reader:
                self._router.leave(session)


def _of_session(header):
    return header("Mcp-Session-Id"), header("Mcp-Protocol-Version")


def _release(session, stream, reader):
    """This connection reads the stream no more."""
    session.last_used = time.monotonic()  # first: from the next line on it counts
    stream.release(reader)


def _forget_oldest(session):
    """Of the streams that are complete and that nobody reads, only the newest are kept, in case
    they have to be resumed."""
    finished = [stream for stream in list(session.streams.values())
                if stream.reader is None and stream.is_complete()]
    size = 0
    for newer, stream in enumerate(reversed(finished)):
        size += stream.size
        if newer and (newer >= KEPT_STREAMS or size > KEPT_STREAMS_BYTES):
            session.streams.pop(stream.number, None)


def _stream_to_read(session, last_event_id):
    """(the stream that a GET reads, the number of the message after which it does)."""
    if last_event_id is None:
        if session.outbox.reader is not None:
            raise HttpError(409, "This session has a stream already; resume it with "
                                 "Last-Event-ID, or close it first.")
        return session.outbox, session.outbox.last_read
    number, _, after = last_event_id.partition("-")
    if not (number.isdecimal() and after.isdecimal() and len(last_event_id) < 40):
        raise HttpError(400, f"Last-Event-ID {last_event_id[:40]!r} is none of ours.")
    stream = session.outbox if int(number) == 0 else session.streams.get(int(number))
    if stream is None:
        raise HttpError(400, "That stream is not kept any more: ask again.")
    return stream, int(after)


def _count_answers(message):
    """How many answers a message will get: 1 for a request, 0 for another message, or for what is
    none. In a batch, a member that is no message gets one too."""
    def is_answered(one):
        try:
            return kind_of(one) is REQUEST
        except InvalidMessage:
            return one is not message
    return sum(map(is_answered, message if isinstance(message, list) else [message]))
