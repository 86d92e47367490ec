"""Where the browser comes back to, on this machine; or the person, who pastes the address where
the browser ended. Whoever is first counts."""

import contextlib
import http.server
import io
import os
import re
import selectors
import threading
import time
import webbrowser

from transports.fabric.text import log

from .web import LoginFailed, NotThisLogin

PATH = "/callback"
SECONDS = 300.0         # that a person has
LOOK_SECONDS = 0.5      # between two looks whether anybody waits
ANSWER_SECONDS = 5.0    # that the browser has to take our answer
LONGEST_PASTE = 2**16   # bytes
LONGEST_REQUEST = 2**16
MOST_SILENT = 20        # connections without a whole request yet, as browsers open them

_END = re.compile(rb"\n\r?\n")     # of the head of a request
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>MCP Local Router</title>
<body style="font:16px system-ui;margin:4em auto;max-width:32em"><p>%s</p></body></html>
"""
DONE = "You are logged in. This page can be closed."
FAILED = "The login did not succeed; the router says why. This page can be closed."
NOT_HERE = "Nothing waits for a login here."


class Listener:
    """A port on this machine. `wait` in one thread, then `close`. `redirect`: its address."""

    def __init__(self, port=0, path=PATH):
        """Raises LoginFailed if the port is taken."""
        try:
            self._server = http.server.HTTPServer(("127.0.0.1", port), _Handler)
        except OSError as problem:
            raise LoginFailed(f"port {port} of this machine, where the browser is to come back, "
                              f"cannot be used: {problem.strerror}: end what uses it, or write "
                              'another "callbackPort"') from None
        self._server.taken, self._server.path = None, path
        self._selector = selectors.DefaultSelector()
        self._silent, self._pasted = {}, b""    # {connection: (its address, what it has sent)}
        self.redirect = f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def wait(self, take, stop, pasted=None, seconds=SECONDS):
        """What take(query) returns for the first answer that it takes. It raises LoginFailed for
        others: for one that is no answer to this login, we go on waiting. `stop()`: whether nobody
        waits any more. `pasted`: a file in which a person may paste. Raises LoginFailed."""
        self._server.take, end = take, time.monotonic() + seconds
        self._selector.register(self._server.socket, selectors.EVENT_READ, self._hear)
        if pasted is not None:
            with contextlib.suppress(OSError, ValueError):
                # Not on Windows, and no file on disk: neither can be waited for so
                self._selector.register(pasted, selectors.EVENT_READ, self._read)
        while self._server.taken is None:
            left = end - time.monotonic()
            if stop():
                raise LoginFailed("nobody waits for the login any more")
            if left <= 0:
                raise LoginFailed(f"nobody logged in within {seconds / 60:g} minutes")
            for key, _ in self._selector.select(min(LOOK_SECONDS, left)):
                key.data(key.fileobj)
        value, problem = self._server.taken
        if problem:
            raise problem
        return value

    def _hear(self, _socket):
        """Browsers open connections that they use later, or never."""
        with contextlib.suppress(OSError):
            connection, address = self._server.get_request()
            if len(self._silent) == MOST_SILENT:
                self._forget(next(iter(self._silent))).close()
            self._silent[connection] = address, bytearray()
            self._selector.register(connection, selectors.EVENT_READ, self._serve)

    def _serve(self, connection):
        """When its whole request is here: whoever sends it slowly holds up nobody."""
        address, heard = self._silent.get(connection, (None, None))
        if heard is None:
            return      # it was forgotten just now
        looked = max(0, len(heard) - 3)
        with contextlib.suppress(OSError):      # it may break
            heard += connection.recv(LONGEST_REQUEST) or b"\n\n"
            if not _END.search(heard, looked) and len(heard) < LONGEST_REQUEST:
                return
        with self._forget(connection), contextlib.suppress(OSError):
            self._server.heard = heard
            self._server.process_request(connection, address)

    def _forget(self, connection):
        del self._silent[connection]
        self._selector.unregister(connection)
        return connection

    def _read(self, pasted):
        data = os.read(pasted.fileno(), LONGEST_PASTE)
        *lines, self._pasted = (self._pasted + (data or b"\n")).split(b"\n")
        self._pasted = self._pasted[-LONGEST_PASTE:]
        for line in filter(None, map(bytes.strip, lines)):
            taken = _attempt(self._server.take, _query_in(line.decode("utf-8", "replace")))
            if not isinstance(taken[1], NotThisLogin):
                self._server.taken = self._server.taken or taken
            else:
                log.warning("what was pasted is not the answer to this login: paste the whole "
                            "address of the page where the browser ended, with its code and state")
        if not data:
            self._selector.unregister(pasted)

    def close(self):
        for connection in self._silent:
            connection.close()
        self._selector.close()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = ANSWER_SECONDS

    def setup(self):
        super().setup()
        self.rfile = io.BytesIO(self.server.heard)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path != self.server.path or self.server.taken:
            self._say(404, NOT_HERE)
            return
        taken = _attempt(self.server.take, query)
        if isinstance(taken[1], NotThisLogin):  # any page could send a browser here
            self._say(400, NOT_HERE)
            return
        self.server.taken = taken
        self._say(400 if taken[1] else 200, FAILED if taken[1] else DONE)

    def _say(self, status, text):
        body = (_PAGE % text).encode()
        self.send_response(status)
        for name, value in (("Content-Type", "text/html; charset=utf-8"),
                            ("Content-Length", len(body)), ("Connection", "close"),
                            ("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer"),
                            ("Content-Security-Policy", "default-src 'none'; "
                                                        "style-src 'unsafe-inline'")):
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        """The address has the code in it."""


def _attempt(take, query):
    try:
        return take(query), None
    except LoginFailed as problem:
        return None, problem


def _query_in(text):
    """Of a whole address, or from its "?" on."""
    return text.partition("?")[2].partition("#")[0] if "?" in text else text


def open_browser(url):
    """In a thread of its own: some browsers run until their user closes them."""
    def run():
        try:
            webbrowser.open(url)
        except (OSError, webbrowser.Error):
            pass    # the URL was printed, too
    threading.Thread(target=run, name="browser", daemon=True).start()
