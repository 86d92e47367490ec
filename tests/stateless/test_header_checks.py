"""transports/stateless/header_checks.py: what the headers of a POST must say (2026-07-28,
Streamable HTTP, Request Metadata and Server Validation)."""

import time

import pytest
from modern_by_hand import Played, asks, calls, error_of, in_base64

from transports.fabric.messages import VERSION_KEY
from transports.stateless.header_checks import marked

from world import World, offers

MISMATCH = (400, -32020)
TEXT, WHOLE, FLAG = ({"type": kind} for kind in ("string", "integer", "boolean"))


def schema(**properties):
    return {"type": "object", "properties": properties}


RUN = {"name": "run", "inputSchema": schema(
    region={**TEXT, "x-mcp-header": "Region"}, row={**WHOLE, "x-mcp-header": "Row_Id"},
    dry={**FLAG, "x-mcp-header": "Dry.Run"}, query=TEXT,
    where=schema(zone={**TEXT, "x-mcp-header": "Zone"}))}
HEADERS = {"region": "Region", "row": "Row_Id", "dry": "Dry.Run", "zone": "Zone"}


@pytest.fixture
def played():
    return Played(World(a=offers(
        tools=[RUN, "plain", "grüße", "a, a", " padded", "=?base64?literal?="],
        prompts=["p"], resources=["x://a?b=c%20d"]), b=offers(tools=["plain"])))


def goes_on(played, message, **more):
    """Whether the server gets it; else how the POST is refused."""
    connection = played.posts(message, **more)
    if played.world["a"].takes():
        return True
    return error_of(played.answered(connection))


def lines(**said):
    """The headers of these parameters of RUN."""
    return [f"Mcp-Param-{HEADERS[name]}: {value}".encode() for name, value in said.items()]


# -- the headers of every request


@pytest.mark.parametrize("header", ["MCP_Protocol_Version", "Mcp_Method", "Mcp_Name"])
def test_a_header_that_is_missing_is_refused_with_the_id_of_the_request(played, header):
    status, answer = played.answer(calls("a__plain", id="seven"), **{header: None})
    assert (status, answer["id"], answer["error"]["code"]) == (400, "seven", -32020)
    assert header.replace("_", "-").lower() in answer["error"]["message"].lower()


@pytest.mark.parametrize("headers", [
    {"MCP_Protocol_Version": "2025-11-25"}, {"MCP_Protocol_Version": "2099-01-01"},
    {"MCP_Protocol_Version": ""}, {"MCP_Protocol_Version": "2026-07-28, 2026-07-28"},
    {"Mcp_Method": "TOOLS/CALL"}, {"Mcp_Method": "tools/list"}, {"Mcp_Method": ""},
    {"Mcp_Method": in_base64("tools/call")},    # which is for names and parameters alone
    {"Mcp_Name": "a__other"}, {"Mcp_Name": "A__PLAIN"}, {"Mcp_Name": "plain"}, {"Mcp_Name": ""},
    {"Mcp_Name": "a__plain, a__plain"},
])
def test_a_header_that_says_something_else_than_the_body_is_refused(played, headers):
    assert goes_on(played, calls("a__plain"), **headers) == MISMATCH


@pytest.mark.parametrize("line", [b"Mcp-Name: a__plain", b"Mcp-Method: tools/call",
                                  b"MCP-Protocol-Version: 2026-07-28"])
def test_a_header_that_is_there_twice_is_refused(played, line):
    assert goes_on(played, calls("a__plain"), lines=[line]) == MISMATCH


def test_two_headers_do_not_make_one_name(played):
    assert goes_on(played, calls("a__a, a")) is True
    assert goes_on(played, calls("a__a, a"), Mcp_Name="a__a", lines=[b"mcp-name: a"]) == MISMATCH


def test_names_of_headers_are_read_in_any_case_and_white_space_around_values_is_not(played):
    assert goes_on(played, calls("a__plain"), Mcp_Method=None, Mcp_Name=None, lines=[
        b"MCP-METHOD:\t tools/call ", b"mCp-NaMe:   a__plain \t "]) is True


