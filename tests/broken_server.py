"""A server that plays a script: python broken_server.py ERA FILE; `OverHttp` plays many.

A script is JSON: {what was asked: [[an act, its arguments], …]}. "start" is what comes before the
first request; "GET" and "note" are for HTTP, where "note" is what needs no answer. What is not in
the script is answered as it should be. The acts are the methods of Acts and of its two
subclasses. A text is played as Latin-1, byte for byte; in it stand, each for a piece of JSON:

    @id@  @token@       of the request
    @result@  @answer@  what would be right
"""

import contextlib
import itertools
import json
import os
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import threading

MODERN = "2026-07-28"
VERSIONS = {"protocolVersion": "2025-11-25", "supportedVersions": [MODERN]}
ABOUT = {"capabilities": {"tools": {"listChanged": True}, "logging": {}},
         "serverInfo": {"name": "broken", "version": "1"}}
CACHE = {"ttlMs": 0, "cacheScope": "private"}
RESULTS = {"initialize": {**VERSIONS, **ABOUT}, "server/discover": {**VERSIONS, **ABOUT, **CACHE},
           "tools/list": {"tools": [{"name": "t", "inputSchema": {"type": "object"}}], **CACHE},
           "tools/call": {"content": [{"type": "text", "text": "right"}]}}
LATE = "import time; time.sleep(0.3); print('a late line', flush=True); time.sleep(600)"


class Acts:
    """What a server may do when it is asked something."""

    def __init__(self, script, era):
        self.script, self.era = script, era

    def plays(self, step, message):
        # What of the other era is asked and not in the script is refused.
        other = {"legacy": "server/discover", "modern": "initialize"}[self.era]
        acts = self.script.get(step, [["refuses"] if step == other else ["answers"]])
        for name, *arguments in acts:
            getattr(self, name)(message, *arguments)

    def fill(self, text, message):
        if "@" not in text:
            return text.encode("latin-1")
        method = message.get("method")
        params = message.get("params") if isinstance(message.get("params"), dict) else {}
        result = {**RESULTS.get(method, {}), "resultType": "complete"}
        known = method in RESULTS
        for word, value in (
                ("@answer@", {"jsonrpc": "2.0", "id": message.get("id"), **(
                    {"result": result} if known
                    else {"error": {"code": -32601, "message": "broken: not here"}})}),
                ("@result@", result), ("@id@", message.get("id")),
                ("@token@", (params.get("_meta") or {}).get("progressToken"))):
            text = text.replace(word, json.dumps(value))
        return text.encode("latin-1")

    def says(self, message, text, times=1):
        data = self.fill(text, message)
        for start in range(0, times, 1000):
            self.write(data * min(1000, times - start))

    def waits(self, _message, seconds):
        threading.Event().wait(seconds)

    def drips(self, message, text, seconds):
        """Say the text again and again."""
        for _ in range(int(seconds / 0.05)):
            self.says(message, text)
            self.waits(message, 0.05)


class OverPipes(Acts):
    """One life of a child process."""

    def write(self, data):
        try:
            while data:
                data = data[os.write(1, data):]
        except OSError:
            pass    # it has closed its output

    def answers(self, message):
        self.says(message, "@answer@\n")

    def refuses(self, message):
        self.says(message, '{"jsonrpc": "2.0", "id": @id@, "error": '
                           '{"code": -32601, "message": "broken: not here"}}\n')

    def complains(self, message, text, times=1):
        os.write(2, self.fill(text, message) * times)

    def exits(self, _message, status):
        os._exit(status)

    def dies(self, _message, number):
        os.kill(os.getpid(), number)

    def hangs(self, message):
        self.waits(message, 600)

    def closes(self, _message, number):
        os.close(number)

    def leaves_a_child(self, _message):
        """It holds all pipes."""
        subprocess.Popen([sys.executable, "-c", LATE])

    def run(self):
        self.plays("start", {}) if "start" in self.script else None
        with contextlib.suppress(OSError):
            for line in os.fdopen(0, "rb"):
                message = json.loads(line)
                if "method" in message and "id" in message:
                    self.plays(message["method"], message)


