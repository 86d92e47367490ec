"""Where a remote server is, and a connection of http.client there, through TLS and a proxy.

Waiting for an answer has no limit here: it may take hours. A peer that is gone is noticed by the
system's keep-alive packets."""

import base64
import contextlib
import functools
import http.client
import re
import select
import socket
import ssl
import time
import urllib.parse
import urllib.request

CONNECT_SECONDS = 10.0  # for each step: an address, the proxy, TLS
KEPT_SECONDS = 30.0     # that a connection is kept for the next request
LONGEST_URL = 2**13     # characters of one that the server names
ONE_PACKET = 2**16      # bytes of a body that leaves together with its head
# Seconds of silence until the system asks the peer (its name differs), seconds between two such
# questions, how many go unanswered, milliseconds that sent data waits. Not all systems have all.
_KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 4,
               "TCP_USER_TIMEOUT": 70_000}
_LOOPBACK = re.compile(r"localhost|::1|127(\.\d+){3}")


class HttpFailed(Exception):
    """There is no usable answer; the text says what happened."""

    status = pause = body = None    # what a Problem has
    in_doubt = False    # whether it may mean that the server has forgotten our session,
    forgotten = False   # and whether it means just that
    is_circle = False   # whether a router says that we are, by way of others, ourselves
    challenges = ()     # what it says about a login


class Unreachable(HttpFailed):
    """There is no connection, so the server has not seen the request."""


class Origin:
    """Scheme, host and port of a server, and the way there."""

    def __init__(self, url, ca=None, certificate=None, key=None):
        """`ca`, `certificate` and `key` are files or None. Raises ValueError for no such URL."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("its URL must begin with http:// or https:// and a host")
        if parts.username is not None:
            raise ValueError('its URL has a login, which belongs into "headers", as '
                             '"Authorization": "Basic …"')
        self.scheme, self.secure = parts.scheme, parts.scheme == "https"
        self.default_port = 443 if self.secure else 80
        self.host = parts.hostname if parts.hostname.isascii() \
            else parts.hostname.encode("idna").decode()
        self.port = parts.port or self.default_port
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self.target = urllib.parse.quote(target, safe="/?#[]@!$&'()*+,;=:%~")
        self.is_here = bool(_LOOPBACK.fullmatch(self.host))     # whether it is on this machine
        self._files = ca, certificate, key
        # A proxy would look for a server of this machine on its own, and see our token.
        self.proxy = None if self.is_here else _proxy_of(parts.scheme, self.host, self.port)

    def __str__(self):
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == self.default_port else f"{host}:{self.port}"

    def url_of(self, target):
        return f"{self.scheme}://{self}{target}"

    def target_of(self, location, base):
        """The target of a URL that the server named, relative to a target here. Raises HttpFailed
        if it is of another origin, where our headers do not belong."""
        if len(location) > LONGEST_URL:
            raise HttpFailed(f"named a URL of more than {LONGEST_URL} characters")
        try:
            other = Origin(urllib.parse.urljoin(self.url_of(base), location))
        except ValueError:
            raise HttpFailed("named a URL that is none") from None
        if other.url_of("") != self.url_of(""):
            raise HttpFailed(f"sent us to {other.url_of('')}, which is another origin: if it is "
                             'right, put it into "url"')
        return other.target

    @functools.cached_property
    def context(self):
        """What TLS needs: the system's certificates, or those of SSL_CERT_FILE, and ours."""
        ca, certificate, key = self._files
        try:
            context = ssl.create_default_context()
            if ca:
                context.load_verify_locations(ca)
            if certificate:
                # Without the function OpenSSL would ask on our stdin, which is the client's.
                context.load_cert_chain(certificate, key, password=_refuse_encrypted_key)
        except (OSError, ValueError) as problem:
            files, why = ", ".join(filter(None, self._files)), getattr(problem, "strerror", None)
            raise Unreachable("the files of its TLS settings cannot be used "
                              f"({files}): {why or problem}") from None
        return context


def _refuse_encrypted_key():
    raise ValueError('the key is encrypted, and nobody can be asked for its passphrase: "tls" '
                     "must name one that is not")


def _proxy_of(scheme, host, port):
    """(host, port, headers that it wants) of the proxy for this server, or None."""
    url = urllib.request.getproxies().get(scheme)
    if not url or urllib.request.proxy_bypass(f"{host}:{port}"):
        return None
    parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"the proxy in {scheme.upper()}_PROXY must begin with http://")
    headers = {}
    if parts.username:
        login = ":".join(map(urllib.parse.unquote, (parts.username, parts.password or "")))
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    return parts.hostname, parts.port or 80, headers


