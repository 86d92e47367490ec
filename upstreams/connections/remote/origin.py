"""Where a remote server is, and the way there: scheme, host and port, TLS, a proxy."""

import base64
import functools
import re
import ssl
import urllib.parse
import urllib.request

_LOOPBACK = re.compile(r"localhost|::1|127(\.\d+){3}")


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
        self.is_here = bool(_LOOPBACK.fullmatch(self.host))     # whether it is on this machine
        self._files = ca, certificate, key
        # A proxy would look for a server of this machine on its own, and see our token.
        self.proxy = None if self.is_here else _proxy_of(parts.scheme, self.host, self.port)

    def __str__(self):
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = self.port == (443 if self.secure else 80)
        return host if default else f"{host}:{self.port}"

    def url_of(self, target):
        return f"{'https' if self.secure else 'http'}://{self}{target}"

    def target_of(self, location, base):
        """The target of a URL that the server named, relative to a target here. Raises HttpFailed
        if it is of another origin, where our headers do not belong."""
        try:
            other = Origin(urllib.parse.urljoin(self.url_of(base), location))
        except ValueError:
            raise HttpFailed("named a URL that is none") from None
        if (other.secure, other.host, other.port) != (self.secure, self.host, self.port):
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
            raise Unreachable(f"the files of its TLS settings cannot be used: {problem}") from None
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