class Conversation(Acts):
    """One connection of a client of OverHttp."""

    def __init__(self, script, era, sock, streams, end, query=""):
        super().__init__(script, era)
        self._sock, self._streams, self._end, self._query = sock, streams, end, query
        self.goes_on = True

    def write(self, data):
        self._sock.sendall(data)

    def answers(self, message):
        self.goes_on = True
        if self._streams is not None:   # HTTP+SSE
            self.says(message, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
            if "method" in message and "id" in message:
                self.tells(message, "data: @answer@\n\n")
            return
        session = "Mcp-Session-Id: s\r\n" if message.get("method") == "initialize" else ""
        body = self.fill("@answer@", message)
        self.says(message, f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{session}"
                           f"Content-Length: {len(body)}\r\n\r\n" + body.decode("latin-1"))

    def refuses(self, message, status=405):
        self.goes_on = True
        self.says(message, f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n")

    def accepts(self, message):
        self.refuses(message, 202)

    def opens(self, message):
        """The stream of HTTP+SSE, which ends with the connection."""
        self.says(message, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
                           f"event: endpoint\ndata: ?{self._query}\n\n")
        self.holds(message)

    def holds(self, message):
        """From now on this connection is where `tells` writes; until the client closes it."""
        if self._streams is not None:
            self._streams.append(self._sock)
        self.hangs(message)

    def tells(self, message, text, times=1):
        """Say it on the stream of HTTP+SSE."""
        for sock in self._streams or ():
            with contextlib.suppress(OSError):
                sock.sendall(self.fill(text, message) * times)

    def hangs(self, _message):
        self._sock.settimeout(0.1)
        with contextlib.suppress(ConnectionError):
            while not self._end.is_set():
                try:
                    if not self._sock.recv(2**16):
                        return
                except TimeoutError:
                    pass

    def resets(self, _message):
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class OverHttp(socketserver.ThreadingTCPServer):
    """Many servers: the path of each is its name. `scripts` is {name: (script, era, kind)}."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self):
        super().__init__(("127.0.0.1", 0), None)
        self.scripts, self.streams, self.end = {}, {}, threading.Event()
        self.numbers = itertools.count(1)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        self._thread.start()

    def finish_request(self, sock, _address):
        sock.settimeout(60)
        with contextlib.suppress(OSError), sock.makefile("rb") as incoming:
            while not self.end.is_set() and self._one_request(sock, incoming):
                pass

    def _one_request(self, sock, incoming):
        head = list(iter(lambda: incoming.readline().strip(), b""))
        if not head:
            return False
        method, path = head[0].decode().split()[:2]
        lengths = [line for line in head if line.lower().startswith(b"content-length:")]
        body = incoming.read(int(lengths[0].split(b":")[1])) if lengths else b""
        name, _, query = path.strip("/").partition("?")
        if name not in self.scripts:
            return False
        script, era, kind = self.scripts[name]
        if method == "GET":     # one stream is not another's, if it opens as it should
            query = str(next(self.numbers))
        streams = self.streams.setdefault((name, query), []) if kind == "sse" else None
        talk = Conversation(script, era, sock, streams, self.end, query)
        message = json.loads(body) if body else {}
        step = (method if method != "POST" else
                message["method"] if "method" in message and "id" in message else "note")
        if step not in script and step in ("GET", "DELETE", "note"):
            talk.script = {step: [["accepts"] if step == "note" else
                                  ["opens"] if step == "GET" and kind == "sse" else ["refuses"]]}
        else:
            talk.goes_on = step not in script
        talk.plays(step, message)
        return talk.goes_on

    def stop(self):
        self.end.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    with open(sys.argv[2]) as file:
        script = json.load(file)
    OverPipes(script, sys.argv[1]).run()
