"""What the headers of a POST must say: the same as its body, for whoever reads only them on
the way (2026-07-28, Streamable HTTP, Server Validation)."""

import base64
import binascii

from transports.fabric.messages import VERSION_KEY, Refused, dig

HEADER_MISMATCH = -32020    # 2026-07-28, HeaderMismatchError

# The method → the param that Mcp-Name repeats.
NAMES = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri",
         "tasks/get": "taskId", "tasks/update": "taskId", "tasks/cancel": "taskId"}
_BEGINS, _ENDS = "=?base64?", "?="


def check_headers(request, message):
    """Raises Refused if they say something else than the body, or nothing."""
    version = dig(message, "params", "_meta", VERSION_KEY)
    if isinstance(version, str):    # else `_meta` is refused
        _check(request, "MCP-Protocol-Version", version)
    _check(request, "Mcp-Method", message["method"])
    if key := NAMES.get(message["method"]):
        name = dig(message, "params", key)
        if isinstance(name, str):   # else the params are refused
            _check(request, "Mcp-Name", name, decoded)


def _check(request, header, value, read=lambda text: text):
    said = request.header(header)
    if said is None:
        raise Refused(HEADER_MISMATCH, f"Header mismatch: {header} is missing")
    if read(said) != value:
        raise Refused(HEADER_MISMATCH, f"Header mismatch: {header} says {said[:200]!r}, the body "
                                       f"{str(value)[:200]!r}")


def decoded(text):
    """The value of a header that may be encoded; None if it cannot be read."""
    if not text.startswith(_BEGINS) or not text.endswith(_ENDS):
        return text
    try:
        data = base64.b64decode(text[len(_BEGINS):-len(_ENDS)], validate=True)
        return data.decode("utf-8", "surrogatepass")
    except (binascii.Error, ValueError):
        return None
