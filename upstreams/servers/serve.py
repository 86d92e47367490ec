"""A small but complete MCP server: JSON-RPC messages on stdin and stdout, one a line.

Written to be read: this is the other end of the router's pipes. It needs Python 3.8 and no
package, and knows nothing of the router. Every request is answered in a thread of its own, so
that a slow tool does not delay the other answers. So there is one rule: only `_send` writes to
stdout, one line at a time, under a lock.
"""

import json
import sys
import threading

REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")


class Problem(Exception):
    """Raised by a function of yours: its text becomes the error that the client gets.

    A tool's error is a result with "isError", which the model reads; others are JSON-RPC errors.
    """

    code = -32602  # JSON-RPC: invalid params


class Request:
    """One request of the client, for a tool that tells its progress or can be cancelled."""

    def __init__(self, server, message):
        self.cancelled = threading.Event()  # set when the client no longer wants the answer
        self._server = server
        meta = message.get("params", {}).get("_meta") or {}
        self._token = meta.get("progressToken")

    def progress(self, done, total, text):
        """Tell the client how far we are, if it asked for progress."""
        if self._token is not None and not self.cancelled.is_set():
            self._server._send({"method": "notifications/progress", "params": {
                "progressToken": self._token, "progress": done, "total": total, "message": text}})


class Server:
    """Add functions with the decorators `tool`, `prompt` and `resource`, then call `run`."""

    def __init__(self, name, instructions):
        self._info = {"name": name, "version": "1.0.0"}
        self._instructions = instructions
        self._tools, self._prompts, self._resources, self._templates = {}, {}, {}, {}
        self._requests = {}  # id → Request, while it is being answered
        self._lock = threading.Lock()
        self._methods = {
            "initialize": self._initialize,
            "ping": lambda params, request: {},
            "tools/list": lambda params, request: {"tools": _descriptions(self._tools)},
            "tools/call": self._call_tool,
            "prompts/list": lambda params, request: {"prompts": _descriptions(self._prompts)},
            "prompts/get": self._get_prompt,
            "resources/list":
                lambda params, request: {"resources": _descriptions(self._resources)},
            "resources/templates/list":
                lambda params, request: {"resourceTemplates": _descriptions(self._templates)},
            "resources/read": self._read_resource,
        }

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
                message = json.loads(line)
                method = message["method"]
            except (ValueError, TypeError, KeyError):
                continue  # not a request or notification; no answer either, we never ask anything
            if "id" in message:
                request = self._requests[message["id"]] = Request(self, message)
                threading.Thread(target=self._answer, args=(message, request)).start()
            elif method == "notifications/cancelled":
                request = self._requests.get(message["params"]["requestId"])
                if request:
                    request.cancelled.set()

    def _answer(self, message, request):
        try:
            answer = self._methods.get(message["method"], self._unknown)
            reply = {"result": answer(message.get("params") or {}, request)}
        except Problem as problem:
            reply = {"error": {"code": problem.code, "message": str(problem)}}
        except Exception as problem:  # a bug; without an answer the client would wait for ever
            print(f"{message['method']}: {problem!r}", file=sys.stderr)
            reply = {"error": {"code": -32603, "message": "internal error"}}
        self._requests.pop(message["id"], None)
        if not request.cancelled.is_set():
            self._send({"id": message["id"], **reply})

    def _send(self, message):
        line = json.dumps({"jsonrpc": "2.0", **message})
        with self._lock:
            print(line, flush=True)

    # -- methods

    def _unknown(self, params, request):
        problem = Problem("Method not found")
        problem.code = -32601
        raise problem

    def _initialize(self, params, request):
        asked = params.get("protocolVersion")
        tables = {"tools": self._tools, "prompts": self._prompts,
                  "resources": self._resources or self._templates}
        return {"protocolVersion": asked if asked in REVISIONS else REVISIONS[-1],
                "capabilities": {kind: {} for kind, table in tables.items() if table},
                "serverInfo": self._info, "instructions": self._instructions}

    def _call_tool(self, params, request):
        function, _ = _find(self._tools, params.get("name"), "tool")
        try:
            text, failed = function(request, **(params.get("arguments") or {})), False
        except (Problem, TypeError, ValueError, OSError) as problem:
            text, failed = str(problem), True
        return {"content": [{"type": "text", "text": text}], "isError": failed}

    def _get_prompt(self, params, request):
        function, about = _find(self._prompts, params.get("name"), "prompt")
        try:
            text = function(**(params.get("arguments") or {}))
        except TypeError as problem:
            raise Problem(str(problem))
        return {"description": about["description"],
                "messages": [{"role": "user", "content": {"type": "text", "text": text}}]}

    def _read_resource(self, params, request):
        uri = str(params.get("uri"))
        for template, (function, about) in {**self._resources, **self._templates}.items():
            if uri == template or "{" in template and uri.startswith(template.split("{")[0]):
                return {"contents": [{"uri": uri, "mimeType": about["mimeType"],
                                      "text": function(uri)}]}
        problem = Problem("Resource not found")
        problem.code = -32002
        raise problem


def _descriptions(table):
    return [about for _, about in table.values()]


def _find(table, name, kind):
    if name not in table:
        raise Problem(f"Unknown {kind}: {name}")
    return table[name]
