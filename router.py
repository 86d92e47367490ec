"""MCP Local Router: one program between MCP clients and many MCP servers.

Usage:
  router.py [options] [--config FILE]... [--allow-origin ORIGIN]...
  router.py --help | --version

Options:
  --config FILE          The servers to run, as Claude Desktop, VS Code, Codex and most other hosts
                         write them. Several files are read as one [default: mcp-config.json].
  --transport NAME       How clients reach us: sse or http, which are the same, or stdio
                         [default: stdio].
  --group NAME           Only the servers of this group of the config, as if there were no others.
  --host HOST            HTTP: the address to listen on [default: 127.0.0.1].
  --port PORT            HTTP: the port; 0 takes any free one [default: 8080].
  --token-file FILE      HTTP: clients must send the token in this file, as a bearer token.
                         The environment variable MCP_ROUTER_TOKEN can hold one instead.
  --allow-origin ORIGIN  HTTP: let web pages of this origin in, as https://app.example.
  --insecure             HTTP: listen on other addresses than this machine's, without a token.
  --max-sessions N       HTTP: sessions at the same time [default: 1000].
  --idle-minutes N       HTTP: a session that does nothing for so long ends [default: 30].
  --max-calls N          Requests of one session that wait for an answer [default: 1000].
  --max-processes N      Server processes beside one of each server [default: 100].
  --no-live              HTTP: without the page /live, which shows the messages.
  --list-wait SECONDS    How long a client's first list waits for slow servers [default: 20].
  --max-message MB       The largest message, from a client or a server [default: 64].
  --trace FILE           Write each message that passes to this file, as a line of JSON.
  --log-level LEVEL      debug, info, warning or error, to standard error [default: info].
  --no-reload            Do not look whether the config changes. SIGHUP still reads it again.
  --connect URL          Start no server: pass one client, over stdio, on to the router (or any MCP
                         server) at this URL. --token-file then has the token to send there.
  --check                Start every server, say how that went, and exit: 0, or 1 if one failed.
  --json                 With --check: as JSON.
  --version              Print the version.
  --help                 Print this.

Threads; each line of the log names the one that wrote it:
  MainThread     http: reads sockets, begins POSTs    stdio: reads our stdin
  waitress-N     runs what may take long: a Flask view, initialize; or feeds one open stream
  stdout-writer  stdio only: feeds our stdout with what a sender could not write at once
  clock          deadlines of starts, lists and calls; pauses; the steps of ending a server
  reload         looks every two seconds whether the config has changed, and follows it
  trace-writer   writes the file of --trace
  NAME-reader    reads the server's stdout; sends each message on to its peer
  NAME-writer    feeds the server's stdin with what a sender could not write at once
  NAME-stderr    copies the server's stderr to the log
  NAME-exit      waits for the server's process to end
  NAME-post-N    sends one request to a remote server; reads its answer, and sends that on
  NAME-notes     sends notifications and responses to a remote server, one after the other
  NAME-stream    reads what a remote server says of its own accord

To read the program, begin here: `Router` is the switchboard. The README says how to go on.

No file of the program imports this one. Run as a program it is the module `__main__`; an import
would load it a second time, as `router`, with classes that are not the same.
"""

import functools
import importlib
import logging
import sys

import docopt

from transports.fabric.messages import SERVER_UNAVAILABLE
from transports.fabric.outbox import Outbox
from transports.fabric.session import Session, Sessions, longest_silent
from transports.program.clock import Clock
from transports.program.log import Stderr, replace_closed_files
from transports.program.options import CannotServe, Limits, read_options
from transports.program.signals import end_on_signals, interruptible, read_again_on_hangup
from transports.program.trace import begin_trace
from upstreams import status
from upstreams.config.entries import load
from upstreams.config.watch import Watch
from upstreams.connections.guardian import Guardian
from upstreams.connections.process import Process, StartFailed
from upstreams.connections.remote import Remote
from upstreams.from_client import FromClient
from upstreams.handshake import Handshake
from upstreams.pool import Pool
from upstreams.relay import Relay, entry_for, find
from upstreams.surfaces.aggregate import Aggregate
from upstreams.surfaces.single import Single

VERSION = "0.1.0"
SERVER_INFO = {"name": "mcp-local-router", "title": "MCP Local Router", "version": VERSION}

log = logging.getLogger("router")


