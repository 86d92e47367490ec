"""MCP Local Router: one program between MCP clients and many MCP servers.

Usage:
  router.py [--config FILE] [--transport NAME] [--host HOST] [--port PORT] [--log-level LEVEL]
  router.py --check [--config FILE] [--log-level LEVEL]
  router.py --help | --version

Options:
  --config FILE      The servers to run, as in Claude Desktop [default: mcp-config.json].
  --transport NAME   How clients reach us: sse (HTTP) or stdio [default: stdio].
  --host HOST        HTTP only: the address to listen on [default: 127.0.0.1].
  --port PORT        HTTP only: the port; 0 takes any free one [default: 8080].
  --log-level LEVEL  debug, info, warning or error, to standard error [default: info].
  --check            Start every server, say how that went, and exit: 0, or 1 if one failed.
  --version          Print the version.
  --help             Print this.

Threads, each of them named in every line of the log:
  MainThread     http: waitress's socket loop         stdio: reads our stdin
  waitress-N     runs one Flask view; while a stream is open, feeds that stream
  stdout-writer  stdio only: the session's outbox -> our stdout
  clock          what is due: deadlines of starts and lists, the steps of ending a server
  NAME-reader    the server's stdout -> whoever each message is for
  NAME-writer    the server's inbox -> its stdin
  NAME-stderr    the server's stderr -> the log
  NAME-exit      waits for the server's process to end

To read the program, begin here: `Router` is the switchboard. Then transports/messages.py,
pending.py and session.py, transports/stdio.py, upstreams/upstream.py, process.py, surface.py and
catalog.py, upstreams/config.py, and transports/http.py and sse.py.
"""

import functools
import logging
import os
import signal
import sys
import threading
import time

import docopt

from transports import http, stdio
from transports.clock import Clock
from transports.messages import (INTERNAL_ERROR, INVALID_REQUEST, LATEST, METHOD_NOT_FOUND,
                                 NOTIFICATION, RESPONSE, REVISIONS, InvalidMessage, Refused, error,
                                 is_id, kind_of, notification, params_of, result)
from transports.session import Session
from upstreams import status
from upstreams.config import ConfigError, load
from upstreams.gather import Gather
from upstreams.process import Guardian, Process
from upstreams.surface import Aggregate, Single
from upstreams.upstream import CHANGED, RUNNING, Upstream

VERSION = "0.1.0"
SERVER_INFO = {"name": "mcp-local-router", "title": "MCP Local Router", "version": VERSION}

FEW_SECONDS = 5.0       # what the answer to a client's initialize waits for slow servers
CLOSE_SECONDS = 8.0     # for all servers together, at the end; their three steps take 4

log = logging.getLogger("router")


