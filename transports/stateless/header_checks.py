"""What the headers of a POST must say: the same as its body, for whoever reads only them on
the way (2026-07-28, Streamable HTTP, Server Validation).

That goes for the arguments of a tool too which the schema of its arguments marks with
`x-mcp-header`. A tool with an invalid mark stays in the lists: its clients are to leave it out,
and to say why. If one calls it nevertheless, no header is expected."""

import base64
import binascii
import re
import weakref

from transports.fabric.messages import MODERN_REVISION, VERSION_KEY, Refused, dig

from .stateless import unsupported

HEADER_MISMATCH = -32020    # 2026-07-28, HeaderMismatchError

# The method → the param that Mcp-Name repeats.
NAMES = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri",
         "tasks/get": "taskId", "tasks/update": "taskId", "tasks/cancel": "taskId"}
HEADERS = ("MCP-Protocol-Version", "Mcp-Method", "Mcp-Name")
_BEGINS, _ENDS = "=?base64?", "?="
_ALLOWED = re.compile(r"[\t -~]*")      # Value Encoding
_WHOLE = re.compile(r"(-?[0-9]{1,400})(?:\.0{1,400})?")
_BROKEN = re.compile(r"-?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][-+]?[0-9]{1,3})?")

MARK = "x-mcp-header"
MOST_MARKS = 100        # of one tool; more would not fit into the header of a request
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")     # RFC 9110, Tokens
_TYPES = ("string", "integer", "boolean")
_VALUES = ("default", "const", "enum", "examples", MARK)    # they hold no schemas
_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")

# Catalog → (its list of tools, {own name: tool}, {own name: what `marked` has found in it}). Each
# list is looked through once, and each tool that is called.
_known = weakref.WeakKeyDictionary()


def said_in(request):
    """{header: what that stands for; None if it is missing, or cannot be read}."""
    said = {name: request.header(name) for name in HEADERS}
    return {name: text and (decoded(text) if name == "Mcp-Name" else
                            text if _ALLOWED.fullmatch(text) else None)
            for name, text in said.items()}


def check_headers(request, said, message):
    """Raises Refused if they say something else than the body, or nothing. `said`: see said_in."""
    version = dig(message, "params", "_meta", VERSION_KEY)
    if isinstance(version, str):
        _check(request, said, "MCP-Protocol-Version", version)
    elif message["method"] == "initialize":     # of a legacy client, of which nobody knows here
        raise unsupported(str(dig(message, "params", "protocolVersion")))
    elif (text := request.header("MCP-Protocol-Version", MODERN_REVISION)) != MODERN_REVISION:
        raise unsupported(text)
    if version != MODERN_REVISION:
        return  # that, or `_meta`, is refused
    _check(request, said, "Mcp-Method", message["method"])
    name = message["params"].get(NAMES.get(message["method"]))
    if isinstance(name, str):   # else the params are refused
        _check(request, said, "Mcp-Name", name)
        if ", " in name and len(_lines(request).get("mcp-name", ())) > 1:
            raise _mismatch("Mcp-Name is there more than once")


def check_parameters(request, session, message):
    """The same for the arguments of a tool of which the server says, in the schema that we have
    from it, that a header repeats them. Raises Refused, also if there is no such tool."""
    params = message["params"]
    if message["method"] != "tools/call" or not isinstance(params.get("name"), str):
        return
    upstream, own = session.surface.find(session, "tools/list", params["name"])
    if parameters := parameters_of(upstream.catalog, own):
        lines, arguments = _lines(request), params.get("arguments")
        for key, path in parameters.items():
            _check_parameter(f"Mcp-Param-{key}", lines.get(f"mcp-param-{key}"),
                             dig(arguments, *path))


