"""One HTTP request: waitress's parser, which judges before it stores and knows headers again.

Of a request that is refused no body is read, and nothing is kept. A header that is known byte for
byte, as of most messages, is for some seconds not parsed, judged or read by the ways in again.

What we use of waitress that it does not document, beside what is imported here;
tests/http/test_connection.py checks that each name is there:

    HTTPRequestParser.received      takes bytes, and returns how many belong to the request
    HTTPRequestParser.parse_header  called once, with all bytes before the body; only sets
                                    attributes, and a new body_rcv
    HTTPRequestParser.empty         True: these were blank lines, and no request
    HTTPRequestParser.body_rcv      a FixedStreamReceiver(content_length, buffer), if there is a
                                    Content-Length; completed is True when all is here;
                                    getbuf().get() is the body
    HTTPRequestParser               adj body_bytes_received chunked close command completed
                                    content_length error expect_continue get_body_stream headers
                                    headers_finished path proxy_netloc query version
    ChunkedReceiver                 control_line trailer
"""

import sys

from waitress.buffers import OverflowableBuffer
from waitress.parser import HTTPRequestParser, ParsingError, get_header_lines
from waitress.receiver import FixedStreamReceiver
from waitress.utilities import BadRequest

from .replies import Reply

KNOWN_HEADERS = 500
LONGEST_KNOWN = 2000    # bytes
LONGEST_CONTROL = 8192  # bytes of a chunk's size, or after the last chunk


class Request(HTTPRequestParser):
    """Filled by MainThread; when it is complete, any thread may read it."""

    command = ""    # POST, for example; waitress sets it when it knows
    refused = None  # the Reply, if it is not let in or no proper request
    cors = ()       # headers for any answer to it
    way = said = None   # the way in that takes a POST, and what the header says to that
    head = b""      # everything before the body, as it came

    def __init__(self, judge, ways, known, adj):
        """`judge`: see AccessCheck. `known`: header → the attributes that parsing it has set."""
        super().__init__(adj)
        self._judge, self._ways, self._known = judge, ways, known

    def header(self, name, default=None):
        return self.headers.get(name.upper().replace("-", "_"), default)

    def body(self):
        """The whole body as bytes."""
        return b"" if self.body_rcv is None else self.body_rcv.getbuf().get()

    def environ(self, connection):
        """For a WSGI application."""
        return {"REQUEST_METHOD": self.command, "SCRIPT_NAME": "", "QUERY_STRING": self.query,
                "PATH_INFO": self.path, "SERVER_PROTOCOL": "HTTP/1.1",
                "SERVER_NAME": "localhost", "SERVER_PORT": "0",     # for one without Host
                "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.multithread": True,
                "wsgi.multiprocess": False, "wsgi.run_once": False, "wsgi.errors": sys.stderr,
                "wsgi.input": self.get_body_stream(), "router.connection": connection,
                **{f"HTTP_{name}": value for name, value in self.headers.items()}}

    def is_cut_off(self):
        """Whether it is answered without its whole body: nobody knows where the next begins."""
        return self.error is not None or (
            self.body_rcv is not None and not self.body_rcv.completed)

    def is_last(self):
        """Whether the connection ends after its answer."""
        wish = self.headers.get("CONNECTION", "").lower()
        return bool(self.refused and self.is_cut_off()) or wish == "close" or (
            self.version != "1.1" and wish != "keep-alive")

    # -- called by MainThread as bytes come in

    def received(self, data):
        """How many of the bytes belong to this request."""
        consumed = super().received(data)
        if self.chunked and not self.completed and max(
                len(self.body_rcv.control_line), len(self.body_rcv.trailer)) > LONGEST_CONTROL:
            # waitress would search all of it again with each piece that comes.
            self.error = BadRequest("A chunk's size or trailer is too long")
        if self.error:
            status, headers, body = self.error.to_response()
            self.refused = Reply(body, status, headers)
        self.completed = self.completed or self.refused is not None
        return len(data) if self.refused and self.is_cut_off() else consumed

    def parse_header(self, header):
        """Called by waitress once for each request, with everything before the body."""
        if known := self._known.get(header):
            vars(self).update(known)
            self.body_rcv = FixedStreamReceiver(self.content_length,
                                                OverflowableBuffer(self.adj.inbuf_overflow))
            return
        self.head = header
        try:
            super().parse_header(header)
        except ValueError:  # of Python, which waitress does not expect
            raise ParsingError("The target or a number in the header cannot be read") from None
        self._check_encoding(header)
        self.path = "/" + self.path.lstrip("/")
        if self.proxy_netloc:   # `GET http://host/path`, which counts (RFC 9112, 3.2.2)
            self.headers["HOST"] = self.proxy_netloc
        if "close" in map(str.strip, self.header("Connection", "").lower().split(",")):
            self.headers["CONNECTION"] = "close"    # so that it stands alone, see is_last
        self.refused, self.cors = self._judge(self.command, self.path, self.header)
        self._find_way()
        # Only a header with Content-Length is kept, since that is what a message has.
        if self.refused is None and isinstance(self.body_rcv, FixedStreamReceiver) \
                and len(header) <= LONGEST_KNOWN and len(self._known) < KNOWN_HEADERS:
            self._known[header] = {**vars(self), "body_rcv": None}

    def _find_way(self):
        for way in self._ways if self.command == "POST" and self.refused is None else ():
            if (said := way.reads(self)) is not None:
                self.way, self.said = way, said
                return

    def _check_encoding(self, header):
        """Where a body ends must not be in doubt (RFC 9112, 6.1 and 11.2): what we took for a
        body, a proxy before us could have taken for requests. Raises ParsingError."""
        codings = [line.partition(b":")[2].strip(b" \t").lower()
                   for line in get_header_lines(header)
                   if line.lower().startswith(b"transfer-encoding:")]
        if codings and (not self.chunked or codings != [b"chunked"]
                        or "CONTENT_LENGTH" in self.headers):
            raise ParsingError("Transfer-Encoding is taken once, as chunked, with HTTP/1.1, and "
                               "without Content-Length")