class Router:
    """The switchboard: who is here, and where each message goes.

    Transports call open, handle and leave, from any thread; upstreams call from_server, in their
    reader threads. Nothing here waits: every effect is a put on somebody's queue.
    """

    def __init__(self, entries, connect, clock):
        """`entries` as from config.load; `connect(entry)` makes a connection for an Upstream."""
        self._clock = clock
        self.upstreams = {name: Upstream(entry, functools.partial(connect, entry), clock,
                                         {"capabilities": {}, "clientInfo": SERVER_INFO},
                                         self.from_server)
                          for name, entry in entries.items()}
        self._aggregate = Aggregate(clock, SERVER_INFO)
        self._lock = threading.Lock()
        self._sessions = {}  # protected by _lock
        self._requests = {"initialize": self._initialize, "ping": self._ping}
        self._notifications = {"notifications/initialized": self._ignore,
                               "notifications/cancelled": self._cancelled,
                               "notifications/progress": self._progress}

    def start(self):
        """Start every server, all at the same time."""
        for upstream in self.upstreams.values():
            upstream.start()
            upstream.when_settled(functools.partial(self._settled, upstream))

    def close(self):
        """End every session and every server. Only here the router waits for anything."""
        for session in self._all_sessions():
            self.leave(session)
        deadline = time.monotonic() + CLOSE_SECONDS
        for upstream in self.upstreams.values():
            upstream.close()
        for upstream in self.upstreams.values():
            if not upstream.wait_closed(max(0.1, deadline - time.monotonic())):
                log.error('server "%s" has not ended', upstream.name)

    # -- called by the transports

    def names(self):
        """The names that {serverName} may have."""
        return list(self.upstreams)

    def open(self, name=None):
        """A new session: of all servers, or of the one with this name. Raises LookupError."""
        if name is not None and name not in self.upstreams:
            raise LookupError(f"There is no server {name!r} here. There are: "
                              f"{', '.join(self.upstreams)}")
        session = Session(self._aggregate if name is None else Single(name))
        with self._lock:
            self._sessions[session.id] = session
        log.debug("%s begins", session.name)
        return session

    def find(self, id):
        """The session with this id, or None."""
        with self._lock:
            return self._sessions.get(id)

    def leave(self, session):
        """The session ends: its calls are cancelled, its questions answered with an error."""
        with self._lock:
            if self._sessions.pop(session.id, None) is None:
                return
        for upstream in session.upstreams.values():
            upstream.leave(session)
        for call in session.calls.close():
            call.cancel("the client has left")
        session.pending.close("the client has left")
        session.outbox.close()
        log.debug("%s ends", session.name)

    def end_streams(self):
        """Let every stream end, so that the threads that feed them do."""
        for session in self._all_sessions():
            session.outbox.close()

    def handle(self, session, message, stream):
        """One message from a client; what answers it goes to `stream`.

        Raises InvalidMessage when it is none: the transport says so, in its own way.
        """
        if isinstance(message, list):
            return self._batch(session, message, stream)
        kind = kind_of(message)
        if kind is RESPONSE:
            if not session.pending.answer(message):
                log.debug("%s: an answer that nobody waits for was dropped", session.name)
        elif kind is NOTIFICATION:
            self._notification(session, message)
        else:
            self._request(session, message, stream)
        return None

    # -- from a client

    def _batch(self, session, messages, stream):
        if session.version != "2025-03-26" or not messages:
            raise InvalidMessage(INVALID_REQUEST, "a batch is only possible in revision "
                                                  "2025-03-26, and has at least one message")
        for message in messages:
            try:
                self.handle(session, message, stream)
            except InvalidMessage as problem:
                stream.send(error(None, problem.code, str(problem)))

    def _request(self, session, message, stream):
        try:
            call = session.calls.open(message, stream)
        except Refused as problem:  # no Call: the id may be that of another, which goes on
            stream.send(error(message["id"], problem.code, str(problem), problem.data))
            return
        try:
            params_of(message)
            if message["method"] in self._requests:
                self._requests[message["method"]](session, message, call)
            elif message["method"] == "server/discover":
                # The probe of clients that know 2026-07-28; this answer sends them to initialize.
                raise Refused(METHOD_NOT_FOUND, "Method not found: server/discover")
            elif session.version is None:
                raise Refused(INVALID_REQUEST, f"{message['method']}: initialize comes first")
            else:
                session.surface.request(session, message, call)
        except Refused as problem:
            call.fail(problem.code, str(problem), problem.data)
        except Exception:  # a bug of ours: whoever asked still gets an answer
            log.exception("%s: %s failed", session.name, message["method"])
            call.fail(INTERNAL_ERROR, "a bug in the router; its log says more")

    def _notification(self, session, message):
        try:
            params_of(message)
        except Refused as problem:
            log.debug("%s: dropped: %s", session.name, problem)
            return
        known = self._notifications.get(message["method"])
        if known:
            known(session, message)
        elif session.version is not None:
            session.surface.notification(session, message)

    def _initialize(self, session, message, call):
        """Lifecycle, Initialization: the client's revision if we know it, else our newest."""
        if session.version is not None:
            raise Refused(INVALID_REQUEST, "this session is initialized already")
        params = params_of(message)
        asked = params.get("protocolVersion")
        session.version = asked if asked in REVISIONS else LATEST
        session.upstreams = {name: self.upstreams[name]
                             for name in session.surface.names(self.upstreams)}
        for upstream in session.upstreams.values():
            upstream.join(session)
        if self.find(session.id) is None:  # it left meanwhile, and leave() may have come before
            for upstream in session.upstreams.values():
                upstream.leave(session)

        def answer(_settled):
            self._clock.forget(deadline)
            session.initialized = True  # before we look: what changes from now on is told
            try:
                call.send(result(call.id, session.surface.initialize(session)))
            except Refused as problem:
                session.version, session.initialized = None, False  # it may try again
                call.fail(problem.code, str(problem), problem.data)

        gather = Gather(session.upstreams, answer)
        deadline = self._clock.after(session.surface.patience(session), gather.expire)
        for name, upstream in session.upstreams.items():
            upstream.when_settled(functools.partial(gather.put, name, None))

    def _ping(self, _session, _message, call):
        call.send(result(call.id, {}))

    def _ignore(self, session, message):
        """We said `initialized` to each server ourselves, when it was."""

    def _cancelled(self, session, message):
        params = params_of(message)
        id, reason = params.get("requestId"), params.get("reason")
        if is_id(id):
            session.calls.cancel(id, reason if isinstance(reason, str) else "cancelled")

    def _progress(self, session, message):
        session.pending.progress(message)

    # -- from a server

    def from_server(self, upstream, message):
        """What a server says of its own accord: a question, or news for those who see it."""
        if "id" in message:
            upstream.send(error(message["id"], METHOD_NOT_FOUND,
                                f"Method not found: {message['method']}: nobody here can be asked"))
        elif message["method"] in CHANGED:
            self._tell(upstream, message)
        else:
            log.debug("%s: %s was dropped", upstream.name, message["method"])

    def _tell(self, upstream, message):
        """News for everyone who sees the server."""
        for session in upstream.sessions():
            if session.initialized:
                session.send(message)

    def _settled(self, upstream):
        """A server is up, or has failed to come up. Those who are here already hear of it."""
        if upstream.state == RUNNING:
            log.info('server "%s" is running (%.1f s)', upstream.name, upstream.seconds_to_start)
            for method, lists in CHANGED.items():
                if lists[0].split("/")[0] in upstream.capabilities:
                    self._tell(upstream, notification(method))

    def _all_sessions(self):
        with self._lock:
            return list(self._sessions.values())


