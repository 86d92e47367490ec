"""What an HTTP error says: to the caller in words, and to the connection what follows from it."""

import datetime
import email.utils
import json
import re
from dataclasses import dataclass

from transports.fabric.messages import METHOD_NOT_FOUND
from transports.fabric.text import printable

from .server_socket import HttpFailed

LONGEST_BODY = 2**20    # bytes of the body of an error
SHOWN = 200             # characters of it
LONGEST_PAUSE = 3600.0  # seconds that we wait because a Retry-After says so

FORGOTTEN, OTHER = "forgotten", "other"

_MARKUP = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class Problem:
    """An HTTP error."""

    kind: str
    status: int
    text: str           # for the caller
    body: dict = None   # the JSON-RPC error in it
    pause: float = None     # seconds, if a Retry-After says them

    @property
    def may_be_old(self):
        """Whether it may be a server of HTTP+SSE (2024-11-05), to which a POST here means
        nothing."""
        return self.status in (400, 404, 405) and self.body is None


def problem_of(exchange, post, session):
    """The Problem that this exchange has ended with. `session`: our Mcp-Session-Id, or None."""
    try:
        data = exchange.read(LONGEST_BODY)
    except HttpFailed:
        data = b""
    body, status, pause = _json_rpc_error(data), exchange.status, _pause(exchange.headers)
    text = f"answered HTTP {status} {printable(exchange.reason)}".rstrip()
    if told := exchange.headers.get("www-authenticate"):
        text += f" ({printable(told[:SHOWN])})"
    if words := _words(data, body):
        text += f": {words}"
    if pause is not None:
        text += f"; try again in {pause:g} seconds"
    kind = FORGOTTEN if session and _is_forgotten(status, body, post) else OTHER
    return Problem(kind, status, text, body, pause)


def _is_forgotten(status, body, post):
    """Whether this answer means that it does not know our session any more (2025-11-25,
    Transports, Session Management). Servers made by an older example of the official SDK answer
    400, and say in words that it is the session."""
    problem = body["error"] if body else {}
    if status == 404:
        return not (problem.get("code") == METHOD_NOT_FOUND and post and body.get("id") == post.id)
    return (status == 400 and problem.get("code") == -32000
            and "session" in str(problem.get("message")).lower())


def _json_rpc_error(data):
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return None
    is_one = isinstance(body, dict) and "jsonrpc" in body and isinstance(body.get("error"), dict)
    return body if is_one else None


def _words(data, body):
    """The first words of a body, fit for a line of text."""
    text = str(body["error"].get("message")) if body else data[:20_000].decode("utf-8", "replace")
    text = " ".join(_MARKUP.sub(" ", text).split())
    return printable(text if len(text) <= SHOWN else text[:SHOWN] + "…")


def _pause(headers):
    """The seconds of a Retry-After, which may also be a date; None without one."""
    text = headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_PAUSE)
    try:
        moment = email.utils.parsedate_to_datetime(text)
        now = datetime.datetime.now(moment.tzinfo)
    except (TypeError, ValueError):
        return None
    return min(max(0.0, round((moment - now).total_seconds())), LONGEST_PAUSE)
