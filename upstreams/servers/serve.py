"""A small but complete MCP server: JSON-RPC messages on stdin and stdout, one a line.

Written to be read: this is the other end of the router's pipes. It needs Python 3.8 and no
package. A thread answers each request, so that a slow tool does not delay the others.

It speaks both eras. A legacy client says once, in `initialize`, who it is and which revision it
speaks. A modern client says so in the `_meta` of every request, and each answer says how long it
may be kept and which server gave it.
"""

import json
import sys
import threading

LEGACY = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"]
MODERN = ["2026-07-28"]
VERSION, CAPABILITIES, SERVER = (f"io.modelcontextprotocol/{name}" for name in (
    "protocolVersion", "clientCapabilities", "serverInfo"))
# method → the key of its list
LISTS = {"tools/list": "tools", "prompts/list": "prompts", "resources/list": "resources",
         "resources/templates/list": "resourceTemplates"}
# How many milliseconds a modern client may keep an answer (2026-07-28, Caching).
KEEP = {**dict.fromkeys(["server/discover", *LISTS], 3_600_000), "resources/read": 0}


class Problem(Exception):
    """Raised by a function of yours: its text becomes the error that the client gets.

    A tool's error is a result with "isError", which the model reads; others are JSON-RPC errors.
    """

    def __init__(self, text, code=-32602, **data):
        super().__init__(text)
        self.error = {"code": code, "message": text, **({"data": data} if data else {})}


class Request:
    """One request of the client. A tool can tell its progress, and see if it is cancelled."""

    def __init__(self, message, send):
        self.method, self.params = message["method"], message.get("params") or {}
        self.cancelled = threading.Event()  # set when the client no longer wants the answer
        self._send = send

    def meta(self, key):
        return (self.params.get("_meta") or {}).get(key)

    def progress(self, done, total, text):
        """Tell the client how far we are, if it asked for progress."""
        token = self.meta("progressToken")
        if token is not None and not self.cancelled.is_set():
            self._send(method="notifications/progress", params={
                "progressToken": token, "progress": done, "total": total, "message": text})


