"""MCP Local Router: one program between MCP clients and many MCP servers.

Usage:
  router.py [options] [--allow-origin ORIGIN]...
  router.py --check [options]
  router.py --help | --version

Options:
  --config FILE          The servers to run, as in Claude Desktop [default: mcp-config.json].
  --transport NAME       How clients reach us: sse or http, which are the same, or stdio
                         [default: stdio].
  --host HOST            HTTP: the address to listen on [default: 127.0.0.1].
  --port PORT            HTTP: the port; 0 takes any free one [default: 8080].
  --token-file FILE      HTTP: clients must send the token in this file, as a bearer token.
                         The environment variable MCP_ROUTER_TOKEN can hold one instead.
  --allow-origin ORIGIN  HTTP: let web pages of this origin in, as https://app.example.
  --insecure             HTTP: listen on other addresses than this machine's, without a token.
  --max-sessions N       HTTP: sessions at the same time [default: 1000].
  --idle-minutes N       HTTP: a session that does nothing for so long ends [default: 30].
  --max-calls N          Requests of one session that wait for an answer [default: 1000].
  --max-processes N      Server processes that belong to single clients [default: 100].
  --max-message MB       The largest message, from a client or a server [default: 64].
  --log-level LEVEL      debug, info, warning or error, to standard error [default: info].
  --check                Start every server, say how that went, and exit: 0, or 1 if one failed.
  --version              Print the version.
  --help                 Print this.

Threads, each of them named in every line of the log:
  MainThread     http: reads sockets, begins POSTs    stdio: reads our stdin
  waitress-N     runs what may take long: a Flask view, initialize; or feeds one open stream
  stdout-writer  stdio only: feeds our stdout with what could not be written at once
  clock          what is due: deadlines of starts and lists, the steps of ending a server
  NAME-reader    the server's stdout -> whoever each message is for
  NAME-writer    feeds the server's stdin with what could not be written at once
  NAME-stderr    the server's stderr -> the log
  NAME-exit      waits for the server's process to end

To read the program, begin here: `Router` is the switchboard. The README says how to go on.
"""

import functools
import logging
import sys

import docopt

from transports import stdio
from transports.fabric.messages import (INTERNAL_ERROR, INVALID_REQUEST, LATEST, METHOD_NOT_FOUND,
                                        NOTIFICATION, RESPONSE, REVISIONS, SERVER_UNAVAILABLE,
                                        InvalidMessage, Refused, error, is_id, kind_of, params_of,
                                        result, task_id_in)
from transports.fabric.outbox import Outbox
from transports.fabric.session import Session, Sessions
from transports.program.clock import Clock
from transports.program.options import Limits, read_options
from transports.program.signals import end_on_signals, undisturbed
from upstreams import status
from upstreams.config.entries import load
from upstreams.connections.guardian import Guardian
from upstreams.connections.process import Process
from upstreams.gather import when_settled
from upstreams.pool import Pool
from upstreams.surfaces.aggregate import Aggregate
from upstreams.surfaces.single import Single

VERSION = "0.1.0"
SERVER_INFO = {"name": "mcp-local-router", "title": "MCP Local Router", "version": VERSION}

log = logging.getLogger("router")


