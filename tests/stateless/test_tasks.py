"""Tasks of the extension (SEP-2663): ids on both surfaces, in all that has one."""

import pytest
from modern_client import META, TASKS, BothEras, legacy, modern, modern_client

EXTENSION = {"capabilities": {"tools": {}, **TASKS}}
WORKING = {"status": "working", "createdAt": "now", "lastUpdatedAt": "now", "ttlMs": None}
STATUS, LISTEN = "notifications/tasks", "subscriptions/listen"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
SUBSCRIPTION = META + "subscriptionId"
BOTH = pytest.mark.parametrize("name, prefix", [("a", ""), (None, "a__"), ("few", "a__")])


def world_of(**servers):
    return BothEras(groups={"few": ["a"]}, **(servers or {"a": modern(**EXTENSION),
                                                       "b": modern(**EXTENSION)}))


def client_of(world, name=None):
    return modern_client(world, name, TASKS)


def told(world, label="a"):
    """What the server was sent last, as (method, params without `_meta`), and a way to answer."""
    message = world[label].take()
    params = {key: value for key, value in message["params"].items() if key != "_meta"}
    return message["method"], params, lambda **value: world[label].says(
        id=message["id"], result={"resultType": "complete", **value})


def creates(world, client, tool, label, id="1"):
    """The client calls a tool that becomes a task of this id; returns what it gets."""
    asked = client.asks("tools/call", name=tool)
    told(world, label)[2](resultType="task", taskId=id, **WORKING)
    return asked.get()["result"]


@BOTH
def test_a_call_becomes_a_task_which_its_client_asks_for_by_the_id_that_it_has_got(name, prefix):
    world = world_of()
    client = client_of(world, name)
    task = creates(world, client, prefix + "t", "a")
    assert (task["taskId"], task["resultType"]) == (prefix + "1", "task")
    for method, params, answer in [("tasks/get", {}, {"taskId": "1", **WORKING}),
                                   ("tasks/update", {"inputResponses": {"k": {}}}, {}),
                                   ("tasks/cancel", {}, {})]:
        asked = client.asks(method, taskId=task["taskId"], **params)
        seen, sent, answers = told(world)
        assert (seen, sent) == (method, {"taskId": "1", **params})
        answers(**answer)
        got = asked.get()["result"]
        assert got["resultType"] == "complete"
        assert got.get("taskId") == (task["taskId"] if answer else None)


def test_a_server_may_answer_while_the_call_is_still_being_sent():
    world = world_of()
    server = world["a"]
    server.send = lambda message: server.says(id=message["id"], result={
        "resultType": "task", "taskId": "1", **WORKING})
    assert client_of(world).asks("tools/call", name="a__t").get()["result"]["taskId"] == "a__1"


def test_two_servers_may_give_their_tasks_the_same_id():
    world = world_of()
    client = client_of(world)
    assert creates(world, client, "a__t", "a")["taskId"] == "a__1"
    assert creates(world, client, "b__t", "b")["taskId"] == "b__1"
    client.asks("tasks/get", taskId="b__1")
    assert told(world, "b")[1] == {"taskId": "1"} and world["a"].takes() == []


@pytest.mark.parametrize("one, its, other, others", [
    ("a", "b__1", "a__b", "1"), ("a", "_1", "a_", "1"), ("a_b", "1", "a%5Fb", "1"),
    ("a__b", "1", "a%5F%5Fb", "1")])
def test_ids_do_not_meet_where_the_name_of_one_server_begins_with_that_of_another(one, its, other,
                                                                                  others):
    world = BothEras(**{one: modern(**EXTENSION, config={"prefix": "x__"}),
                        other: modern(**EXTENSION, config={"prefix": "y__"})})
    client = client_of(world)
    seen = {one: creates(world, client, "x__t", one, its)["taskId"],
            other: creates(world, client, "y__t", other, others)["taskId"]}
    assert seen[one] != seen[other]
    for name, own in ((one, its), (other, others)):
        asked = client.asks("tasks/get", taskId=seen[name])
        _, sent, answers = told(world, name)
        assert sent == {"taskId": own} and not any(each.takes() for each in world.made)
        answers(taskId=own, **WORKING)
        assert asked.get()["result"]["taskId"] == seen[name]


def test_an_id_that_names_no_server_is_unknown():
    world = world_of()
    for id in ("1", "c__1", "a", "a_1", ""):
        answer = client_of(world).asks("tasks/get", taskId=id).get()["error"]
        assert (answer["code"], answer["message"]) == (-32602, f"Unknown task: {id}")
    assert client_of(world).asks("tasks/get", taskId=1).get()["error"]["code"] == -32602