# --transport NAME → the module that serves it, imported when it is chosen. Each has:
#     ONE_CLIENT               whether it serves one client only, so that no process is shared
#     serve(router, options)   serve until the input ends or a signal raises SystemExit; called by
#                              the main thread. May raise CannotServe
TRANSPORTS = {
    "sse": "transports.http.serve",
    "http": "transports.http.serve",
    "stdio": "transports.stdio",
}


class Router:
    """The switchboard: the sessions, and the way in for each message from a client.

    Transports call open, handle and leave, from any thread. These don't wait for any answer: they
    send messages to Peers, and start processes. `handle` is that of upstreams/from_client.py;
    messages from servers take their own way, see upstreams/from_server.py.
    """

    def __init__(self, pool, clock, limits=Limits(), report=lambda *args: None, groups=None):
        """`report(upstreams, url, groups)` tells the user how these servers have started; `groups`
        is {name: [names of its servers]}."""
        self._pool, self._report, self._url, self.version = pool, report, None, VERSION
        pool.make_room = self._make_room
        self.clock, self.limits = clock, limits
        self.sessions = Sessions(limits.sessions)
        self._aggregates = {}
        self._set_groups(groups or {})
        handshake = Handshake(pool, clock, self.sessions, report)
        self.handle = FromClient(pool, handshake).handle

    # -- called by the transports

    def names(self):
        """The names of the servers."""
        return list(self._pool.entries)

    def start(self, url=None):
        """Start the servers that clients share; `url` is where HTTP clients find us."""
        self._url = url
        self._pool.start()
        self._tell()

    def open(self, transport, name=None, make_outbox=Outbox):
        """A new session by this transport: of the server or group with this name, or of all.

        If there are too many, one that nobody seems to use ends for it. Raises LookupError for an
        unknown name, and SessionsUsedUp.
        """
        session = Session(self._surface(name), transport, name, make_outbox, self.limits.calls)
        while not self.sessions.add(session):
            other = self.sessions.longest_silent()
            log.warning("%s ends to make room: there are --max-sessions already", other.name)
            self.leave(other)
        log.debug("%s begins", session.name)
        return session

    def _surface(self, name):
        """What a session with this name sees. Raises LookupError."""
        if name in self._aggregates:
            return self._aggregates[name]
        if name in self._pool.entries:
            return Single(self._pool, name)
        groups = f"; groups: {', '.join(self.groups)}" if self.groups else ""
        raise LookupError(f"There is no server{' or group' if groups else ''} {name!r} here. "
                          f"There are: {', '.join(self.names())}{groups}")

    def leave(self, session):
        """The session ends: its calls are cancelled, its questions answered with an error."""
        if not self.sessions.remove(session):
            return
        for call in session.calls.close():
            call.fail(SERVER_UNAVAILABLE, "the session has ended")
            call.withdraw("the client has left")
        session.pending.close("the client has left")
        session.close_streams()
        self._pool.release(session)
        log.debug("%s ends", session.name)

    def reload(self, config):
        """These are the servers and groups from now on. A session of a single server, or of a
        group, that is gone ends. Called by the thread `reload`."""
        groups = self.groups
        self._set_groups(config.groups)
        new, gone, changed = self._pool.reload(config.entries)
        over = [*gone, *(name for name in groups if name not in config.groups)]
        for session in self.sessions.all():
            if session.surface_name in over:
                log.info('%s ends: "%s" is not in the config any more', session.name,
                         session.surface_name)
                self.leave(session)
        done = [f"{what}: {', '.join(names)}" for what, names in (
            ("new", new), ("gone", gone), ("started again", changed),
            ("groups", [] if groups == config.groups else config.groups or ["none"])) if names]
        log.info("the config was read again: %s", "; ".join(done) or "nothing has changed")
        if done:
            self._tell()

    def _tell(self):
        """Tell the user how the servers are, once they have started."""
        self._report([upstream for server in self._pool.upstreams().values()
                      for upstream in server], self._url, self.groups)

    def _set_groups(self, groups):
        """A session keeps its surface: a group that stays gets its servers of now."""
        aggregates = {}
        for name, names in {None: None, **groups}.items():
            aggregates[name] = self._aggregates.get(name) or Aggregate(
                self._pool, self.clock, SERVER_INFO, self.limits.list_wait)
            aggregates[name].group = names
        self._aggregates, self.groups = aggregates, groups

    def health(self):
        """What GET /health answers: the state of the servers, and how many sessions and calls."""
        sessions = self.sessions.all()
        return {"status": "ok", "version": VERSION, **status.health(self._pool),
                "groups": self.groups, "sessions": len(sessions),
                "callsInFlight": sum(len(session.calls) for session in sessions)}

    def live_state(self):
        """What the live page shows beside the messages."""
        return {"servers": status.live(self._pool),
                "sessions": [session.describe() for session in self.sessions.all()]}

    def _make_room(self, name):
        """A call needs one more process of this server, and there may be no more: a session that
        owns one ends, if its client has gone. The only process of another server makes no room.
        """
        owners = {upstream.owner for server, upstreams in self._pool.upstreams().items()
                  for upstream in upstreams if server == name or len(upstreams) > 1}
        other = longest_silent(owners - {None})
        if other:
            log.warning("%s ends to make room: there are --max-processes already", other.name)
            self.leave(other)


