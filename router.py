"""MCP Local Router: one program between MCP clients and many MCP servers.

Usage:
  router.py [options] [--config FILE]... [--allow-origin ORIGIN]...
  router.py [options] [--config FILE]... (--login | --logout) [NAME]
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
  --list-wait SECONDS    How long a client's first list waits for slow servers. Without it: 8 over
                         HTTP; 20 over stdio, where hosts hear less of changes.
  --max-message MB       The largest message, from a client or a server [default: 64].
  --trace FILE           Write each message that passes to this file, as a line of JSON.
  --log-level LEVEL      debug, info, warning or error, to standard error. Without it: info, or
                         warning with --check.
  --no-reload            Do not look whether the config changes. SIGHUP still reads it again.
  --connect URL          Start no server: pass one client, over stdio, on to the router (or any MCP
                         server) at this URL. --token-file then has the token to send there.
  --login                Log in at the remote server NAME, in a browser, and exit: 0, or 1 if that
                         failed. With --connect at the server there, without a name.
  --logout               Forget that login.
  --check                Start every server, say how that went, and exit: 0, or 1 if one failed.
  --json                 With --check: as JSON.
  --version              Print the version.
  --help                 Print this.

Threads; each line of the log names the one that wrote it:
  MainThread     http: reads sockets, begins POSTs    stdio: reads our stdin
  worker-N       runs what may take long: a Flask view, initialize; or feeds one open stream
  stdout-writer  stdio only: feeds our stdout with what a sender could not write at once
  signals        wakes MainThread when a signal comes
  clock          deadlines of starts, lists and calls; pauses; the steps of ending a server
  rest           ends what nobody needs; writes down what servers list, for their first use
  reload         looks every two seconds whether the config has changed, and follows it
  trace-writer   writes the file of --trace
  NAME-reader    reads the server's stdout; sends each message on to its peer
  NAME-writer    feeds the server's stdin with what a sender could not write at once
  NAME-stderr    copies the server's stderr to the log
  NAME-exit      waits for the server's process to end
  NAME-post-N    sends one request to a remote server; reads its answer, and sends that on
  NAME-notes     sends notifications and responses to a remote server, one after the other
  NAME-stream    reads what a remote server says of its own accord
  NAME-login     waits for a person to log in at a remote server

This file puts the core and the rooms together, and is nothing else. The README says how to read
on; the switchboard is upstreams/routing/router.py.
"""

import contextlib
import functools
import importlib
import sys

import transports.program.command_line as command_line  # first: it says what is not installed
from transports.fabric.text import hidden
from transports.http import http_sse
from transports.program.clock import Clock
from transports.program.log import Stderr, replace_closed_files
from transports.program.memory import give_memory_back
from transports.program.options import CannotServe, read_options
from transports.program.signals import end_on_signals, interruptible, signals_wake_the_main_thread
from upstreams.config.entries import OurFormat, load
from upstreams.config.reading import refuse_circle
from upstreams.connections.process.guardian import Guardian
from upstreams.connections.process.process import Process
from upstreams.routing import status
from upstreams.routing.router import SERVER_INFO, VERSION, Router
from upstreams.sharing.pool import Pool

# isort: off
# -- The rooms. To take one out, delete its folder, its tests and its lines from here to the end of
#    the block. What it did is refused with a sentence then, and everything else goes on.
from transports.http.live import live_page              # room: transports/http/live
from transports.http.streamable import streamable_http  # room: transports/http/streamable
from transports import stateless                        # room: transports/stateless
from transports.tap import begin_trace                  # room: transports/tap
from upstreams.advice import advise, in_clear           # room: upstreams/advice
from upstreams.config.dialects import Dialects          # room: upstreams/config/dialects
from upstreams.config.programs import known             # room: upstreams/config/programs
from upstreams.connections import remote                # room: upstreams/connections/remote
from upstreams.eras import open_life                    # room: upstreams/eras
from upstreams import login                             # room: upstreams/login
from upstreams.relay import pass_on                     # room: upstreams/relay
from upstreams.reload import follow                     # room: upstreams/reload
from upstreams.rest import rest                         # room: upstreams/rest

WAYS = {            # HTTP: where clients reach us → the views and POSTs there
    "/mcp": streamable_http,                            # room: transports/http/streamable
    "/sse": http_sse,
}
PAGES = {           # HTTP: where browsers find something → the views there
    "/live": live_page,                                 # room: transports/http/live
}
CONNECTIONS = {     # the key of a server in the config → what carries its messages
    "command": Process,
    "url": remote.connect,                              # room: upstreams/connections/remote
}
ROOMS = {           # what the core goes on without
    "--trace": begin_trace,                             # room: transports/tap
    "--connect": pass_on,                               # room: upstreams/relay
    "advise": advise,                                   # room: upstreams/advice
    "in_clear": in_clear,                               # room: upstreams/advice
    "dialects": Dialects,                               # room: upstreams/config/dialects
    "follow": follow,                                   # room: upstreams/reload
    "remote": remote,                                   # room: upstreams/connections/remote
    "known": known,                                     # room: upstreams/config/programs
    "open_life": open_life,                             # room: upstreams/eras
    "rest": rest,                                       # room: upstreams/rest
    "--login": login,                                   # room: upstreams/login
}
CONNECTIONS |= {"url": login.connect}                   # room: upstreams/login
WAYS |= {"/mcp": stateless.stateless_http(WAYS.get("/mcp"))}    # room: transports/stateless
ROOMS |= {"pipe": stateless.pipe}                       # room: transports/stateless
# -- the end of the block
# isort: on

