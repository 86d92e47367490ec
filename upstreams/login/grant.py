"""One login at an authorization server: who we are there, the URL that the user opens, and the
tokens for the answer that comes back (2026-07-28, Authorization).

`Login` is used by one thread. Nothing here waits for the user."""

import base64
import hashlib
import hmac
import secrets
import time
import urllib.parse

from transports.fabric.text import hidden, printable, redacted

from .discovery import Issuer, issuer_at_root, issuer_in, issuer_of, resource_of, scopes_in
from .web import LoginFailed, NotThisLogin

REFRESH = "refresh_token"
OFFLINE = "offline_access"      # the scope that some want before they give a refresh token
LONGEST_TOKEN = 2**14           # characters
DAY = 86400
_TOKEN_ENDPOINT = "the token endpoint"
_PASSES = "temporarily_unavailable", "server_error", "slow_down"    # errors


class Login:
    """What `begin` decides, and `finish` needs.

    `config`: the server's "oauth", a dict. `before`: the record of an earlier login, or None.
    `more`: scopes that are needed beside those that it has."""

    def __init__(self, web, url, config, before, redirect, more=()):
        self._web, self._url, self._config, self._before = web, url, config, before
        self.redirect, self._more = redirect, more
        self.state, self._verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(64)
        self.secrets = set()
        self._hide(self._verifier)

    def begin(self, challenge):
        """The URL that the user is to open. Raises LoginFailed."""
        web, config = self._web, self._config
        resource, issuers, offered = resource_of(web, self._url, challenge)
        self.issuer = self._issuer(issuers)
        before = self._before if self._before and self._before["issuer"] == self.issuer.name \
            else {}     # nothing of one authorization server goes to another
        had = before.get("asked", []) if self._more else []
        scopes = [*had, *self._more] or config.get("scope", "").split() \
            or challenge.scope or offered
        if OFFLINE in self.issuer.scopes:
            scopes = [*scopes, OFFLINE]
        self._scopes = list(dict.fromkeys(scopes))
        wanted = config.get("resource", resource)   # False: none
        self._resource = wanted if wanted and before.get("resource", "") is not None else None
        self._client = self._known_client(before) or self._registered()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self._verifier.encode()).digest())
        wanted = {"response_type": "code", "client_id": self._client["id"],
                  "redirect_uri": self.redirect, "state": self.state,
                  "code_challenge": challenge.rstrip(b"=").decode(),
                  "code_challenge_method": "S256",
                  **({"resource": self._resource} if self._resource else {}),
                  **({"scope": " ".join(self._scopes)} if self._scopes else {}),
                  **({"prompt": "consent"} if OFFLINE in self._scopes else {})}
        mark = "&" if urllib.parse.urlsplit(self.issuer.authorize).query else "?"
        return f"{self.issuer.authorize}{mark}{urllib.parse.urlencode(wanted)}"

    def _issuer(self, issuers):
        config, web = self._config, self._web
        if config.get("authorizationUrl") and config.get("tokenUrl"):
            name = issuers[0] if issuers else config["authorizationUrl"]
            return Issuer(name, web.checked(config["authorizationUrl"], "authorizationUrl"),
                          web.checked(config["tokenUrl"], "tokenUrl"))
        if place := config.get("metadataUrl"):
            found = web.get(place, "the metadata of the authorization server") or {}
            return issuer_in(web, found, str(found.get("issuer")))
        if issuers is None:
            return issuer_at_root(web, self._url)
        return issuer_of(web, issuers[0])

    def _known_client(self, before):
        """One that the config names, or that this issuer knows already."""
        config, issuer = self._config, self.issuer
        if client := config.get("clientId"):
            return _client(client, config.get("clientSecret"), issuer.methods)
        if issuer.takes_documents and config.get("clientMetadataUrl"):
            return _client(config["clientMetadataUrl"], None, ("none",))
        if before.get("client", {}).get("redirect") == self.redirect and before["client"].get(
                "expires", 0) in (0, None):
            return before["client"]
        return None

    def _registered(self):
        """Dynamic Client Registration."""
        issuer = self.issuer
        if not issuer.register:
            raise LoginFailed('the authorization server registers nobody by itself: create a '
                              'client there, and write {"oauth": {"clientId": "…"}} (and '
                              f'"clientSecret", if it has one); its redirect URL is '
                              f"{self.redirect}")
        known = issuer.methods or ("none",)
        method = next((each for each in ("none", "client_secret_basic", "client_secret_post")
                       if each in known), "none")
        status, said = self._web.post(issuer.register, "the registration endpoint", value={
            "client_name": "MCP Local Router", "redirect_uris": [self.redirect],
            "grant_types": ["authorization_code", REFRESH], "response_types": ["code"],
            "application_type": "native", "token_endpoint_auth_method": method,
            **({"scope": " ".join(self._scopes)} if self._scopes else {})})
        id, secret = said.get("client_id"), said.get("client_secret")
        if status not in (200, 201) or not isinstance(id, str) or not 0 < len(id) < LONGEST_TOKEN:
            raise LoginFailed("the authorization server did not register us: "
                              f"{error_text(status, said)}")
        told = said.get("token_endpoint_auth_method")
        secret = secret if isinstance(secret, str) and secret else None
        self._hide(secret)
        return {**_client(id, secret, (told,) if isinstance(told, str) else issuer.methods),
                "redirect": self.redirect, "expires": said.get("client_secret_expires_at")}

    def code_in(self, query):
        """The code in the query of the address where the browser ended. Raises LoginFailed."""
        said = said_in(query)
        if not hmac.compare_digest(said.get("state", "").encode(), self.state.encode()):
            raise NotThisLogin("the answer is not to this login: its state is another")
        if "code_challenge" in said:
            raise NotThisLogin("that is the address to open, and no answer")
        # Before anything else of the answer is looked at (RFC 9207, 2.4): no code of one
        # authorization server may go to another, and no error text of one is shown.
        iss = said.get("iss")
        if iss != self.issuer.name and (iss is not None or self.issuer.promises_iss):
            raise LoginFailed("the answer is of another authorization server than the one that "
                              "was asked" if iss else "the answer does not say of which "
                              "authorization server it is, which that had promised")
        if "error" in said:
            raise LoginFailed(f"the authorization server refused: {error_text(None, said)}")
        if not said.get("code"):
            raise LoginFailed("the answer has no code")
        self._hide(said["code"])
        return said["code"]

    def _hide(self, secret):
        self.secrets |= {secret} if secret else set()
        hidden.add(self.secrets)

    def finish(self, code):
        """The record of this login, with tokens for the code. Raises LoginFailed."""
        raised = self._before.get("raised", 0) + 1 if self._more and self._before else 0
        record = {"server": self._url, "issuer": self.issuer.name, "client": self._client,
                  "resource": self._resource, "asked": self._scopes, "raised": raised,
                  "token": self.issuer.token, "revoke": self.issuer.revoke}
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect,
                "code_verifier": self._verifier}
        return with_tokens(self._web, record, form)


