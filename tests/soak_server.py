"""The server of the soak: python soak_server.py legacy, modern or http (which is modern, too).

Its tools, each of which gets the name of its caller as `text`:

    echo     returns the text
    tell     tells it as progress and as a log line before
    ask      asks the client for the `kind` of thing, and returns the answer as JSON
    crash    ends the process
"""

import http.server
import itertools
import json
import os
import queue
import sys
import threading

LEGACY, MODERN = "2025-11-25", "2026-07-28"
SERVER = {"name": "soak", "version": "1"}
LOG_LEVEL = "io.modelcontextprotocol/logLevel"
METHODS = {"roots": "roots/list", "sampling": "sampling/createMessage",
           "elicitation": "elicitation/create"}
TOOLS = "echo", "tell", "ask", "crash"
numbers, waiting, lock = itertools.count(1), {}, threading.Lock()


def question(kind, text):
    params = {"roots": {}, "elicitation": {"message": text, "requestedSchema": {
        "type": "object", "properties": {"name": {"type": "string"}}}},
        "sampling": {"maxTokens": 9, "messages": [
            {"role": "user", "content": {"type": "text", "text": text}}]}}[kind]
    return {"method": METHODS[kind], "params": params}


def call(params, modern, say):
    """The result of a call; `say` sends what comes before."""
    name, given, meta = params["name"], params["arguments"], params.get("_meta") or {}
    text = given["text"]
    if name == "crash":
        os._exit(7)
    if name == "tell":
        if meta.get("progressToken") is not None:
            say({"method": "notifications/progress", "params": {
                "progressToken": meta["progressToken"], "progress": 1, "message": text}})
        if not modern or LOG_LEVEL in meta:
            say({"method": "notifications/message", "params": {"level": "info", "data": text}})
    if name == "ask" and modern and "inputResponses" not in params:
        return {"resultType": "input_required", "requestState": text,
                "inputRequests": {"q": question(given["kind"], text)}}
    if name == "ask":
        found = params["inputResponses"]["q"] if modern else ask(given["kind"], text, say)
        text = json.dumps(found)
    return {"content": [{"type": "text", "text": text}],
            **({"resultType": "complete"} if modern else {})}


def ask(kind, text, say):
    """Ask a legacy client; returns its answer."""
    id, answers = f"q{next(numbers)}", queue.SimpleQueue()
    waiting[id] = answers
    say({"id": id, **question(kind, text)})
    try:
        answer = answers.get(timeout=60)
    except queue.Empty:
        answer = {"error": "nobody answered"}
    return answer["result"] if "result" in answer else {"failed": answer["error"]}


def answer(message, modern, say):
    """The result of a request, or an error."""
    method, params = message["method"], message.get("params") or {}
    about = {"capabilities": {"tools": {}, "logging": {}}}
    if method == "server/discover" and modern:
        found = {"resultType": "complete", "supportedVersions": [MODERN], "ttlMs": 0,
                 "cacheScope": "private", **about}
    elif method == "initialize" and not modern:
        found = {"protocolVersion": LEGACY, "serverInfo": SERVER, **about}
    elif method == "tools/list":
        found = {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS],
                 **({"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
                    if modern else {})}
    elif method == "tools/call":
        found = call(params, modern, say)
    elif method in ("ping", "logging/setLevel") and not modern:
        found = {}
    else:
        return {"error": {"code": -32601, "message": f"no {method} here"}}
    return {"result": found}


def serve_stdio(modern):
    def say(message):
        with lock:
            print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

    def work(message):
        say({"id": message["id"], **answer(message, modern, say)})
    for message in map(json.loads, sys.stdin):
        if "method" not in message:
            if answers := waiting.pop(message["id"], None):
                answers.put(message)
        elif "id" in message:
            threading.Thread(target=work, args=(message,), daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    """Each request is answered with a stream, which ends with its connection."""

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200 if "id" in message else 202)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()

        def say(told):
            told = {"jsonrpc": "2.0", **told}
            self.wfile.write(f"data: {json.dumps(told)}\n\n".encode())
        if "id" in message:
            say({"id": message["id"], **answer(message, True, say)})

    def log_message(self, *_):
        pass


class HttpServer(http.server.ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 128

    def handle_error(self, *_):
        pass    # its client has gone


if __name__ == "__main__":
    if sys.argv[1] == "http":
        server = HttpServer(("127.0.0.1", 0), Handler)
        print(server.server_port, flush=True)
        server.serve_forever()
    serve_stdio(sys.argv[1] == "modern")
