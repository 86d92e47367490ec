"""A TCP connection to a remote server, with TLS and through a proxy where that is needed.

One thread at a time uses a ServerSocket. Any thread may `abort` it: that wakes the one that uses
it, whether it is connecting, reading or writing, and that one closes it. A close while another
thread reads would leave that thread waiting.

Waiting for an answer has no limit here: it may take hours. A peer that is gone is noticed by the
system's keep-alive packets.
"""

import base64
import functools
import re
import select
import socket
import ssl
import time
import urllib.parse
import urllib.request

CONNECT_SECONDS = 10.0
LONGEST_HEAD = 2**16    # bytes of the status line and headers of an answer
IDLE_SECONDS = 30.0     # that a socket is kept for the next request
# Seconds of silence until the system asks the peer (its name differs), seconds between two such
# questions, how many go unanswered, milliseconds that sent data waits. Not all systems have all.
_KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 4,
               "TCP_USER_TIMEOUT": 70_000}
_LOOPBACK = re.compile(r"127(\.\d+){3}")


class HttpFailed(Exception):
    """There is no usable answer; the text says what happened, without secrets."""


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
        self.secure = parts.scheme == "https"
        self.host = parts.hostname.encode("idna").decode() if not parts.hostname.isascii() \
            else parts.hostname
        self.port = parts.port or (443 if self.secure else 80)
        self.target = urllib.parse.quote(
            (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
            safe="/?#[]@!$&'()*+,;=:%~")
        self._files = ca, certificate, key
        self.proxy = _proxy_of(parts.scheme, self.host, self.port)

    def __str__(self):
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = self.port == (443 if self.secure else 80)
        return host if default else f"{host}:{self.port}"

    def target_of(self, location, base):
        """The target of a URL that the server named, relative to a target here. Raises HttpFailed
        if it is of another origin, where our headers do not belong."""
        scheme = "https" if self.secure else "http"
        try:
            other = Origin(urllib.parse.urljoin(f"{scheme}://{self}{base}", location))
        except ValueError:
            raise HttpFailed("named a URL that is none") from None
        if (other.secure, other.host, other.port) != (self.secure, self.host, self.port):
            raise HttpFailed(f"sent us to {'https' if other.secure else 'http'}://{other}, "
                             'which is another origin: if it is right, put it into "url"')
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
                context.load_cert_chain(certificate, key)
        except (OSError, ValueError) as problem:
            raise Unreachable(f"the files of its TLS settings cannot be used: {problem}") from None
        return context


class ServerSocket:
    """One connection: `connect` it, then write and read."""

    def __init__(self, origin):
        self.origin = origin
        self.kept_until = 0.0   # by time.monotonic(); set when it is kept for the next request
        self.aborted = False
        self._socket = None
        self._buffer = b""

    # -- called by the thread that uses it

    def connect(self):
        """Raises Unreachable."""
        origin = self.origin
        host, port, login = origin.proxy or (origin.host, origin.port, None)
        by = f" through the proxy {host}:{port}" if origin.proxy else ""
        try:
            self._connect(host, port)
            if origin.proxy and origin.secure:
                self._open_tunnel(login)
            if origin.secure:
                # In two steps: `abort` must find this one during the handshake.
                self._socket = origin.context.wrap_socket(
                    self._socket, server_hostname=origin.host, do_handshake_on_connect=False)
                self._socket.do_handshake()
            self.limit(None)
            if self.aborted:
                raise HttpFailed("was given up")
        except HttpFailed:
            self.close()
            raise
        except ssl.SSLCertVerificationError as problem:
            self.close()
            raise Unreachable(f"{origin}: its certificate is not trusted: "
                              f'{problem.verify_message}: the "tls" of its config can name '
                              "another CA") from None
        except (OSError, ValueError) as problem:
            self.close()
            raise Unreachable(f"{origin}: no connection{by}: {_in_words(problem)}") from None

    def _connect(self, host, port):
        """The first of its addresses that takes us."""
        problem = OSError("its name has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port,
                                                                    type=socket.SOCK_STREAM):
            try:
                self._socket = socket.socket(family, kind, protocol)
                self.limit(CONNECT_SECONDS)
                if self.aborted:
                    raise OSError("it was given up")
                self._socket.connect(address)
                break
            except OSError as failed:
                problem = failed
                self.close()
        else:
            raise problem
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEP_ALIVE.items():
            if hasattr(socket, name):
                self._socket.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def _open_tunnel(self, login):
        where = f"{self.origin.host}:{self.origin.port}" if ":" not in self.origin.host \
            else f"[{self.origin.host}]:{self.origin.port}"
        self.write(f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n".encode()
                   + proxy_login(login) + b"\r\n")
        status = self.read_to(b"\r\n\r\n").split(b"\r\n")[0].decode("latin-1")
        if status.split(" ")[1:2] != ["200"]:
            raise Unreachable(f"{self.origin}: the proxy refused: {status[:100]}")

    def limit(self, seconds):
        """How long each read and write may take; None for no limit."""
        self._socket.settimeout(seconds)

    def write(self, data):
        try:
            self._socket.sendall(data)
        except OSError as problem:
            raise HttpFailed(f"broke the connection: {_in_words(problem)}") from None

    def read_to(self, mark):
        """The bytes up to the first `mark`, without it."""
        while (end := self._buffer.find(mark)) < 0:
            if len(self._buffer) > LONGEST_HEAD:
                raise HttpFailed("sent something that is no HTTP")
            self._receive()
        found, self._buffer = self._buffer[:end], self._buffer[end + len(mark):]
        return found

    def read_some(self, most=2**16):
        """The next bytes, at most so many; b"" at the end."""
        if not self._buffer:
            self._receive(may_end=True)
        if len(self._buffer) <= most:
            found, self._buffer = self._buffer, b""
        else:
            found, self._buffer = self._buffer[:most], self._buffer[most:]
        return found

    def _receive(self, may_end=False):
        try:
            data = self._socket.recv(2**16)
        except OSError as problem:
            raise HttpFailed(f"broke the connection: {_in_words(problem)}") from None
        if not data and not may_end:
            raise HttpFailed("closed the connection before its answer was complete")
        self._buffer += data

    def is_usable(self):
        """Whether a kept one can carry another request. A request may only be sent once, so this
        is looked at before: if there is something to read, mostly the server has closed it."""
        return not self._buffer and time.monotonic() < self.kept_until \
            and not _readable(self._socket)

    def close(self):
        if self._socket:
            self._socket.close()

    # -- called by any thread

    def abort(self):
        self.aborted = True
        try:
            # Not that of an SSLSocket, which would make the reader take TLS for plain text.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        except (OSError, TypeError):
            pass  # it is not connected yet, or not any more


def proxy_login(login):
    """The header that a proxy wants, as bytes; b"" if there is no login."""
    if not login:
        return b""
    return b"Proxy-Authorization: Basic " + base64.b64encode(login.encode()) + b"\r\n"


def _proxy_of(scheme, host, port):
    """(host, port, "user:password" or None) of the proxy for this server, or None. No proxy is
    asked for this machine: it would look for the server on its own, and see our token."""
    if host == "localhost" or host == "::1" or _LOOPBACK.fullmatch(host):
        return None
    url = urllib.request.getproxies().get(scheme)
    if not url or urllib.request.proxy_bypass(f"{host}:{port}"):
        return None
    parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"the proxy in {scheme.upper()}_PROXY must begin with http://")
    login = parts.username and (f"{urllib.parse.unquote(parts.username)}:"
                                f"{urllib.parse.unquote(parts.password or '')}")
    return parts.hostname, parts.port or 80, login


def _readable(sock):
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _in_words(problem):
    if isinstance(problem, TimeoutError):
        return "timed out"
    return getattr(problem, "strerror", None) or str(problem)