@pytest.mark.parametrize("name, said, expected", [
    ("a__grüße", in_base64("a__grüße"), True),
    ("a__plain", in_base64("a__plain"), True),
    ("a__grüße", in_base64("a__plain"), MISMATCH),
    ("a__grüße", in_base64("a__grüße").replace("=?base64?", "=?BASE64?"), MISMATCH),
    ("a__grüße", in_base64("a__grüße")[:-2], MISMATCH),
    ("a__plain", "=?base64?YV9fcGxhaW4?=", MISMATCH),   # its padding is missing
    ("a__plain", "=?base64?YV9f!!cGxhaW4=?=", MISMATCH),
    ("a__plain", "=?base64?YV9fcGxhaW4==?=", MISMATCH),
    ("a__plain", "=?base64?/////w==?=", MISMATCH),      # no UTF-8
    ("a__plain", "=?base64??=", MISMATCH), ("a__plain", "=?base64?=", MISMATCH),
    ("a__ padded", "a__ padded", True),
    ("a__=?base64?literal?=", "a__=?base64?literal?=", True),
])
def test_a_name_that_is_encoded_is_decoded_before_it_is_compared(played, name, said, expected):
    assert goes_on(played, calls(name), Mcp_Name=said) == expected


def test_a_name_that_looks_encoded_must_be_encoded():
    played = Played(World(a=offers(tools=["=?base64?literal?=", " padded"])))
    literal, path = "=?base64?literal?=", "/mcp/a"
    assert goes_on(played, calls(literal), path=path, Mcp_Name=in_base64(literal)) is True
    assert goes_on(played, calls(literal), path=path, Mcp_Name=literal) == MISMATCH
    assert goes_on(played, calls(" padded"), path=path, Mcp_Name=in_base64(" padded")) is True
    assert goes_on(played, calls(" padded"), path=path, Mcp_Name=" padded") == MISMATCH


@pytest.mark.parametrize("said", ["a__grüße".encode(), "a__grüße".encode("latin-1")])
def test_characters_that_a_header_must_not_have_are_refused(played, said):
    assert goes_on(played, calls("a__grüße"), Mcp_Name=None,
                   lines=[b"Mcp-Name: " + said]) == MISMATCH
    # What our HTTP parser makes of the bytes is no name either.
    name = said.decode("latin-1")
    assert goes_on(played, calls(name), Mcp_Name=None, lines=[b"Mcp-Name: " + said]) == MISMATCH


@pytest.mark.parametrize("message, other", [
    (asks("prompts/get", name="a__p"), "p"),
    (asks("resources/read", uri="x://a?b=c%20d"), "x://a?b=c d"),
])
def test_prompts_and_resources_have_names_too(played, message, other):
    assert goes_on(played, message) is True
    assert goes_on(played, message, Mcp_Name=other) == MISMATCH
    assert goes_on(played, message, Mcp_Name=None) == MISMATCH


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
def test_the_name_of_a_request_for_a_task_is_the_tasks_id(played, method):
    """SEP-2663, Routing Headers."""
    assert goes_on(played, asks(method, taskId="t1"), Mcp_Name="t2") == MISMATCH
    assert goes_on(played, asks(method, taskId="t1"), Mcp_Name=None) == MISMATCH
    assert goes_on(played, asks(method, taskId="t1")) != MISMATCH


def test_other_requests_need_no_name(played):
    assert played.answer(asks("tools/list"))[0] == 200
    assert played.answer(asks("tools/list"), Mcp_Name="whatever")[0] == 200


def test_names_are_compared_as_the_client_sees_them():
    played = Played(World(a=offers(tools=["old"], config={"rename": {"old": "new"}})))
    for path, name in ("/mcp", "a__new"), ("/mcp/a", "new"), ("/mcp", "new"):
        assert goes_on(played, calls(name), path=path) is True
        assert goes_on(played, calls(name), path=path, Mcp_Name="old") == MISMATCH


@pytest.mark.parametrize("params", [{}, {"name": 5}, {"name": None}, {"name": ["a__plain"]}])
def test_without_a_name_in_the_body_the_params_are_what_is_wrong(played, params):
    assert error_of(played.answer(asks("tools/call", **params)))[1] == -32602


# -- versions


def test_a_version_that_is_not_supported_is_told_before_its_other_headers_are_looked_at(played):
    """A later revision may have other ones."""
    message = asks("x", meta={VERSION_KEY: "2099-01-01"})
    status, answer = played.answer(message, MCP_Protocol_Version="2099-01-01", Mcp_Method=None)
    assert (status, answer["id"], answer["error"]["code"]) == (400, 1, -32022)
    assert answer["error"]["data"]["requested"] == "2099-01-01"
    assert answer["error"]["data"]["supported"][0] == "2026-07-28"


