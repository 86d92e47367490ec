"""subscriptions/listen: one stream of what the client has asked for, in front of every server."""

import pytest
from modern_client import META, BothEras, PipedClient, legacy, modern, modern_client

from transports.stateless.listening import MOST_NAMED, SUBSCRIBE_SECONDS
from upstreams.config.entries import Config
from upstreams.reload.reload import reload

from world import entry

LISTEN, UPDATED = "subscriptions/listen", "notifications/resources/updated"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
SUBSCRIPTION = META + "subscriptionId"
TOOLS, PROMPTS = "notifications/tools/list_changed", "notifications/prompts/list_changed"
CHANGES = {"tools": {"listChanged": True}, "prompts": {"listChanged": True},
           "resources": {"listChanged": True, "subscribe": True}}
each_surface = pytest.mark.parametrize("name", ["a", None])


def old(**more):
    return legacy(**{"capabilities": CHANGES, "resources": ["x:/1", "x:/2"], **more})


def new(**more):
    return modern(**{"capabilities": CHANGES, "resources": ["x:/1", "x:/2"], "listens": True,
                     **more})


def listens(world, name=None, id="L", client=None, **notifications):
    return (client or modern_client(world, name)).asks(LISTEN, id=id, notifications=notifications)


def acknowledged(id="L", **notifications):
    return {"method": ACKNOWLEDGED, "params": {
        "notifications": notifications, "_meta": {SUBSCRIPTION: id}}}


def answers_all(world, label="a", **answer):
    """The legacy server answers all that it was asked; returns that, as (method, URI)."""
    asked = [message for message in world[label].takes() if "id" in message]
    for message in asked:
        world[label].says(id=message["id"], **(answer or {"result": {}}))
    return [(message["method"], message["params"].get("uri")) for message in asked]


def changes(world, uri, label="a"):
    world[label].says(method=UPDATED, params={"uri": uri})


# -- what is asked for, and nothing else


@each_surface
def test_it_is_acknowledged_first_and_then_brings_what_was_asked_for(name):
    world = BothEras(a=old())
    asked = listens(world, name, toolsListChanged=True, promptsListChanged=False)
    assert asked.get() == acknowledged(toolsListChanged=True)
    for method in (PROMPTS, TOOLS, "notifications/resources/list_changed"):
        world["a"].says(method=method)
    assert asked.get() == {"method": TOOLS, "params": {"_meta": {SUBSCRIPTION: "L"}}}


def test_the_subscriptions_id_is_that_of_the_request_a_number_too():
    world = BothEras(a=old())
    asked = listens(world, id=7)
    assert asked.get() == acknowledged(id=7)


def test_what_the_server_does_not_have_or_tell_is_left_out():
    world = BothEras(a=old(capabilities={"tools": {}}, resources=()))
    asked = listens(world, "a", promptsListChanged=True, resourceSubscriptions=["x:/1"])
    assert answers_all(world, error={"code": -32601, "message": "no"}) == [
        ("resources/subscribe", "x:/1")]
    assert asked.get() == acknowledged(resourceSubscriptions=[])


def test_of_a_restart_we_tell_for_a_server_that_tells_nothing_of_its_list():
    world = BothEras(a=old(capabilities={"tools": {}}))
    asked = listens(world, "a", toolsListChanged=True)
    assert asked.get() == acknowledged(toolsListChanged=True)
    world["a"].dies()
    world.clock.advance(1)
    assert asked.get()["method"] == TOOLS


@pytest.mark.parametrize("notifications", [
    None, [], {"resourceSubscriptions": "x:/1"}, {"resourceSubscriptions": [1]},
    {"resourceSubscriptions": ["x"] * (MOST_NAMED + 1)}, {"taskIds": {}},
    {"resourceSubscriptions": ["x" * 1_000_001]}])
def test_a_filter_that_is_none_or_too_much_is_refused(notifications):
    world = BothEras(a=old())
    asked = modern_client(world).asks(LISTEN, notifications=notifications)
    assert asked.get()["error"]["code"] == -32602
    assert world.router.sessions.all() == []