# -- the program


def main():
    """Returns the exit status: 0, 1 if it could not be done, 2 for a wrong command or config."""
    try:
        options = docopt.docopt(__doc__, version=VERSION)
    except docopt.DocoptExit as problem:
        print(problem, file=sys.stderr)
        return 2
    level = options["--log-level"].upper()
    transport, port = options["--transport"], options["--port"]
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        return refuse("--log-level is debug, info, warning or error")
    if transport not in ("sse", "stdio"):
        return refuse("--transport is sse or stdio")
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        return refuse("--port is a number from 0 to 65535")
    logging.basicConfig(stream=sys.stderr, level=level,
                        format="%(asctime)s %(levelname)s [%(threadName)s] %(message)s")
    logging.getLogger("waitress").setLevel("WARNING")
    try:
        entries = load(options["--config"])
    except ConfigError as problem:
        return refuse(problem)
    clock, guardian = Clock(), Guardian()
    router = Router(entries, lambda entry: Process(entry, clock, guardian), clock)
    clock.start()
    try:
        if options["--check"]:
            return check(router)
        if transport == "stdio":
            return serve_stdio(router, clock)
        return serve_http(router, clock, options["--host"], int(port))
    except SystemExit:  # a signal, see end_on_signals
        return 0
    finally:
        router.close()
        clock.close()
        guardian.close()


def refuse(problem):
    print(f"router.py: {problem}", file=sys.stderr)
    return 2


def check(router):
    """--check: start every server, print how that went."""
    end_on_signals(lambda: None)
    done = threading.Event()
    when_all_settled(router, done.set)
    router.start()
    done.wait()
    upstreams = router.upstreams.values()
    print(status.table(upstreams))
    return 0 if all(upstream.state == RUNNING for upstream in upstreams) else 1


def serve_stdio(router, clock):
    end_on_signals(lambda: None)
    report_start(router, clock, None)
    router.start()
    stdio.serve(router)
    return 0


def serve_http(router, clock, host, port):
    try:
        server = http.Server(router, host, port)
    except OSError as problem:
        refuse(f"cannot listen on {host} port {port}: {problem.strerror or problem}; "
               "another --port may be free")
        return 1
    end_on_signals(server.end)
    log.info("listening on %s", server.url)
    report_start(router, clock, server.url)
    router.start()
    server.run()
    return 0


def when_all_settled(router, function, clock=None):
    """Call function() when every server has started or failed, or after a few seconds."""
    gather = Gather(router.upstreams, lambda _settled: function())
    for name, upstream in router.upstreams.items():
        upstream.when_settled(functools.partial(gather.put, name, None))
    if clock:
        clock.after(FEW_SECONDS, gather.expire)


def report_start(router, clock, url):
    """Print what a person needs, to stderr: in stdio mode, stdout belongs to the protocol."""
    when_all_settled(router, lambda: print(
        f"\nMCP Local Router {VERSION}\n{status.table(router.upstreams.values(), url)}\n",
        file=sys.stderr, flush=True), clock)


def end_on_signals(first_of_all):
    """SIGTERM and Ctrl+C end the main thread's work; a second one ends everything at once."""
    signals = [signal.SIGINT, signal.SIGTERM]

    def at_once(_signal, _frame):
        os._exit(130)  # the guardian sees it, and ends the servers

    def end(_signal, _frame):
        for number in signals:
            signal.signal(number, at_once)
        first_of_all()
        raise SystemExit

    for number in signals:
        signal.signal(number, end)


if __name__ == "__main__":
    sys.exit(main())