class Router:
    """The switchboard: who is here, and where each message from a client goes.

    Transports call open, handle and leave, from any thread. Nothing here waits: every effect is
    a message sent to somebody. What servers say goes its own way, see upstreams/audience.py.
    """

    def __init__(self, pool, clock, limits=Limits(), on_assigned=lambda upstreams: None):
        """`on_assigned(upstreams)` is called when a session has been given its upstreams."""
        self._pool, self._clock, self._on_assigned = pool, clock, on_assigned
        self.limits = limits
        self.sessions = Sessions(limits.sessions)
        self._aggregate = Aggregate(clock, SERVER_INFO)
        self._requests = {"initialize": self._initialize, "ping": self._ping}
        self._notifications = {"notifications/initialized": self._ready,
                               "notifications/cancelled": self._cancelled,
                               "notifications/progress": self._progress,
                               "notifications/roots/list_changed": self._roots_changed}

    # -- called by the transports

    def names(self):
        """The names that {serverName} may have."""
        return list(self._pool.entries)

    def open(self, transport, name=None, make_outbox=Outbox):
        """A new session: of all servers, or of the one with this name.

        `transport` is the name of the transport that calls this; it becomes `session.transport`.

        Raises LookupError for an unknown name, and SessionsUsedUp.
        """
        if name is not None and name not in self._pool.entries:
            raise LookupError(f"There is no server {name!r} here. There are: "
                              f"{', '.join(self.names())}")
        session = Session(self._aggregate if name is None else Single(name), transport, name,
                          make_outbox, self.limits.calls)
        self.sessions.add(session)
        log.debug("%s begins", session.name)
        return session

    def leave(self, session):
        """The session ends: its calls are cancelled, its questions answered with an error."""
        if not self.sessions.remove(session):
            return
        for call in session.calls.close():
            call.fail(SERVER_UNAVAILABLE, "the session has ended")
            call.withdraw("the client has left")
        session.pending.close("the client has left")
        self._pool.release(session)
        session.close_streams()
        log.debug("%s ends", session.name)

    def health(self):
        """What GET /health tells: how the servers are, and how much is going on."""
        sessions = self.sessions.all()
        return {"status": "ok", "version": VERSION, **status.health(self._pool),
                "sessions": len(sessions),
                "callsInFlight": sum(len(session.calls) for session in sessions)}

    def handle(self, session, message, reply_to):
        """One message from a client; its answer, if it has one, goes to `reply_to`, a Peer.

        Raises InvalidMessage when it is none: the transport says so, in its own way.
        """
        if isinstance(message, list):
            return self._batch(session, message, reply_to)
        kind = kind_of(message)
        if kind is RESPONSE:
            self._answer(session, message)
        elif kind is NOTIFICATION:
            self._notification(session, message)
        else:
            self._request(session, message, reply_to)
        return None

    # -- the kinds of message

    def _batch(self, session, messages, reply_to):
        if session.version != "2025-03-26" or not messages:
            raise InvalidMessage(INVALID_REQUEST, "a batch is only possible in revision "
                                                  "2025-03-26, and has at least one message")
        for message in messages:
            try:
                if isinstance(message, list):
                    raise InvalidMessage(INVALID_REQUEST, "a batch in a batch")
                self.handle(session, message, reply_to)
            except InvalidMessage as problem:
                reply_to.send(error(None, problem.code, str(problem)))

    def _answer(self, session, message):
        row = session.pending.answer(message)
        if row is None:
            log.debug("%s: an answer that nobody waits for was dropped", session.name)
        elif task_id := task_id_in(message):  # it answers as a task: whose question was it?
            session.tasks[task_id] = row.call.asker

    def _notification(self, session, message):
        try:
            params_of(message)
        except Refused as problem:
            log.debug("%s: dropped: %s", session.name, problem)
            return
        known = self._notifications.get(message["method"])
        if known:
            known(session, message)
        elif session.initialized:
            session.surface.notification(session, message)

    def _request(self, session, message, reply_to):
        try:
            call = session.calls.open(message, reply_to)
        except Refused as problem:  # no Call: the id may be that of another, which goes on
            reply_to.send(error(message["id"], problem.code, str(problem), problem.data))
            return
        route = self._requests.get(message["method"])
        if route:
            self._attempt(route, session, message, call)
        elif session.version is None or message["method"] == "server/discover":
            self._attempt(self._too_early, session, message, call)
        else:
            if session.initialized:
                session.ready_gate.open()  # some clients forget to say `initialized`
            session.answered_gate.do(self._attempt, session.surface.request, session, message,
                                     call)

    def _attempt(self, route, session, message, call):
        """Whatever happens, whoever asked gets an answer."""
        try:
            params_of(message)
            if not call.ended:
                route(session, message, call)
        except Refused as problem:
            call.fail(problem.code, str(problem), problem.data)
        except Exception:  # a bug of ours
            log.exception("%s: %s failed", session.name, message["method"])
            call.fail(INTERNAL_ERROR, "a bug in the router; its log says more")

    # -- requests that the router answers

    def _too_early(self, _session, message, _call):
        if message["method"] == "server/discover":
            # The probe of clients that know 2026-07-28; this answer sends them to initialize.
            raise Refused(METHOD_NOT_FOUND, "Method not found: server/discover")
        raise Refused(INVALID_REQUEST, f"{message['method']}: initialize comes first")

    def _initialize(self, session, message, call):
        """Lifecycle, Initialization: the client's revision if we know it, else our newest."""
        if session.version is not None:
            raise Refused(INVALID_REQUEST, "this session is initialized already")
        params = params_of(message)
        asked, capabilities = params.get("protocolVersion"), params.get("capabilities")
        session.version = asked if asked in REVISIONS else LATEST
        session.capabilities = capabilities if isinstance(capabilities, dict) else {}
        try:
            self._pool.assign(session, session.surface.names(self.names()))
        except Exception:
            session.version = None  # it may try again
            self._pool.release(session)
            raise
        if self.sessions.find(session.id) is None:  # it left meanwhile, perhaps just before
            self._pool.release(session)
        self._on_assigned(session.upstreams.values())
        when_settled(session.upstreams.values(),
                     functools.partial(self._initialized, session, call),
                     self._clock, session.surface.patience(session))

    def _initialized(self, session, call):
        """The session's servers are up, or have failed, or are too slow to wait for."""
        session.initialized = True  # before we look: what changes from now on is told
        try:
            call.send(result(call.id, session.surface.initialize(session)))
        except Refused as problem:
            session.version, session.initialized = None, False
            self._pool.release(session)
            call.fail(problem.code, str(problem), problem.data)
        session.answered_gate.open()

    def _ping(self, _session, _message, call):
        call.send(result(call.id, {}))

    # -- notifications that the router understands

    def _ready(self, session, _message):
        """We said `initialized` to each server when it was. Now the client may be asked."""
        session.ready_gate.open()

    def _cancelled(self, session, message):
        params = params_of(message)
        if is_id(params.get("requestId")):
            reason = params.get("reason")
            session.cancel_call(params["requestId"],
                                reason if isinstance(reason, str) else "cancelled")

    def _progress(self, session, message):
        session.pending.progress(message)

    def _roots_changed(self, session, message):
        for upstream in session.upstreams.values():
            if upstream.asked_for_roots and upstream.audience.owner is session:
                upstream.send(message)


