"""What the options mean: limits, the address to listen on, and which clients are let in."""

import dataclasses
import errno
import ipaddress
import os
import re
import socket
from pathlib import Path

from transports.fabric.text import log

try:
    import resource
except ImportError:  # Windows, where there is no such limit
    resource = None

LIST_WAIT = {"stdio": "20"}     # else 8: most hosts that come over HTTP hear what changes later
BACKLOG = 1024  # connections that we have not accepted yet
MOST_WINDOWS = 500  # connections: select() takes 512 sockets there
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def host_of(text):
    """The name in `host` or `host:port`, as the header Host has it; None if it is neither."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]+))(?::[0-9]{0,5})?", text)
    return found and (found[1] or found[2]).lower()


def host_of_origin(text):
    """The name in an origin, scheme://host or scheme://host:port; None if it is none."""
    scheme, _, host = text.partition("://")
    return host_of(host) if scheme else None


def is_loopback(host):
    """Whether what listens on this host can be reached from this machine only."""
    try:
        return host in LOOPBACK or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class CannotServe(Exception):
    """A transport cannot begin. The text says why and what to do; the exit status is 1."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much of everything there may be."""

    sessions: int = 1000
    calls: int = 1000           # of one session that are not answered yet
    processes: int = 100        # beside the first one of each server
    message: int = 64 * 2**20   # bytes of one message, from a client or a server
    list_wait: float = 20.0     # seconds that a session's first list waits for slow servers
    idle: float = 1800.0        # seconds without a stream, a waiting POST or a message

    def make_room_for_connections(self):
        """How many connections there may be: four a session, if so many files can be open, of
        which servers need some. Raises this process's own limit as far as it may."""
        wanted, others = 4 * self.sessions + 100, 8 * self.processes + 100
        if resource is None:
            return min(wanted, MOST_WINDOWS)
        files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        enough = wanted + others if most == resource.RLIM_INFINITY else min(wanted + others, most)
        if files != resource.RLIM_INFINITY and files < enough:
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (enough, most))
            except (OSError, ValueError) as problem:  # macOS allows less than it says
                log.warning("no more than %d files can be open: %s", files, problem)
                enough = files
        return min(wanted, max(enough - others, enough // 2))


@dataclasses.dataclass(frozen=True)
class Access:
    """Where we listen over HTTP, and who may come in."""

    host: str = "127.0.0.1"
    port: int = 8080
    origins: tuple = ()         # of web clients, as https://app.example
    token: bytes = None         # that every client must send
    insecure: bool = False      # whether it is meant that anybody may come in
    guards: tuple = ()          # guard(header) → why a request with it is refused, or None

    def listen(self):
        """A socket for each address of the host, which listens from now on. Raises CannotServe."""
        sockets, port, unusable = [], self.port, None
        try:
            for family, *_, address in socket.getaddrinfo(self.host, port,
                                                          type=socket.SOCK_STREAM):
                try:
                    sockets.append(socket.create_server((address[0], port), family=family,
                                                        backlog=BACKLOG))
                    port = sockets[-1].getsockname()[1]  # the same for all, if it was 0
                except OSError as problem:
                    if problem.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                        raise
                    unusable = problem  # as ::1 if IPv6 is off: another address will do
            if not sockets:
                raise unusable
        except (OSError, UnicodeError) as problem:
            reason = ("this is not a host name" if isinstance(problem, UnicodeError)
                      # without what Python's socket module adds to it
                      else (problem.strerror or str(problem)).partition(" (while")[0])
            raise CannotServe(f"cannot listen on {self.host} port {self.port}: {reason}; try "
                              "another --host or --port") from None
        return sockets

    def url(self, listening):
        """Where clients find us on this socket."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{listening.getsockname()[1]}"

    def check(self):
        """Raises ValueError if strangers could reach us, and nothing would keep them out."""
        if not is_loopback(self.host) and self.token is None and not self.insecure:
            raise ValueError(f"listening on {self.host} lets the whole network in: give a token "
                             "with --token-file or MCP_ROUTER_TOKEN, or say --insecure")


@dataclasses.dataclass(frozen=True)
class Options:
    """The command line, checked. What only one transport understands stays in `given`."""

    limits: Limits
    access: Access
    given: dict                 # docopt's: {"--transport": "sse", …}
    ways: dict                  # see WAYS in router.py
    pages: dict                 # see PAGES there


def read_options(options, transports, ways, pages, guards=()):
    """docopt's dictionary and what router.py has put together → Options. Raises ValueError."""
    options["--log-level"] = options["--log-level"] or ["info", "warning"][options["--check"]]
    for option, allowed in (("--transport", transports),
                            ("--log-level", ("debug", "info", "warning", "error"))):
        if options[option] not in allowed:
            raise ValueError(f"{option} is one of {', '.join(allowed)}")
    if options["--connect"] and options["--transport"] != "stdio":
        raise ValueError("--connect serves one client, over stdio: leave out --transport")
    if options["--json"] and not options["--check"]:
        raise ValueError("--json goes with --check: it says how that prints")

    def number(option, least, most, otherwise=None):
        text = options[option] or otherwise
        if re.fullmatch("[0-9]{1,6}", text) and least <= int(text) <= most:
            return int(text)
        raise ValueError(f"{option} is a number from {least} to {most}")

    limits = Limits(number("--max-sessions", 1, 100_000), number("--max-calls", 1, 100_000),
                    number("--max-processes", 0, 100_000),
                    number("--max-message", 1, 1024) * 2**20,
                    number("--list-wait", 0, 3600, LIST_WAIT.get(options["--transport"], "8")),
                    number("--idle-minutes", 1, 100_000) * 60)
    access = Access(options["--host"], number("--port", 0, 65535),
                    tuple(map(_origin, options["--allow-origin"])),
                    _token(options["--token-file"],
                           options["--connect"] or options["--transport"] != "stdio"),
                    options["--insecure"], tuple(guards))
    return Options(limits, access, options, ways, {} if options["--no-live"] else pages)


def _origin(text):
    if host_of_origin(text.rstrip("/")) is None:
        raise ValueError(f"--allow-origin {text}: an origin looks like https://app.example")
    return text


def _token(path, is_used):
    if path is None:
        token = os.environ.get("MCP_ROUTER_TOKEN")
        if is_used and token is not None and not token.strip():
            raise ValueError("the environment variable MCP_ROUTER_TOKEN is empty, which is no "
                             "token: give it one, or unset it to serve without")
        return token and token.strip().encode()
    try:
        if token := Path(path).read_bytes().strip():
            return token
    except OSError as problem:
        raise ValueError(f"--token-file {path}: {problem.strerror}") from None
    raise ValueError(f"--token-file {path}: is empty")
