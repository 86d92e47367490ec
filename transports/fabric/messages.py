"""What a JSON-RPC message is, how bytes become one, and how it becomes bytes again.

A message is a plain dict; fields and methods that the router does not know pass through it.
Never change a message that you did not build: the same one may wait in many queues. Change a copy.
"""

import json
import math
import re

# Revisions of MCP that open with `initialize`, oldest first.
REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
LATEST = REVISIONS[-1]
# The one without: each request says whose it is.
MODERN_REVISION = "2026-07-28"
# What the `_meta` of each such request says (2026-07-28, General fields, _meta).
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CLIENT_INFO_KEY = "io.modelcontextprotocol/clientInfo"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
LOG_LEVEL_KEY = "io.modelcontextprotocol/logLevel"
# What is said in answers, and in what comes because of a subscription.
SERVER_INFO_KEY = "io.modelcontextprotocol/serverInfo"
SUBSCRIPTION_KEY = "io.modelcontextprotocol/subscriptionId"
META_KEYS = (VERSION_KEY, CLIENT_INFO_KEY, CAPABILITIES_KEY, LOG_LEVEL_KEY, SERVER_INFO_KEY,
             SUBSCRIPTION_KEY)
TASKS_EXTENSION = "io.modelcontextprotocol/tasks"

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
SERVER_UNAVAILABLE = -32000  # ours: a server is down, or left before it answered
REQUEST_CANCELLED = -32800   # ours: a server's question whose call was cancelled

REQUEST, NOTIFICATION, RESPONSE = "request", "notification", "response"
LOG_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
LONGEST_KEPT = 10_000   # characters of an id, a progress token, a URI that is subscribed to
MOST_SAID = 100_000     # bytes of what a client says of itself
DEEPEST = 200       # that containers of a message may be nested
BOM = b"\xef\xbb\xbf"     # that some editors and languages put before a text
ENDS = 400          # bytes that are kept of both ends of a line that is too long


class Refused(Exception):
    """A request that we answer with an error."""

    def __init__(self, code, text, data=None):
        super().__init__(text)
        self.code, self.data = code, data

    def answer(self, id):
        """The whole error, for the request with this id."""
        return error(id, self.code, str(self), self.data)


class InvalidMessage(Refused):
    """Bytes that are not a JSON-RPC message. There is no id to answer it with: `answer(None)`."""


# -- bytes


def _finite(text):
    """JSON has no infinity and no NaN, so what Python reads as such could not be passed on."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large, or no number")
    return number


# ASCII on the wire: a lone surrogate has no UTF-8, and U+2028 splits lines in some SSE readers.
# This is what JSONEncoder makes anew for each message, which takes as long as to encode it; not
# every Python has it.
_encoder = json.JSONEncoder(separators=(",", ":"), check_circular=False)
_pieces = json.encoder.c_make_encoder(
    None, _encoder.default, json.encoder.encode_basestring_ascii, None, ":", ",", False, False,
    True) if json.encoder.c_make_encoder else lambda message, _: _encoder.iterencode(message)
_decoder = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)


def encode(message):
    """The message as one line of bytes, without the line's end."""
    return "".join(_pieces(message, 0)).encode("ascii")


def decode(data):
    """Bytes → the JSON value in them. Raises InvalidMessage, also if it is nested too deep."""
    try:
        text = data.removeprefix(BOM).decode("utf-8").strip(" \t\r\n")
        value, end = _decoder.raw_decode(text)
        if end < len(text):
            raise json.JSONDecodeError("Extra data", text, end)
    except (ValueError, RecursionError) as problem:
        raise InvalidMessage(PARSE_ERROR, f"not JSON: {why_unreadable(problem)}") from None
    if data.count(b"{") + data.count(b"[") > DEEPEST and _deeper_than(DEEPEST, value):
        raise InvalidMessage(PARSE_ERROR, f"nested more than {DEEPEST} deep")
    return value


def why_unreadable(problem):
    """What an error of Python's JSON reader says, less its advice to programmers."""
    return "a number has too many digits" if "set_int_max_str_digits" in str(problem) else problem


def _deeper_than(depth, value):
    """Whether containers are nested more than `depth` deep. Level by level: no recursion."""
    level = [value]
    for _ in range(depth):
        level = [child for node in level if isinstance(node, (dict, list))
                 for child in (node.values() if isinstance(node, dict) else node)]
    return any(isinstance(node, (dict, list)) for node in level)


def each_line(read, longest):
    """(line, None) for each line that is not blank, without its end and without a byte order mark;
    (its first bytes, its last bytes) if it is too long. read(most) is the `readline` of a file."""
    while line := read(longest + 2):    # with its end
        tail, rest = None, line
        if len(line) > longest and not (
                line.endswith(b"\n") and len(line.rstrip(b"\r\n")) <= longest):
            line, tail = line.lstrip()[:ENDS], line.rstrip(b"\r\n")[-ENDS:]
            while rest and not rest.endswith(b"\n"):
                rest = read(2**20)
                tail = (tail + rest.rstrip(b"\r\n"))[-ENDS:]
        if (line := line.removeprefix(BOM).strip()) or tail is not None:
            yield line, tail


