"""One HTTP request. waitress parses its head, which is judged before anything else of it is read.

Of a request that is refused no body is read, and nothing is kept. A head that is known byte for
byte, as that of most messages, is neither parsed nor judged again.

What we use of waitress that it does not document, beside what is imported here;
tests/http/test_connection.py checks that each name is there:

    HTTPRequestParser.parse_header  only sets attributes, by all bytes before the body
    HTTPRequestParser               adj chunked command content_length expect_continue headers
                                    path proxy_netloc query version
    ChunkedReceiver                 completed control_line error received trailer
    FixedStreamReceiver             completed error received
    OverflowableBuffer              close get
"""

import io
import sys

from waitress.buffers import OverflowableBuffer
from waitress.parser import (HTTPRequestParser, ParsingError, TransferEncodingNotImplemented,
                             get_header_lines)
from waitress.receiver import ChunkedReceiver, FixedStreamReceiver

from .replies import plain

KNOWN_HEADS = 500
LONGEST_KNOWN = 2000    # bytes
LONGEST_CONTROL = 8192  # bytes of a chunk's size, or after the last chunk


class Head(HTTPRequestParser):
    """All before the body. It never changes: requests that begin with the same bytes share it."""

    command = path = query = ""     # waitress sets them when it knows
    cors = ()           # headers for any answer
    way = said = None   # the way in that takes a POST, and what the header says to that
    is_last = True      # whether the connection ends after the answer

    def __init__(self, data, adj):
        super().__init__(adj)
        self.data, self.refused = data, None    # the Reply, if it is not let in or not proper
        try:
            self.parse_header(data)
            self._check_encoding()
        except TransferEncodingNotImplemented as problem:
            self.refused = plain(501, problem)
        except ParsingError as problem:
            self.refused = plain(400, problem)
        except ValueError:  # of Python, which waitress does not expect
            self.refused = plain(400, "The target or a number in the header cannot be read")
        else:
            wish = self.header("Connection", "").lower()
            self.is_last = "close" in map(str.strip, wish.split(",")) or (
                self.version != "1.1" and wish != "keep-alive")
            if self.proxy_netloc:   # `GET http://host/path`, which counts (RFC 9112, 3.2.2)
                self.headers["HOST"] = self.proxy_netloc

    def header(self, name, default=None):
        return self.headers.get(name.upper().replace("-", "_"), default)

    def _check_encoding(self):
        """Where a body ends must not be in doubt (RFC 9112, 6.1 and 11.2): what we took for a
        body, a proxy before us could have taken for requests. Raises ParsingError."""
        codings = [line.partition(b":")[2].strip(b" \t").lower()
                   for line in get_header_lines(self.data)
                   if line.lower().startswith(b"transfer-encoding:")]
        if codings and (not self.chunked or codings != [b"chunked"]
                        or "CONTENT_LENGTH" in self.headers):
            raise ParsingError("Transfer-Encoding is taken once, as chunked, with HTTP/1.1, and "
                               "without Content-Length")


class Heads:
    """Those of all connections, of which the last ones are known."""

    def __init__(self, judge, ways, adj):
        """`judge(method, path, header)`: see AccessCheck."""
        self.adj, self._judge, self._ways, self._known = adj, judge, ways, {}

    def read(self, data):
        """The Head of these bytes, judged."""
        if head := self._known.get(data):
            return head
        head = Head(data, self.adj)
        if not head.refused:
            head.refused, head.cors = self._judge(head.command, head.path, head.header)
        if head.command == "POST" and not head.refused:
            head.way, head.said = next(((way, said) for way in self._ways if (
                said := way.reads(head)) is not None), (None, None))
        # Only one with Content-Length is kept, since that is what a message has.
        if not head.refused and head.content_length and len(data) <= LONGEST_KNOWN:
            if len(self._known) >= KNOWN_HEADS:
                self._known.clear()
            self._known[data] = head
        return head


class Request:
    """Filled by MainThread; when it is complete, any thread may read it."""

    head = refused = None   # the Head, once that is there; the Reply, as in that
    completed = expects = False     # `expects`: whether the client waits for "100 Continue"
    size = 0                # of its body, as far as that is here

    def __init__(self, heads):
        self._heads, self._begun = heads, b""
        self._body = OverflowableBuffer(heads.adj.inbuf_overflow)   # a long one is in a file
        self.body, self.close = self._body.get, self._body.close

    def environ(self, connection):
        """For a WSGI application, which gets no body: what has one is for a way in."""
        head = self.head
        return {"REQUEST_METHOD": head.command, "SCRIPT_NAME": "", "QUERY_STRING": head.query,
                "PATH_INFO": "/" + head.path.lstrip("/"), "SERVER_PROTOCOL": "HTTP/1.1",
                "SERVER_NAME": "localhost", "SERVER_PORT": "0",     # for one without Host
                "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.multithread": True,
                "wsgi.multiprocess": False, "wsgi.run_once": False, "wsgi.errors": sys.stderr,
                "wsgi.input": io.BytesIO(), "router.connection": connection,
                **{f"HTTP_{name}": value for name, value in head.headers.items()}}

    # -- called by MainThread as bytes come in

    def received(self, data):
        """How many of the bytes belong to this request: all, if nobody knows where another one
        would begin."""
        taken = 0 if self.head else self._receive_head(data)
        if self.head and not self.completed:
            taken += self._receive_body(data[taken:])
        return len(data) if self.refused and self.is_last else taken

    def _receive_head(self, data):
        begun, before, adj = self._begun + data, len(self._begun), self._heads.adj
        end = begun.find(b"\r\n\r\n", max(0, before - 3)) + 4
        if (end if end >= 4 else len(begun)) >= adj.max_request_header_size:
            self._refuse(431, "The header is too long")
            self.head = Head(b"", adj)
        if self.refused or end < 4:
            self._begun = begun
            return len(data)
        if not (begun := begun[:end].lstrip()):
            self.completed = True   # these were blank lines, and no request
            return end - before
        self.head = head = self._heads.read(begun)
        has_body = head.chunked or head.content_length
        self.refused, self.expects = head.refused, head.expect_continue
        self.completed = bool(head.refused or not has_body)
        self.is_last = head.is_last or bool(head.refused and has_body)
        if head.content_length >= adj.max_request_body_size and not head.refused:
            self._refuse(413, "The body is too long")
        self._receiver = ChunkedReceiver(self._body) if head.chunked else FixedStreamReceiver(
            head.content_length, self._body)
        return end - before

    def _receive_body(self, data):
        receiver = self._receiver
        taken = receiver.received(data)
        self.size += taken
        self.completed = receiver.completed
        if self.size >= self._heads.adj.max_request_body_size:
            self._refuse(413, "The body is too long")
        elif receiver.error:
            self._refuse(400, receiver.error.body)
        elif self.head.chunked and not self.completed and max(
                len(receiver.control_line), len(receiver.trailer)) > LONGEST_CONTROL:
            # waitress would search all of it again with each piece that comes.
            self._refuse(400, "A chunk's size or trailer is too long")
        return taken

    def _refuse(self, status, text):
        """No more of it is read."""
        self.refused, self.completed, self.is_last = plain(status, text), True, True
