"""What an HTTP error says: in words to the caller, and what follows from it to the connection."""

import contextlib
import datetime
import email.utils
import re

from transports.fabric.messages import (METHOD_NOT_FOUND, RESPONSE, InvalidMessage, decode, dig,
                                        kind_of)
from transports.fabric.text import printable

from .connection import HttpFailed
from .message_headers import REFUSED

LONGEST_BODY = 2**20    # bytes of the body of an error
BODY_SECONDS = 5.0      # that it may take
SHOWN = 200             # characters of it
LONGEST_PAUSE = 3600.0  # seconds that we wait because a Retry-After says so

# 2025-11-25, Transports, Session Management, demands 404; others answer 400, and say in words
# that it is the session, alone or in a JSON-RPC error of one of these codes. With another status,
# 200 among them, it must say just that. All but the 404 may be about sessions of a tool's own.
_FORGOTTEN_CODES = None, -32000, -32001, -32600
_FORGOTTEN = re.compile(
    r"(?:[\w ]{1,30}: )?(?:(?:no|missing|invalid|unknown)(?: (?:valid|such|active))?(?: mcp)?[ -]"
    r"session[ -]id(?: provided| header)?|no (?:valid|such|active) session|(?:mcp[ -])?session"
    r"(?:[ -]id)?(?: is| was)? (?:not found|does not exist|unknown|terminated))"
    r"(?:\W+[\w-]{8,})?\W*", re.IGNORECASE)
_HIDES = re.compile(r"<(?:script|style)\b", re.IGNORECASE)
_SHOWS = re.compile(r"</(?:script|style)[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")


class Problem(HttpFailed):
    """An HTTP error, or a success with something else than an answer. `in_session`: whether we
    named a session, or, with HTTP+SSE, post to the endpoint of one that has worked."""

    def __init__(self, wire, in_session, method="POST"):
        data = bytearray()
        # The status says enough if the rest does not come.
        with contextlib.suppress(HttpFailed), wire.within(BODY_SECONDS):
            for piece in wire.pieces():
                data += piece
                if len(data) > LONGEST_BODY:
                    break
        self.status = wire.status
        self.body = error_in(bytes(data))           # the JSON-RPC error in it, or None
        self.pause = _pause(wire.headers)           # seconds, if a Retry-After says them
        self.challenges = wire.headers.get_all("www-authenticate", [])
        words = shown(str(self.body["error"].get("message")) if self.body
                      else without_markup(data[:20_000].decode("utf-8", "replace")))
        self.in_doubt = in_session and self._says_forgotten(words)
        # An error in JSON-RPC may answer just one request, and there may be no route for a GET.
        self.forgotten = self.in_doubt and method == "POST" and wire.status in (404, 410) \
            and dig(self.body, "id") is None
        self.is_circle = wire.status == 508 and words == shown(REFUSED)     # another 508 is not
        text = f"answered HTTP {wire.status} {wire.reason}".rstrip()
        if wire.status < 300:
            text = f"sent {wire.kind() or 'nothing'} in place of an answer; it {text}"
        if told := wire.headers.get("www-authenticate"):
            text += f" ({printable(told[:SHOWN])})"
        text += f": {words}" if words else ""
        text += "" if self.pause is None else f"; try again in {self.pause:g} seconds"
        super().__init__(text)

    def _says_forgotten(self, words):
        """Whether it may mean that the server does not know our session any more."""
        code = self.body["error"].get("code") if self.body else None
        if self.status == 404:  # unless it knows us, and lacks the method of this request
            return code != METHOD_NOT_FOUND or self.body.get("id") is None
        return self.status == 410 or code in _FORGOTTEN_CODES and bool(
            self.status == 400 and "session" in words.lower() or _FORGOTTEN.fullmatch(words))


def says_forgotten(message):
    """Whether an answer, of whatever status, is an error that says: our session is missing."""
    return dig(message, "error", "code") in _FORGOTTEN_CODES[1:] \
        and bool(_FORGOTTEN.fullmatch(str(dig(message, "error", "message"))[:SHOWN]))


def error_in(data):
    """The JSON-RPC error in these bytes, whatever its id is; None if they are something else."""
    try:
        body = decode(data)
        is_one = isinstance(body, dict) and isinstance(body.get("error"), dict) \
            and kind_of({**body, "id": 0}) is RESPONSE
    except InvalidMessage:
        return None
    return body if is_one else None


def shown(text):
    """The first words of a text or of bytes, fit for a line of a log."""
    text = text[:20_000] if isinstance(text, str) else text[:20_000].decode("utf-8", "replace")
    text = " ".join(text.split())
    return printable(text if len(text) <= SHOWN else text[:SHOWN] + "…")


def without_markup(text):
    """The text of a page, roughly, in linear time.

    >>> without_markup("<p>Log <b>in</b><style>p { x }</style> 1 < 2 or <SCRIPT>never")
    ' Log  in   1 < 2 or  '
    """
    first, *hidden = _HIDES.split(text)
    parts = [first, *("".join(_SHOWS.split(part, 1)[1:]) for part in hidden)]
    return _TAG.sub(" ", " ".join(parts))


def _pause(headers):
    """The seconds of a Retry-After, which may also be a date; None without one."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_PAUSE)
    try:
        moment = email.utils.parsedate_to_datetime(text)
        now = datetime.datetime.now(moment.tzinfo)
        return min(max(0.0, round((moment - now).total_seconds())), LONGEST_PAUSE)
    except (TypeError, ValueError, OverflowError):
        return None
