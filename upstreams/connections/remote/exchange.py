"""One HTTP request to a remote server and its answer, on a socket that is kept for the next one.

A request is sent once: it may have run, whatever became of its answer. So a kept socket is looked
at before it is used again, and nothing is repeated when it breaks afterwards. Redirects are
followed to the same origin only, and only those that keep the method (307 and 308): another origin
must not see our headers.
"""

import re
import threading
import time

from .server_socket import IDLE_SECONDS, HttpFailed, ServerSocket, proxy_login

MOST_REDIRECTS = 5
MOST_KEPT = 10      # idle sockets of one server

_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,15}")


class Sockets:
    """The sockets to one origin: those that are in use, and those that wait for another use."""

    def __init__(self, origin):
        self.origin = origin
        self._lock = threading.Lock()
        # protected by _lock:
        self._kept = []
        self._used = set()
        self._closed = False

    def take(self, at_the_end=False):
        """One that is connected. Raises HttpFailed. Call `give_back` afterwards.

        With `at_the_end` also after `close`, for the last request.
        """
        while True:
            with self._lock:
                if self._closed and not at_the_end:
                    raise HttpFailed("was closed")
                kept = bool(self._kept)
                socket = self._kept.pop() if kept else ServerSocket(self.origin)
                self._used.add(socket)
            try:
                if not kept:
                    socket.connect()
                if not kept or socket.is_usable():
                    return socket
            except HttpFailed:
                self.give_back(socket, keep=False)
                raise
            self.give_back(socket, keep=False)

    def give_back(self, socket, keep):
        with self._lock:
            self._used.discard(socket)
            keep = keep and not self._closed and not socket.aborted \
                and len(self._kept) < MOST_KEPT
            if keep:
                self._kept.append(socket)
        if not keep:
            socket.close()

    def close(self):
        """No further request; those that wait for an answer fail at once."""
        with self._lock:
            self._closed = True
            kept, self._kept, used = self._kept, [], list(self._used)
        for socket in kept:
            socket.close()
        for socket in used:
            socket.abort()


class Exchange:
    """A request and its answer; more than one in turn, if one question takes several.

    After `ask`: status, reason, headers {lower case name: text}, and the body: `pieces` or `read`.
    At the end, `end`. Any thread may `abort` it.
    """

    def __init__(self, sockets):
        self._sockets = sockets
        self._aborted = False
        self._socket = None
        self._all_read = self._keep = False
        self.status = self.reason = self.headers = None

    def ask(self, method, target, head, body=b"", seconds=None, at_the_end=False):
        """Send a request: `head` is lines of headers, as bytes. Returns the status.

        `seconds`: how long each read may take. Raises HttpFailed.
        """
        origin = self._sockets.origin
        for _ in range(MOST_REDIRECTS + 1):
            self.end()
            self._socket = self._sockets.take(at_the_end)
            if self._aborted:
                raise HttpFailed("was given up")
            self.limit(seconds)
            where, login = target, b""
            if origin.proxy and not origin.secure:
                where, login = f"http://{origin}{target}", proxy_login(origin.proxy[2])
            self._socket.write(f"{method} {where} HTTP/1.1\r\nHost: {origin}\r\n".encode() + login
                               + b"Accept-Encoding: identity\r\n" + head
                               + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            self._read_head()
            while 100 <= self.status < 200:
                self._read_head()
            if self.status not in (301, 302, 303, 307, 308) or "location" not in self.headers:
                return self.status
            target = origin.target_of(self.headers["location"], target)
            if self.status not in (307, 308):
                raise HttpFailed(f"answered {self.status} {self.reason}, a redirect that would "
                                 'not keep the method: put the right URL into "url"')
        raise HttpFailed(f"redirected us more than {MOST_REDIRECTS} times")

    def kind(self):
        """The media type of the body of a success; "" of an error."""
        kind = self.headers.get("content-type", "") if 200 <= self.status < 300 else ""
        return kind.partition(";")[0].strip().lower()

    def limit(self, seconds):
        """From now on each read may take so long."""
        self._socket.limit(seconds)

    def pieces(self):
        """The body, in pieces of bytes as they come. Raises HttpFailed if it breaks off."""
        if self.status in (204, 304):
            pass
        elif "transfer-encoding" in self.headers:
            yield from self._chunks()
        elif (length := self.headers.get("content-length")) is not None:
            if not (length.isascii() and length.isdigit()):
                raise HttpFailed("sent a Content-Length that is no number")
            yield from self._exactly(int(length))
        else:
            self._keep = False
            while piece := self._socket.read_some():
                yield piece
        self._all_read = True

    def read(self, most):
        """The whole body. Raises HttpFailed if it is longer than `most` bytes, or breaks off."""
        found, size = [], 0
        for piece in self.pieces():
            found.append(piece)
            size += len(piece)
            if size > most:
                raise HttpFailed(f"sent an answer longer than {most} bytes")
        return b"".join(found)

    def end(self):
        """Keep the socket if all was read, else close it. Called by the thread that asked."""
        socket, self._socket = self._socket, None
        if socket:
            self._sockets.give_back(socket, self._all_read and self._keep)
        self._all_read = self._keep = False

    def abort(self):
        """Nobody waits for the answer any more. Any thread."""
        self._aborted = True
        if socket := self._socket:
            socket.abort()

    def _read_head(self):
        lines = self._socket.read_to(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, _, status = lines[0].partition(" ")
        code, _, self.reason = status.partition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0") or not (len(code) == 3 and code.isdigit()):
            raise HttpFailed("sent something that is no HTTP")
        self.status = int(code)
        self.headers = headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                raise HttpFailed("sent a header that is none")
            headers[name.lower()] = value.strip()
        if headers.get("content-encoding", "identity") != "identity":
            raise HttpFailed("sent a compressed answer, though we did not ask for that")
        self._keep = (version == "HTTP/1.1"
                      and "close" not in headers.get("connection", "").lower())
        self._socket.kept_until = time.monotonic() + _seconds_kept(headers.get("keep-alive", ""))

    def _exactly(self, size):
        while size:
            piece = self._socket.read_some(size)
            if not piece:
                raise HttpFailed("closed the connection in the middle of its answer")
            size -= len(piece)
            yield piece

    def _chunks(self):
        if self.headers["transfer-encoding"].lower() != "chunked":
            raise HttpFailed("sent a Transfer-Encoding that is not chunked")
        while True:
            size = self._socket.read_to(b"\r\n").partition(b";")[0].strip()
            if not _CHUNK_SIZE.fullmatch(size):
                raise HttpFailed("sent chunks without a size")
            size = int(size, 16)
            if not size:
                break
            yield from self._exactly(size)
            if self._socket.read_to(b"\r\n"):
                raise HttpFailed("sent chunks of another size than they say")
        while self._socket.read_to(b"\r\n"):
            pass  # trailers


def _seconds_kept(header):
    """How long the server keeps the connection, less a second for the way there.

    >>> _seconds_kept("timeout=5, max=100"), _seconds_kept("")
    (4.0, 30.0)
    """
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        if name.lower() == "timeout" and value.isascii() and value.isdigit():
            return min(float(value) - 1, IDLE_SECONDS)
    return IDLE_SECONDS
