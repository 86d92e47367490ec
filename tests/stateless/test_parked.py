"""A legacy server asks a modern client: the call is parked until its client comes back. In one
thread, with played servers."""

import pytest
from modern_client import (FORM, ROOTS, URL, BothEras, ModernClient, legacy, modern_client,
                           stateless_of)

from transports.fabric.messages import INVALID_PARAMS, METHOD_NOT_FOUND, Refused
from transports.fabric.session import SILENT_SECONDS
from transports.stateless.asked_session import TOGETHER_SECONDS
from transports.stateless.parked import PARKED_SECONDS
from upstreams.config.entries import Config
from upstreams.reload.reload import reload
from upstreams.sharing.waiting import LATE_SECONDS

from world import World, entry, offers

SOON = TOGETHER_SECONDS + 0.01
FORM_QUESTION = {"method": "elicitation/create",
                 "params": {"mode": "form", "message": "Who?", "requestedSchema": {}}}
ANSWER = {"action": "accept", "content": {"name": "Ada"}}
OK = {"content": [{"type": "text", "text": "done"}]}


def world_of(*names, **config):
    world = World(entries={name: entry(name, **config) for name in names or "a"}, **{
        name: offers(tools=["t"], prompts=["p"], resources=[f"{name}:/"],
                     capabilities={"logging": {}}) for name in names or "a"})
    return world


def client_of(world, name="a", capabilities=FORM, **more):
    return ModernClient(stateless_of(world), name, capabilities, **more)


def busy(world):
    """The one process that has a request which it has not answered."""
    (server,) = [server for server in world.made if not server.closed and any(
        message.get("method") in ("tools/call", "prompts/get", "resources/read")
        for message in server.received)]
    return server


def the_call(server):
    (message,) = [message for message in server.received if message.get("method") in (
        "tools/call", "prompts/get", "resources/read")]
    return message


def asks(server, id="q", **question):
    server.says(id=id, **{**FORM_QUESTION, **question})


def parked(world, client, **more):
    """(the process, its request, the state) of a call that was asked something."""
    exchange = client.calls(**more)
    world.clock.advance(1)
    server = busy(world)
    asks(server)
    world.clock.advance(SOON)
    questions, state = exchange.is_asked()
    assert list(questions.values()) == [FORM_QUESTION]
    return server, the_call(server), state, list(questions)[0]


def answers_of(server):
    """{id: result or error} of the server's questions."""
    return {message["id"]: message.get("result") or message["error"]
            for message in server.received if "method" not in message}


def cancelled(server):
    """The ids of the requests that the server was told to forget."""
    return [message["params"]["requestId"] for message in server.received
            if message.get("method") == "notifications/cancelled"]


def nothing_is_parked(world):
    assert world.router.health()["parkedCalls"] == 0
    assert world.router.sessions.all() == []
    assert not world.pool.sessions
    parked = world.stateless.parked
    assert not parked._waiting and parked.size == 0
    for use in world.pool.tables.uses():
        assert use.owner is use.holder is None and not use.holds
        assert not len(use.upstream.life.calls) and not use.upstream.life.pending.calls()
    return True


def test_a_question_ends_the_exchange_and_the_retry_goes_on_with_the_call():
    world = world_of()
    client = client_of(world)
    server, call, state, key = parked(world, client)
    assert world.router.health()["parkedCalls"] == 1
    retry = client.calls(state=state, answers={key: ANSWER})
    assert answers_of(server) == {"q": ANSWER} and retry.messages == []
    assert world.router.health()["parkedCalls"] == 0
    server.says(id=call["id"], result=OK)
    assert retry.answer == {"resultType": "complete", **OK}
    assert retry.messages[0]["id"] == 2
    assert nothing_is_parked(world)


def test_questions_that_come_soon_after_each_other_are_one_answer():
    world = world_of()
    client = client_of(world, capabilities={**FORM, **ROOTS})
    exchange = client.calls()
    world.clock.advance(1)
    server = busy(world)
    asks(server, 1)
    world.clock.advance(TOGETHER_SECONDS / 2)
    server.says(id="1", method="roots/list")
    world.clock.advance(SOON)
    questions, state = exchange.is_asked()
    assert [question["method"] for question in questions.values()] == [
        "elicitation/create", "roots/list"]
    one, other = questions
    client.calls(state=state, answers={other: {"roots": []}, one: ANSWER})
    assert answers_of(server) == {1: ANSWER, "1": {"roots": []}}


