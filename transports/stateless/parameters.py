"""Which arguments of a tool are repeated in headers: those that the schema of its arguments marks
with `x-mcp-header` (2026-07-28, Streamable HTTP, Custom Headers from Tool Parameters).

A tool with an invalid mark stays in the lists: its clients are to leave it out, and say why. If
one calls it nevertheless, no header is expected.
"""

import re
import weakref

MARK = "x-mcp-header"
MOST_MARKS = 100        # of one tool; more would not fit into the header of a request
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")     # RFC 9110, Tokens
_TYPES = ("string", "integer", "boolean")
_VALUES = ("default", "const", "enum", "examples", MARK)    # they hold no schemas
_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")

# Catalog → (its list of tools, {own name: tool}, {own name: what `marked` has found in it}). Each
# list is looked through once, and each tool that is called.
_known = weakref.WeakKeyDictionary()


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
