"""A TCP connection to a remote server, through TLS and a proxy where that is needed. The standard
library's http.client speaks HTTP on it.

One thread at a time uses a connection. Any thread may `abort` it: that wakes the one that uses it,
whether it is connecting, reading or writing, and that one closes it. A close while another thread
reads would leave that thread waiting.

Waiting for an answer has no limit here: it may take hours. A peer that is gone is noticed by the
system's keep-alive packets.
"""

import http.client
import re
import select
import socket
import ssl
import time

from .origin import Unreachable

CONNECT_SECONDS = 10.0  # for each step: an address, the proxy, TLS
KEPT_SECONDS = 30.0     # that a connection is kept for the next request
ONE_PACKET = 2**16      # bytes of a body that leaves together with its head
# Seconds of silence until the system asks the peer (its name differs), seconds between two such
# questions, how many go unanswered, milliseconds that sent data waits. Not all systems have all.
_KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 4,
               "TCP_USER_TIMEOUT": 70_000}


class _Answer(http.client.HTTPResponse):
    """The answer to a request. What only announces it is skipped: http.client does so with 100,
    but not with the others, as 103."""

    def begin(self):
        super().begin()
        while 101 < self.status < 200:
            self.headers = None     # `begin` does nothing while there are some
            super().begin()


class _AnswerOfProxy(http.client.HTTPResponse):
    """The answer to CONNECT. It is read without a buffer: what follows belongs to TLS."""

    def __init__(self, sock, *arguments, **more):
        super().__init__(sock, *arguments, **more)
        self.fp.close()
        self.fp = sock.makefile("rb", buffering=0)


class ServerConnection(http.client.HTTPConnection):
    """One connection: `connect` it, then `ask`, any number of times."""

    response_class = _Answer

    def __init__(self, origin):
        host, port, self._proxy_headers = origin.proxy or (origin.host, origin.port, {})
        super().__init__(host, port, CONNECT_SECONDS)
        self.default_port = 443 if origin.secure else 80    # which the header Host leaves out
        self.origin = origin
        self._kept_until = 0.0  # by time.monotonic()
        self._given_up = None   # why nobody waits for it any more
        self._socket = None     # http.client forgets its own while the answer is still read
        self._body = b""        # of the request that is being sent
        self._create_connection = self._reach   # http.client's seam for this
        if origin.proxy and origin.secure:
            host = f"[{origin.host}]" if ":" in origin.host else origin.host
            self.set_tunnel(host, origin.port,
                            {"Host": f"{host}:{origin.port}", **self._proxy_headers})

    # -- called by the thread that uses it

    def connect(self):
        """Raises Unreachable."""
        try:
            self._connect()
        except (OSError, ValueError, http.client.HTTPException, Unreachable) as problem:
            self.close()
            raise self._unreachable(problem) from None

    def _unreachable(self, problem):
        if isinstance(problem, Unreachable):
            return problem
        if isinstance(problem, ssl.SSLCertVerificationError):
            return Unreachable(f"{self.origin}: its certificate is not trusted: "
                               f'{problem.verify_message}: the "tls" of its config can name '
                               "another CA")
        by = f" through the proxy {self.host}:{self.port}" if self.origin.proxy else ""
        return Unreachable(f"{self.origin}: no connection{by}: {in_words(problem)}")

    def _connect(self):
        origin = self.origin
        self.response_class = _AnswerOfProxy
        super().connect()   # calls _reach, and opens the tunnel
        self.response_class = _Answer
        if origin.secure:
            if origin.proxy and _is_readable(self.sock):
                raise OSError("the proxy says more than that the way is open")
            # In two steps: `abort` must find this one during the handshake.
            self.sock = self._use(origin.context.wrap_socket(
                self.sock, server_hostname=origin.host, do_handshake_on_connect=False))
            self.sock.do_handshake()
        self.sock.settimeout(None)

    def _reach(self, address, seconds, _source):
        """The first of its addresses that takes us, as socket.create_connection does it; but
        `abort` finds the socket while it connects."""
        problem = OSError("its name has no address")
        for family, kind, protocol, _, each in socket.getaddrinfo(*address,
                                                                  type=socket.SOCK_STREAM):
            sock = self._use(socket.socket(family, kind, protocol))
            try:
                sock.settimeout(seconds)
                sock.connect(each)
            except OSError as failed:
                problem = failed
                sock.close()
                continue
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEP_ALIVE.items():
                if hasattr(socket, name):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
            return sock
        raise problem

    def _use(self, sock):
        self._socket = sock     # first: `abort` may come at any time
        if self._given_up:
            raise OSError(self._given_up)
        return sock

    def ask(self, method, target, headers, body):
        """Send a request; returns the answer, of which the head has been read."""
        if self.origin.proxy and not self.origin.secure:
            target, headers = self.origin.url_of(target), [*self._proxy_headers.items(), *headers]
        self.putrequest(method, target)     # with Host, and Accept-Encoding: identity
        for name, value in headers:
            self.putheader(name, value)
        if method == "POST":
            self.putheader("Content-Length", len(body))
        is_small = len(body) <= ONE_PACKET
        self._body = body if is_small else b""
        self.endheaders(None if is_small else body)
        self._body = b""
        return self.getresponse()

    def send(self, data):
        """Called by http.client with the head of a request. If its small body came later, the
        server would wake up twice."""
        super().send(data + self._body)

    def limit(self, seconds):
        """How long each read and write may take from now on; None for no limit."""
        self._socket.settimeout(seconds)

    def is_usable(self):
        """Whether it can carry another request. A request may only be sent once, so this is looked
        at before: if there is something to read, mostly the server has closed it."""
        return time.monotonic() < self._kept_until and not _is_readable(self.sock)

    def keep(self, header):
        """An answer was read, whose header Keep-Alive may say for how long the server waits for
        the next request; less a second for the way there."""
        found = re.search(r"\btimeout=([0-9]{1,9})", header, re.IGNORECASE)
        seconds = min(float(found[1]) - 1, KEPT_SECONDS) if found else KEPT_SECONDS
        self._kept_until = time.monotonic() + seconds

    def close(self):
        super().close()
        if self._socket:
            self._socket.close()

    # -- called by any thread

    def abort(self, why):
        self._given_up = why
        try:
            # Not that of an SSLSocket, which would make the reader take TLS for plain text.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        except (OSError, TypeError):
            pass  # it is not connected yet, or not any more


def _is_readable(sock):
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def in_words(problem):
    """What an exception of the network says."""
    if isinstance(problem, TimeoutError):
        return "timed out"
    return (getattr(problem, "strerror", None) or str(problem))[:200]