@pytest.mark.parametrize("meta, header, code", [
    ("2026-07-28", "2025-11-25", -32020), ("2025-11-25", "2026-07-28", -32020),
    ("2025-11-25", "2025-11-25", -32022), ("1900-01-01", "1900-01-01", -32022),
    ("x" * 9000, "x" * 9000, -32022), ("2026-07-28", "", -32020), (5, "2026-07-28", -32602),
    (None, "2026-07-28", -32602), (None, "2099-01-01", -32022), (None, None, -32602),
    ("2026-07-28", None, -32020), ("2099-01-01", None, -32020), ("", "", -32022),
])
def test_the_version_of_the_header_and_that_of_the_body(played, meta, header, code):
    message = asks("tools/list", meta={VERSION_KEY: meta})
    status, answer = played.answer(message, MCP_Protocol_Version=header)
    assert (status, answer["id"], answer["error"]["code"]) == (400, 1, code)
    assert len(str(answer)) < 1000


def test_who_asks_for_a_legacy_version_without_a_session_is_not_sent_to_it(played):
    message = asks("tools/list", meta={VERSION_KEY: "2025-11-25"})
    _, answer = played.answer(message, MCP_Protocol_Version="2025-11-25")
    assert answer["error"]["data"] == {"supported": ["2026-07-28"], "requested": "2025-11-25"}


def test_where_legacy_clients_are_not_served_initialize_is_told_what_is_supported(played):
    hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize",
             "params": {"protocolVersion": "2025-11-25", "capabilities": {}}}
    status, answer = played.answer(hello, MCP_Protocol_Version=None, Mcp_Method=None)
    assert (status, answer["error"]["code"]) == (400, -32022)
    assert answer["error"]["data"] == {"supported": ["2026-07-28"], "requested": "2025-11-25"}


# -- the parameters of tools


@pytest.mark.parametrize("arguments, said, expected", [
    ({"region": "us-west1"}, {"region": "us-west1"}, True),
    ({"region": "us-west1"}, {"region": "us-east1"}, MISMATCH),
    ({"region": "us-west1"}, {"region": "US-WEST1"}, MISMATCH),
    ({"region": "us-west1"}, {}, MISMATCH),
    ({"region": None}, {}, True), ({}, {}, True), ({"query": "all"}, {}, True),
    ({"region": None}, {"region": "us-west1"}, MISMATCH),
    ({}, {"region": "us-west1"}, MISMATCH), ({}, {"region": ""}, MISMATCH),
    ({"region": ""}, {"region": ""}, True), ({"region": ""}, {}, MISMATCH),
    ({"region": "us west 1"}, {"region": "us west 1"}, True),
    ({"region": "日本語"}, {"region": "=?base64?5pel5pys6Kqe?="}, True),
    ({"region": "日本語"}, {"region": "日本語"}, MISMATCH),
    ({"region": " us-west1"}, {"region": "=?base64?IHVzLXdlc3Qx?="}, True),
    ({"region": "line1\r\nline2"}, {"region": "=?base64?bGluZTENCmxpbmUy?="}, True),
    ({"region": "\tindented"}, {"region": "=?base64?CWluZGVudGVk?="}, True),
    ({"region": "Hello"}, {"region": "=?base64?SGVsbG8=?="}, True),
    ({"region": "Hello"}, {"region": "=?base64?SGVsbG8?="}, MISMATCH),
    ({"region": "Hello"}, {"region": "=?base64?SGVs!!!bG8=?="}, MISMATCH),
    ({"region": "SGVsbG8="}, {"region": "SGVsbG8="}, True),
    ({"region": "=?base64?SGVsbG8="}, {"region": "=?base64?SGVsbG8="}, True),
    ({"region": "=?base64?a?="}, {"region": "=?base64?a?="}, MISMATCH),
    ({"region": 42}, {"region": "42"}, True),       # the server says what is wrong with it
    ({"region": ["x"]}, {}, True), ({"region": {}}, {"region": "x"}, MISMATCH),
    ({"row": 42}, {"row": "42"}, True), ({"row": 42}, {"row": "42.0"}, True),
    ({"row": 42.0}, {"row": "42"}, True), ({"row": -7}, {"row": "-7"}, True),
    ({"row": 42}, {"row": "43"}, MISMATCH), ({"row": 42}, {"row": "42.5"}, MISMATCH),
    ({"row": 42}, {"row": "4_2"}, MISMATCH), ({"row": 42}, {"row": "+42"}, MISMATCH),
    ({"row": 42}, {"row": "0x2a"}, MISMATCH), ({"row": 42}, {"row": ""}, MISMATCH),
    ({"row": 0}, {"row": "false"}, MISMATCH), ({"row": 0}, {}, MISMATCH),
    ({"row": 42}, {"row": in_base64("42")}, True),
    ({"row": 42}, {"row": in_base64("4 2")}, MISMATCH),
    ({"row": 2**53 - 1}, {"row": "9007199254740991"}, True),
    ({"row": 2**53 + 1}, {"row": "9007199254740992"}, MISMATCH),
    ({"row": 1}, {"row": "9" * 5000}, MISMATCH), ({"row": 1}, {"row": "1." + "0" * 900}, MISMATCH),
    ({"row": 10**4000}, {"row": "1" + "0" * 4000}, True), ({"row": 4.5}, {"row": "4.5"}, True),
    ({"row": 1e-7}, {"row": "1e-7"}, True), ({"row": 4.5}, {"row": "4.6"}, MISMATCH),
    ({"row": 4.5}, {"row": "nan"}, MISMATCH), ({"row": 4.5}, {"row": "1e999"}, MISMATCH),
    ({"dry": True}, {"dry": "true"}, True), ({"dry": False}, {"dry": "false"}, True),
    ({"dry": True}, {"dry": "True"}, MISMATCH), ({"dry": True}, {"dry": "1"}, MISMATCH),
    ({"dry": False}, {"dry": "0"}, MISMATCH), ({"dry": False}, {}, MISMATCH),
    ({"where": {"zone": "z"}}, {"zone": "z"}, True), ({"where": {"zone": "z"}}, {}, MISMATCH),
    ({"where": {}}, {"zone": "z"}, MISMATCH), ({"where": "z"}, {}, True),
    ({"zone": "z"}, {}, True),
    ({"region": "r", "row": 1, "dry": True}, {"region": "r", "row": "1", "dry": "true"}, True),
    ({"region": "r", "row": 1, "dry": True}, {"region": "r", "row": "2", "dry": "true"}, MISMATCH),
])
def test_the_headers_of_parameters_say_the_same_as_the_arguments(played, arguments, said,
                                                                 expected):
    for name in "a__run", "run":    # only one server has it
        assert goes_on(played, calls(name, **arguments), lines=lines(**said)) == expected
    assert goes_on(played, calls("run", **arguments), path="/mcp/a",
                   lines=lines(**said)) == expected


