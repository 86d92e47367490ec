"""A scripted HTTP server over real sockets, and the words of the tests that talk to it."""

import contextlib
import http.server
import json
import queue
import threading

from transports.fabric.messages import LATEST, MODERN_REVISION, VERSION_KEY, notification, request

JSON, EVENTS = "application/json", "text/event-stream"


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection of a client. A test's script gets it, and answers with its methods."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self._do(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def do_GET(self):
        self._do({"method": self.command})

    do_DELETE = do_GET

    def _do(self, message):
        self.message = message
        self.server.seen.put((message.get("method", "an answer"), dict(self.headers), message))
        method = message.get("method")
        self.server.script.get(method, self.server.script.get("*", default))(self)

    def answers(self, value, **headers):
        """The result of the request, as JSON."""
        self.sends(200, JSON, json.dumps(self.result(value)), **headers)

    def result(self, value):
        return {"jsonrpc": "2.0", "id": self.message["id"], "result": value}

    def sends(self, status, kind, body, **headers):
        body = body.encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def begins_events(self, **headers):
        """A stream that ends with the connection."""
        self.send_response(200)
        for name, value in {"Content-Type": EVENTS, "Connection": "close", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.close_connection = True

    def event(self, message, more=""):
        self.wfile.write(f"{more}data: {json.dumps(message)}\n\n".encode())

    def log_message(self, *_):
        pass


def default(handler):
    """A legacy server with sessions, and no stream of its own accord."""
    method = handler.message.get("method")
    if method == "initialize":
        handler.answers({"protocolVersion": LATEST, "capabilities": {}}, Mcp_Session_Id="s1")
    elif method in ("GET", "DELETE"):
        handler.sends(405, "text/plain", "not here")
    elif "id" not in handler.message or method is None:
        handler.sends(202, JSON, "")
    elif method == "server/discover":
        handler.sends(400, "text/plain", "what is that?")
    else:
        handler.answers({"of": method})


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def shutdown_request(self, request):
        super().shutdown_request(request)
        self.hung_up.put(None)


def says(remote):
    return remote.said.get(timeout=30)


def ask(remote, method, id=1, **params):
    """Send a request; returns what comes next."""
    remote.send({**request(method, params), "id": id})
    return says(remote)


def modern(**params):
    return {"_meta": {VERSION_KEY: MODERN_REVISION}, **params}


def initialize(remote):
    assert ask(remote, "initialize", 0)["result"]["protocolVersion"] == LATEST
    remote.send(notification("notifications/initialized"))


def sees(server, method):
    """The headers and the message of the next request of this method."""
    while True:
        seen, headers, message = server.seen.get(timeout=30)
        if seen == method:
            return headers, message


def problem(answer):
    return answer["error"]["message"]


def old_server(endpoint="/messages?s=1", accepts=202):
    """A server of 2024-11-05: it answers on the stream of the GET, and each POST with a status
    that no specification names."""
    stream = queue.SimpleQueue()

    def opens(handler):
        handler.begins_events()
        handler.wfile.write(f"event: endpoint\ndata: {endpoint}\n\n".encode())
        while message := stream.get():
            handler.event(message)

    def post(handler):
        if handler.path == "/mcp":
            handler.sends(405, "text/plain", "GET me")
            return
        assert handler.path == "/messages?s=1"
        handler.sends(accepts, "text/plain", "" if accepts == 204 else "Accepted")
        if "id" in handler.message:
            stream.put(handler.result({"protocolVersion": LATEST, "path": handler.path}))
    return stream, {"GET": opens, "*": post}


def hangs(handler):
    """Begin a stream, and say nothing on it."""
    handler.begins_events()
    handler.wfile.write(b": wait\n\n")
    handler.server.release.wait(60)


def closes_after(handler):
    """The same, and tell when the client has closed the connection."""
    handler.begins_events()
    handler.wfile.write(b": wait\n\n")
    handler.server.seen.put(("waits", {}, {}))
    handler.connection.settimeout(30)
    handler.server.seen.put(("closed", {}, handler.rfile.read(1)))


@contextlib.contextmanager
def far_server(script):
    """The URL of a server that plays this script."""
    with Server(("127.0.0.1", 0), Handler) as server:
        server.script = script
        server.seen, server.hung_up = queue.SimpleQueue(), queue.SimpleQueue()
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/mcp"
        server.shutdown()
        thread.join()