def test_what_a_server_puts_into_a_notification_goes_on_but_for_a_meta_that_is_none():
    world = BothEras(a=old())
    asked = listens(world, toolsListChanged=True)
    asked.gets()
    world["a"].says(method=TOOLS, params={"more": 1, "_meta": {"x": 2}})
    assert asked.get()["params"] == {"more": 1, "_meta": {"x": 2, SUBSCRIPTION: "L"}}
    world["a"].says(method=TOOLS, params={"_meta": "x"})
    assert asked.get()["params"] == {"_meta": {SUBSCRIPTION: "L"}}


def test_log_lines_and_progress_are_none_of_it():
    world = BothEras(a=old(capabilities={**CHANGES, "logging": {}}))
    asked = modern_client(world).asks(
        LISTEN, level="debug", token="p", notifications={})
    asked.gets()
    world["a"].takes()
    world["a"].says(method="notifications/message", params={"level": "error", "data": "x"})
    world["a"].says(method="notifications/progress", params={"progressToken": 1, "progress": 1})
    assert asked.gets() == []


# -- resources


@each_surface
def test_updates_of_a_legacy_servers_resources_come_to_those_who_listen_to_them(name):
    world = BothEras(a=old())
    asked = listens(world, name, resourceSubscriptions=["x:/1"])
    assert asked.gets() == []
    assert answers_all(world) == [("resources/subscribe", "x:/1")]
    assert asked.get() == acknowledged(resourceSubscriptions=["x:/1"])
    changes(world, "x:/2")
    changes(world, "x:/1/part")
    assert asked.get() == {"method": UPDATED, "params": {
        "uri": "x:/1/part", "_meta": {SUBSCRIPTION: "L"}}}


@each_surface
def test_updates_of_a_modern_servers_resources_come_to_those_who_listen_to_them(name):
    world = BothEras(a=new())
    world["a"].takes()
    asked = listens(world, name, resourceSubscriptions=["x:/1"])
    sent = [message for message in world["a"].takes() if message["method"] == LISTEN][-1]
    assert sent["params"]["notifications"]["resourceSubscriptions"] == ["x:/1"]
    assert asked.get() == acknowledged(resourceSubscriptions=["x:/1"])
    world["a"].says(method=UPDATED, params={"uri": "x:/1", "_meta": {SUBSCRIPTION: sent["id"]}})
    assert asked.get() == {"method": UPDATED, "params": {
        "uri": "x:/1", "_meta": {SUBSCRIPTION: "L"}}}


def test_each_resource_is_asked_of_the_server_that_has_it():
    world = BothEras(a=old(), b=old(resources=["y:/1"]))
    asked = listens(world, resourceSubscriptions=["y:/1", "x:/1"])
    assert answers_all(world) == [("resources/subscribe", "x:/1")] and asked.gets() == []
    assert answers_all(world, "b") == [("resources/subscribe", "y:/1")]
    assert asked.get() == acknowledged(resourceSubscriptions=["y:/1", "x:/1"])


def test_a_server_that_does_not_answer_holds_the_acknowledgement_back_for_a_while_only():
    world = BothEras(a=old(), b=old(resources=["y:/1"]))
    asked = listens(world, toolsListChanged=True, resourceSubscriptions=["y:/1", "x:/1"])
    answers_all(world)
    world["a"].says(method=TOOLS)   # it comes behind the acknowledgement
    world.clock.advance(SUBSCRIBE_SECONDS)
    assert [message["method"] for message in asked.gets()] == [ACKNOWLEDGED, TOOLS]
    answers_all(world, "b")
    changes(world, "y:/1", "b")     # which was not acknowledged
    assert asked.gets() == []


def test_two_who_listen_to_the_same_resource_are_told_each_and_the_last_one_ends_it():
    world = BothEras(a=old())
    one, other = (listens(world, resourceSubscriptions=["x:/1"]) for _ in range(2))
    assert answers_all(world) == [("resources/subscribe", "x:/1")]
    one.hangs_up()
    assert world["a"].takes() == []
    other.gets()
    changes(world, "x:/1")
    assert other.get()["method"] == UPDATED
    other.hangs_up()
    assert answers_all(world) == [("resources/unsubscribe", "x:/1")]
    assert world.router.sessions.all() == []


