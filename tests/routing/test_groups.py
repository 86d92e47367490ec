"""Groups, and names and descriptions from the config, where they are no transcript."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upstreams.config.entries import Config, Entry, load
from upstreams.config.reading import ConfigError
from upstreams.routing import status
from upstreams.server.catalog import LONGEST_TOOL_NAME, PROMPTS, TOOLS, Catalog

from by_hand import HELLO, ROUTER, Sse, call, get, lines
from processes import fake
from world import World, entry, offers

GROUPS = {"code": ["two", "one"], "web": ["three", "one"]}
SERVERS = ("one", "two", "three")


# -- groups, in one thread


@pytest.fixture
def world():
    return World(groups=GROUPS, **{name: offers(tools=["t"]) for name in SERVERS})


def test_an_unknown_name_is_refused_with_the_names_of_both_kinds(world):
    with pytest.raises(LookupError) as problem:
        world.new_client("cod")
    assert str(problem.value) == ("There is no server or group 'cod' here. There are: one, two, "
                                  "three; groups: code, web")


def test_clients_of_a_group_share_processes_with_all_others(world):
    for name in (None, "code", "web", "one"):
        world.client(name)
    assert len(world.made) == len(SERVERS)


def test_what_a_group_says_of_itself_is_the_union_of_its_servers_only():
    world = World(groups={"code": ["a"]}, a=offers(capabilities={"tools": {}}, instructions="A"),
                  b=offers(capabilities={"logging": {}}, instructions="B"))
    answer = world.new_client("code").initialize()
    assert "logging" not in answer["capabilities"] and answer["instructions"] == "[a]\nA"
    assert answer["serverInfo"]["name"] == "mcp-local-router"


def test_a_task_of_a_server_is_only_listed_in_groups_that_it_belongs_to():
    tasks = {"tasks": {"list": {}}, "tools": {}}
    world = World(groups={"code": ["a"]}, a=offers(capabilities=tasks),
                  b=offers(capabilities=tasks))
    client = world.client("code")
    client.asks("tasks/list")
    assert world["b"].takes() == []
    world["a"].says(id=world["a"].take()["id"], result={"tasks": []})
    assert client.get()["result"] == {"tasks": []}


def test_a_group_without_a_server_is_empty_and_not_everything():
    world = World(groups={"none": []}, a=offers(tools=["t"]))
    client = world.client("none")
    client.asks("tools/list")
    assert client.get()["result"] == {"tools": []}


def test_a_clash_in_a_group_is_told_and_the_first_of_the_group_wins(caplog):
    world = World(groups={"code": ["b", "a"]}, a=offers(resources=["x:/"]),
                  b=offers(resources=["x:/"]))
    client = world.client("code")
    for _ in range(2):
        client.asks("resources/list")
        assert client.get()["result"] == {"resources": [{"uri": "x:/"}]}
    assert caplog.text.count('\'x:/\' of server "a" is left out: a server before it in the group '
                             'has the same') == 1
    client.asks("resources/read", uri="x:/")
    assert world["b"].take()["method"] == "resources/read" and world["a"].takes() == []


def test_a_config_of_one_group_has_its_servers_in_its_order():
    config = Config({name: Entry(name) for name in SERVERS}, GROUPS)
    assert config.only(None) is config
    only = config.only("code")
    assert list(only.entries) == ["two", "one"] and only.groups == {"code": ["two", "one"]}


def test_what_another_server_needs_is_not_asked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("UNSET", raising=False)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"groups": {"code": ["one"]}, "mcpServers": {
        "one": {"command": "x"}, "two": {"command": "y", "env": {"KEY": "${UNSET}"}}}}))
    assert list(load([path], "code").entries) == ["one"]
    assert load([path], "code").entries["one"].problem is None
    assert "two.env.KEY: the variable UNSET is not set" in load([path]).entries["two"].problem


# -- groups, in real processes


def ask(client, message):
    """The text of a tool's answer, or of an error."""
    client.post(message)
    answer = client.get()
    return (answer["result"]["content"][0]["text"] if "result" in answer
            else answer["error"]["message"])


def test_a_group_is_served_at_a_path_of_its_own(start_router):
    running = start_router({name: fake() for name in SERVERS}, groups=GROUPS)
    text = "\n".join(running.lines)
    assert re.search(r"one server or group \(code, web\): .*/sse/NAME", text)
    with Sse(running.url, "/sse/code") as code, Sse(running.url, "/sse/web") as web:
        code.post({"id": 1, "method": "tools/list"})
        names = [tool["name"] for tool in code.get()["result"]["tools"]]
        assert {name.partition("__")[0] for name in names} == {"two", "one"}
        assert names[0].startswith("two__")
        assert ask(code, call(2, "one__echo", text="swift")) == "swift"
        assert ask(code, call(3, "three__echo", text="x")) == "Unknown tool: three__echo"
        assert ask(web, call(1, "three__echo", text="web")) == "web"
        assert ask(web, call(2, "two__echo", text="web")) == "Unknown tool: two__echo"


