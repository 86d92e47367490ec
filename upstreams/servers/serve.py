"""A small but complete MCP server: JSON-RPC messages on stdin and stdout, one a line.

It needs Python 3.8 and no package. A legacy client says once, in `initialize`, who it is; a modern
one in the `_meta` of every request, and each answer says how long it may be kept."""

import json
import sys
import threading
import time

LEGACY = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"]
MODERN = ["2026-07-28"]
VERSION, CAPABILITIES, SERVER = (f"io.modelcontextprotocol/{name}" for name in (
    "protocolVersion", "clientCapabilities", "serverInfo"))
# method → the key of its list
LISTS = {"tools/list": "tools", "prompts/list": "prompts", "resources/list": "resources",
         "resources/templates/list": "resourceTemplates"}
END_SECONDS = 0.8       # after the end of stdin: for the answers that are still under way
TYPES = {"string": str, "number": (int, float)}     # of arguments
# How many milliseconds a modern client may keep an answer (2026-07-28, Caching)
KEEP = {**dict.fromkeys(["server/discover", *LISTS], 3_600_000), "resources/read": 0}


class Problem(ValueError):
    """Raised by a function of yours: its text becomes the error that the client gets. That of a
    tool is a result with "isError", which the model reads; others are JSON-RPC errors."""

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
        self._info, self._instructions = {"name": name, "version": "1.0.0"}, instructions
        self._offers = []           # (key of its list, all about it, function, its properties)
        self._requests = {}         # id → Request, while it is being answered
        self._initialized = False   # whether a legacy client has introduced itself
        self._lock = threading.Lock()

    def tool(self, description, **properties):
        """The function gets (request, **arguments) and returns text. `properties` are JSON
        schemas of its arguments; an argument is required if its schema has no "default"."""
        required = [name for name, schema in properties.items() if "default" not in schema]
        return self._offer("tools", properties, description=description,
                           annotations={"readOnlyHint": True}, inputSchema={
                               "type": "object", "properties": properties, "required": required})

    def prompt(self, description, **arguments):
        """The function gets (**arguments) and returns the text of the user's message. `arguments`
        are their descriptions; an argument is required unless that ends in "(optional)"."""
        optional = [name for name, text in arguments.items() if text.endswith("(optional)")]
        properties = {name: {"type": "string", **({"default": ""} if name in optional else {})}
                      for name in arguments}
        return self._offer("prompts", properties, description=description, arguments=[
            {"name": name, "description": text, "required": name not in optional}
            for name, text in arguments.items()])

    def resource(self, uri, description):
        """The function gets the whole URI and returns text. A uri ending in {…} is a template."""
        kind, key = ("resourceTemplates", "uriTemplate") if "{" in uri else ("resources", "uri")
        return self._offer(kind, {}, **{key: uri}, description=description, mimeType="text/plain")

    def _offer(self, kind, properties, **about):
        def add(function):
            about["name"] = function.__name__
            self._offers.append((kind, about, function, properties))
            return function
        return add

    def run(self):
        """Answer requests until stdin ends, each in a thread: a slow tool delays no other."""
        threads = []
        for line in sys.stdin.buffer:
            try:
                message = json.loads(line)
                method = message["method"]
                if "id" in message:
                    # Here and not in the thread, for the requests in the next lines
                    self._initialized |= method == "initialize"
                    request = self._requests[message["id"]] = Request(message, self._send)
                    threads = [thread for thread in threads if thread.is_alive()]
                    threads.append(threading.Thread(
                        target=self._answer, args=(message["id"], request), daemon=True,
                        name=f"answer-{message['id']}"))
                    threads[-1].start()
                elif method == "notifications/cancelled":
                    if request := self._requests.get(message["params"]["requestId"]):
                        request.cancelled.set()
            except (ValueError, TypeError, KeyError) as problem:  # it is no message
                print(f"ignored {line!r}: {problem!r}", file=sys.stderr)
        self._end(threads)

    def _end(self, threads):
        """The client has left. A slow tool must not keep the process alive."""
        for _ in range(2):
            deadline = time.monotonic() + END_SECONDS
            for thread in threads:
                thread.join(max(0, deadline - time.monotonic()))
            for request in list(self._requests.values()):
                request.cancelled.set()     # and so it says nothing any more

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
        with self._lock:    # one line at a time
            print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

    def _legacy(self, request):
        if request.method == "initialize":
            asked = request.params.get("protocolVersion")
            return {"protocolVersion": asked if asked in LEGACY else LEGACY[0],
                    "serverInfo": self._info, **self._about()}
        if request.method == "ping":
            return {}
        if not self._initialized:
            raise Problem(f"Send {VERSION} in _meta, or initialize first.")
        return self._result(request, no_resource=-32002)

    def _modern(self, request):
        asked, supported = request.meta(VERSION), MODERN + LEGACY
        if isinstance(asked, str) and asked not in MODERN:
            raise Problem("Unsupported protocol version", -32022, supported=supported,
                          requested=asked)
        for key, kind in ((VERSION, str), (CAPABILITIES, dict)):
            if not isinstance(request.meta(key), kind):
                raise Problem(f"_meta has no valid {key}; every request needs it.")
        found = ({"supportedVersions": supported, **self._about()}
                 if request.method == "server/discover" else self._result(request))
        if request.method in KEEP:
            found.update(ttlMs=KEEP[request.method], cacheScope="private")
        return {"resultType": "complete", **found, "_meta": {SERVER: self._info}}

    def _about(self):
        kinds = {method.split("/")[0]: {} for method in LISTS if self._list(method)}
        return {"capabilities": kinds, "instructions": self._instructions}

    def _result(self, request, no_resource=-32602):
        """What is the same in both eras, but for the code of one error."""
        method, params = request.method, request.params
        if method in LISTS:
            return {LISTS[method]: self._list(method)}
        if method == "tools/call":
            function, properties = self._named("tools", params)
            try:
                text, failed = function(request, **_checked(params, properties)), False
            except (ValueError, OSError) as problem:
                text, failed = str(problem), True
            return {"content": [{"type": "text", "text": text}], "isError": failed}
        if method == "prompts/get":
            function, properties = self._named("prompts", params)
            text = function(**_checked(params, properties))
            return {"messages": [{"role": "user", "content": {"type": "text", "text": text}}]}
        if method == "resources/read":
            return self._read(str(params.get("uri")), no_resource)
        raise Problem(f"Method not found: {method}", -32601)

    def _list(self, method):
        return [about for kind, about, *_ in self._offers if kind == LISTS[method]]

    def _named(self, asked, params):
        for kind, about, *found in self._offers:
            if (kind, about["name"]) == (asked, params.get("name")):
                return found
        raise Problem(f"Unknown {asked[:-1]}: {params.get('name')}")

    def _read(self, uri, no_resource):
        for _, about, function, _ in self._offers:
            start, brace, _ = about.get("uriTemplate", "").partition("{")
            if about.get("uri") == uri or brace and uri.startswith(start):
                contents = {"uri": uri, "mimeType": about["mimeType"], "text": function(uri)}
                return {"contents": [contents]}
        raise Problem("Resource not found", no_resource, uri=uri)


def _checked(params, properties):
    """The arguments in these params, as a function can take them. Raises Problem."""
    arguments = params.get("arguments") or {}
    if not isinstance(arguments, dict):
        raise Problem("The arguments must be an object.")
    for name, schema in properties.items():
        if name not in arguments and "default" not in schema:
            raise Problem(f"The argument {name} is missing.")
    for name, value in arguments.items():
        if name not in properties:
            raise Problem(f"There is no argument {name} here; there are: "
                          + (", ".join(properties) or "none"))
        kind = properties[name]["type"]
        if not isinstance(value, TYPES[kind]) or isinstance(value, bool):
            raise Problem(f"The argument {name} must be a {kind}.")
    return arguments