def test_a_client_that_has_not_declared_the_extension_learns_nothing_of_tasks():
    world = world_of()
    client = modern_client(world)
    missing = {"requiredCapabilities": TASKS}
    for method, params in [("tasks/get", {"taskId": "c__1"}),
                           (LISTEN, {"notifications": {"taskIds": ["a__1"]}})]:
        error = client.asks(method, **params).get()["error"]
        assert (error["code"], error["data"]) == (-32021, missing)
    client.asks("tasks/get", taskId="a__1")     # this the server refuses by itself
    assert META + "clientCapabilities" in world["a"].take()["params"]["_meta"]


@pytest.mark.parametrize("name, id", [("a", "1"), (None, "a__1")])
@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel", "tasks/result",
                                    "tasks/list"])
def test_the_tasks_of_a_legacy_server_are_not_there_for_modern_clients(method, name, id):
    world = BothEras(a=legacy(capabilities={"tools": {}, "tasks": {"list": {}}}))
    error = client_of(world, name).asks(method, taskId=id).get()["error"]
    assert error["code"] == -32601 and world["a"].takes() == []


def test_a_legacy_server_is_not_asked_for_a_task_of_its_own_kind():
    world = BothEras(a=legacy(capabilities={"tools": {}, "tasks": {}}))
    client_of(world, "a").asks("tools/call", name="t", task={"ttl": 1})
    assert told(world)[1] == {"name": "t"}


def test_a_legacy_server_does_not_hear_that_its_client_knows_the_extension():
    world = BothEras(a=legacy())
    capabilities = {**TASKS, "elicitation": {}}
    modern_client(world, "a", capabilities).asks("tools/call", name="t")
    own = world.made[-1]
    assert own.initialize["params"]["capabilities"] == {"elicitation": {}, "extensions": {}}


def test_a_server_that_rests_comes_back_for_a_task():
    world = world_of()
    world.pool.upstreams()["a"][0].rest()
    asked = client_of(world).asks("tasks/get", taskId="a__1")
    _, sent, answers = told(world)
    assert sent == {"taskId": "1"}
    answers(taskId="1", **WORKING)
    assert asked.get()["result"]["taskId"] == "a__1"


def test_a_server_that_has_ended_is_started_again_for_a_task():
    world = world_of()
    client = client_of(world)
    task = creates(world, client, "a__t", "a")
    world["a"].dies()
    client.asks("tasks/get", taskId=task["taskId"])
    world.clock.advance(1)
    assert len(world.made) == 3 and told(world)[1] == {"taskId": "1"}


# -- their notifications


def follows(world, *ids, name=None, client=None):
    """A client that listens to the status of these tasks."""
    return (client or client_of(world, name)).asks(
        LISTEN, id="L", notifications={"taskIds": list(ids)})


def agrees(world, label="a", only=None):
    """The server agrees to all that it is asked for; returns its id of that, and what that is."""
    message = world[label].take()
    assert message["method"] == LISTEN
    assert message["params"]["_meta"][META + "clientCapabilities"] == TASKS
    asked = message["params"]["notifications"]
    world[label].says(method=ACKNOWLEDGED, params={
        "_meta": {SUBSCRIPTION: message["id"]},
        "notifications": asked if only is None else {"taskIds": only}})
    return message["id"], asked


def says_status(world, subscription, id="1", label="a", **more):
    world[label].says(method=STATUS, params={
        "taskId": id, **WORKING, "_meta": {SUBSCRIPTION: subscription}, **more})


@BOTH
def test_the_status_of_a_task_is_told_to_the_client_that_listens_to_it(name, prefix):
    world = world_of()
    asked = follows(world, prefix + "1", name=name)
    assert asked.gets() == []
    subscription, what = agrees(world)
    assert what == {"taskIds": ["1"]}
    assert asked.get() == {"method": ACKNOWLEDGED, "params": {
        "notifications": {"taskIds": [prefix + "1"]}, "_meta": {SUBSCRIPTION: "L"}}}
    says_status(world, subscription)
    assert asked.get() == {"method": STATUS, "params": {
        "taskId": prefix + "1", **WORKING, "_meta": {SUBSCRIPTION: "L"}}}


def test_each_server_is_asked_for_its_own_tasks_and_what_it_does_not_agree_to_is_left_out():
    world = world_of()
    asked = follows(world, "a__1", "b__1", "a__2", "c__1", "1")
    one, what = agrees(world, only=["2", "9"])
    assert what == {"taskIds": ["1", "2"]} and asked.gets() == []
    other, what = agrees(world, "b")
    assert what == {"taskIds": ["1"]}
    assert asked.get()["params"]["notifications"] == {"taskIds": ["a__2", "b__1"]}
    says_status(world, one, "1")
    says_status(world, one, "2")
    says_status(world, other, "1", label="b")
    assert [message["params"]["taskId"] for message in asked.gets()] == ["a__2", "b__1"]