@pytest.mark.parametrize("line", ["mcp-param-region: r", "MCP-PARAM-REGION:r",
                                  "Mcp-Param-Region:   r\t "])
def test_the_name_of_such_a_header_is_read_in_any_case(played, line):
    assert goes_on(played, calls("a__run", region="r"), lines=[line.encode()]) is True


@pytest.mark.parametrize("second", [b"r", b"x", b""])
def test_such_a_header_is_there_once(played, second):
    assert goes_on(played, calls("a__run", region="r"), lines=[
        *lines(region="r"), b"Mcp-Param-Region: " + second]) == MISMATCH
    assert goes_on(played, calls("a__run", region="r, r"), lines=[
        *lines(region="r"), b"Mcp-Param-Region: r"]) == MISMATCH


def test_other_headers_of_parameters_are_for_somebody_else(played):
    assert goes_on(played, calls("a__run"), lines=[b"Mcp-Param-Other: x"]) is True
    assert goes_on(played, calls("a__plain", region="x"), lines=[b"Mcp-Param-Region: y"]) is True
    assert goes_on(played, asks("prompts/get", name="a__p"), lines=lines(region="x")) is True


@pytest.mark.parametrize("arguments", [None, [], "x", 5])
def test_arguments_that_are_none_have_no_values(played, arguments):
    message = asks("tools/call", name="a__run", arguments=arguments)
    assert goes_on(played, message) is True
    assert goes_on(played, message, lines=lines(region="x")) == MISMATCH


def test_a_tool_that_nobody_has_listed_is_called_without_a_check(played):
    assert goes_on(played, calls("a__unknown", region="x")) is True


@pytest.mark.parametrize("path, name", [("/mcp", "a__run"), ("/mcp/a", "run")])
def test_the_schema_is_that_which_the_server_has_given_last(played, path, name):
    server, call = played.world["a"], calls(name, region="x")
    assert goes_on(played, call, path=path) == MISMATCH
    server.offers["lists"]["tools/list"] = [{**RUN, "inputSchema": schema(region=TEXT)}]
    server.says(method="notifications/tools/list_changed")
    assert goes_on(played, call, path=path) is True     # nobody knows what it is now
    assert played.answer(asks("tools/list"), path)[0] == 200
    assert goes_on(played, call, path=path) is True
    server.offers["lists"]["tools/list"] = [RUN]
    assert played.answer(asks("tools/list"), path)[0] == 200
    assert goes_on(played, call, path=path) == MISMATCH
    assert goes_on(played, call, path=path, lines=lines(region="x")) is True


