"""Clients by hand, over stdio and HTTP+SSE: they can do everything wrong."""

import contextlib
import http.client
import json
import socket
import sys
import time
import urllib.request

from processes import ROOT

BOTH = "application/json, text/event-stream"
PATIENCE = 120.0    # seconds for an event
ROUTER = [sys.executable, str(ROOT / "router.py")]
HELLO = {"id": 1, "method": "initialize", "params": {
    "protocolVersion": "2025-11-25", "capabilities": {},
    "clientInfo": {"name": "t", "version": "1"}}}


def lines(*messages):
    return b"".join(message if isinstance(message, bytes)
                    else json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"
                    for message in messages)


def call(id, name, **arguments):
    return {"id": id, "method": "tools/call", "params": {"name": name, "arguments": arguments}}


class Sse:
    """A client of HTTP+SSE by hand: `get` returns the next message, `post` sends one."""

    def __init__(self, url, path="/sse", hello=True, headers={}, timeout=40):
        self._connection = http.client.HTTPConnection(url.split("/")[2], timeout=timeout)
        self._connection.request("GET", path, headers=headers)
        self.response = self._connection.getresponse()
        self.headers = self.response.headers
        self.url, self.passed_over = url, []
        if self.response.status == 200:
            assert self.event()[0] == "endpoint"
            if hello:
                self.post(HELLO)
                self.hello = self.get()

    def event(self):
        """The next event; comments, which are signs of life, are passed over for a while."""
        kind, data, began = "message", [], time.monotonic()
        while line := self.response.readline().decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                data.append(value)
            elif line.startswith(":"):
                self.response.readline()  # the empty line after the comment
                assert time.monotonic() - began < PATIENCE, "no event came"
        if kind == "endpoint":
            self.endpoint = data[0]
        return kind, "\n".join(data)

    def get(self):
        return json.loads(self.event()[1])

    def until(self, condition):
        """The first message for which condition(it) holds, also of those that were passed over."""
        for message in self.passed_over:
            if condition(message):
                self.passed_over.remove(message)
                return message
        while not condition(message := self.get()):
            self.passed_over.append(message)
        return message

    def post(self, message, **headers):
        body = message if isinstance(message, bytes) else lines(message)
        request = urllib.request.Request(self.url + self.endpoint, body, {
            "Content-Type": "application/json", **headers})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as response:
            with response:
                return response.status, response.read()

    def close(self):
        self.response.close()
        self._connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as response:
        with response:
            return response.status, response.read().decode()


def post(path, message, *headers):
    """The bytes of a POST."""
    body = json.dumps({"jsonrpc": "2.0", **message})
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", f"Accept: {BOTH}",
                        "Content-Type: application/json", f"Content-Length: {len(body)}",
                        *headers, "", body]).encode()


@contextlib.contextmanager
def connected(running):
    """A TCP connection as (its socket, read): read() gives the next response, (status, body)."""
    host, port = running.url.split("/")[2].split(":")
    with socket.create_connection((host, port), 20) as connection, \
            connection.makefile("rb") as incoming:
        def read():
            head = iter(incoming.readline, b"\r\n")
            status = int(next(head).split()[1])
            headers = {name.lower(): value.strip() for name, _, value in (
                line.partition(b": ") for line in head)}
            read.closes = headers.get(b"connection") == b"close"
            return status, incoming.read(int(headers[b"content-length"]))
        read.line = incoming.readline
        yield connection, read