# the key of a server in the config → what it needs of these
KEYS = {"url": "url", "protocol": "open_life", "start": "rest", "idle": "rest", "oauth": "--login"}

# --transport NAME → the module that serves it, imported when it is chosen. Each has:
#     ONE_CLIENT               whether it serves one client only, so that no process is shared
#     serve(router, options)   serve until the input ends or a signal raises SystemExit; called by
#                              the main thread. May raise CannotServe
TRANSPORTS = {
    "sse": "transports.http.server",
    "http": "transports.http.server",
    "stdio": "transports.stdio",
}


def main():
    """Returns the exit status: 0, 1 if it could not be done, 2 for a wrong command or config."""
    replace_closed_files()
    give_memory_back()
    stderr = Stderr()
    try:
        given = command_line.read(__doc__, VERSION)
        options = read_options(given, TRANSPORTS, WAYS, PAGES,
                               getattr(ROOMS.get("remote"), "GUARDS", ()))
        stderr.begin_log(given["--log-level"])
        logs_in = given["--login"] or given["--logout"]
        run = _logging_in if logs_in else _passing_on if given["--connect"] else _routing
        run = run(options, stderr)
        end_trace = _room("--trace")(given["--trace"]) if given["--trace"] else lambda: None
    except (ValueError, CannotServe) as problem:
        stderr.show(f"router.py: {problem}")
        return 2 if isinstance(problem, ValueError) else 1
    clock = Clock()
    clock.start()
    end_on_signals()
    try:
        with signals_wake_the_main_thread():
            return run(clock)
    except CannotServe as problem:
        stderr.show(f"router.py: {problem}")
        return 1
    except SystemExit:  # a signal came, see transports/program/signals.py
        return 1 if given["--check"] or given["--login"] else 0
    finally:
        clock.close()
        end_trace()


def _room(option):
    """What does what this option says. Raises ValueError if that was taken out."""
    if option not in ROOMS:
        raise ValueError(f"{option} needs a room of this program that was taken out")
    return ROOMS[option]


def _passing_on(options, _stderr):
    """What --connect does, as a function of the clock. Raises ValueError for a wrong command."""
    serve = importlib.import_module(TRANSPORTS["stdio"]).serve
    return _room("--connect")(options, serve, CONNECTIONS["url"], ROOMS.get("in_clear"))


def _logging_in(options, stderr):
    """The same for --login and --logout."""
    config = None if options.given["--connect"] else _config(options)()
    return _room("--login").log_in(options, config, _pool, stderr.show)


def _routing(options, stderr):
    """The same for everything else. Raises ValueError for a wrong command or config."""
    transport = importlib.import_module(TRANSPORTS[options.given["--transport"]])
    if not transport.ONE_CLIENT:
        options.access.check()
    refuse_circle(options.given["--config"])
    read = _config(options)
    config = read()
    hidden.add(config.secrets())
    return functools.partial(_run, config, read, transport, options, stderr)


def _config(options):
    """What reads the config: a function that returns a Config, or raises ConfigError."""
    there = {**CONNECTIONS, **ROOMS}
    form = ROOMS.get("dialects", OurFormat)(
        [key for key, room in KEYS.items() if room not in there], ROOMS.get("known"),
        ROOMS.get("in_clear"), getattr(ROOMS.get("remote"), "check_request", None))
    return functools.partial(load, options.given["--config"], options.given["--group"], form)


def _run(config, read, transport, options, stderr, clock):
    """Start the servers, and serve clients until a signal comes or the input ends. Then all
    servers are ended at the same time, and last the clock, which times the steps of that."""
    given, guardian = options.given, Guardian()
    pool = _pool(config.entries, options, clock, guardian,
                 share=given["--check"] or not transport.ONE_CLIENT)
    try:
        if given["--check"]:
            pool.start()
            with contextlib.suppress(SystemExit), interruptible:
                status.await_all(pool)  # a signal ends that, and what is known then is told
            with interruptible:
                text, exit_status = status.check(pool, clock, given["--json"], ROOMS.get("advise"))
            command_line.say(text if given["--json"] else stderr.clean(text))
            return exit_status
        router = Router(pool, clock, options.limits, stderr.show, config.groups)
        logs_in = getattr(ROOMS.get("--login"), "Logins", None)
        follow, rest, logins = (room or (lambda *_arguments: contextlib.nullcontext())
                                for room in (ROOMS.get("follow"), ROOMS.get("rest"), logs_in))
        with rest(pool), logins(pool, clock) as router.logins, follow(
                config, read, router, hidden.add, not given["--no-reload"]) as router.by_hand:
            transport.serve(ROOMS["pipe"](router) if "pipe" in ROOMS and transport.ONE_CLIENT
                            else router, options)
        return 0
    finally:
        pool.close()
        guardian.close()


def _pool(entries, options, clock, guardian=None, share=True):
    """The processes of these servers."""
    def connect(entry, label):
        return CONNECTIONS["url" if entry.url else "command"](
            entry, label, clock, guardian, options.limits.message)

    return Pool(entries, connect, clock, SERVER_INFO, options.limits.processes, share,
                ROOMS.get("open_life"))


if __name__ == "__main__":
    sys.exit(main())
