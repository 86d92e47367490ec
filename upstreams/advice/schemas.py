"""Tool schemas that MCP allows and some hosts refuse.

A host hands the schemas to a model's API, which knows only a part of JSON Schema. Mostly one such
schema costs more than its tool: all tools of the server, or every request of the session. Each
rule here has been reported of the hosts that it names."""

import re

from transports.fabric.messages import dig

LONGEST_PLACE = 200     # characters; a long name with much in it would be repeated as often

_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_PLAIN = ("items", "not", "if", "then", "else", "contains", "propertyNames")
_PROPERTY = re.compile("[A-Za-z0-9_.-]{1,64}")

_NO_OBJECT = ('has no "type": "object" at its top: hosts with the official SDKs then refuse all '
              "tools of the server")
_COMBINED = ("has anyOf, oneOf or allOf at its top: Anthropic's and OpenAI's APIs refuse that, "
             "Claude Code leaves the tool out")
_BAD_PROPERTY = ('the name of a property has other characters than letters, digits, "_", "-" and '
                 '".", or is over 64: Anthropic\'s API refuses that')
_BOOLEAN = ("true or false stands for a schema: Claude Code and opencode then lose all tools of "
            "the server, Gemini models refuse every request")
_NO_ITEMS = 'an array without "items": VS Code and OpenAI\'s API refuse that'
_NETWORK = "$ref to a network address: hosts do not fetch it"


def refused_schemas(tool):
    """Yield (where, what some hosts refuse there) for one tool of a tools/list.

    >>> list(refused_schemas({"inputSchema": {"type": "object", "properties": {"a": {}}}}))
    []
    >>> [where for where, what in refused_schemas({"inputSchema": {
    ...     "type": "object", "properties": {"a": True, "b": {"type": "array"}}}})]
    ['inputSchema.properties.a', 'inputSchema.properties.b']
    """
    for where in ["inputSchema", *({"outputSchema"} & tool.keys())]:
        schema = tool.get(where)
        if dig(schema, "type") != "object":
            yield where, _NO_OBJECT
        for place, part in _parts(where, schema):
            if isinstance(part, bool):
                yield place, _BOOLEAN
            elif str(dig(part, "$ref")).startswith(("http:", "https:")):
                yield place, _NETWORK
    if isinstance(tool.get("inputSchema"), dict):
        yield from _of_input("inputSchema", tool["inputSchema"])


def _of_input(where, schema):
    if schema.keys() & {"anyOf", "oneOf", "allOf"}:
        yield where, _COMBINED
    properties = schema.get("properties")
    for name in properties if isinstance(properties, dict) else ():
        if not _PROPERTY.fullmatch(name):
            yield f"{where}.properties.{name}", _BAD_PROPERTY
    for place, part in _parts(where, schema):
        kind = dig(part, "type")
        if (kind == "array" or isinstance(kind, list) and "array" in kind) and "items" not in part:
            yield place, _NO_ITEMS


def _parts(where, schema):
    """Yield (where, schema) for a schema and all in it. `additionalProperties` may be true or
    false without harm, and is looked into only if it is an object."""
    yield where, schema
    for key, part in _children(schema) if isinstance(schema, dict) else ():
        yield from _parts(f"{where}.{key}"[:LONGEST_PLACE], part)


def _children(schema):
    for key, value in schema.items():
        if key in _MAPS and isinstance(value, dict):
            yield from ((f"{key}.{name}", part) for name, part in value.items())
        elif key in (*_LISTS, "items") and isinstance(value, list):
            yield from ((f"{key}.{i}", part) for i, part in enumerate(value))
        elif key in _PLAIN or key == "additionalProperties" and isinstance(value, dict):
            yield key, value