def messages_within(line):
    """The messages of a line that is not one: behind or before other text, as a progress bar, or
    several. What is no message ends the search."""
    text, found = line.decode("utf-8", "replace"), []
    deep = line.count(b"{") + line.count(b"[") > DEEPEST
    start = text.find('{"')
    while start >= 0:
        try:
            message, end = _decoder.raw_decode(text, start)
            kind_of(message)
        except (ValueError, RecursionError, InvalidMessage):
            break
        if deep and _deeper_than(DEEPEST, message) or "\ufffd" in text[start:end]:
            break
        found.append(message)
        start = text.find('{"', end)
    return found


def seems_answer(line):
    """Whether (a part of) bytes that are no message were meant as an answer: not as a log line."""
    head, tail = line[:200], line[-200:]
    return bool(_OPENS.match(head)) and b'"jsonrpc"' in head + tail and b'"method"' not in head


def id_of_answer(line):
    """Our id in such bytes; None if there is none, or it is not clear."""
    if not seems_answer(line):
        return None
    found = _ID_AT_START.search(line[:200]) or _ID_AT_END.search(line[-200:])
    ids = {found[1]} if found else set(_ID.findall(line))
    return int(ids.pop()) if len(ids) == 1 else None


_OPENS = re.compile(rb'\s*(?:\{|"jsonrpc")')
# Where SDKs put the id of an answer: Python's near the start, TypeScript's at the very end.
_ID_AT_START = re.compile(rb'^\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(\d+)\s*,')
_ID_AT_END = re.compile(rb',\s*"id"\s*:\s*(\d+)\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$')
_ID = re.compile(rb'"id"\s*:\s*([0-9]{1,18})(?![0-9])')


# -- envelopes


def kind_of(message):
    """REQUEST, NOTIFICATION or RESPONSE. Raises InvalidMessage for anything else."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise InvalidMessage(INVALID_REQUEST, 'not a JSON-RPC object with "jsonrpc": "2.0"')
    if "method" in message:
        if not isinstance(message["method"], str):
            raise InvalidMessage(INVALID_REQUEST, "the method must be a string")
        if "id" not in message:
            return NOTIFICATION
        if is_id(message["id"]):
            return REQUEST
    elif ("result" in message or "error" in message) and is_id(message.get("id")):
        return RESPONSE
    raise InvalidMessage(INVALID_REQUEST, "neither a request, a notification nor a response; "
                                          "an id is a string or a number")


def is_id(value):
    """An id or a progress token is a string or a number; a bool is neither, unlike in Python."""
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def check_kept(value, what):
    """Raises Refused if a text that is kept while its peer is there is too long for that."""
    if isinstance(value, str) and len(value) > LONGEST_KEPT:
        raise Refused(INVALID_PARAMS, f"{what} has more than {LONGEST_KEPT} characters")


def check_said(capabilities, client_info):
    """Raises Refused if a client says more of itself than is kept."""
    if len(encode([capabilities, client_info])) > MOST_SAID:
        raise Refused(INVALID_PARAMS, f"capabilities and clientInfo have more than {MOST_SAID} "
                                      "bytes")


def dig(value, *keys):
    """What is at the end of these keys of nested objects; None if there is no such thing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def without_keys(value, *keys):
    """A copy of an object, less what it has at these keys."""
    return {key: value[key] for key in value if key not in keys}


def params_of(message):
    """The params of a message, {} if it has none. Raises Refused if they are not an object."""
    params = message.get("params")
    if params is None:
        return {}
    if not isinstance(params, dict):
        raise Refused(INVALID_PARAMS, f"{message['method']}: params must be an object")
    return params


def text_param(message, key):
    """A param that must be a string. Raises Refused if it is none."""
    value = params_of(message).get(key)
    if not isinstance(value, str):
        raise Refused(INVALID_PARAMS, f"{message['method']}: params.{key} must be a string")
    return value


def with_params(message, **changes):
    """A copy of the message in which these params are changed and nothing else."""
    return {**message, "params": {**(message.get("params") or {}), **changes}}


def task_id_in(response):
    """The id of the task that an answer creates (2025-11-25, Tasks), or None."""
    task_id = dig(response, "result", "task", "taskId")
    return task_id if isinstance(task_id, str) else None


def request(method, params=None):
    """A request of our own, which gets its id when it is passed on: PendingRequests.add."""
    return {"jsonrpc": "2.0", "id": None, "method": method, "params": params or {}}


def notification(method, params=None):
    return {"jsonrpc": "2.0", "method": method, **({"params": params} if params else {})}


def result(id, value):
    return {"jsonrpc": "2.0", "id": id, "result": value}


def error(id, code, text, data=None):
    body = {"code": code, "message": text, **({} if data is None else {"data": data})}
    return {"jsonrpc": "2.0", "id": id, "error": body}