class Server:
    """Add functions with the decorators `tool`, `prompt` and `resource`, then call `run`."""

    def __init__(self, name, instructions):
        self._info = {"name": name, "version": "1.0.0"}
        self._instructions = instructions
        self._offers = {key: {} for key in LISTS.values()}  # {name or URI: (function, about it)}
        self._requests = {}         # id → Request, while it is being answered
        self._initialized = False   # whether a legacy client has introduced itself
        self._lock = threading.Lock()

    # -- what it offers

    def tool(self, description, **properties):
        """The function gets (request, **arguments) and returns text. `properties` are JSON
        schemas of its arguments; an argument is required if its schema has no "default"."""
        required = [name for name, schema in properties.items() if "default" not in schema]
        return self._offer("tools", lambda name: (name, {
            "name": name, "description": description, "annotations": {"readOnlyHint": True},
            "inputSchema": {"type": "object", "properties": properties, "required": required}}))

    def prompt(self, description, **arguments):
        """The function gets (**arguments) and returns the text of the user's message. `arguments`
        are their descriptions; an argument is required unless that ends in "(optional)"."""
        return self._offer("prompts", lambda name: (name, {
            "name": name, "description": description, "arguments": [
                {"name": name, "description": text, "required": not text.endswith("(optional)")}
                for name, text in arguments.items()]}))

    def resource(self, uri, name, description):
        """The function gets the whole URI and returns text. A uri ending in {…} is a template."""
        kind, key = ("resourceTemplates", "uriTemplate") if "{" in uri else ("resources", "uri")
        return self._offer(kind, lambda _: (uri, {
            key: uri, "name": name, "description": description, "mimeType": "text/plain"}))

    def _offer(self, kind, describe):
        def add(function):
            key, about = describe(function.__name__)
            self._offers[kind][key] = function, about
            return function
        return add

    # -- what it answers

    def _legacy(self, request):
        if request.method == "initialize":
            asked = request.params.get("protocolVersion")
            return {"protocolVersion": asked if asked in LEGACY else LEGACY[0],
                    "serverInfo": self._info, **self._about()}
        if request.method == "ping":
            return {}
        if not self._initialized:
            raise Problem(f"Send {VERSION} in _meta, or initialize first.")
        return self._result(request, -32002)

    def _modern(self, request):
        asked, supported = request.meta(VERSION), MODERN + LEGACY
        if isinstance(asked, str) and asked not in MODERN:
            raise Problem("Unsupported protocol version", -32022, supported=supported,
                          requested=asked)
        for key, kind in ((VERSION, str), (CAPABILITIES, dict)):
            if not isinstance(request.meta(key), kind):
                raise Problem(f"_meta has no valid {key}; every request needs it.")
        found = ({"supportedVersions": supported, **self._about()}
                 if request.method == "server/discover" else self._result(request, -32602))
        keep = ({"ttlMs": KEEP[request.method], "cacheScope": "private"}
                if request.method in KEEP else {})
        return {"resultType": "complete", **found, **keep, "_meta": {SERVER: self._info}}

    def _about(self):
        offers = self._offers
        kinds = {"tools": offers["tools"], "prompts": offers["prompts"],
                 "resources": offers["resources"] or offers["resourceTemplates"]}
        return {"capabilities": {kind: {} for kind, found in kinds.items() if found},
                "instructions": self._instructions}

    def _result(self, request, no_resource):
        """What is the same in both eras, but for the code of one error."""
        if request.method in LISTS:
            key = LISTS[request.method]
            return {key: [about for _, about in self._offers[key].values()]}
        if request.method == "tools/call":
            function, arguments = self._find("tools", request.params)
            try:
                text, failed = function(request, **arguments), False
            except (Problem, TypeError, ValueError, OSError) as problem:
                text, failed = str(problem), True
            return {"content": [{"type": "text", "text": text}], "isError": failed}
        if request.method == "prompts/get":
            function, arguments = self._find("prompts", request.params)
            text = {"type": "text", "text": function(**arguments)}
            return {"messages": [{"role": "user", "content": text}]}
        if request.method == "resources/read":
            return self._read(str(request.params.get("uri")), no_resource)
        raise Problem(f"Method not found: {request.method}", -32601)

    def _find(self, kind, params):
        if params.get("name") not in self._offers[kind]:
            raise Problem(f"Unknown {kind[:-1]}: {params.get('name')}")
        return self._offers[kind][params["name"]][0], params.get("arguments") or {}

    def _read(self, uri, no_resource):
        for key, (function, _) in {**self._offers["resources"],
                                   **self._offers["resourceTemplates"]}.items():
            if uri == key or "{" in key and uri.startswith(key.split("{")[0]):
                return {"contents": [{"uri": uri, "mimeType": "text/plain",
                                      "text": function(uri)}]}
        raise Problem("Resource not found", no_resource, uri=uri)

    # -- the pipes

    def run(self):
        """Answer requests until stdin ends."""
        for line in sys.stdin.buffer:
            try:
                self._receive(json.loads(line))
            except (ValueError, TypeError, KeyError) as problem:  # it is no message
                print(f"ignored {line!r}: {problem!r}", file=sys.stderr)

    def _receive(self, message):
        method = message["method"]
        if method == "initialize":  # noted here, for the requests in the next lines of stdin
            self._initialized = True
        if "id" in message:
            request = self._requests[message["id"]] = Request(message, self._send)
            threading.Thread(target=self._answer, args=(message["id"], request)).start()
        elif method == "notifications/cancelled":
            request = self._requests.get(message["params"]["requestId"])
            if request:
                request.cancelled.set()

    def _answer(self, id, request):
        try:
            is_modern = request.method == "server/discover" or request.meta(VERSION) is not None
            answer = {"result": (self._modern if is_modern else self._legacy)(request)}
        except Problem as problem:
            answer = {"error": problem.error}
        except Exception as problem:    # without an answer the client would wait for ever
            print(f"{request.method}: {problem!r}", file=sys.stderr)
            code = -32602 if isinstance(problem, TypeError) else -32603  # wrong arguments; a bug
            answer = {"error": {"code": code, "message": str(problem)}}
        self._requests.pop(id, None)
        if not request.cancelled.is_set():
            self._send(id=id, **answer)

    def _send(self, **message):
        line = json.dumps({"jsonrpc": "2.0", **message})
        with self._lock:    # one line at a time
            print(line, flush=True)
