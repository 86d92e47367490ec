"""upstreams/advice/: what --check advises."""

import json
import re

import pytest

from transports.fabric.text import printable
from upstreams.advice.advice import cut_names
from upstreams.advice.schemas import refused_schemas
from upstreams.config.entries import Entry
from upstreams.server.catalog import TOOLS, Catalog

from listing import GOOD, SECRETS, listing, with_secrets
from processes import fake


def test_servers_without_fault_get_no_advice(check):
    status, text = check({"good": listing("search", "find")})
    assert status == 0 and "advice" not in text and re.search("good +running +2 ", text)


def test_advice_does_not_change_the_exit_status_and_is_told_once_for_many_tools(check):
    tools = [{"name": f"tool{n}", "inputSchema": {}} for n in range(7)]
    status, text = check({"odd": listing(*tools)})
    assert status == 0
    assert re.search("^odd: odd__tool0 inputSchema, odd__tool1 inputSchema, .* and 3 more: "
                     'has no "type": "object" at its top', text, re.MULTILINE)


def test_json_has_the_advice(check):
    answer = check({"odd": listing("a.b", "c")}, as_json=True)[1]
    assert [advice["about"] for advice in answer["servers"]["odd"]["advice"]] == ["odd__a.b"]


def test_a_tool_of_two_servers_is_told_with_both(check):
    servers = {name: listing("search", name, prefix="") for name in ("one", "two")}
    _, text = check(servers)
    assert ('search: is a tool of "one" and of "two": clients of all servers together see that '
            'of "one"') in text
    assert [advice["about"] for advice in check(servers, as_json=True)[1]["advice"]] == ["search"]


def test_a_server_that_lists_a_name_twice_is_told(check):
    assert '"one" lists two tools of this name' in check({"one": listing("search", "search")})[1]
    _, text = check({"one": listing("search", "search", prefix=""),
                     "two": listing("search", prefix="")})
    assert 'is a tool of "one" and of "two":' in text


def test_a_page_of_two_servers_is_told_with_both(check):
    tool = {"name": "clock", "inputSchema": GOOD, "_meta": {"ui": {"resourceUri": "ui://page"}}}
    _, text = check({"one": listing(tool), "two": listing(tool, "other"), "x": listing("clock")})
    assert 'ui://page: is a page of "one" and of "two": clients of all servers' in text


def test_a_name_that_is_cut_is_told_with_what_clients_see(check):
    _, text = check({"x": listing("n" * 30, prefix="y" * 40)})
    assert re.search(r"x: y{40}__n{13}_\w{8} \(n+…?\): with its prefix", text)


def test_what_a_config_denies_gets_no_advice(check):
    assert "advice" not in check({"odd": listing("a.b", tools={"deny": ["a.*"]})})[1]


def test_names_of_a_hostile_server_cannot_fake_a_line_or_fill_the_screen(check):
    schema = {"type": "object", "properties": {"p" * 3000: True, "\x1b[2J": {}, "a\nb": True}}
    _, text = check({"odd": listing({"name": "\x1b[31m\nok: all is well", "inputSchema": schema},
                                    "\ud800", "é" * 3000)})
    assert "ok: all is well" not in text.splitlines()
    assert all(printable(line) == line and len(line) < 800 for line in text.splitlines())


@pytest.mark.parametrize("schema", [
    None, [], "object", True, {"type": ["array", 7]}, {"type": {}}, {"properties": []},
    {"properties": {"a": None, "b": 7}}, {"items": [True, None]}, {"$ref": 7}, {"anyOf": {}},
    {"allOf": [[], {}]}, {"additionalProperties": []}, {"$defs": True}, {"not": {"not": "x"}}])
def test_no_schema_however_odd_breaks_the_check(schema):
    for tool in ({"inputSchema": schema}, {"inputSchema": GOOD, "outputSchema": schema}):
        assert list(refused_schemas(tool))
    if isinstance(schema, dict):
        within = {"type": "object", "properties": {"a": {**schema, "type": "array"}}}
        assert all(where and what for where, what in refused_schemas({"inputSchema": within}))