# -- the program


def read_config(given):
    """The Config that the command line names. Raises ConfigError."""
    return load(given["--config"], given["--group"])


def reload(router, stderr, config):
    stderr.hide(config.secrets())
    router.reload(config)


def main():
    """Returns the exit status: 0, 1 if it could not be done, 2 for a wrong command or config."""
    replace_closed_files()
    stderr = Stderr()
    try:
        given = docopt.docopt(__doc__, version=VERSION)
        options = read_options(given, TRANSPORTS)
        stderr.begin_log(given["--log-level"])
        run = (_passing_on if given["--connect"] else _routing)(options, stderr)
        end_trace = begin_trace(given["--trace"])
    except (docopt.DocoptExit, ValueError) as problem:
        stderr.show(f"router.py: {problem}")
        return 2
    try:
        return run()
    finally:
        end_trace()


def _routing(options, stderr):
    """What the program does, as a function. Raises ValueError for a wrong command or config."""
    transport = importlib.import_module(TRANSPORTS[options.given["--transport"]])
    if not transport.ONE_CLIENT:
        options.access.check()
    config = read_config(options.given)
    stderr.hide(config.secrets())
    return functools.partial(_run, config, transport, options, stderr)


def _passing_on(options, stderr):
    """The same with --connect."""
    entry = entry_for(options.given["--connect"], options.access.token)
    stderr.hide(entry.secrets)
    return functools.partial(_pass_on, entry, options, stderr)


def _run(config, transport, options, stderr):
    """Start the servers, and serve clients until a signal comes or the input ends.

    The end, after that: the transport ends its sessions (http/server.py tells in which order) and
    returns. Then all servers are ended at the same time (connections/process.py tells the three
    steps), then the clock, which times these steps, and the guardian last.
    """
    given = options.given
    clock, guardian = Clock(), Guardian()
    connect = functools.partial(_connection, clock, guardian, options.limits.message)
    pool = Pool(config.entries, connect, clock, SERVER_INFO, options.limits.processes,
                share=given["--check"] or not transport.ONE_CLIENT)
    clock.start()
    end_on_signals()
    try:
        if given["--check"]:
            pool.start()
            with interruptible:
                text, exit_status = status.check(pool, clock, given["--json"])
            print(text if given["--json"] else stderr.clean(text))
            return exit_status
        router = Router(pool, clock, options.limits,
                        functools.partial(status.report, clock, stderr.show), config.groups)
        with Watch(config, functools.partial(read_config, given),
                   functools.partial(reload, router, stderr),
                   looks=not given["--no-reload"]) as watch:
            read_again_on_hangup(watch.read_again)
            transport.serve(router, options)
        return 0
    except CannotServe as problem:
        stderr.show(f"router.py: {problem}")
        return 1
    except SystemExit:  # a signal came, see transports/program/signals.py
        return 0
    finally:
        pool.close()
        clock.close()
        guardian.close()


def _pass_on(entry, options, stderr):
    """--connect: serve one client until its input ends. Returns the exit status."""
    clock = Clock()
    relay = Relay(entry, lambda: Remote(entry, "server", clock, options.limits.message), clock,
                  options.limits)
    clock.start()
    end_on_signals()
    try:
        find(entry)
        importlib.import_module(TRANSPORTS["stdio"]).serve(relay, options)
        return 0
    except (CannotServe, StartFailed) as problem:
        stderr.show(f"router.py: {problem}")
        return 1
    except SystemExit:  # a signal came
        return 0
    finally:
        clock.close()


def _connection(clock, guardian, longest, entry, label):
    if entry.url:
        return Remote(entry, label, clock, longest)
    return Process(entry, label, clock, guardian, longest)


if __name__ == "__main__":
    sys.exit(main())
