"""The headers that a message demands.

They are learned from the messages that pass: the revision and the session from the answer to
`initialize`, and from the answers to `tools/list` the parameters of tools that are sent as headers
too (`x-mcp-header`; 2026-07-28, Streamable HTTP, Custom Headers from Tool Parameters)."""

import base64
import collections
import os
import re
import secrets
import threading
import time

from transports.fabric.messages import VERSION_KEY, dig
from transports.fabric.text import log, printable

MOST_TOOLS = 1000       # of one server that have such parameters
LONGEST_NAMES = 10_000  # characters: its name, those of its headers, and of where they come from
SESSION, ANNOTATION = "Mcp-Session-Id", "x-mcp-header"

_VISIBLE = re.compile(r"[!-~]+")
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")      # RFC 9110, Tokens
_PLAIN = re.compile(r"(?![ \t])[\t -~]*(?<![ \t])")
_NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri",
             "tasks/get": "taskId", "tasks/update": "taskId", "tasks/cancel": "taskId"}
_NO_SCHEMAS = {"default", "const", "enum", "examples", ANNOTATION}
_NAMED_SCHEMAS = {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}

HEADER = "Mcp-Router-Within"
PARENT = "MCP_ROUTER_ID"    # the environment variable that tells a server which router started it
MOST_ABOVE = 100
HEARD_SECONDS = 60.0    # after its last request, that a router counts as one above us
_ID = re.compile("[0-9a-f]{16}")

REFUSED = ("This router is, perhaps by way of others, a server of its own, which would make names "
           "and sessions without end: take the entry that leads back here out of the config.")


class MessageHeaders:
    def __init__(self, name):
        self._name = name       # of the server, for the log
        self.version = None     # a legacy revision, once `initialize` was answered
        self.session = None     # its Mcp-Session-Id, if it has one
        # Of the tools that have any: name → [(header, path)]
        self._parameters = {}   # as far as they are known
        self._listing = {}      # in the list of which the server has given a page last

    def legacy(self):
        """[(name, value)] for any request to a legacy server."""
        pairs = []
        if self.version and self.version >= "2025-06-18":
            pairs.append(("MCP-Protocol-Version", self.version))
        if self.session:
            pairs.append((SESSION, self.session))
        return pairs

    def modern(self, message):
        """The same for a modern message, which says its revision; None if it is none."""
        version, method = dig(message, "params", "_meta", VERSION_KEY), message.get("method")
        if not isinstance(version, str):
            return None
        pairs = [("MCP-Protocol-Version", encoded(version)), ("Mcp-Method", encoded(method))]
        name = dig(message, "params", _NAMED_BY.get(method))
        if isinstance(name, str):
            pairs.append(("Mcp-Name", encoded(name)))
            if method == "tools/call" and name in self._parameters:
                pairs += values(self._parameters[name], message["params"].get("arguments"))
        return pairs

    def learn(self, post, answer, headers):
        """Returns what is to be passed on of this answer to a MessagePost. Raises ValueError if
        its session has no possible id."""
        result = answer.get("result")
        if not isinstance(result, dict):
            return answer
        if post.method == "initialize":
            version, session = result.get("protocolVersion"), headers.get(SESSION)
            if session is not None and not _VISIBLE.fullmatch(session):
                raise ValueError("its Mcp-Session-Id has characters that are not allowed")
            is_one = isinstance(version, str) and _VISIBLE.fullmatch(version)
            self.session, self.version = session, version if is_one else None
        elif post.method == "tools/list" and post.is_modern \
                and isinstance(result.get("tools"), list):
            valid, page = self._tools(result["tools"])
            self._listing = _latest({} if post.begins else self._listing, page)
            # A tool of a later page is called by the parameters of the list before, until then.
            self._parameters = _latest(self._parameters, page) if result.get("nextCursor") \
                else _latest(self._listing, {})
            return {**answer, "result": {**result, "tools": valid}}
        return answer

    def _tools(self, tools):
        """Those without an invalid annotation, and the parameters of each by its name."""
        valid, parameters = [], {}
        for tool in tools:
            try:
                if isinstance(dig(tool, "name"), str):
                    parameters[tool["name"]] = _short(tool["name"], parameters_of(tool))
                valid.append(tool)
            except ValueError as problem:
                log.warning('server "%s": its tool %s is left out: %s', self._name,
                            printable(tool["name"]), printable(str(problem)))
        return valid, parameters


def _short(name, found):
    """These parameters of a tool. Raises ValueError if to keep them would take much."""
    if found and len(name) + sum(len(part) for header, path in found
                                 for part in (header, *path)) > LONGEST_NAMES:
        raise ValueError(f"its name and those of what has {ANNOTATION} are too long")
    return found


