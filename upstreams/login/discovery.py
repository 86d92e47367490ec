"""From a server that wants a login to the authorization server that gives it: whose the server
is, where to send the user, and where the tokens are (2026-07-28, Authorization Server Discovery).
"""

import re
import urllib.parse
from dataclasses import dataclass

from transports.fabric.text import printable

from .web import LoginFailed

LONGEST_CHALLENGE = 8000    # characters of WWW-Authenticate that are looked at
MOST_SCOPES = 100

# A word of WWW-Authenticate, and its value if it has one; a word without is a scheme.
# A quote that is never closed ends with the text: it must not be looked for again and again.
_WORD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)"
                   r'(?:\s*=\s*("(?:[^"\\]|\\.)*(?:"|\\?$)|[^\s,"]*))?')
_CODE = "authorization code"


@dataclass(frozen=True)
class Challenge:
    """What a 401 or 403 says about a login."""

    metadata: str = None    # the URL of the resource's metadata
    scope: tuple = ()       # that is needed
    error: str = ""


@dataclass(frozen=True)
class Issuer:
    """An authorization server, as its metadata describes it."""

    name: str               # its identifier, as we asked for it
    authorize: str          # URLs of its endpoints
    token: str
    register: str = None
    revoke: str = None
    methods: tuple = None   # in which clients authenticate; None: it does not say
    scopes: tuple = ()
    takes_documents: bool = False   # whether a client may be the URL of its metadata
    promises_iss: bool = False


def challenge_in(values):
    """The Challenge in the headers WWW-Authenticate of an answer.

    >>> challenge_in(['Basic realm="x, y", Bearer scope="a b", error=invalid_token']).scope
    ('a', 'b')
    """
    scheme, found = "", {}
    for name, value in _WORD.findall(", ".join(values)[:LONGEST_CHALLENGE]):
        if not value:
            scheme = name.lower()
        elif scheme == "bearer":
            quoted = value.startswith('"')
            found.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", value[1:].removesuffix('"'))
                             if quoted else value)
    return Challenge(found.get("resource_metadata"), scopes_in(found.get("scope")),
                     printable(found.get("error", "")))


def scopes_in(value):
    """The scopes in a text, or in a list of texts; () if it is neither."""
    words = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(dict.fromkeys(word for word in words if isinstance(word, str)
                               and re.fullmatch(r"[!#-\[\]-~]{1,200}", word)))[:MOST_SCOPES]


def resource_of(web, url, challenge):
    """(the resource's own name, its issuers, its scopes) for the server at the URL; the issuers
    are None where it has no metadata. Raises LoginFailed."""
    for place in [challenge.metadata] if challenge.metadata else _well_known(
            url, "oauth-protected-resource"):
        found = web.get(place, "the metadata of the server")
        if found is None:
            continue
        resource = found.get("resource")
        if not isinstance(resource, str) or not _covers(resource, url):
            raise LoginFailed(f"its metadata is about {printable(str(resource)[:200])}, which is "
                              "another server")
        issuers = found.get("authorization_servers")
        issuers = [issuer for issuer in issuers if isinstance(issuer, str)] \
            if isinstance(issuers, list) else []
        if not issuers:
            raise LoginFailed("its metadata names no authorization server")
        return resource, issuers, scopes_in(found.get("scopes_supported"))
    if challenge.metadata:
        raise LoginFailed("the metadata that it names is not there")
    return url.partition("#")[0], None, ()


def _covers(resource, url):
    """Whether this name is that of the URL or of a parent of it."""
    try:
        one, other = urllib.parse.urlsplit(resource), urllib.parse.urlsplit(url)
        same = (one.scheme.lower(), one.hostname, _port(one)) == (
            other.scheme.lower(), other.hostname, _port(other))
    except ValueError:
        return False
    path, whole = one.path.rstrip("/"), other.path
    return same and not one.fragment and (not one.query or one.query == other.query) and (
        whole == path or whole.startswith(f"{path}/"))


def _port(parts):
    return parts.port or {"https": 443, "http": 80}.get(parts.scheme.lower())


def _well_known(url, name):
    """Where the document of this name is for a URL: with its path, and without."""
    parts = urllib.parse.urlsplit(url)
    root, path = f"{parts.scheme}://{parts.netloc}/.well-known/{name}", parts.path.rstrip("/")
    return [root + path, root] if path else [root]


def issuer_of(web, name):
    """The Issuer of this name. Raises LoginFailed."""
    web.checked(name, "the authorization server")
    parts = urllib.parse.urlsplit(name)
    root, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    places = [f"{root}/.well-known/oauth-authorization-server{path}",
              f"{root}/.well-known/openid-configuration{path}"]
    if path:
        places.append(f"{root}{path}/.well-known/openid-configuration")
    for place in places:
        if (found := web.get(place, "the metadata of the authorization server")) is not None:
            return issuer_in(web, found, name)
    raise LoginFailed(f"the authorization server {printable(name)} has no metadata")


def issuer_in(web, found, name):
    """The Issuer that this document describes. Raises LoginFailed if it is another one."""
    said = found.get("issuer")
    if said != name and not (isinstance(said, str) and _is_root(name)
                             and said.rstrip("/") == name.rstrip("/")):
        raise LoginFailed(f"the metadata of the authorization server {printable(name)} is about "
                          f"another one: {printable(str(said)[:200])}")
    challenges = found.get("code_challenge_methods_supported")
    if not isinstance(challenges, list) or "S256" not in challenges:
        raise LoginFailed("the authorization server does not say that it knows PKCE with S256, "
                          f"without which an {_CODE} can be stolen")
    methods = found.get("token_endpoint_auth_methods_supported")

    def endpoint(key, needed=False):
        if found.get(key) is None and not needed:
            return None
        return web.checked(found.get(key), f"the {key.replace('_', ' ')} of the authorization "
                                           "server")
    return Issuer(said, endpoint("authorization_endpoint", True), endpoint("token_endpoint", True),
                  endpoint("registration_endpoint"), endpoint("revocation_endpoint"),
                  tuple(map(str, methods)) if isinstance(methods, list) else None,
                  scopes_in(found.get("scopes_supported")),
                  found.get("client_id_metadata_document_supported") is True,
                  found.get("authorization_response_iss_parameter_supported") is True)


def issuer_at_root(web, url):
    """That of a server of 2025-03-26, which has no metadata of its own: at the server's root."""
    parts = urllib.parse.urlsplit(url)
    root = f"{parts.scheme}://{parts.netloc}"
    found = web.get(f"{root}/.well-known/oauth-authorization-server",
                    "the metadata of the authorization server")
    if found is not None:
        return issuer_in(web, found, root)
    for path in ("authorize", "token"):
        web.checked(f"{root}/{path}", "the authorization server")
    return Issuer(root, f"{root}/authorize", f"{root}/token", f"{root}/register")


def _is_root(url):
    return urllib.parse.urlsplit(url).path in ("", "/")
