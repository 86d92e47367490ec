"""What a JSON-RPC message is, how bytes become one, and how it becomes bytes again.

A message is a plain dict. The router knows envelopes and a few methods; fields and methods that
it does not know pass through it. Messages are values: never change one that you did not build.
Rewrite a copy, because the same notification may wait in many queues.
"""

import json
import math

# Revisions of MCP that open with `initialize`, oldest first.
REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
LATEST = REVISIONS[-1]
# The one without: each request says whose it is.
MODERN_REVISION = "2026-07-28"
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"     # in the `_meta` of each such request

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
SERVER_UNAVAILABLE = -32000  # ours: a server is down, or left before it answered
REQUEST_CANCELLED = -32800   # ours: a server's question whose call was cancelled

REQUEST, NOTIFICATION, RESPONSE = "request", "notification", "response"

DEEPEST = 200

LOG_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


class Refused(Exception):
    """A request that we answer with an error."""

    def __init__(self, code, text, data=None):
        super().__init__(text)
        self.code = code
        self.data = data

    def answer(self, id):
        """The whole error, for the request with this id."""
        return error(id, self.code, str(self), self.data)


class InvalidMessage(Refused):
    """Bytes that are not a JSON-RPC message. There is no id to answer it with: `answer(None)`."""


def _finite(text):
    """What Python reads as infinity could not be passed on, as JSON has none."""
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _no_constant(text):
    raise ValueError(f"{text} is not JSON")


# ASCII on the wire: a lone surrogate has no UTF-8, and U+2028 splits lines in some SSE readers.
_encoder = json.JSONEncoder(separators=(",", ":"), check_circular=False)
_decoder = json.JSONDecoder(parse_float=_finite, parse_constant=_no_constant)


def encode(message):
    r"""The message as one line of bytes, without the line's end.

    >>> encode({"text": "a\u2028b"})
    b'{"text":"a\\u2028b"}'
    """
    return _encoder.encode(message).encode("ascii")


def decode(data):
    """Bytes → the JSON value in them.

    Raises InvalidMessage if they are not UTF-8 or not JSON, or if the value is nested so deep that
    encoding it again could fail.
    """
    try:
        value = _decoder.decode(data.decode("utf-8"))
    except (ValueError, RecursionError) as problem:
        raise InvalidMessage(PARSE_ERROR, f"not JSON: {problem}") from None
    if data.count(b"{") + data.count(b"[") > DEEPEST and _deeper_than(DEEPEST, value):
        raise InvalidMessage(PARSE_ERROR, f"nested more than {DEEPEST} deep")
    return value


def _deeper_than(depth, value):
    """Whether containers are nested more than `depth` deep. Level by level: no recursion."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(depth):
        level = [child for node in level
                 for child in (node.values() if isinstance(node, dict) else node)
                 if isinstance(child, (dict, list))]
        if not level:
            return False
    return True


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


def is_error_without_id(message):
    """Whether this says of no request in particular that it could not be done."""
    return (dig(message, "jsonrpc") == "2.0" and message.get("id") is None
            and "method" not in message and isinstance(dig(message, "error", "code"), int))


def whole(response):
    """A response that has an `error` as it should be: with that alone, or with a result alone.

    >>> whole({"id": 7, "result": {}, "error": None})
    {'id': 7, 'result': {}}
    """
    if response["error"] is None and response.get("result") is not None:
        return without_keys(response, "error")
    problem = response["error"]
    if problem is None:
        problem = {"code": INTERNAL_ERROR, "message": "an answer without a result"}
    return {**without_keys(response, "result"), "error": problem}


def each_of(message):
    """The messages in what was decoded: one, or those of a batch (2025-03-26)."""
    return message if isinstance(message, list) else [message]


def dig(value, *keys):
    """What is at the end of these keys of nested objects; None if there is no such thing.

    >>> dig({"params": {"_meta": {"progressToken": 7}}}, "params", "_meta", "progressToken")
    7
    """
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
    """A string that the request must have. Raises Refused if it is missing."""
    value = params_of(message).get(key)
    if not isinstance(value, str):
        raise Refused(INVALID_PARAMS, f"{message['method']}: params.{key} must be a string")
    return value


def task_id_in(response):
    """The id of the task that an answer creates (2025-11-25, Tasks), or None."""
    task_id = dig(response, "result", "task", "taskId")
    return task_id if isinstance(task_id, str) else None


def with_params(message, **changes):
    """A copy of the message in which these params are changed and nothing else."""
    return {**message, "params": {**(message.get("params") or {}), **changes}}


def request(method, params=None):
    """A request of our own, which gets its id when it is passed on: PendingRequests.add."""
    return {"jsonrpc": "2.0", "id": 0, "method": method, "params": params or {}}


def notification(method, params=None):
    return {"jsonrpc": "2.0", "method": method, **({"params": params} if params else {})}


def result(id, value):
    return {"jsonrpc": "2.0", "id": id, "result": value}


def error(id, code, text, data=None):
    body = {"code": code, "message": text, **({} if data is None else {"data": data})}
    return {"jsonrpc": "2.0", "id": id, "error": body}