class _Answer(http.client.HTTPResponse):
    """http.client skips what only announces an answer if it is 100, but not 103 and the like."""

    def begin(self, **more):
        super().begin(**more)
        while 101 < self.status < 200:
            self.headers = None     # `begin` does nothing while there are some
            super().begin(**more)


class _AnswerOfProxy(http.client.HTTPResponse):
    """The answer to CONNECT, read without a buffer: what follows belongs to TLS."""

    def __init__(self, sock, *arguments, **more):
        super().__init__(sock, *arguments, **more)
        self.fp.close()
        self.fp = sock.makefile("rb", buffering=0)


class ServerConnection(http.client.HTTPConnection):
    """`connect` it, then `ask` while it is usable. It belongs to one thread. Any thread may
    `abort` it, which wakes this one. (A close would leave it waiting if it reads.)"""

    def __init__(self, origin):
        host, port, self._proxy_headers = origin.proxy or (origin.host, origin.port, {})
        super().__init__(host, port, CONNECT_SECONDS)
        self.default_port = origin.default_port     # which the header Host leaves out
        self._origin = origin
        self._kept_until = 0.0  # by time.monotonic()
        self._given_up = None   # why nobody waits for it any more
        self.socket = None      # http.client forgets its own while the answer is still read
        self._body = b""        # of the request that is being sent
        self._create_connection = self._reach   # http.client's seam for this
        if origin.proxy and origin.secure:
            host = f"[{origin.host}]" if ":" in origin.host else origin.host
            self.set_tunnel(host, origin.port,
                            {"Host": f"{host}:{origin.port}", **self._proxy_headers})

    def connect(self):
        """Raises Unreachable."""
        try:
            self._connect()
            return
        except ssl.SSLCertVerificationError as problem:
            text = (f"its certificate is not trusted: {problem.verify_message}: the "
                    '"tls" of its config can name another CA')
        except (OSError, ValueError, http.client.HTTPException) as problem:
            by = f" through the proxy {self.host}:{self.port}" if self._origin.proxy else ""
            text = f"no connection{by}: {in_words(problem)}"
        self.close()
        raise Unreachable(f"{self._origin}: {text}")

    def _connect(self):
        origin, context = self._origin, self._origin.secure and self._origin.context
        self.response_class = _AnswerOfProxy
        super().connect()   # calls _reach, and opens the tunnel
        self.response_class = _Answer
        if origin.secure:
            if origin.proxy and _is_readable(self.sock):
                raise OSError("the proxy says more than that the way is open")
            # In two steps: `abort` must find this one during the handshake.
            self.sock = self._use(context.wrap_socket(
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
        self.socket = sock     # first: `abort` may come at any time
        if self._given_up:
            raise OSError(self._given_up)
        return sock

    def ask(self, method, target, headers, body):
        """Send a request; returns the answer, of which the head has been read."""
        if self._origin.proxy and not self._origin.secure:
            target, headers = self._origin.url_of(target), [*self._proxy_headers.items(), *headers]
        self.putrequest(method, target)     # with Host, and Accept-Encoding: identity
        for name, value in headers:
            self.putheader(name, value)
        if method == "POST":
            self.putheader("Content-Length", len(body))
        self._body, rest = (body, None) if len(body) <= ONE_PACKET else (b"", body)
        self.endheaders(rest)
        self._body = b""
        return self.getresponse()

    def send(self, data):
        """Called by http.client with the head of a request. If its small body came later, the
        server would wake up twice."""
        super().send(data + self._body)

    def keep(self, header):
        """The answer was read. Its header Keep-Alive may say for how long the server waits for
        the next request; less a second for the way there."""
        found = re.search(r"\btimeout=([0-9]{1,9})", header, re.IGNORECASE)
        seconds = min(float(found[1]) - 1, KEPT_SECONDS) if found else KEPT_SECONDS
        self._kept_until = time.monotonic() + seconds
        self.socket.settimeout(None)

    def is_usable(self):
        """Whether it can carry another request: if something can be read, mostly the server has
        closed it."""
        return time.monotonic() < self._kept_until and not _is_readable(self.sock)

    def close(self):
        super().close()
        if self.socket:
            self.socket.close()

    def abort(self, why):
        self._given_up = why
        with contextlib.suppress(OSError, TypeError):   # it is not connected yet, or not any more
            # Not that of an SSLSocket, which would make the reader take TLS for plain text.
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)


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