def test_what_is_missing_is_asked_again_and_what_nobody_asked_is_ignored():
    world = world_of()
    client = client_of(world)
    exchange = client.calls()
    world.clock.advance(1)
    server = busy(world)
    asks(server, 1)
    asks(server, 2)
    world.clock.advance(SOON)
    (one, other), state = exchange.is_asked()
    retry = client.calls(state=state, answers={other: ANSWER, "made up": ANSWER, one: "no object"})
    assert answers_of(server) == {2: ANSWER}
    world.clock.advance(SOON)
    again, new_state = retry.is_asked()
    assert again == {one: FORM_QUESTION} and new_state != state
    client.calls(state=new_state, answers={one: ANSWER, other: {"action": "decline"}})
    assert answers_of(server) == {1: ANSWER, 2: ANSWER}


def test_the_server_may_ask_again_after_the_answers():
    world = world_of()
    client = client_of(world)
    server, call, state, key = parked(world, client)
    retry = client.calls(state=state, answers={key: ANSWER})
    asks(server, "more")
    world.clock.advance(SOON)
    (second,), state = retry.is_asked()
    assert second != key
    last = client.calls(state=state, answers={second: ANSWER, key: {"action": "decline"}})
    assert answers_of(server) == {"q": ANSWER, "more": ANSWER}
    server.says(id=call["id"], result=OK)
    assert last.answer["content"] == OK["content"] and nothing_is_parked(world)


# -- states


def refused(function, *arguments, **more):
    with pytest.raises(Refused) as problem:
        function(*arguments, **more)
    assert problem.value.code == INVALID_PARAMS
    return str(problem.value)


def test_a_state_is_good_for_one_retry():
    world = world_of()
    client = client_of(world)
    server, _, state, key = parked(world, client)
    first = client.calls(state=state, answers={key: ANSWER})
    refused(client.calls, state=state, answers={key: ANSWER})
    assert answers_of(server) == {"q": ANSWER} and not first.is_answered()


def test_a_state_is_good_only_for_the_same_request_at_the_same_place():
    world = world_of("a", "b")
    client = client_of(world)
    server, _, state, key = parked(world, client, arguments={"x": 1})
    for other in (client_of(world, "b"), client_of(world, None),
                  client_of(world, transport="stdio")):
        refused(other.calls, state=state, answers={key: ANSWER}, arguments={"x": 1})
    refused(client.calls, "t2", state=state, arguments={"x": 1})
    refused(client.calls, state=state, arguments={"x": 2})
    refused(client.asks, "prompts/get", name="t", arguments={"x": 1}, requestState=state)
    refused(client.asks, "tools/list", requestState=state)
    refused(client.asks, "resources/read", uri="t", requestState=state)
    assert answers_of(server) == {} and world.router.health()["parkedCalls"] == 1
    client.calls(state=state, answers={key: ANSWER}, arguments={"x": 1.0})
    assert answers_of(server) == {"q": ANSWER}


@pytest.mark.parametrize("state", ["mcp-local-router:made-up", "mcp-local-router:", "x", "", None,
                                   7, {"a": 1}])
def test_a_state_that_nobody_gave_out_is_refused(state):
    world = world_of()
    client = client_of(world)
    if isinstance(state, str) and state.startswith("mcp-local-router:"):
        refused(client.asks, "tools/call", name="t", requestState=state)
    else:
        exchange = client.asks("tools/call", name="t", requestState=state)
        world.clock.advance(1)
        assert exchange.answer["code"] == INVALID_PARAMS
    assert not [message for message in world["a"].received if message["method"] == "tools/call"]
    world.clock.advance(120)
    assert nothing_is_parked(world)


