"""A small but complete MCP server: JSON-RPC messages on stdin and stdout, one a line.

Written to be read: this is the other end of the router's pipes. It needs Python 3.8 and no
package, and knows nothing of the router. Every request is answered in a thread of its own, so
that a slow tool does not delay the other answers. So there is one rule: only `_send` writes to
stdout, one line at a time, under a lock.

It speaks both eras, down the same pipe. A legacy client says once, in `initialize`, who it is and
which revision it speaks. A modern client says so in the `_meta` of every request, and each answer
says how long it may be kept and which server gave it. All that differs is under "what differs
between the eras". These servers ask their client nothing and never change their lists, so
they need neither `input_required` answers nor `subscriptions/listen`.
"""

import json
import sys
import threading

LEGACY = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
MODERN = ("2026-07-28",)
VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
SERVER = "io.modelcontextprotocol/serverInfo"
# How many milliseconds a client may keep an answer (2026-07-28, Caching). Lists are part of the
# program; what a resource contains can change at any time.
KEEP = {**dict.fromkeys(("server/discover", "tools/list", "prompts/list", "resources/list",
                         "resources/templates/list"), 3_600_000), "resources/read": 0}


class Problem(Exception):
    """Raised by a function of yours: its text becomes the error that the client gets.

    A tool's error is a result with "isError", which the model reads; others are JSON-RPC errors,
    "invalid params" unless they have another code.
    """

    def __init__(self, text, code=-32602, **data):
        super().__init__(text)
        self.code, self.data = code, data


class Request:
    """One request of the client, for a tool that tells its progress or can be cancelled."""

    def __init__(self, server, message):
        self.method = message["method"]
        self.params = message.get("params") or {}
        self.cancelled = threading.Event()  # set when the client no longer wants the answer
        self._server = server

    @property
    def meta(self):
        return self.params.get("_meta") or {}

    @property
    def is_modern(self):
        return VERSION in self.meta or self.method == "server/discover"

    def progress(self, done, total, text):
        """Tell the client how far we are, if it asked for progress."""
        token = self.meta.get("progressToken")
        if token is not None and not self.cancelled.is_set():
            self._server._send({"method": "notifications/progress", "params": {
                "progressToken": token, "progress": done, "total": total, "message": text}})


