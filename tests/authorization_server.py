"""An MCP server that wants a login, and its authorization server beside it: small, and hostile on
demand.

    far.resource, far.metadata      the two documents of metadata; a test may change them
    far.instead[path]               answers a path in place of what is here: function(handler)
    far.token_answer                is merged into the next answers of the token endpoint
    far.needs[tool or method]       the scope that this needs
    far.seen                        [(path, what was sent, headers)], of all requests
"""

import contextlib
import http.client
import itertools
import json
import threading
import urllib.parse

import scripted

from transports.fabric.messages import LATEST, MODERN_REVISION, VERSION_KEY, dig

TOOLS = [{"name": name, "inputSchema": {"type": "object"}} for name in ("where", "secret")]


class Handler(scripted.Handler):
    def do_POST(self):
        self._begin(self.rfile.read(int(self.headers["Content-Length"])))

    def do_GET(self):
        self._begin(b"")

    do_DELETE = do_GET

    def _begin(self, body):
        far, (path, _, query) = self.server.far, self.path.partition("?")
        if self.headers.get("Content-Type") == scripted.JSON:
            self.sent = json.loads(body)
        else:
            self.sent = dict(urllib.parse.parse_qsl(body.decode() or query))
        far.seen.append((path, self.sent, dict(self.headers)))
        far.instead.get(path, getattr(far, f"at_{path.strip('/').partition('/')[0]}", gone)
                        if not path.startswith("/.well-known") else far.at_well_known)(self)

    def json(self, value, status=200, **headers):
        self.sends(status, scripted.JSON, json.dumps(value), **headers)


def gone(handler):
    handler.sends(404, "text/html", "<html><body>nothing here</body></html>")


def silent(handler):
    """Answers when the test is over."""
    handler.server.far.released.wait(20)
    handler.close_connection = True