def test_nobody_comes_back_and_the_call_is_cancelled_and_its_process_free():
    world = world_of()
    client = client_of(world)
    server, call, state, key = parked(world, client)
    world.clock.advance(PARKED_SECONDS)
    assert answers_of(server)["q"]["message"]
    assert cancelled(server) == [call["id"]]
    refused(client.calls, state=state, answers={key: ANSWER})
    server.says(id=call["id"], result=OK)
    assert nothing_is_parked(world)
    assert client.calls().messages == [] and busy(world) is server


def test_a_state_that_was_used_leaves_no_event_of_the_clock():
    world = world_of()
    client = client_of(world)
    before = len(world.clock.events)
    server, call, state, key = parked(world, client)
    retry = client.calls(state=state, answers={key: ANSWER})
    server.says(id=call["id"], result=OK)
    assert retry.is_answered()
    events = {function.__name__ for _, _, function, _ in world.clock.events}
    events -= {"_press"}    # which comes once more, for nothing
    assert "_expire" not in events and len(events) <= before + 1


# -- what happens while it is parked, and after


def test_the_answer_that_comes_meanwhile_is_for_the_retry():
    world = world_of()
    client = client_of(world)
    server, call, state, key = parked(world, client)
    server.says(id=call["id"], result=OK)
    assert world.router.health()["parkedCalls"] == 1
    retry = client.calls(state=state, answers={key: ANSWER})
    assert retry.answer["content"] == OK["content"]
    assert answers_of(server) == {"q": ANSWER} and nothing_is_parked(world)


def test_a_question_that_is_withdrawn_meanwhile_needs_no_answer():
    world = world_of()
    client = client_of(world)
    server, call, state, key = parked(world, client)
    server.says(method="notifications/cancelled", params={"requestId": "q"})
    retry = client.calls(state=state, answers={key: ANSWER})
    world.clock.advance(1)
    assert answers_of(server) == {} and not retry.is_answered()
    server.says(id=call["id"], result=OK)
    assert retry.answer["content"] == OK["content"] and nothing_is_parked(world)


def test_a_question_that_is_withdrawn_at_once_is_never_asked():
    world = world_of()
    exchange = client_of(world).calls()
    world.clock.advance(1)
    server = busy(world)
    asks(server)
    server.says(method="notifications/cancelled", params={"requestId": "q"})
    world.clock.advance(1)
    assert exchange.messages == []
    server.says(id=the_call(server)["id"], result=OK)
    assert exchange.answer["content"] == OK["content"] and nothing_is_parked(world)


def test_a_question_that_comes_while_it_is_parked_is_asked_with_the_retry():
    world = world_of()
    client = client_of(world)
    server, call, state, key = parked(world, client)
    asks(server, "late")
    retry = client.calls(state=state, answers={key: ANSWER})
    world.clock.advance(SOON)
    (late,), _ = retry.is_asked()
    assert late != key


def test_the_server_dies_meanwhile_and_the_retry_hears_why():
    world = world_of()
    client = client_of(world)
    server, call, state, key = parked(world, client)
    server.dies("exited with status 3")
    retry = client.calls(state=state, answers={key: ANSWER})
    assert "exited with status 3" in retry.answer["message"]
    world.clock.advance(1)
    assert nothing_is_parked(world)


@pytest.mark.parametrize("entries, why", [
    ({"a": entry("a", args=["new"])}, "its entry in the config has changed"),
    ({"b": entry("b")}, "it was taken out of the config")])
def test_its_server_is_changed_or_taken_out_meanwhile_and_the_retry_hears_so(entries, why):
    world = world_of("a", "b")
    client = client_of(world, None)
    exchange = client.calls("a__t")
    world.clock.advance(1)
    server = busy(world)
    asks(server)
    world.clock.advance(SOON)
    (key,), state = exchange.is_asked()
    reload(world.router, Config(entries, {}))
    assert server.closed
    retry = client.calls("a__t", state=state, answers={key: ANSWER})
    world.clock.advance(1)
    assert why in retry.answer["message"]
    world.clock.advance(PARKED_SECONDS)
    assert nothing_is_parked(world)


def test_the_client_hangs_up_on_the_retry_and_the_call_is_cancelled():
    world = world_of()
    client = client_of(world)
    server, call, state, key = parked(world, client)
    retry = client.calls(state=state, answers={key: ANSWER})
    retry.hangs_up()
    assert cancelled(server) == [call["id"]]
    server.says(id=call["id"], result=OK)
    assert nothing_is_parked(world) and retry.messages == []


