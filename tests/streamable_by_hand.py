"""A client by hand over Streamable HTTP: it can do everything wrong."""

import http.client
import json
import time

from by_hand import BOTH, PATIENCE

HELLO = {"id": 0, "method": "initialize", "params": {
    "protocolVersion": "2025-11-25", "capabilities": {},
    "clientInfo": {"name": "t", "version": "1"}}}


class Http:
    """A client that can do everything wrong; `id` is its session's."""

    def __init__(self, running, path="/mcp", hello=HELLO):
        self.netloc, self.path, self.id = running.url.split("/")[2], path, None
        if hello:
            status, headers, body = self.post(hello)
            assert status == 200, body
            self.id, self.hello = headers["Mcp-Session-Id"], json.loads(body)
            assert self.post({"method": "notifications/initialized"})[0] == 202

    def begin(self, method, body=None, **headers):
        """A connection on which a request is sent; its response may not begin for seconds."""
        connection = http.client.HTTPConnection(self.netloc, timeout=40)
        headers = {"Accept": BOTH, "Content-Type": "application/json",
                   **({"Mcp-Session-Id": self.id} if self.id else {}),
                   **{name.replace("_", "-"): value for name, value in headers.items()}}
        if isinstance(body, (dict, list)):
            for one in body if isinstance(body, list) else [body]:
                one.setdefault("jsonrpc", "2.0")
            body = json.dumps(body)
        connection.request(method, self.path, body, {
            name: value for name, value in headers.items() if value is not None})
        return connection

    def open(self, method, body=None, **headers):
        """The response, still open, on a connection of its own."""
        connection = self.begin(method, body, **headers)
        response = connection.getresponse()
        response.connection = connection
        return response

    def post(self, body, **headers):
        response = self.open("POST", body, **headers)
        try:
            return response.status, response.headers, response.read().decode()
        finally:
            close(response)

    def call(self, id, name, **arguments):
        return {"id": id, "method": "tools/call", "params": {
            "name": name, "arguments": arguments}}


def close(response):
    response.close()
    response.connection.close()


def events(response, how_many=None):
    """The events of a stream, as (id, message); the primer's message is None."""
    found, id, data, began = [], None, "", time.monotonic()
    while how_many is None or len(found) < how_many:
        line = response.readline().decode()
        if not line:
            break
        name, _, value = line.rstrip("\n").partition(": ")
        if name == "id":
            id = value
        elif name == "data":
            data = value
        elif not line.strip() and id is not None:
            found.append((id, json.loads(data) if data else None))
            id, data, began = None, "", time.monotonic()
        assert time.monotonic() - began < PATIENCE, "no event came"
    return found


def progress_call(id, seconds=0.6):
    return {"id": id, "method": "tools/call", "params": {
        "name": "time__wait", "arguments": {"seconds": seconds},
        "_meta": {"progressToken": f"p{id}"}}}