class Far:
    """`url` is that of the MCP server; the issuer is its root."""

    def __init__(self, protocol="legacy"):
        self._server = scripted.http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads, self._server.far = True, self
        self.protocol, self.issuer = protocol, f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.issuer}/{'sse' if protocol == 'sse' else 'mcp'}"
        self.seen, self.instead, self.needs, self.token_answer = [], {}, {}, {}
        self.released, self._lock = threading.Event(), threading.Lock()
        self._count = itertools.count(1)
        self.streams = []
        self.access, self.refresh, self.codes, self.clients = {}, {}, {}, {}
        self.resource = {"resource": self.url, "authorization_servers": [self.issuer]}
        self.metadata = {
            "issuer": self.issuer, "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            **{f"{name}_endpoint": f"{self.issuer}/{path}" for name, path in (
                ("authorization", "authorize"), ("token", "token"), ("registration", "register"),
                ("revocation", "revoke"))}}
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self):
        self.released.set()
        for stream in self.streams:
            stream.put(None)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def asked(self, path):
        """What was sent to this path."""
        return [sent for seen, sent, _ in self.seen if seen == path]

    def new(self, kind):
        return f"{kind}-{next(self._count)}-{self._server.server_port}-0123456789"

    def forget(self):
        """No token is good any more, apart from those that refresh."""
        self.access.clear()

    # -- the authorization server

    def at_well_known(self, handler):
        _, _, kind, *path = handler.path.split("/")
        if kind == "oauth-protected-resource" and path:
            handler.json(self.resource)
        elif kind == "oauth-authorization-server" and not path:
            handler.json(self.metadata)
        else:
            gone(handler)

    def at_register(self, handler):
        client, secret = self.new("client"), self.new("secret")
        self.clients[client] = secret
        handler.json({"client_id": client, "client_secret": secret,
                      "token_endpoint_auth_method": "client_secret_post"}, 201)

    def at_authorize(self, handler):
        asked, code = handler.sent, self.new("code")
        self.codes[code] = asked
        self.redirects(handler, code=code, state=asked["state"])

    def redirects(self, handler, **answer):
        to = f"{handler.sent['redirect_uri']}?{urllib.parse.urlencode(answer)}"
        handler.sends(302, "text/plain", "", Location=to)

    def at_token(self, handler):
        sent = handler.sent
        with self._lock:
            if self.clients.get(sent.get("client_id")) != sent.get("client_secret"):
                handler.json({"error": "invalid_client"}, 401)
                return
            if sent["grant_type"] == "authorization_code":
                asked = self.codes.pop(sent["code"], None)
            else:
                asked = self.refresh.pop(sent["refresh_token"], None)
            if asked is None:
                handler.json({"error": "invalid_grant"}, 400)
                return
            access, refresh = self.new("access"), self.new("refresh")
            self.access[access], self.refresh[refresh] = asked.get("scope", ""), asked
        handler.json({"access_token": access, "refresh_token": refresh, "token_type": "Bearer",
                      "expires_in": 3600, **self.token_answer})

    def at_revoke(self, handler):
        self.refresh.pop(handler.sent["token"], None)
        self.access.clear()
        handler.json({})

    # -- the MCP server

    def at_mcp(self, handler):
        if not self._refuses(handler):
            getattr(self, self.protocol)(handler)

    def _refuses(self, handler):
        scheme, _, token = handler.headers.get("Authorization", "").partition(" ")
        where = f'resource_metadata="{self.issuer}/.well-known/oauth-protected-resource/mcp"'
        needed = self.needs.get(dig(handler.sent, "params", "name") or handler.sent.get("method"))
        if scheme != "Bearer" or token not in self.access:
            handler.sends(401, "text/plain", "who are you?", WWW_Authenticate=f"Bearer {where}")
        elif needed and needed not in self.access[token].split():
            handler.sends(403, "text/plain", "more", WWW_Authenticate=(
                f'Bearer error="insufficient_scope", scope="{needed}", {where}'))
        else:
            return False
        return True

    def legacy(self, handler):
        handler.message = handler.sent or {"method": handler.command}
        if handler.sent.get("method") == "initialize":
            handler.answers(self._hello(), Mcp_Session_Id=self.new("session"))
        elif handler.sent.get("method", "").startswith("tools/"):
            handler.answers(self._tools(handler.sent))
        else:
            scripted.default(handler)

    def _hello(self):
        return {"protocolVersion": LATEST, "capabilities": {"tools": {}},
                "serverInfo": {"name": "far", "version": "1"}}

    def _tools(self, message):
        if message["method"] == "tools/list":
            return {"tools": TOOLS}
        return {"content": [{"type": "text", "text": f"{message['params']['name']}: here"}]}

    def modern(self, handler):
        handler.message, method = handler.sent, handler.sent.get("method")
        if dig(handler.sent, "params", "_meta", VERSION_KEY) != MODERN_REVISION:
            handler.sends(400, "text/plain", "too old")
        elif method == "server/discover":
            handler.answers({"resultType": "complete", "supportedVersions": [MODERN_REVISION],
                             "capabilities": {"tools": {}}, "ttlMs": 0, "cacheScope": "public"})
        else:
            handler.answers({"resultType": "complete", **self._tools(handler.sent),
                             **({"ttlMs": 0, "cacheScope": "public"}
                                if method == "tools/list" else {})})

    def at_sse(self, handler):
        """HTTP+SSE of 2024-11-05: the answers come on the stream of the GET."""
        if self._refuses(handler):
            return
        handler.begins_events()
        stream = scripted.queue.SimpleQueue()
        self.streams.append(stream)
        handler.wfile.write(f"event: endpoint\ndata: /messages?{len(self.streams)}\n\n".encode())
        with contextlib.suppress(OSError):
            while message := stream.get():
                handler.event(message)

    def at_messages(self, handler):
        handler.message = handler.sent
        if self._refuses(handler):
            return
        handler.sends(202, "text/plain", "")
        method = handler.sent.get("method", "")
        if "id" in handler.sent:
            self.streams[int(handler.path.partition("?")[2]) - 1].put(handler.result(
                self._hello() if method == "initialize" else self._tools(handler.sent)
                if method.startswith("tools/") else {}))


def browse(url):
    """What a browser does whose user says yes: (status, text) of the page where it ends."""
    for _ in range(5):
        parts = urllib.parse.urlsplit(url)
        with contextlib.closing(http.client.HTTPConnection(parts.netloc, timeout=60)) as there:
            there.request("GET", f"{parts.path or '/'}?{parts.query}")
            answer = there.getresponse()
            text = answer.read().decode()
        if answer.status != 302:
            return answer.status, text
        url = answer.headers["Location"]
    raise AssertionError("redirected too often")