def test_hanging_up_on_an_exchange_that_is_answered_changes_nothing():
    world = world_of()
    client = client_of(world)
    exchange = client.calls()
    world.clock.advance(1)
    asks(busy(world))
    world.clock.advance(SOON)
    exchange.hangs_up()
    assert world.router.health()["parkedCalls"] == 1


def test_a_client_that_hangs_up_just_before_it_is_asked_leaves_nothing():
    world = world_of()
    exchange = client_of(world).calls()
    world.clock.advance(1)
    server = busy(world)
    call = the_call(server)
    asks(server)
    exchange.hangs_up()
    world.clock.advance(SOON)
    server.says(id=call["id"], result=OK)
    assert exchange.messages == [] and nothing_is_parked(world)


def test_progress_and_log_lines_go_to_the_retry_as_that_wants_them():
    world = world_of()
    client = client_of(world)
    server, call, state, key = parked(world, client, token="first", level="error")
    progress = {"progressToken": call["params"]["_meta"]["progressToken"], "progress": 1}
    server.says(method="notifications/progress", params=progress)    # nobody is there
    retry = client.calls(state=state, answers={key: ANSWER}, token=2, level="debug")
    assert [message["params"] for message in server.received
            if message.get("method") == "logging/setLevel"][-1:] == [{"level": "debug"}]
    server.says(method="notifications/progress", params=progress)
    server.says(method="notifications/message", params={"level": "debug", "data": 1})
    assert [message["params"] for message in retry.told] == [
        {"progressToken": 2, "progress": 1}, {"level": "debug", "data": 1}]


def test_a_retry_without_a_token_and_a_level_hears_neither():
    world = world_of()
    client = client_of(world)
    server, call, state, key = parked(world, client, token="first", level="debug")
    retry = client.calls(state=state, answers={key: ANSWER})
    server.says(method="notifications/progress", params={
        "progressToken": call["params"]["_meta"]["progressToken"], "progress": 1})
    server.says(method="notifications/message", params={"level": "error", "data": 1})
    assert retry.messages == []


# -- what cannot be asked


@pytest.mark.parametrize("question", [
    {"method": "sampling/createMessage", "params": {}}, {"method": "roots/list"},
    {"method": "elicitation/create", "params": {"mode": "url", "url": "https://a.example"}},
    {"method": "a/future/question", "params": {}}])
def test_what_the_client_cannot_be_asked_is_answered_with_an_error_at_once(question):
    world = world_of()
    exchange = client_of(world).calls()
    world.clock.advance(1)
    server = busy(world)
    server.says(id=1, **question)
    assert answers_of(server)[1]["code"] == METHOD_NOT_FOUND
    world.clock.advance(SOON)
    assert exchange.messages == []


def test_what_the_retry_cannot_be_asked_any_more_is_answered_with_an_error():
    world = world_of()
    client = client_of(world)
    server, call, state, key = parked(world, client)
    retry = client.calls(state=state, answers={}, capabilities=ROOTS)
    assert answers_of(server)["q"]["code"] == METHOD_NOT_FOUND
    asks(server, "again")
    assert answers_of(server)["again"]["code"] == METHOD_NOT_FOUND
    server.says(id=call["id"], result=OK)
    assert retry.answer["content"] == OK["content"]


def test_a_question_outside_any_call_is_answered_with_an_error():
    world = world_of()
    client = client_of(world)
    exchange = client.calls()
    world.clock.advance(1)
    server = busy(world)
    server.says(id=the_call(server)["id"], result=OK)
    asks(server)
    assert exchange.answer["content"] == OK["content"]
    assert answers_of(server)["q"]["code"] == METHOD_NOT_FOUND
    other = client_of(world, capabilities=FORM).calls()
    world.clock.advance(1)
    assert busy(world) is server and other.messages == []


@pytest.mark.parametrize("method, params", [
    ("tools/list", {}), ("completion/complete", {"ref": {"type": "ref/prompt", "name": "p"}})])
