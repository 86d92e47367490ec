"""The headers of a tool's parameters: what we send to a remote server as its client, we take from
a client as its server. Each end has its own code, as two programs would."""

import types

import hypothesis
from hypothesis import strategies as st

from transports.stateless.header_checks import check_parameters, marked
from upstreams.connections.remote.message_headers import parameters_of, values

NAMES = st.sampled_from(["a", "b", "c"])
MARKS = st.sampled_from(["A", "a", "B_1", "c.d", "", "x y", "é", None, 5])
TYPES = st.sampled_from(["string", "integer", "boolean", "number", "object", None, ["string"]])
LEAVES = st.builds(lambda kind, mark: {"type": kind, "x-mcp-header": mark}, TYPES, MARKS) \
    | st.none() | st.just({"type": "string"}) \
    | st.just({"type": "integer", "x-mcp-header": "Good"})
SCHEMAS = st.recursive(LEAVES, lambda inner: st.builds(
    lambda key, inner: {key: inner}, st.sampled_from(["properties", "$defs", "default"]),
    st.dictionaries(NAMES, inner, max_size=3)) | st.builds(
    lambda key, inner: {key: inner}, st.sampled_from(["items", "anyOf", "not"]),
    inner | st.lists(inner, max_size=2)), max_leaves=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(4.0),
    lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=6)


@hypothesis.given(SCHEMAS, VALUES)
def test_both_ends_agree_on_the_marks_and_on_the_values(schema, arguments):
    tool = {"name": "t", "inputSchema": schema}
    try:
        parameters = parameters_of(tool)
    except ValueError:
        parameters = []
    assert {f"mcp-param-{name}": path for name, path in marked(schema).items()} == {
        header.lower(): path for header, path in parameters}
    lines = [f"{header}: {value}" for header, value in values(parameters, arguments)]
    catalog = type("Catalog", (), {"lists": {"tools/list": [tool]}})()
    surface = types.SimpleNamespace(
        find=lambda *_: (types.SimpleNamespace(catalog=catalog), "t"))
    check_parameters(types.SimpleNamespace(head="\r\n".join(["POST", *lines]).encode()),
                     types.SimpleNamespace(surface=surface),
                     {"method": "tools/call", "params": {"name": "t", "arguments": arguments}})
