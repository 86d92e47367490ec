"""`x-mcp-header`: parameters of a tool that are sent as headers too (2026-07-28, Streamable HTTP,
Custom Headers from Tool Parameters).

An annotation may only be where each step from the root of the inputSchema is a `properties` key.
A tool with an annotation anywhere else, or with one that breaks another rule, must not be listed.
"""

import base64
import re

ANNOTATION = "x-mcp-header"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")     # RFC 9110, Tokens
_PLAIN = re.compile(r"(?![ \t])[\t -~]*(?<![ \t])")
_NO_SCHEMAS = {"default", "const", "enum", "examples", ANNOTATION}
_NAMED_SCHEMAS = {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}


def parameters_of(tool):
    """[(header, path)]: the arguments of this tool that are sent as headers.

    Raises ValueError if an annotation is invalid.

    >>> parameters_of({"inputSchema": {"properties": {"a": {"properties": {
    ...     "b": {"type": "string", "x-mcp-header": "Region"}}}}}})
    [('Mcp-Param-Region', ('a', 'b'))]
    """
    found = []
    _visit(tool.get("inputSchema"), (), True, found)
    names = [name.lower() for name, _ in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{ANNOTATION} is the same for several parameters: {twice.pop()}")
    return [(f"Mcp-Param-{name}", path) for name, path in found]


def _visit(schema, path, reachable, found):
    """`reachable`: whether all steps to here are `properties` keys."""
    if isinstance(schema, dict) and ANNOTATION in schema:
        _check(schema, path, reachable)
        found.append((schema[ANNOTATION], path))
    for step, part, by_property in _parts(schema):
        _visit(part, path + step, reachable and by_property, found)


def _parts(schema):
    """(step, schema, whether it is that of a property) of each schema in this one."""
    if isinstance(schema, list):
        yield from (((), part, False) for part in schema)
    for key, value in schema.items() if isinstance(schema, dict) else ():
        if key in _NAMED_SCHEMAS and isinstance(value, dict):
            yield from (((name,), part, key == "properties") for name, part in value.items())
        elif key not in _NO_SCHEMAS:
            yield (), value, False


def _check(schema, path, reachable):
    name = schema[ANNOTATION]
    where = f"{ANNOTATION} of {'.'.join(path) or 'the root'}"
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise ValueError(f"{where} is no name of a header")
    if not reachable or not path:
        raise ValueError(f"{where} is not reached by `properties` alone")
    if schema.get("type") not in ("string", "integer", "boolean"):
        raise ValueError(f"{where}: its type is not string, integer or boolean")


def values(parameters, arguments):
    """[(header, value)] for the arguments of one call; those that are absent or null have none."""
    found = []
    for header, path in parameters:
        value = arguments
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, int) or isinstance(value, float) and value.is_integer():
            value = str(int(value))
        if isinstance(value, str):
            found.append((header, encoded(value)))
    return found


def encoded(value):
    """Text as the value of a header: as it is, or Base64 where that would not be safe.

    >>> encoded("us-west1"), encoded(" padded "), encoded("=?base64?literal?=")
    ('us-west1', '=?base64?IHBhZGRlZCA=?=', '=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=')
    """
    if _PLAIN.fullmatch(value) and not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    data = base64.b64encode(value.encode("utf-8", "surrogatepass")).decode()
    return f"=?base64?{data}?="
