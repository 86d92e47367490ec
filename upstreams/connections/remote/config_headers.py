"""The headers that the config wants: its `headers`, and over them what its `headersCommand`
prints. Their values appear in no log, no trace and no error."""

import json
import os
import re
import shutil
import subprocess
import threading
import urllib.parse

from transports.fabric.peers import StartFailed
from transports.fabric.text import hidden, log, printable, redacted
from upstreams.connections.process.guardian import KILL, signal_group
from upstreams.connections.process.program import command_line, environment

from .message_headers import TOKEN

LOOK_SECONDS = 0.5      # between two looks whether somebody has logged in
COMMAND_SECONDS = 30.0  # that the command for headers may take
SHORTEST_SECRET = 4     # characters: shorter words would make the log unreadable

_COMMAND = "the command for its headers"
_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_OURS = {"host", "content-length", "content-type", "transfer-encoding", "connection", "accept",
         "accept-encoding", "last-event-id", "mcp-session-id", "mcp-protocol-version",
         "mcp-method", "mcp-name", "mcp-router-within"}


class ConfigHeaders:
    """`pairs` and `stop` from any thread."""

    def __init__(self, entry, login=None):
        """`login`: a source of more headers, see `connect`; None without one."""
        self._entry, self._login = entry, login
        self._fixed = _checked(entry.headers)   # raises StartFailed
        self.can_change = bool(entry.headers_command or login)
        self._secrets = set()   # what the command printed
        self._process, self._stopped = None, False
        # Held while the command runs: threads that need the headers wait for its end.
        self._getting = threading.Lock()
        # protected by _getting:
        self._pairs = None if entry.headers_command else _with_agent(self._fixed)
        self._more = []     # of the login

    def pairs(self, refused=None):
        """[(name, value)]. `refused`: those that the server did not accept; if there is a command,
        it is run again for others. Raises StartFailed."""
        with self._getting:
            if self._login:
                return self._with_login(refused)
            if self._pairs is None or self.can_change and self._pairs == refused:
                self._pairs = _with_agent({**self._fixed, **_checked(self._printed().items())})
            return self._pairs

    def needed(self, problem):
        """What a person must do before the server takes what it answered so; None for nothing."""
        return self._login and self._login.needed(problem)

    def wait_for_login(self, ended):
        """Until it may have been done, or this Event: so long whoever joins the connection is told
        that this life is not over, and another one makes no sense."""
        while not ended.wait(LOOK_SECONDS) and not self._login.changed():
            pass

    def _with_login(self, refused):
        """Requires _getting."""
        try:
            more = self._login.headers(refused)
        except ValueError as problem:
            raise StartFailed(str(problem)) from None
        if more != self._more:
            self._hide(value for _, value in more)
            self._more = more
        return [*self._pairs, *more]

    def redact(self, text):
        secrets = sorted(self._secrets.union(self._entry.secrets), key=len, reverse=True)
        return redacted(secrets, text, 4000)

    def stop(self):
        """End the command, if it runs. Any thread."""
        self._stopped = True
        if self._login:
            self._login.stop()
        if process := self._process:
            _kill(process)

    def _printed(self):
        """{name: value} that the command prints."""
        said, complained, status = self._run()
        headers, last = _object_of_strings(said), ""
        # Before anything is logged. If it printed something else, that may be a secret too.
        self._hide(headers.values() if headers else said.decode("utf-8", "replace").split())
        for line in complained.decode("utf-8", "replace").splitlines():
            last = printable(self.redact(line.strip()))
            log.info("%s: %s", self._entry.name, last)
        if status:
            raise StartFailed(f"{_COMMAND} exited with status {status}" + (last and f": {last}"))
        if headers is None:
            raise StartFailed(f'{_COMMAND} must print a JSON object of strings, as '
                              '{"Authorization": "Bearer …"}')
        return headers

    def _hide(self, values):
        """The values, and the token alone in one like "Bearer TOKEN"."""
        found = {word for value in values for word in (value, *value.split()[1:])
                 if len(word) >= SHORTEST_SECRET}
        hidden.add(found, instead_of=self._secrets - {*self._entry.secrets})
        self._secrets = found

    def _run(self):
        """Run the command; returns its output, its stderr, and its exit status."""
        variables, pipe = environment(self._entry), subprocess.PIPE
        command, *args = self._entry.headers_command
        # As a server is looked for; and Windows itself finds no batch file.
        command = shutil.which(command, path=variables.get("PATH", os.defpath)) or command
        try:
            with subprocess.Popen(command_line(command, args), env=variables,
                                  cwd=self._entry.cwd, stdin=subprocess.DEVNULL, stdout=pipe,
                                  stderr=pipe, start_new_session=True) as self._process:
                if self._stopped:
                    _kill(self._process)
                try:
                    said, complained = self._process.communicate(timeout=COMMAND_SECONDS)
                finally:
                    _kill(self._process)
            return said, complained, self._process.returncode
        except subprocess.TimeoutExpired:
            problem = f"did not end within {COMMAND_SECONDS:g} seconds"
        except (OSError, ValueError) as failed:
            problem = f"could not be started: {getattr(failed, 'strerror', None) or failed}"
        raise StartFailed(f"{_COMMAND} {problem}")


def _kill(process):
    """End it with all that it has started, which may hold its output; no effect if it ended."""
    if process.returncode is None:
        signal_group(process.pid, KILL)


def _object_of_strings(data):
    """The JSON object in these bytes; None if that is something else."""
    try:
        value = json.loads(data)
        return value if all(isinstance(text, str) for text in value.values()) else None
    except (ValueError, RecursionError, AttributeError):
        return None


def _checked(pairs):
    """{name in lower case: (name, value)}. Raises StartFailed for what is no header, or is ours
    to set."""
    found = {}
    for name, value in pairs:
        if not TOKEN.fullmatch(name):
            raise StartFailed(f"{printable(name)!r} is no name of a header")
        if name.lower() in _OURS or name.lower().startswith("mcp-param-"):
            raise StartFailed(f"the header {name} is not for the config: the router sets it")
        if not _VALUE.fullmatch(value):
            raise StartFailed(f"the value of the header {name} has characters that no header may "
                              "have, as a line break")
        found[name.lower()] = name, value
    return found


def check_request(url, headers):
    """Yield (where, what is wrong) for what no request could be made of. Found when the server
    starts, it would end one that runs, where a reload keeps what an entry was before it was wrong.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        parts.port, (parts.hostname or "").encode("idna")
    except ValueError:
        yield "url", "has a host or a port that cannot be"
    else:
        if parts.scheme not in ("http", "https") or not parts.hostname:
            yield "url", "must begin with http:// or https:// and a host"
        if parts.username is not None:
            yield "url", 'has a login, which belongs into "headers", as "Authorization": "Basic …"'
    for name, value in headers.items():
        if not TOKEN.fullmatch(name):
            yield "headers", f"{printable(name)!r} is no name of a header"
        if not _VALUE.fullmatch(value):
            yield f"headers.{name}", "has characters that no header may have, as a line break"


def _with_agent(checked):
    """These headers, and a User-Agent if they have none: some servers refuse requests without."""
    return list({"user-agent": ("User-Agent", "mcp-local-router"), **checked}.values())