def test_groups_are_among_what_the_error_pages_and_the_health_tell(start_router):
    running = start_router({"one": fake(), "two": fake()}, groups={"code": ["two"]})
    assert json.loads(get(f"{running.url}/health")[1])["groups"] == {"code": ["two"]}
    assert get(f"{running.url}/sse/cod") == (
        404, "There is no server or group 'cod' here. There are: one, two; groups: code\n")
    assert "/sse/code" in get(f"{running.url}/nothing")[1]


def test_with_a_group_over_http_no_other_server_is_started(start_router):
    running = start_router({name: fake() for name in SERVERS}, "--group", "code", groups=GROUPS)
    with Sse(running.url) as client, Sse(running.url, "/sse/code"):
        assert ask(client, call(1, "three__echo", text="x")) == "Unknown tool: three__echo"
        assert ask(client, call(2, "two__echo", text="two")) == "two"
    assert list(json.loads(get(f"{running.url}/health")[1])["servers"]) == ["one", "two"]
    assert get(f"{running.url}/sse/web")[0] == 404


@pytest.fixture
def config(tmp_path):
    """A config file with groups."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"mcpServers": {name: fake() for name in SERVERS},
                                "groups": GROUPS}))
    return str(path)


def test_over_stdio_a_group_is_all_there_is(run, config):
    done = run(*ROUTER, "--config", config, "--group", "code",
               input=lines(HELLO, {"id": 2, "method": "tools/list"},
                           call(3, "one__echo", text="mine"), call(4, "three__echo", text="x")))
    answers = {answer["id"]: answer for answer in map(json.loads, done.stdout.splitlines())}
    assert {tool["name"].partition("__")[0] for tool in answers[2]["result"]["tools"]} == {
        "two", "one"}
    assert answers[3]["result"]["content"][0]["text"] == "mine"
    assert answers[4]["error"]["message"] == "Unknown tool: three__echo"
    assert b"on standard input: two, one\n" in done.stderr
    assert re.search(rb'server "one" is running', done.stderr) and b"three" not in done.stderr


def test_check_can_be_asked_of_one_group(run, config):
    done = run(*ROUTER, "--check", "--config", config, "--group", "web")
    assert done.returncode == 0
    assert re.findall(rb"^(\w+) +running", done.stdout, re.MULTILINE) == [b"three", b"one"]


def test_an_unknown_group_is_a_sentence_and_status_2(run, config):
    done = run(*ROUTER, "--config", config, "--group", "cod")
    assert done.returncode == 2 and done.stdout == b""
    assert done.stderr.strip().endswith(
        b"router.py: --group cod: there is no such group; there are: code, web")


def test_groups_that_the_config_does_not_have_are_told_so():
    with pytest.raises(ConfigError, match='the config has none; "groups" names some'):
        Config({"a": Entry("a")}, {}).only("code")
    with pytest.raises(ConfigError, match="every server of it is disabled"):
        Config({"a": Entry("a")}, {"code": []}).only("code")


# -- names and descriptions

NAMES = st.text("ab_", min_size=1, max_size=3) | st.text("abc", min_size=60, max_size=70)


@given(st.lists(NAMES, unique=True, max_size=9), st.dictionaries(NAMES, NAMES, max_size=9),
       st.lists(NAMES, max_size=3), st.sampled_from(["", "s__"]))
def test_a_name_that_clients_see_leads_to_the_tool_that_it_was_made_from(names, rename, deny,
                                                                        prefix):
    originals = {ours: own for own, ours in rename.items()}  # so that no two become the same
    rename = {own: ours for ours, own in originals.items()}
    catalog = Catalog(entry("s", prefix=prefix, deny=deny, rename=rename))
    items = [{"name": name, "was": name} for name in names]
    together, alone = catalog.learn(TOOLS, items), [catalog.shown(TOOLS, item) for item in items]
    alone = [item for item in alone if item]
    assert len({item["name"] for item in alone}) == len(alone)
    assert [item["was"] for item in together] == [item["was"] for item in alone]
    assert not {item["was"] for item in alone} & set(deny)
    for seen, item in zip(together, alone):
        assert catalog.inner_name(TOOLS, seen["name"]) == item["was"]
        assert catalog.own_name(TOOLS, item["name"]) == item["was"]
        assert catalog.inner_of_bare(TOOLS, item["name"]) == item["was"]
        assert len(seen["name"]) <= LONGEST_TOOL_NAME


def test_a_name_that_was_given_away_leads_nowhere_even_before_the_server_has_listed_anything():
    catalog = Catalog(entry("s", rename={"search": "find", "secret": "open"}, deny=["secret"]))
    assert catalog.inner_name(TOOLS, "s__find") == "search"
    assert catalog.inner_name(PROMPTS, "s__find") == "search"
    for method, name in ((TOOLS, "search"), (PROMPTS, "search"), (TOOLS, "secret"),
                         (TOOLS, "open")):
        assert catalog.inner_name(method, f"s__{name}") is None
        assert catalog.own_name(method, name) is None


def test_two_tools_may_change_their_names_with_each_other():
    catalog = Catalog(entry("s", rename={"a": "b", "b": "a"}))
    assert catalog.learn(TOOLS, [{"name": "a"}, {"name": "b"}]) == [
        {"name": "s__b"}, {"name": "s__a"}]
    assert catalog.inner_name(TOOLS, "s__a") == "b" and catalog.inner_name(TOOLS, "s__b") == "a"
    assert list(catalog.name_problems()) == []


def test_a_tool_can_have_a_description_under_the_name_that_it_has_anyway():
    catalog = Catalog(entry("s", describe={"a": "new"}))
    assert catalog.learn(TOOLS, [{"name": "a", "description": "old", "x": 1}, {"name": "b"}]) == [
        {"name": "s__a", "description": "new", "x": 1}, {"name": "s__b"}]


def test_an_over_long_name_is_cut_as_it_is_after_renaming():
    catalog = Catalog(entry("s", rename={"x" * 70: "short", "short": "y" * 70}))
    seen = [tool["name"] for tool in
            catalog.learn(TOOLS, [{"name": "x" * 70}, {"name": "short"}])]
    assert seen[0] == "s__short" and len(seen[1]) == LONGEST_TOOL_NAME
    assert catalog.inner_name(TOOLS, seen[1]) == "short"


def test_the_table_names_tools_that_lost_their_name_and_keys_that_fit_nothing():
    world = World(a=offers(tools=["search", "find", "hidden"], prompts=["p"], config={
        "rename": {"search": "find", "p": "q", "serach": "x", "p2": "hidden"},
        "describe": {"q": "…", "nothing": "…"}, "deny": ["hidden"]}))
    (upstream,) = world.pool.upstreams()["a"]
    assert status.table([upstream]).splitlines()[2:] == [
        'a: find is left out: "rename" gives its name to search',
        'a: "rename" in its config is for p2, which it does not have',
        'a: "rename" in its config is for serach, which it does not have',
        'a: "describe" in its config is for nothing, which it does not have']


def test_odd_items_of_a_list_pass_where_one_server_is_seen():
    tools = [None, 7, {}, {"name": 5}, {"name": ["x"]}, {"name": "a"}]
    world = World(a={**offers(tools=["a"], config={"rename": {"a": "b"}}),
                     "lists": {"tools/list": tools}})
    client = world.client("a")
    client.asks("tools/list")
    assert client.get()["result"]["tools"] == [*tools[:-1], {"name": "b"}]
    client.asks("tools/call", name="b")
    assert world["a"].take()["params"] == {"name": "a"}


@pytest.mark.parametrize("keys, words", [
    ({"rename": {"a": "c", "b": "c"}}, '.rename: "a" and "b" cannot both become "c"'),
    ({"rename": {"a": "c"}, "describe": {"a": "…"}},
     '.describe: "rename" gives "a" another name: describe "c"'),
])
def test_a_server_whose_names_clash_in_the_config_fails(tmp_path, keys, words):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"mcpServers": {"x": {"command": "x", **keys}}}))
    assert load([path]).entries["x"].problem == f"{path}: mcpServers.x{words}"


def test_names_that_change_places_in_the_config_are_no_clash(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"mcpServers": {"x": {"command": "x", "rename": {
        "a": "b", "b": "a"}, "describe": {"a": "once b"}}}}))
    entry_ = load([path]).entries["x"]
    assert entry_.rename == (("a", "b"), ("b", "a")) and entry_.describe == (("a", "once b"),)


def test_a_renamed_tool_of_a_real_server_is_listed_and_called_by_its_new_name(start_router):
    running = start_router({"fake": {**fake(), "rename": {"echo": "repeat"},
                                     "describe": {"repeat": "Says it again"}}})
    for path, name, old in (("/sse", "fake__repeat", "fake__echo"),
                            ("/sse/fake", "repeat", "echo")):
        with Sse(running.url, path) as client:
            client.post({"id": 1, "method": "tools/list"})
            assert client.get()["result"]["tools"][0] == {
                "name": name, "description": "Says it again", "inputSchema": {"type": "object"}}
            assert ask(client, call(2, name, text="swift")) == "swift"
            assert ask(client, call(3, old, text="x")) == f"Unknown tool: {old}"
