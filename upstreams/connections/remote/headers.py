"""The headers of our requests: what the config wants, and what the messages demand.

What the messages demand is learned from the messages that pass: the revision and the session from
the answer to `initialize`, the parameters that are headers from the answers to `tools/list`.
"""

import json
import logging
import os
import re
import subprocess
import threading

from transports.fabric.messages import VERSION_KEY
from transports.fabric.peers import StartFailed
from transports.fabric.text import printable, without
from upstreams.connections.process.guardian import KILL, signal_group

from .param_headers import encoded, parameters_of, values

log = logging.getLogger("router")

COMMAND_SECONDS = 30.0  # that the command for headers may take

_COMMAND = "the command for its headers"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_VISIBLE = re.compile(r"[!-~]+")
_OURS = {"host", "content-length", "content-type", "transfer-encoding", "connection", "accept",
         "accept-encoding", "last-event-id", "mcp-session-id", "mcp-protocol-version",
         "mcp-method", "mcp-name"}
_NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


class ConfigHeaders:
    """What the config wants on each request; its values appear in no log and no error."""

    def __init__(self, entry):
        self._entry = entry
        self._fixed = _lines(entry.headers)     # raises StartFailed
        self._secrets = ()
        self._process = None
        self._stopped = False
        # A turn, not a guard of a table: threads that need the headers wait while one gets them.
        self._turn = threading.Lock()
        # changed by the thread whose turn it is:
        self._lines = None if entry.headers_command else _with_agent(self._fixed)

    def lines(self, refused=None):
        """Lines of headers, as bytes. `refused`: those that the server did not accept; if there
        is a command, it is run again for others. Raises StartFailed."""
        with self._turn:
            if self._lines is None or self._entry.headers_command and self._lines == refused:
                self._lines = _with_agent(self._fixed + self._from_command())
            return self._lines

    def redact(self, text, most=4000):
        return without(self._secrets, self._entry.redact(text, most))

    def stop(self):
        """End the command, if it runs. Any thread."""
        self._stopped = True
        if process := self._process:
            _kill(process)

    def _from_command(self):
        said, complained, status = self._run()
        last = ""
        for line in complained.decode("utf-8", "replace").splitlines():
            last = printable(self.redact(line.strip()))
            log.info("%s: %s", self._entry.name, last)
        if status:
            raise StartFailed(f"{_COMMAND} exited with status {status}"
                              + (f": {last}" if last else ""))
        headers = _object_of_strings(said)
        if headers is None:
            raise StartFailed(f'{_COMMAND} must print a JSON object of strings, as '
                              '{"Authorization": "Bearer …"}')
        self._secrets = tuple(sorted(filter(None, headers.values()), key=len, reverse=True))
        return _lines(headers.items())

    def _run(self):
        """Run the command; returns its output, its stderr, and its exit status."""
        environment = {**os.environ, **dict(self._entry.env)}
        environment.pop("MCP_ROUTER_TOKEN", None)   # ours: no other program needs it
        try:
            with subprocess.Popen(
                    self._entry.headers_command, env=environment, cwd=self._entry.cwd,
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                    start_new_session=True) as self._process:
                if self._stopped:
                    _kill(self._process)
                try:
                    said, complained = self._process.communicate(timeout=COMMAND_SECONDS)
                finally:
                    _kill(self._process)
            return said, complained, self._process.returncode
        except subprocess.TimeoutExpired:
            raise StartFailed(f"{_COMMAND} did not end within {COMMAND_SECONDS:g} seconds") \
                from None
        except (OSError, ValueError) as problem:
            raise StartFailed(f"{_COMMAND} could not be started: {problem}") from None


def _kill(process):
    """End it with all that it has started, which may hold its output; no effect if it ended."""
    if process.returncode is None:
        signal_group(process.pid, KILL)


def _object_of_strings(data):
    """The JSON object in these bytes; None if that is something else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    fits = isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
    return value if fits else None


def _lines(pairs):
    """Header lines as bytes. Raises StartFailed for what is no header, or is ours to set."""
    lines = b""
    for name, value in pairs:
        if not _NAME.fullmatch(name):
            raise StartFailed(f"{printable(name)!r} is no name of a header")
        if name.lower() in _OURS or name.lower().startswith("mcp-param-"):
            raise StartFailed(f"the header {name} is not for the config: the router sets it")
        if not _VALUE.fullmatch(value):
            raise StartFailed(f"the value of the header {name} has characters that no header may "
                              "have, as a line break")
        lines += f"{name}: {value}\r\n".encode("latin-1")
    return lines


def _with_agent(lines):
    """These lines, and a User-Agent if they have none: some servers refuse requests without."""
    said = b"\nuser-agent:" in b"\n" + lines.lower()
    return lines if said else b"User-Agent: mcp-local-router\r\n" + lines


class MessageHeaders:
    """What each POST says of its message, learned from the messages that pass."""

    def __init__(self, name):
        self._name = name       # of the server, for the log
        self.version = None     # a legacy revision, once `initialize` was answered
        self.session = None     # its Mcp-Session-Id, if it has one
        self._parameters = {}   # tool → [(header, path)]

    def lines(self, message=None):
        """Lines of headers, as bytes, for this message or for a request without one."""
        said = message and modern_version(message)
        if said:
            return self._modern(said, message)
        lines = b""
        if self.version and self.version >= "2025-06-18":
            lines += f"MCP-Protocol-Version: {self.version}\r\n".encode()
        if self.session:
            lines += f"Mcp-Session-Id: {self.session}\r\n".encode()
        return lines

    def _modern(self, version, message):
        method, params = message["method"], message["params"]
        pairs = [("MCP-Protocol-Version", encoded(version)), ("Mcp-Method", encoded(method))]
        name = params.get(_NAMED_BY.get(method))
        if isinstance(name, str):
            pairs.append(("Mcp-Name", encoded(name)))
            if method == "tools/call" and name in self._parameters:
                pairs += values(self._parameters[name], params.get("arguments"))
        return "".join(f"{name}: {value}\r\n" for name, value in pairs).encode()

    def learn(self, request, answer, headers):
        """The answer to this request of ours; returns what is to be passed on of it.

        Raises ValueError if its session has no possible id.
        """
        result = answer.get("result")
        if not isinstance(result, dict):
            return answer
        if request["method"] == "initialize":
            version, session = result.get("protocolVersion"), headers.get("mcp-session-id")
            if session is not None and not _VISIBLE.fullmatch(session):
                raise ValueError("its Mcp-Session-Id has characters that are not allowed")
            self.session = session
            self.version = version if isinstance(version, str) and _VISIBLE.fullmatch(version) \
                else None
        elif request["method"] == "tools/list" and modern_version(request) \
                and isinstance(result.get("tools"), list):
            return {**answer, "result": {**result, "tools": self._learn_tools(result["tools"])}}
        return answer

    def _learn_tools(self, tools):
        """Those without an invalid annotation."""
        valid = []
        for tool in tools:
            if isinstance(tool, dict) and isinstance(tool.get("name"), str):
                try:
                    self._parameters[tool["name"]] = parameters_of(tool)
                except ValueError as problem:
                    log.warning('server "%s": its tool %s is left out: %s', self._name,
                                printable(tool["name"]), printable(str(problem)))
                    continue
            valid.append(tool)
        return valid


def modern_version(message):
    """The revision that a modern request says it is of; None for any other message."""
    params = message.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    version = meta.get(VERSION_KEY) if isinstance(meta, dict) else None
    return version if isinstance(version, str) else None