# -- the program


def main():
    """Returns the exit status: 0, 1 if it could not be done, 2 for a wrong command or config."""
    try:
        options = docopt.docopt(__doc__, version=VERSION)
        limits, access = read_options(options)
        logging.basicConfig(stream=sys.stderr, level=options["--log-level"].upper(),
                            format="%(asctime)s %(levelname)s [%(threadName)s] %(message)s")
        logging.getLogger("waitress").setLevel("WARNING")
        entries = load(options["--config"])
    except (docopt.DocoptExit, ValueError) as problem:
        return quit_with(2, problem)
    clock, guardian = Clock(), Guardian()
    pool = Pool(entries, lambda entry, label: Process(entry, label, clock, guardian,
                                                      limits.message),
                clock, SERVER_INFO, limits.processes,
                share=options["--transport"] != "stdio" or options["--check"])
    clock.start()
    end_on_signals()
    try:
        return run(options, limits, access, pool, clock)
    except SystemExit:  # a signal came, see transports/signals.py
        return 0
    finally:
        with undisturbed:
            pool.close()
            clock.close()
            guardian.close()


def run(options, limits, access, pool, clock):
    """The one of the three things that the program was started for."""
    if options["--check"]:
        with undisturbed:
            pool.start()
        return status.check(pool)
    if options["--transport"] == "stdio":
        log.info("waiting for a client on standard input; then these servers start: %s",
                 ", ".join(pool.entries))
        stdio.serve(Router(pool, clock, limits, functools.partial(status.report, clock)))
        return 0
    try:
        sockets = access.listen()
    except OSError as problem:
        return quit_with(1, f"cannot listen on {access.host} port {access.port}: "
                         f"{problem.strerror or problem}; another --host or --port may do")
    log.info("listening on %s", url := access.url(sockets[0]))
    with undisturbed:
        pool.start()
    status.report(clock, pool.shared.values(), url)
    from transports.http import server as http  # takes 0.1 s, which the servers need too
    http.Server(Router(pool, clock, limits), clock, access, sockets).run()
    return 0


def quit_with(exit_status, problem):
    print(f"router.py: {problem}", file=sys.stderr)
    return exit_status


if __name__ == "__main__":
    sys.exit(main())