def test_a_server_that_asks_during_a_list_or_a_completion_is_answered_with_an_error(method,
                                                                                   params):
    world = world_of(lists_by_capabilities=True)
    client = client_of(world)
    world.offers["a"]["lists"].pop("tools/list")
    exchange = client.asks(method, **params)
    world.clock.advance(30)
    for server in [server for server in world.made if not server.closed]:
        asks(server)
        assert answers_of(server)["q"]["code"] == METHOD_NOT_FOUND
        for message in server.received:
            if message.get("method") == method:
                server.says(id=message["id"], result={"tools": [], "completion": {}})
    world.clock.advance(30)
    assert exchange.is_answered()


def test_the_time_of_the_server_does_not_count_while_its_client_is_asked(monkeypatch):
    world = world_of(timeout=10)
    monkeypatch.setattr("time.monotonic", lambda: world.clock.now)
    client = client_of(world)
    server, call, state, key = parked(world, client)
    world.clock.advance(60)
    retry = client.calls(state=state, answers={key: ANSWER})
    assert answers_of(server) == {"q": ANSWER}
    world.clock.advance(9)
    assert not retry.is_answered()
    world.clock.advance(5)
    assert "did not answer within 10 seconds" in retry.answer["message"]


# -- bounds


def test_there_are_only_so_many_parked_calls(monkeypatch):
    monkeypatch.setattr("transports.stateless.parked.MOST_PARKED", 2)
    world = world_of()
    clients = [client_of(world) for _ in range(3)]
    parked(world, clients[0])
    world.made[-1].received.clear()
    parked(world, clients[1])
    world.made[-1].received.clear()
    exchange = clients[2].calls()
    world.clock.advance(1)
    server = busy(world)
    asks(server)
    world.clock.advance(SOON)
    assert "2 calls wait" in exchange.answer["message"]
    assert cancelled(server) == [the_call(server)["id"]] and answers_of(server)["q"]["message"]


def test_what_parked_calls_make_us_keep_has_a_bound_in_bytes(monkeypatch):
    monkeypatch.setattr("transports.stateless.parked.MOST_BYTES", 1000)
    world = world_of()
    client = client_of(world)
    exchange = client.calls()
    world.clock.advance(1)
    server = busy(world)
    asks(server, 1, params={"message": "x" * 600})
    asks(server, 2, params={"message": "x" * 600})
    asks(server, 3, params={"message": "x" * 600})
    assert list(answers_of(server)) == [3]
    world.clock.advance(SOON)
    questions, state = exchange.is_asked()
    assert len(questions) == 2
    server.says(id=the_call(server)["id"], result={"content": ["x" * 600]})
    retry = client.calls(state=state, answers=dict.fromkeys(questions, ANSWER))
    assert "too much" in retry.answer["message"] and nothing_is_parked(world)


def test_the_request_of_a_parked_call_counts_among_these_bytes(monkeypatch):
    monkeypatch.setattr("transports.stateless.parked.MOST_BYTES", 5000)
    world = world_of()
    client = client_of(world)
    large = {"x": "x" * 6000}
    server, call, state, key = parked(world, client, arguments=large)
    assert 6000 < world.stateless.parked.size < 7000
    server.received.clear()
    exchange = client_of(world).calls()
    world.clock.advance(1)
    other = busy(world)
    asks(other)
    assert "too much is kept" in answers_of(other)["q"]["message"]
    other.says(id=the_call(other)["id"], result=OK)
    assert exchange.is_answered()
    retry = client.calls(state=state, answers={key: ANSWER}, arguments=large)
    assert world.stateless.parked.size == 0
    server.says(id=call["id"], result=OK)
    assert retry.answer["content"] == OK["content"] and nothing_is_parked(world)
    for each in world.made:
        each.received.clear()
    parked(world, client, arguments=large)
    world.clock.advance(PARKED_SECONDS)
    assert world.stateless.parked.size == 0


def test_a_request_has_only_so_many_questions(monkeypatch):
    monkeypatch.setattr("transports.stateless.asked_session.MOST_QUESTIONS", 3)
    world = world_of()
    exchange = client_of(world).calls()
    world.clock.advance(1)
    server = busy(world)
    for id in range(5):
        asks(server, id)
    world.clock.advance(SOON)
    questions, _ = exchange.is_asked()
    assert len(questions) == 3 and list(answers_of(server)) == [3, 4]