def test_a_legacy_client_keeps_its_subscription_when_one_who_listens_leaves():
    world = BothEras(a=old())
    client = world.client("a")
    client.asks("resources/subscribe", uri="x:/1")
    asked = listens(world, resourceSubscriptions=["x:/1"])
    answers_all(world)
    asked.hangs_up()
    client.gets()
    changes(world, "x:/1")
    assert client.get()["method"] == UPDATED


@pytest.mark.parametrize("server, era", [(old, "legacy"), (new, "modern")])
def test_after_a_restart_of_the_server_all_is_as_before(server, era):
    world = BothEras(a=server())
    asked = listens(world, "a", toolsListChanged=True, resourceSubscriptions=["x:/1"])
    answers_all(world) if era == "legacy" else None
    assert asked.get()["method"] == ACKNOWLEDGED
    world["a"].dies()
    world.clock.advance(1)
    assert [message["method"] for message in asked.gets()] == [TOOLS]
    sent = world["a"].takes()
    meta = {}
    if era == "legacy":
        assert ("resources/subscribe", "x:/1") in [
            (message["method"], message["params"].get("uri")) for message in sent]
    else:
        assert sent[-1]["params"]["notifications"]["resourceSubscriptions"] == ["x:/1"]
        meta = {"_meta": {SUBSCRIPTION: sent[-1]["id"]}}
    world["a"].says(method=UPDATED, params={"uri": "x:/1", **meta})
    assert asked.get()["method"] == UPDATED


# -- servers that are not there, come, and change


def test_a_single_server_that_is_not_running_is_an_error():
    world = BothEras(a=old(missing=True))
    error = listens(world, "a", toolsListChanged=True).get()["error"]
    assert "was not found" in error["message"]
    assert world.router.sessions.all() == []


def test_a_slow_server_is_waited_for_but_not_for_long():
    world = BothEras(a=old(), b=old(slow=True))
    asked = listens(world, toolsListChanged=True)
    assert asked.gets() == []
    world.clock.advance(3)
    assert asked.get() == acknowledged(toolsListChanged=True)
    world["b"].answer_initialize()
    assert TOOLS in [message["method"] for message in asked.gets()]


def test_a_server_that_the_config_adds_is_heard():
    world = BothEras(a=old())
    asked = listens(world, toolsListChanged=True)
    asked.gets()
    world.offers["b"] = old()
    reload(world.router, Config({"a": entry("a"), "b": entry("b")}, {}))
    assert TOOLS in [message["method"] for message in asked.gets()]
    world["b"].says(method=TOOLS)
    assert asked.get()["method"] == TOOLS


def test_a_server_that_the_config_changes_is_subscribed_to_again():
    world = BothEras(a=old())
    asked = listens(world, resourceSubscriptions=["x:/1"])
    answers_all(world)
    reload(world.router, Config({"a": entry("a", args=["new"])}, {}))
    world.clock.advance(1)
    assert len(world.made) == 2
    assert answers_all(world) == [("resources/subscribe", "x:/1")]
    asked.gets()
    changes(world, "x:/1")
    assert asked.get()["method"] == UPDATED


def test_a_single_server_that_the_config_takes_away_ends_it():
    world = BothEras(a=old(), b=old())
    asked = listens(world, "b", toolsListChanged=True)
    asked.gets()
    reload(world.router, Config({"a": entry("a")}, {}))
    assert asked.get()["result"]["_meta"][SUBSCRIPTION] == "L"
    assert world.router.sessions.all() == []


def test_a_group_hears_its_own_servers_only():
    world = BothEras(groups={"few": ["a"]}, a=old(), b=old())
    asked = listens(world, "few", toolsListChanged=True)
    asked.gets()
    world["b"].says(method=TOOLS)
    assert asked.gets() == []
    world["a"].says(method=TOOLS)
    assert asked.get()["method"] == TOOLS


# -- the end