class Server:
    """Add functions with the decorators `tool`, `prompt` and `resource`, then call `run`."""

    def __init__(self, name, instructions):
        self._info = {"name": name, "version": "1.0.0"}
        self._instructions = instructions
        self._tools, self._prompts, self._resources, self._templates = {}, {}, {}, {}
        self._requests = {}  # id → Request, while it is being answered
        self._initialized = False  # has a legacy client introduced itself?
        self._lock = threading.Lock()
        both = {
            "tools/list": lambda request: {"tools": _descriptions(self._tools)},
            "tools/call": self._call_tool,
            "prompts/list": lambda request: {"prompts": _descriptions(self._prompts)},
            "prompts/get": self._get_prompt,
            "resources/list": lambda request: {"resources": _descriptions(self._resources)},
            "resources/templates/list":
                lambda request: {"resourceTemplates": _descriptions(self._templates)},
            "resources/read": self._read_resource,
        }
        self._legacy = {"initialize": self._initialize, "ping": lambda request: {}, **both}
        self._modern = {"server/discover": self._discover, **both}

    # -- filling the tables

    def tool(self, description, **properties):
        """The function gets (request, **arguments) and returns text. `properties` are JSON
        schemas of its arguments; an argument is required if its schema has no "default"."""
        required = [name for name, schema in properties.items() if "default" not in schema]

        def add(function):
            self._tools[function.__name__] = function, {
                "name": function.__name__, "description": description,
                "inputSchema": {"type": "object", "properties": properties, "required": required},
                "annotations": {"readOnlyHint": True}}
            return function
        return add

    def prompt(self, description, **arguments):
        """The function gets (**arguments) and returns the text of the user's message. `arguments`
        are their descriptions; an argument is required unless that ends in "(optional)"."""
        def add(function):
            self._prompts[function.__name__] = function, {
                "name": function.__name__, "description": description,
                "arguments": [{"name": name, "description": text,
                               "required": not text.endswith("(optional)")}
                              for name, text in arguments.items()]}
            return function
        return add

    def resource(self, uri, name, description, mime_type="text/plain"):
        """The function gets the whole URI and returns text. A uri ending in {…} is a template."""
        def add(function):
            table, key = ((self._templates, "uriTemplate") if "{" in uri
                          else (self._resources, "uri"))
            table[uri] = function, {key: uri, "name": name, "description": description,
                                    "mimeType": mime_type}
            return function
        return add

    # -- talking

    def run(self):
        """Answer requests until stdin ends."""
        for line in sys.stdin.buffer:
            try:
                self._receive(json.loads(line))
            except (ValueError, TypeError, KeyError) as problem:
                print(f"ignored {line!r}: {problem!r}", file=sys.stderr)

    def _receive(self, message):
        """Raises TypeError or KeyError if it is neither a request nor a notification."""
        method = message["method"]
        if method == "initialize":  # noted here, for the requests in the next lines of stdin
            self._initialized = True
        if "id" in message:
            request = self._requests[message["id"]] = Request(self, message)
            threading.Thread(target=self._answer, args=(message["id"], request)).start()
        elif method == "notifications/cancelled":
            request = self._requests.get(message["params"]["requestId"])
            if request:
                request.cancelled.set()

    def _answer(self, request_id, request):
        try:
            result = self._modern_result if request.is_modern else self._legacy_result
            reply = {"result": result(request)}
        except Problem as problem:
            reply = {"error": {"code": problem.code, "message": str(problem)}}
            if problem.data:
                reply["error"]["data"] = problem.data
        except Exception as problem:  # a bug; without an answer the client would wait for ever
            print(f"{request.method}: {problem!r}", file=sys.stderr)
            reply = {"error": {"code": -32603, "message": "internal error"}}
        self._requests.pop(request_id, None)
        if not request.cancelled.is_set():
            self._send({"id": request_id, **reply})

    def _send(self, message):
        line = json.dumps({"jsonrpc": "2.0", **message})
        with self._lock:
            print(line, flush=True)

    # -- what differs between the eras

    def _initialize(self, request):
        asked = request.params.get("protocolVersion")
        return {"protocolVersion": asked if asked in LEGACY else LEGACY[0],
                "capabilities": self._capabilities(), "serverInfo": self._info,
                "instructions": self._instructions}

    def _discover(self, request):
        return {"supportedVersions": [*MODERN, *LEGACY], "capabilities": self._capabilities(),
                "instructions": self._instructions}

    def _capabilities(self):
        tables = {"tools": self._tools, "prompts": self._prompts,
                  "resources": self._resources or self._templates}
        return {kind: {} for kind, table in tables.items() if table}

    def _legacy_result(self, request):
        if not self._initialized and request.method != "ping":
            raise Problem(f"Send {VERSION} in _meta, or initialize first.")
        return _method(self._legacy, request)(request)

    def _modern_result(self, request):
        """The result with all that revision 2026-07-28 asks of one."""
        version = request.meta.get(VERSION)
        if isinstance(version, str) and version not in MODERN:
            raise Problem("Unsupported protocol version", -32022,
                          supported=[*MODERN, *LEGACY], requested=version)
        for key, kind in ((VERSION, str), (CAPABILITIES, dict)):
            if not isinstance(request.meta.get(key), kind):
                raise Problem(f"_meta has no valid {key}; every request needs it.")
        result = _method(self._modern, request)(request)
        if request.method in KEEP:  # "private": these servers show what one user has
            result = {**result, "ttlMs": KEEP[request.method], "cacheScope": "private"}
        return {"resultType": "complete", **result, "_meta": {SERVER: self._info}}

    # -- what is the same in both

    def _call_tool(self, request):
        function, _ = _find(self._tools, request, "tool")
        try:
            text, failed = function(request, **(request.params.get("arguments") or {})), False
        except (Problem, TypeError, ValueError, OSError) as problem:
            text, failed = str(problem), True
        return {"content": [{"type": "text", "text": text}], "isError": failed}

    def _get_prompt(self, request):
        function, about = _find(self._prompts, request, "prompt")
        try:
            text = function(**(request.params.get("arguments") or {}))
        except TypeError as problem:
            raise Problem(str(problem))
        return {"description": about["description"],
                "messages": [{"role": "user", "content": {"type": "text", "text": text}}]}

    def _read_resource(self, request):
        uri = str(request.params.get("uri"))
        for template, (function, about) in {**self._resources, **self._templates}.items():
            if uri == template or "{" in template and uri.startswith(template.split("{")[0]):
                return {"contents": [{"uri": uri, "mimeType": about["mimeType"],
                                      "text": function(uri)}]}
        raise Problem("Resource not found", -32602 if request.is_modern else -32002, uri=uri)


def _descriptions(table):
    return [about for _, about in table.values()]


def _method(table, request):
    if request.method not in table:
        raise Problem(f"Method not found: {request.method}", -32601)
    return table[request.method]


def _find(table, request, kind):
    name = request.params.get("name")
    if name not in table:
        raise Problem(f"Unknown {kind}: {name}")
    return table[name]