def test_nobody_else_hears_of_a_task():
    world = world_of()
    followed = follows(world, "a__1")
    subscription, _ = agrees(world)
    followed.gets()
    legacy_client, other = world.client(), modern_client(world).asks(
        LISTEN, notifications={"toolsListChanged": True})
    legacy_client.asks("tools/list")
    legacy_client.gets(), other.gets()
    says_status(world, subscription)
    for id in ([], {}, None, 1, "2"):
        says_status(world, subscription, id)
    world["a"].says(method=STATUS, params={"taskId": "1", **WORKING})
    world["a"].says(method=STATUS, params={"taskId": "1", "_meta": {SUBSCRIPTION: [1]}})
    assert len(followed.gets()) == 1
    assert legacy_client.gets() == other.gets() == []


def test_a_client_that_hangs_up_has_its_subscription_cancelled():
    world = world_of()
    asked = follows(world, "a__1")
    subscription, _ = agrees(world)
    asked.hangs_up()
    assert world["a"].take() == {"method": "notifications/cancelled", "params": {
        "requestId": subscription, "reason": "its client has left"}}
    says_status(world, subscription)
    assert len(asked.gets()) == 1 and world.router.sessions.all() == []


def test_a_server_that_was_restarted_is_asked_again():
    world = world_of()
    asked = follows(world, "a__1")
    agrees(world)
    world["a"].dies()
    world.clock.advance(1)
    assert len(asked.gets()) == 1
    world.clock.advance(2)
    subscription, _ = agrees(world)
    says_status(world, subscription)
    assert [message["method"] for message in asked.gets()] == [STATUS]


def test_a_subscription_lasts_longer_than_a_call_may_be_silent(monkeypatch):
    world = world_of(a=modern(**EXTENSION, config={"timeout": 5}))
    monkeypatch.setattr("time.monotonic", lambda: world.clock.now)
    asked = follows(world, "a__1")
    subscription, _ = agrees(world)
    asked.gets()
    world.clock.advance(60)
    assert world["a"].takes() == []
    says_status(world, subscription)
    assert asked.get()["method"] == STATUS


@pytest.mark.parametrize("server", [legacy(), modern()])
def test_a_server_without_such_tasks_is_not_asked(server):
    world = world_of(a=server)
    assert follows(world, "a__1").get()["params"]["notifications"] == {"taskIds": []}
    assert [message["method"] for message in world["a"].takes()] == []


@pytest.mark.parametrize("only", [None, {}, "1", [{}, [1], 1, None]])
def test_a_server_may_agree_to_rubbish(only):
    world = world_of()
    asked = follows(world, "a__1")
    message = world["a"].take()
    world["a"].says(method=ACKNOWLEDGED, params={
        "_meta": {SUBSCRIPTION: message["id"]}, "notifications": {"taskIds": only}})
    assert asked.get()["params"]["notifications"] == {"taskIds": []}


@pytest.mark.parametrize("code", [-32601, -32602, -32000])
def test_a_server_that_refuses_is_left_out(code):
    world = world_of()
    asked = follows(world, "a__1")
    world["a"].says(id=world["a"].take()["id"], error={"code": code, "message": "no"})
    assert asked.get()["params"]["notifications"] == {"taskIds": []}
    world.clock.advance(100)
    assert world["a"].takes() == []


def test_no_more_than_a_hundred_follow_tasks_of_a_server_at_a_time(monkeypatch):
    monkeypatch.setattr("transports.stateless.tasks.MOST_FOLLOWED", 2)
    world = world_of()
    one, other, third = (follows(world, "a__1") for _ in range(3))
    assert third.get()["params"]["notifications"] == {"taskIds": []}
    assert len(world["a"].takes()) == 2
    one.hangs_up()
    world["a"].takes()
    fourth = follows(world, "a__1")
    agrees(world)
    assert fourth.get()["params"]["notifications"] == {"taskIds": ["a__1"]}


def test_a_server_that_ends_the_subscription_is_asked_again_and_after_growing_pauses():
    world = world_of()
    asked = follows(world, "a__1")
    subscription, _ = agrees(world)
    asked.gets()
    for pause in (1, 2, 4):
        world["a"].says(id=subscription, error={"code": -32000, "message": "not now"})
        world.clock.advance(pause - 0.1)
        assert world["a"].takes() == []
        world.clock.advance(0.1)
        subscription = world["a"].take()["id"]
    assert asked.gets() == []