def test_the_router_ends_it_with_an_answer():
    world = BothEras(a=old())
    asked = listens(world, toolsListChanged=True)
    asked.gets()
    world.router.leave(asked.session)
    answer = asked.get()
    assert answer["id"] == "L" and answer["result"]["resultType"] == "complete"
    assert answer["result"]["_meta"][SUBSCRIPTION] == "L"
    world["a"].says(method=TOOLS)
    assert asked.gets() == []


def test_a_client_that_leaves_before_the_acknowledgement_leaves_nothing_behind():
    world = BothEras(a=old())
    asked = listens(world, resourceSubscriptions=["x:/1"])
    asked.hangs_up()
    answers_all(world)
    world.clock.advance(SUBSCRIBE_SECONDS)
    assert asked.gets() == [] and world.router.sessions.all() == []
    assert world.pool.upstreams()["a"][0].audience.uris() == []


# -- on a pipe


def piped(**servers):
    world = BothEras(share=False, **servers)
    return world, PipedClient(world)


def test_on_a_pipe_each_request_brings_its_own_under_its_own_id():
    world, client = piped(a=old())
    client.asks_modern(LISTEN, 1, notifications={"toolsListChanged": True})
    assert client.get() == acknowledged(id=1, toolsListChanged=True)
    client.asks_modern(LISTEN, "two", notifications={"toolsListChanged": True,
                                                     "promptsListChanged": True})
    client.gets()
    world["a"].says(method=TOOLS)
    assert [message["params"]["_meta"][SUBSCRIPTION] for message in client.gets()] == [1, "two"]
    client.cancels(1)
    world["a"].says(method=TOOLS)
    assert client.get()["params"]["_meta"] == {SUBSCRIPTION: "two"}


def test_on_a_pipe_the_end_of_one_does_not_end_the_subscription_of_another():
    world, client = piped(a=old())
    for id, uris in ((1, ["x:/1", "x:/2"]), (2, ["x:/1"])):
        client.asks_modern(LISTEN, id, notifications={"resourceSubscriptions": uris})
        answers_all(world)
    client.gets()
    client.cancels(1)
    assert answers_all(world) == [("resources/unsubscribe", "x:/2")]
    changes(world, "x:/1")
    assert client.get()["params"]["_meta"] == {SUBSCRIPTION: 2}
    client.cancels(2)
    assert answers_all(world) == [("resources/unsubscribe", "x:/1")]


def test_on_a_pipe_a_subscription_may_come_and_go_any_number_of_times():
    world, client = piped(a=old())
    for id in range(3):
        client.asks_modern(LISTEN, id, notifications={"resourceSubscriptions": ["x:/1"]})
        assert answers_all(world) == [("resources/subscribe", "x:/1")]
        client.cancels(id)
        assert answers_all(world) == [("resources/unsubscribe", "x:/1")]
    assert world.pool.upstreams()["a"][0].audience.uris() == []


def test_on_a_pipe_the_end_of_the_input_ends_it_with_an_answer():
    world, client = piped(a=old())
    client.asks_modern(LISTEN, 1, notifications={"toolsListChanged": True})
    client.gets()
    client.session.says_no_more()
    assert client.get() == {"id": 1, "result": {
        "resultType": "complete", "_meta": {
            SUBSCRIPTION: 1, META + "serverInfo": world.router.surface(None).server_info(None)}}}
    assert not len(client.session.calls)


def test_on_a_pipe_a_legacy_client_hears_nothing_twice_and_keeps_what_it_subscribed_to():
    world, client = piped(a=old())
    client.initialize()
    client.asks("resources/subscribe", id="s", uri="x:/1")
    client.asks_modern(LISTEN, 1, notifications={"resourceSubscriptions": ["x:/1"]})
    answers_all(world)
    client.gets()
    changes(world, "x:/1")
    assert [message["params"].get("_meta") for message in client.gets()] == [
        None, {SUBSCRIPTION: 1}]
    client.cancels(1)
    assert answers_all(world) == []
    changes(world, "x:/1")
    assert client.get()["params"] == {"uri": "x:/1"}