def _latest(known, page):
    """Both together, where the page counts. The oldest go first: a server may go on with pages, of
    tools that it never had before, for ever."""
    both = [*((name, found) for name, found in known.items() if name not in page), *page.items()]
    return dict([(name, found) for name, found in both if found][-MOST_TOOLS:])


def parameters_of(tool):
    """[(header, path)]: the arguments of this tool that are sent as headers. Raises ValueError if
    an annotation is invalid, as where not each step from the root of the inputSchema is a
    `properties` key: such a tool must not be listed.

    >>> parameters_of({"inputSchema": {"properties": {"a": {"properties": {
    ...     "b": {"type": "string", "x-mcp-header": "Region"}}}}}})
    [('Mcp-Param-Region', ('a', 'b'))]
    """
    found = []
    _visit(tool.get("inputSchema"), (), True, found)
    for name, count in collections.Counter(name.lower() for name, _ in found).items():
        if count > 1:
            raise ValueError(f"{ANNOTATION} is the same for several parameters: {name}")
    return [(f"Mcp-Param-{name}", path) for name, path in found]


def _visit(schema, path, reachable, found):
    """`reachable`: whether all steps to here are `properties` keys."""
    if isinstance(schema, list):
        schema = dict(enumerate(schema))
    if not isinstance(schema, dict):
        return
    if ANNOTATION in schema:
        _check(schema, path, reachable)
        found.append((schema[ANNOTATION], path))
    for key, value in schema.items():
        if key in _NAMED_SCHEMAS and isinstance(value, dict):
            for name, part in value.items():
                _visit(part, (*path, name), reachable and key == "properties", found)
        elif key not in _NO_SCHEMAS:
            _visit(value, path, False, found)


def _check(schema, path, reachable):
    name, problem = schema[ANNOTATION], None
    if not isinstance(name, str) or not TOKEN.fullmatch(name):
        problem = " is no name of a header"
    elif not reachable or not path:
        problem = " is not reached by `properties` alone"
    elif schema.get("type") not in ("string", "integer", "boolean"):
        problem = ": its type is not string, integer or boolean"
    if problem:
        raise ValueError(f"{ANNOTATION} of {'.'.join(path) or 'the root'}{problem}")


def values(parameters, arguments):
    """[(header, value)] for the arguments of one call; those that are absent or null have none."""
    found = []
    for header, path in parameters:
        value = dig(arguments, *path)
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, int) or isinstance(value, float) and value.is_integer():
            value = str(int(value))
        if isinstance(value, str):
            found.append((header, encoded(value)))
    return found


def encoded(value):
    """Text as the value of a header: as it is, or Base64 where that would not be safe.

    >>> encoded("us-west1"), encoded(" padded "), encoded("=?base64?literal?=")
    ('us-west1', '=?base64?IHBhZGRlZCA=?=', '=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=')
    """
    if _PLAIN.fullmatch(value) and not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    data = base64.b64encode(value.encode("utf-8", "surrogatepass")).decode()
    return f"=?base64?{data}?="


class Circle:
    """How a router finds out that it is, by way of others, a server of its own: a circle of
    routers would make names and sessions without end.

    Each request to a remote server says in a header which routers it comes from: we, those that
    have started us, and those whose requests came to us in the last minute. A router that finds
    itself among them refuses, so an entry of the circle fails, with a sentence, and is tried again
    like others that fail; all else goes on. There is one Circle in the program; router.py gives
    its `closes` to those who check requests. Any thread may call anything here."""

    def __init__(self):
        self.id = secrets.token_hex(8)
        started_by, _, self._parent = os.environ.get(PARENT, "").partition(":")
        # By way of a shell and the like too.
        self._starters = _ID.findall(started_by)[:MOST_ABOVE]
        os.environ[PARENT] = f"{','.join([self.id, *self._starters])}:{os.getpid()}"
        self._lock = threading.Lock()
        self._heard = {}    # id of a router → when it was last heard; protected by _lock

    def is_relay(self):
        """Only a parent counts for a relay: an agent may well call the router that runs it."""
        if self._parent != str(os.getppid()):
            self._starters = []

    @property
    def header(self):
        moment = time.monotonic() - HEARD_SECONDS
        with self._lock:
            heard = [id for id, when in self._heard.items() if when > moment]
        return HEADER, ",".join([self.id, *self._starters, *heard])

    def closes(self, header):
        """Why a request is refused that comes from ourselves, by `header(name)`; None for others,
        which tell who is above us."""
        value = header(HEADER)
        ids = _ID.findall(value[:20 * MOST_ABOVE]) if value else ()
        if self.id in ids:
            return REFUSED
        with self._lock:
            for id in ids:
                self._heard.pop(id, None)   # so that the latest come last
                self._heard[id] = time.monotonic()
            for id in list(self._heard)[:-MOST_ABOVE]:
                del self._heard[id]
        return None


circle = Circle()
