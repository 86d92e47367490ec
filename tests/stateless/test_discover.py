"""server/discover: what clients of revision 2026-07-28 are told before they ask anything else."""

import pytest
from modern_client import META, TASKS, BothEras, legacy, modern, modern_client

from transports.fabric.messages import Refused

EXTENSIONS = {META + "tasks": {}, META + "ui": {"mimeTypes": ["text/html;profile=mcp-app"]}}


def discover(world, name=None):
    return modern_client(world, name).asks("server/discover").get()


def test_the_answer_has_what_this_revision_wants_of_it():
    world = BothEras(a=modern(instructions="Be kind."), b=legacy())
    answer = discover(world)["result"]
    assert answer["supportedVersions"][:2] == ["2026-07-28", "2025-11-25"]
    assert answer["resultType"] == "complete"
    assert (answer["ttlMs"], answer["cacheScope"]) == (0, "private")
    assert answer["instructions"] == "[a]\nBe kind."
    assert answer["_meta"][META + "serverInfo"]["name"] == "mcp-local-router"


@pytest.mark.parametrize("name", ["a", None])
def test_the_extensions_of_a_modern_server_are_offered_to_modern_clients(name):
    world = BothEras(a=modern(capabilities={"extensions": EXTENSIONS}))
    assert discover(world, name)["result"]["capabilities"]["extensions"] == EXTENSIONS


@pytest.mark.parametrize("name", ["a", None])
def test_the_tasks_of_a_modern_server_are_not_offered_to_legacy_clients(name):
    world = BothEras(a=modern(capabilities={"extensions": EXTENSIONS}))
    said = world.new_client(name).initialize()
    assert said["capabilities"]["extensions"] == {META + "ui": EXTENSIONS[META + "ui"]}


@pytest.mark.parametrize("name", ["a", None])
def test_the_tasks_of_a_legacy_server_are_not_offered_to_modern_clients(name):
    capabilities = {"tasks": {"list": {}}, "extensions": EXTENSIONS}
    world = BothEras(a=legacy(capabilities=capabilities))
    offered = discover(world, name)["result"]["capabilities"]
    assert "tasks" not in offered
    assert offered["extensions"] == {META + "ui": EXTENSIONS[META + "ui"]}


def test_the_tasks_of_both_eras_are_told_apart_on_the_same_surface():
    world = BothEras(a=modern(capabilities=TASKS), b=legacy(capabilities={"tasks": {"list": {}}}))
    offered = discover(world)["result"]["capabilities"]
    assert offered["extensions"] == TASKS["extensions"] and "tasks" not in offered
    offered = world.new_client().initialize()["capabilities"]
    assert offered["tasks"] == {"list": {}}
    assert META + "tasks" not in offered.get("extensions", {})


def test_all_together_are_discovered_soon_though_a_server_is_slow():
    world = BothEras(a=modern(), b=modern(discovers="silence", initializes="silence"))
    asked = modern_client(world).asks("server/discover")
    assert asked.gets() == []
    world.clock.advance(3.0)
    assert "result" in asked.get()


def test_one_server_that_is_slow_is_discovered_when_it_is_up():
    world = BothEras(a=modern(discovers="silence", initializes="silence"))
    asked = modern_client(world, "a").asks("server/discover")
    world.clock.advance(5.0)
    assert asked.gets() == []
    world["a"].answer_discover()
    world["a"].says(id=world["a"].handshake[-1]["id"], error={"code": -32601, "message": "no"})
    assert asked.get()["result"]["_meta"][META + "serverInfo"] == {"name": "a", "version": "1"}


def test_one_server_that_is_too_slow_gets_an_error_before_its_client_gives_up():
    world = BothEras(a=modern(discovers="silence", initializes="silence"))
    asked = modern_client(world, "a").asks("server/discover")
    world.clock.advance(8.0)
    assert asked.get()["error"]["message"] == 'server "a" is not running: starting'


def test_one_server_that_has_failed_says_why():
    world = BothEras(a=modern(missing=True))
    assert discover(world, "a")["error"]["message"] == (
        'server "a" is not running: the command was not found')


def test_another_router_is_told_to_begin_with_initialize_as_its_clients_may_be_legacy():
    client = modern_client(BothEras(a=legacy()))
    client.program = "mcp-local-router"
    problem = client.asks("server/discover").get()["error"]
    assert problem["code"] == -32601 and "initialize" in problem["message"]


def test_who_says_too_much_of_itself_is_refused():
    world = BothEras(a=legacy())
    client = modern_client(world, capabilities={"experimental": {"x": {"y": "y" * 99_000}}})
    assert "result" in client.asks("server/discover").get()
    client.program = "é" * 20_000
    with pytest.raises(Refused, match="clientInfo have more than 100000 bytes") as problem:
        client.asks("server/discover")
    assert problem.value.code == -32602
    assert not world.router.sessions.all() and not world.pool.sessions