def _check_parameter(header, lines, value):
    """`lines`: what the header says, once or several times, or None."""
    if not isinstance(value, (str, int, float)):    # null, absent, or refused by the server
        if lines:
            raise _mismatch(f"{header} is there, but no value for it in the arguments")
    elif not lines:
        raise _mismatch(f"{header} is missing, but its value is in the arguments")
    elif len(lines) > 1:
        raise _mismatch(f"{header} is there more than once")
    else:
        said = decoded(lines[0])
        if not (said == value if isinstance(value, str) else _is_number(said, value)):
            raise _differs(header, lines[0], value)


def _is_number(said, value):
    """Whether a header says this number, or bool. 42 and 42.0 are equal.

    >>> _is_number("42.0", 42), _is_number("42", 42.0), _is_number("true", True)
    (True, True, True)
    """
    if isinstance(value, bool):
        return said == str(value).lower()
    said = said or ""
    if found := _WHOLE.fullmatch(said):
        return int(found[1]) == value
    if isinstance(value, float) and _BROKEN.fullmatch(said):
        return float(said) == value
    return said == str(value)


def _check(request, said, header, value):
    if said[header] != value:
        text = request.header(header)
        raise _mismatch(f"{header} is missing") if text is None else _differs(header, text, value)


def _differs(header, said, value):
    return _mismatch(f"{header} says {said[:200]!r}, the body {str(value)[:200]!r}")


def _mismatch(text):
    return Refused(HEADER_MISMATCH, f"Header mismatch: {text}")


def _lines(request):
    """{name of a header, in small letters: [what its lines say]}. Our HTTP parser joins lines of
    one name, and leaves out names that have an underscore, as a parameter's may have."""
    found = {}
    for line in request.head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        found.setdefault(name.decode("latin-1").lower(), []).append(
            value.strip(b" \t").decode("latin-1"))
    return found


def decoded(text):
    """The value of a header that may be encoded; None if it cannot be read."""
    if not _ALLOWED.fullmatch(text):
        return None
    if not text.startswith(_BEGINS) or not text.endswith(_ENDS):
        return text
    try:
        data = base64.b64decode(text[len(_BEGINS):-len(_ENDS)], validate=True)
        return data.decode("utf-8", "surrogatepass")
    except (binascii.Error, ValueError):
        return None


# -- the marks in schemas


def parameters_of(catalog, own):
    """{end of the header's name, in small letters: path in the arguments} of the tool that has
    this own name in the list that its server has given last; {} if that is not known."""
    items = catalog.lists.get("tools/list")
    if items is None:
        return {}
    listed, tools, found = _known.get(catalog, (None, None, None))
    if listed is not items:
        tools, found = {tool["name"]: tool for tool in items}, {}
        _known[catalog] = items, tools, found
    if own in tools and own not in found:
        found[own] = marked(tools[own].get("inputSchema"))
    return found.get(own, {})


def marked(schema):
    """The same, of one schema; {} if one of its marks is invalid.

    >>> marked({"properties": {"a": {"properties": {
    ...     "b": {"type": "string", "x-mcp-header": "Region"}}}}})
    {'region': ('a', 'b')}
    """
    found = {}
    return found if _look(schema, (), found) else {}


def _look(schema, path, found):
    """False for an invalid mark. `path` is None where not all steps are `properties`."""
    if isinstance(schema, list):
        return all(_look(part, None, found) for part in schema)
    if not isinstance(schema, dict):
        return True
    if MARK in schema and not _note(schema, path, found):
        return False
    for key, value in schema.items():
        if key in _NAMED and isinstance(value, dict):
            is_reached = path is not None and key == "properties"
            if not all(_look(part, (*path, name) if is_reached else None, found)
                       for name, part in value.items()):
                return False
        elif key not in _VALUES and not _look(value, None, found):
            return False
    return True


def _note(schema, path, found):
    name = schema[MARK]
    if not path or not isinstance(name, str) or not _TOKEN.fullmatch(name) \
            or schema.get("type") not in _TYPES or name.lower() in found \
            or len(found) == MOST_MARKS:
        return False
    found[name.lower()] = path
    return True
