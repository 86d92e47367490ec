"""--check: the table, the advice, JSON; with servers that list odd things."""

import json
import logging
import re
import sys

import pytest

from transports.fabric.text import printable
from upstreams.advice.schemas import refused_schemas
from upstreams.config.clear import secrets_in_clear

from processes import ROOT, fake
from world import World, offers

ROUTER = [sys.executable, str(ROOT / "router.py")]
# A server that lists what its argument, a JSON object, has for tools/list. It ends where that
# says "crash" for a method, and with the argument "once" when it is asked for its tools again.
LISTS = """
import json, sys
methods = []
for line in sys.stdin:
    message = json.loads(line)
    answers = json.loads(sys.argv[1]).get(message["method"], [])
    methods.append(message["method"])
    if answers == "crash" or "once" in sys.argv and methods.count("tools/list") > 1:
        sys.exit(f"crashed with {sys.argv[2:]}")
    if message["method"] == "initialize":
        answer = {"result": {"protocolVersion": "2025-11-25", "serverInfo": {},
                             "capabilities": {"tools": {}, "resources": {}}}}
    elif message["method"] == "tools/list":
        answer = {"result": {"tools": answers}}
    else:
        answer = {"error": {"code": -32601, "message": "not here"}}
    if "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)
"""
GOOD = {"type": "object"}


def listing(*tools, arguments=(), **more):
    """A config entry for a server with these tools; a str stands for a tool with a good schema."""
    tools = [tool if isinstance(tool, dict) else {"name": tool, "inputSchema": GOOD}
             for tool in tools]
    return {"command": sys.executable,
            "args": ["-c", LISTS, json.dumps({"tools/list": tools}), *arguments], **more}


@pytest.fixture
def check(run, config):
    """check(servers) → (exit status, standard output); check(…, as_json=True) → its JSON."""
    def check_it(servers, as_json=False, **environment):
        done = run(*ROUTER, "--check", *(["--json"] if as_json else []), "--config",
                   config(**servers), env={"PATH": "/usr/bin:/bin", **environment})
        assert b"Traceback" not in done.stderr
        check_it.log = done.stderr.decode()
        return done.returncode, json.loads(done.stdout) if as_json else done.stdout.decode()
    return check_it


def test_servers_without_fault_get_no_advice(check):
    status, text = check({"good": listing("search", "find")})
    assert status == 0 and "advice" not in text and re.search("good +running +2 ", text)


def test_advice_does_not_change_the_exit_status_and_is_told_once_for_many_tools(check):
    tools = [{"name": f"tool{n}", "inputSchema": {}} for n in range(7)]
    status, text = check({"odd": listing(*tools)})
    assert status == 0
    assert re.search("^odd: odd__tool0 inputSchema, odd__tool1 inputSchema, .* and 3 more: "
                     'has no "type": "object" at its top', text, re.MULTILINE)


def test_json_has_what_health_says_and_the_advice(check):
    status, answer = check({"odd": listing("a.b", "c"), "missing": {"command": "no-such"}},
                           as_json=True)
    assert status == 1 and answer["ok"] is False and answer["advice"] == []
    odd, missing = answer["servers"]["odd"], answer["servers"]["missing"]
    assert (odd["state"], odd["tools"], odd["unlisted"]) == ("running", 2, {})
    assert [advice["about"] for advice in odd["advice"]] == ["odd__a.b"]
    assert missing["state"] == "failed" and "was not found" in missing["lastError"]
    assert check({"good": listing("c")}, as_json=True)[1]["ok"] is True


def test_a_tool_of_two_servers_is_told_with_both(check):
    servers = {name: listing("search", name, prefix="") for name in ("one", "two")}
    _, text = check(servers)
    assert ('search: is a tool of "one" and of "two": clients of all servers together see that '
            'of "one"') in text
    assert [advice["about"] for advice in check(servers, as_json=True)[1]["advice"]] == ["search"]


def test_a_server_that_lists_a_name_twice_is_told(check):
    assert '"one" lists two tools of this name' in check({"one": listing("search", "search")})[1]


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


SECRETS = ("hunter22", "ghp_0123456789abcdefghij", "pass-in-url")