def test_the_router_ends_and_a_parked_call_is_cancelled():
    world = world_of()
    server, call, _, _ = parked(world, client_of(world))
    for session in world.router.sessions.all():
        world.router.leave(session)
    assert cancelled(server) == [call["id"]] and answers_of(server)["q"]["message"]


@pytest.fixture
def clock(monkeypatch):
    """The time of a world is that of everybody."""
    def follows(world):
        monkeypatch.setattr("time.monotonic", lambda: world.clock.now)
        return world
    return follows


def test_the_call_that_is_parked_longest_makes_room_for_a_session(clock, caplog):
    world = clock(world_of())
    world.router.sessions._most = 2
    first, second = [], []
    for kept in (first, second):
        kept += parked(world, client_of(world))
        kept[0].received.remove(kept[1])
    with pytest.raises(Refused, match="as many sessions"):
        client_of(world).asks("server/discover")
    world.clock.advance(SILENT_SECONDS)
    assert client_of(world).asks("server/discover").answer
    assert "ends to make room" in caplog.text
    assert cancelled(first[0]) == [first[1]["id"]] and answers_of(first[0])["q"]["message"]
    assert world.router.health()["parkedCalls"] == len(world.stateless.parked._waiting) == 1
    refused(client_of(world).calls, state=first[2], answers={first[3]: ANSWER})
    retry = client_of(world).calls(state=second[2], answers={second[3]: ANSWER})
    world.clock.advance(SILENT_SECONDS)
    for _ in range(2):
        client_of(world).asks("server/discover")
    second[0].says(id=second[1]["id"], result=OK)
    assert retry.answer["content"] == OK["content"] and nothing_is_parked(world)


def test_a_parked_call_makes_room_for_the_process_of_another(clock):
    world = clock(world_of())
    world.pool.tables.limit = 1
    servers = []
    for _ in range(2):
        server, call, _, _ = parked(world, client_of(world))
        server.received.remove(call)
        servers.append((server, call["id"]))
    exchange = client_of(world).calls()
    world.clock.advance(SILENT_SECONDS + 5)
    (one, its), (other, _) = servers
    assert cancelled(one) == [its] and cancelled(other) == []
    third = busy(world)
    third.says(id=the_call(third)["id"], result=OK)
    assert exchange.answer["content"] == OK["content"]
    assert world.router.health()["parkedCalls"] == 1


def test_a_client_that_comes_back_while_its_call_makes_room_is_answered(monkeypatch):
    world = world_of()
    client = client_of(world)
    _, _, state, key = parked(world, client)
    (session,) = world.router.sessions.all()
    resume = session.resume

    def too_late(*arguments):
        world.router.leave(session)
        resume(*arguments)
    monkeypatch.setattr(session, "resume", too_late)
    retry = client.calls(state=state, answers={key: ANSWER})
    assert "has ended" in retry.answer["message"]
    world.clock.advance(LATE_SECONDS)
    assert nothing_is_parked(world)


def test_url_questions_have_no_id_in_this_era():
    world = world_of()
    exchange = client_of(world, capabilities=URL).calls()
    world.clock.advance(1)
    asks(busy(world), params={"mode": "url", "url": "https://a.example", "elicitationId": "e"})
    world.clock.advance(SOON)
    ((question),), _ = [list(part.values()) if isinstance(part, dict) else part
                        for part in exchange.is_asked()]
    assert question["params"] == {"mode": "url", "url": "https://a.example"}


def test_a_state_of_a_server_that_is_not_there_and_an_id_that_is_too_long_leave_no_session():
    world = BothEras(a=legacy())
    client = modern_client(world, "a")
    with pytest.raises(Refused):
        client.asks("resources/read", id="x" * 10_001, uri="u://x")
    problem = client.asks("resources/read", uri="u://x",
                          requestState='mcp-local-router/server:["b", null]').get()["error"]
    assert problem["code"] == -32602
    assert world.router.sessions.all() == []