def test_a_tool_under_another_name_keeps_its_headers():
    played = Played(World(a=offers(tools=[RUN], config={"rename": {"run": "go"}})))
    for path, name in ("/mcp", "a__go"), ("/mcp/a", "go"):
        assert goes_on(played, calls(name, region="x"), path=path) == MISMATCH
        assert goes_on(played, calls(name, region="x"), path=path,
                       lines=lines(region="x")) is True


@pytest.mark.parametrize("properties", [
    {"a": {**TEXT, "x-mcp-header": ""}}, {"a": {**TEXT, "x-mcp-header": "My Region"}},
    {"a": {**TEXT, "x-mcp-header": "Region:Primary"}}, {"a": {**TEXT, "x-mcp-header": "Région"}},
    {"a": {**TEXT, "x-mcp-header": "Region\t1"}}, {"a": {**TEXT, "x-mcp-header": "R\r\nX: y"}},
    {"a": {**TEXT, "x-mcp-header": 5}}, {"a": {**TEXT, "x-mcp-header": None}},
    {"a": {"x-mcp-header": "A"}}, {"a": {"type": "number", "x-mcp-header": "A"}},
    {"a": {"type": ["string"], "x-mcp-header": "A"}}, {"a": {"type": {}, "x-mcp-header": "A"}},
    {"a": {"type": "object", "x-mcp-header": "A"}}, {"a": {"type": "null", "x-mcp-header": "A"}},
    {"a": {**TEXT, "x-mcp-header": "A"}, "b": {**TEXT, "x-mcp-header": "a"}},
    {"a": {"type": "array", "items": {**TEXT, "x-mcp-header": "A"}}},
    {"a": {"anyOf": [{**TEXT, "x-mcp-header": "A"}]}},
    {"a": {**TEXT, "x-mcp-header": "A"}, "b": {"not": {**TEXT, "x-mcp-header": "B"}}},
    {"a": {"allOf": [schema(b={**TEXT, "x-mcp-header": "A"})]}},
    {"a": {"$defs": {"d": {**TEXT, "x-mcp-header": "A"}}, "$ref": "#/properties/a/$defs/d"}},
    {"a": {"patternProperties": {"b": {**TEXT, "x-mcp-header": "A"}}}},
    {f"p{n}": {**TEXT, "x-mcp-header": f"P{n}"} for n in range(101)},
])
def test_of_a_tool_with_an_invalid_mark_no_header_is_expected(properties):
    """Its clients are to leave it out, and to say why: it stays in the list."""
    tool = {"name": "t", "inputSchema": schema(**properties)}
    assert marked(tool["inputSchema"]) == {}
    played = Played(World(a=offers(tools=[tool])))
    assert goes_on(played, calls("a__t", a="x")) is True
    (listed,) = played.answer(asks("tools/list"))[1]["result"]["tools"]
    assert listed == {**tool, "name": "a__t"}


@pytest.mark.parametrize("holds", ["default", "const", "enum", "examples"])
def test_a_mark_in_a_value_is_none(holds):
    assert marked(schema(a={**TEXT, holds: [{"x-mcp-header": "B"}], "x-mcp-header": "A"})) == {
        "a": ("a",)}


@pytest.mark.parametrize("value", [None, 5, "x", [], [[]], {"properties": 5},
                                   {"properties": {"a": 5}}, {"properties": {"a": None}},
                                   {"x-mcp-header": "A", "type": "string"}])
def test_what_is_no_schema_has_no_marks(value):
    assert marked(value) == {}


def test_a_hostile_schema_costs_linear_time_and_no_recursion():
    deep = {**TEXT, "x-mcp-header": "A"}
    for _ in range(97):     # as deep as a message may be
        deep = schema(a=deep)
    assert marked(deep) == {"a": ("a",) * 97}
    wide = schema(**{f"p{n}": TEXT for n in range(100_000)})
    for _ in range(90):
        wide = schema(a=wide)
    began = time.thread_time()
    assert marked(wide) == {}
    assert time.thread_time() - began < 2