def with_secrets(**more):
    return listing("a.hunter22", arguments=[
        f"--token={SECRETS[1]}", f"https://me:{SECRETS[2]}@example.com"],
        env={"API_KEY": SECRETS[0], "SAFE_TOKEN": "${SAFE}", "DEBUG": "hunter22"}, **more)


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


def test_a_server_that_prints_its_arguments_and_dies_gives_no_secret_away(check):
    dying = with_secrets()
    dying["args"][2] = json.dumps({"initialize": "crash"})
    for as_json in (False, True):
        status, said = check({"one": dying}, as_json=as_json, SAFE="a-safe-one")
        assert status == 1 and "crashed with" in str(said)
        assert not any(secret in str(said) + check.log for secret in SECRETS)


@pytest.mark.parametrize("server, where", [
    ({"env": {"AWS_SECRET_ACCESS_KEY": "abcdefgh"}}, "env.AWS_SECRET_ACCESS_KEY"),
    ({"env": {"githubToken": "abcdefgh"}}, "env.githubToken"),
    ({"env": {"HEADERS": '{"Authorization": "Bearer abcdef"}'}}, "env.HEADERS"),
    ({"env": {"DSN": "Server=db;Password=abcdef;Port=1"}}, "env.DSN"),
    ({"env": {"X": "sk-0123456789abcdefghij"}}, "env.X"),
    ({"headers": {"Authorization": "Bearer abc"}}, "headers.Authorization"),
    ({"headers": {"X-Api-Key": "abcdefgh"}}, "headers.X-Api-Key"),
    ({"args": ["--header", "Authorization: Bearer abcdef"]}, "args.1"),
    ({"args": ["--api-key", "abcdef"]}, "args.1"),
    ({"args": ["run", "-e", "GITHUB_TOKEN=abcdef"]}, "args.2"),
    ({"url": "https://example.com/mcp?apiKey=abcdef"}, "url"),
    ({"env": {"SSH_AUTH_SOCK": "/tmp/agent", "TOKEN_FILE": "abcdefgh", "AUTH_TYPE": "bearer",
              "MAX_TOKENS": "100000", "KEY": "true", "AUTHOR": "somebody"}}, None),
    ({"env": {"KEY": "${KEY}", "TOKEN": "Bearer ${TOKEN}"}, "headers": {"A": "x"},
      "args": ["-y", "mcp-auth@1", "-e", "TOKEN", "--key-file=./abcdef", "--token", "--verbose"],
      "url": "https://${USER}:${PASSWORD}@example.com"}, None),
    ({"headersCommand": ["get", "--token", "hunter2"]}, "headersCommand.2"),
])
def test_what_counts_as_a_secret_in_clear(server, where):
    assert list(secrets_in_clear(server)) == ([where] if where else [])


@pytest.mark.parametrize("command, program", [
    ("npx", "Node.js"), ("uvx", "uv"), ("docker", "Docker"), ("/opt/none/bunx", "Bun")])
def test_a_missing_command_names_what_to_install(check, command, program):
    _, text = check({"one": {"command": command}}, PATH="/nowhere")
    assert f'the command "{command}" was not found or may not be run; it comes with {program} (' \
        in text


def test_a_list_that_a_server_announces_and_does_not_know_is_no_problem(check):
    status, text = check({"one": listing("search")})
    assert status == 0 and "resources/list" not in text + check.log


def test_clients_get_an_empty_list_from_a_server_that_announced_it_and_does_not_know_it(caplog):
    with caplog.at_level(logging.DEBUG, "router"):
        world = World(a=offers(tools=["search"], capabilities={"prompts": {}}))
        del world.offers["a"]["lists"]["prompts/list"]
        client = world.client()
        client.asks("prompts/list")
        world["a"].says(id=world["a"].take()["id"], error={"code": -32601, "message": "no"})
    assert client.get()["result"] == {"prompts": []}
    assert [record.levelname for record in caplog.records
            if "prompts/list" in record.getMessage()] == ["DEBUG"]


def test_a_server_that_dies_while_it_is_asked_again_does_not_hold_up_the_check(check):
    """Its tools were listed once, at its start."""
    status, text = check({"one": listing("search", arguments=["once"]), "two": fake()})
    assert status == 1 and re.search("one +failed", text) and re.search("two +running", text)


def test_json_without_check_is_refused(run):
    done = run(*ROUTER, "--json")
    assert done.returncode == 2 and b"--json goes with --check" in done.stderr