def said_in(query):
    """What the query of an address says."""
    try:
        return dict(urllib.parse.parse_qsl(query, max_num_fields=50))
    except ValueError:
        raise NotThisLogin("the answer is none") from None


def _client(id, secret, methods):
    """Who we are, as a record keeps it. `methods`: the ways that the server lists to show it."""
    method = "none" if not secret else "client_secret_post" if methods and \
        "client_secret_basic" not in methods and "client_secret_post" in methods \
        else "client_secret_basic"
    return {"id": id, "secret": secret, "method": method}


class Refused(LoginFailed):
    """The token endpoint has said no: `code` is its error."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def refreshed(web, record):
    """The record with new tokens. Raises Refused if the user must log in again, and LoginFailed
    if it may work later."""
    form = {"grant_type": REFRESH, "refresh_token": record[REFRESH]}
    return with_tokens(web, record, form)


def with_tokens(web, record, form):
    """The record with the tokens that this form is answered with. Some authorization servers do
    not take a `resource`: they are asked once more without, and that is remembered."""
    try:
        return _with_tokens(web, record, form)
    except Refused as problem:
        if problem.code != "invalid_target" or not record["resource"]:
            raise
    return _with_tokens(web, {**record, "resource": None}, form)


def _with_tokens(web, record, form):
    status, said = _ask(web, record, record["token"], {
        **form, **({"resource": record["resource"]} if record["resource"] else {})})
    access, problem = said.get("access_token"), said.get("error")
    if status != 200 or problem:    # GitHub answers 200 with an error
        text = f"{_TOKEN_ENDPOINT} refused: {error_text(status, said)}"
        if status < 500 and problem and problem not in _PASSES and status not in (408, 429):
            raise Refused(problem, text)
        raise LoginFailed(text)
    if not _is_token(access) or str(said.get("token_type")).lower() != "bearer":
        raise LoginFailed(f"{_TOKEN_ENDPOINT} gave no bearer token")
    try:
        seconds = float(said.get("expires_in") or 0)
        seconds = min(seconds, 3650 * DAY) if seconds > 0 else 0
    except (TypeError, ValueError, OverflowError):
        seconds = 0
    again = said.get(REFRESH)
    return {**record, "access": access,
            REFRESH: again if _is_token(again) else record.get(REFRESH),
            "scopes": list(scopes_in(said.get("scope"))) or record["asked"],
            "got": time.time(), "expires": time.time() + seconds if seconds else None}


def revoke(web, record):
    """Have the authorization server forget the tokens. False if it cannot. Raises LoginFailed."""
    token = record.get(REFRESH) or record.get("access")
    if not record.get("revoke") or not token:
        return False
    status, said = _ask(web, record, record["revoke"], {"token": token}, "the revocation endpoint")
    if status != 200:
        raise LoginFailed(error_text(status, said))
    return True


def _ask(web, record, url, form, what=_TOKEN_ENDPOINT):
    """Ask an endpoint as the client of the record."""
    client, headers = record["client"], []
    if client["method"] == "client_secret_basic":
        pair = ":".join(urllib.parse.quote(client[key], "") for key in ("id", "secret"))
        headers = [("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")]
    else:
        form = {**form, "client_id": client["id"]}
        if client["secret"]:
            form["client_secret"] = client["secret"]
    return web.post(url, what, form, headers=headers)


def _is_token(value):
    return isinstance(value, str) and 0 < len(value) < LONGEST_TOKEN and value.isascii() \
        and value.isprintable() and " " not in value


def error_text(status, said):
    """What an error of OAuth says, fit for a line. Some repeat what they were sent."""
    words = [str(said[key]) for key in ("error", "error_description") if said.get(key)]
    return printable(redacted(hidden.texts, ": ".join(words), 300)) or f"HTTP {status}"