def test_a_schema_as_deep_as_a_message_may_be_is_looked_through(check):
    schema = True
    for _ in range(90):
        schema = {"type": "object", "properties": {"a": schema}}
    assert "true or false stands for a schema" in check({"odd": listing(
        {"name": "deep", "inputSchema": schema})})[1]


@pytest.mark.parametrize("properties, where", [
    ({"a": {"type": "array"}}, ["a"]),
    ({"a": {"type": ["array", "null"]}}, ["a"]),
    ({"a": {"type": "array", "items": {"type": "array"}}}, ["a.items"]),
    ({"a": {"type": "array", "items": {"type": "string"}}}, []),
    ({"items": {"type": "string"}, "properties": {"type": "string"}}, []),
    ({"a": {"type": "object", "additionalProperties": False}}, []),
    ({"a": {"type": "object", "additionalProperties": {"type": "array"}}},
     ["a.additionalProperties"]),
    ({"a": {"anyOf": [{"type": "string"}, True]}}, ["a.anyOf.1"]),
    ({"a": {"$ref": "https://example.com/a.json"}}, ["a"]),
    ({"a": {"$ref": "#/$defs/a"}}, []),
    ({"$top": {}, "a.b_c-d": {}}, ["$top"]),
    ({"x" * 64: {}, "x" * 65: {}}, ["x" * 65]),
])
def test_where_a_schema_may_be_refused(properties, where):
    schema = {"type": "object", "properties": properties}
    assert [place for place, _ in refused_schemas({"inputSchema": schema})] == [
        f"inputSchema.properties.{place}" for place in where]


@pytest.mark.parametrize("tool, where", [
    ({}, "inputSchema"), ({"inputSchema": {"type": "array", "items": {}}}, "inputSchema"),
    ({"inputSchema": {**GOOD, "oneOf": []}}, "inputSchema"),
    ({"inputSchema": GOOD, "outputSchema": {}}, "outputSchema"),
    ({"inputSchema": GOOD, "outputSchema": {**GOOD, "properties": {"result": True}}},
     "outputSchema.properties.result"),
])
def test_what_may_be_refused_at_the_top_and_in_what_a_tool_returns(tool, where):
    assert [place for place, _ in refused_schemas(tool)] == [where]


def test_a_secret_in_clear_is_named_by_its_place_and_never_shown(check):
    servers = {"one": with_secrets()}
    status, text = check(servers, SAFE="a-safe-one")
    assert status == 0
    assert ("one: env.API_KEY, args.3, args.4: a secret stands there in clear: write ${NAME}"
            in text)
    _, answer = check(servers, as_json=True, SAFE="a-safe-one")
    assert [advice["about"] for advice in answer["servers"]["one"]["advice"]] == [
        "env.API_KEY", "args.3", "args.4", "one__a.***"]
    for said in (text, json.dumps(answer), check.log):
        assert not any(secret in said for secret in (*SECRETS, "a-safe-one"))


def test_a_server_that_prints_its_arguments_and_dies_gives_no_secret_in_clear_away(check):
    dying = with_secrets()
    dying["args"][2] = json.dumps({"initialize": "crash"})
    for as_json in (False, True):
        status, said = check({"one": dying}, as_json=as_json, SAFE="a-safe-one")
        assert status == 1 and "crashed with" in str(said)
        assert not any(secret in str(said) + check.log for secret in SECRETS)


def test_a_server_that_dies_while_it_is_asked_again_does_not_hold_up_the_check(check):
    """Its tools were listed once, at its start."""
    status, text = check({"one": listing("search", arguments=["once"]), "two": fake()})
    assert status == 1 and re.search("one +failed", text) and re.search("two +running", text)


def test_an_over_long_name_is_told_as_it_is_after_renaming():
    catalog = Catalog(Entry("s", prefix="s__", rename=(("short", "y" * 70), ("x" * 70, "short"))))
    seen = catalog.learn(TOOLS, [{"name": "x" * 70}, {"name": "short"}])
    assert cut_names(catalog) == [("y" * 70, seen[1]["name"])]
