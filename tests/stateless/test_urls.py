"""A legacy server refuses a call until its user has opened a URL (2025-11-25, URL Elicitation
Required Error). In this era there is no such error."""

import pytest
from modern_client import FORM, ROOTS, URL, ModernClient, PipedClient, stateless_of

from transports.fabric.session import SILENT_SECONDS
from transports.stateless.asked_session import TOGETHER_SECONDS

from world import World, offers

SOON = TOGETHER_SECONDS + 0.01
CODE, MISSING, INTERNAL = -32042, -32021, -32603
OK = {"content": []}
PAGE = {"mode": "url", "url": "https://a.example/key", "message": "Give your key"}


def world_of():
    return World(a=offers(tools=["t"], prompts=["p"], resources=["a:/"]))


def client_of(world, capabilities=URL):
    return ModernClient(stateless_of(world), "a", capabilities)


def refuses(world, *pages, data=None, method="tools/call"):
    """The server that has the call refuses it. Returns the request."""
    world.clock.advance(1)
    (server,) = [server for server in world.made if not server.closed and any(
        message.get("method") == method for message in server.received)]
    (call,) = [message for message in server.received if message.get("method") == method]
    server.received.remove(call)
    pages = [{**page, "elicitationId": f"e{number}"} for number, page in enumerate(pages)]
    server.says(id=call["id"], error={"code": CODE, "message": "A key is needed", "data": {
        "elicitations": pages} if data is None else data})
    world.clock.advance(SOON)
    return call, server


def answers_of(server, call_id=None):
    (call,) = [message for message in server.received if message.get("method") == "tools/call"]
    server.says(id=call["id"], result=OK)
    return call


def test_the_client_is_asked_to_open_the_url_and_the_retry_calls_again():
    world = world_of()
    client = client_of(world)
    exchange = client.calls(arguments={"x": 1})
    call, server = refuses(world, PAGE)
    questions, state = exchange.is_asked()
    assert list(questions.values()) == [{"method": "elicitation/create", "params": PAGE}]
    assert world.router.health()["parkedCalls"] == 1
    retry = client.calls(arguments={"x": 1}, state=state,
                         answers={key: {"action": "accept"} for key in questions})
    again = answers_of(server)
    assert again["params"] == call["params"] and again["id"] != call["id"]
    assert retry.answer["content"] == []
    assert world.router.sessions.all() == [] and world.stateless.parked.size == 0


def test_several_urls_are_asked_together_and_what_is_missing_again():
    world = world_of()
    client = client_of(world)
    exchange = client.calls()
    _, server = refuses(world, PAGE, {**PAGE, "url": "https://b.example"})
    (one, other), state = exchange.is_asked()
    retry = client.calls(state=state, answers={one: {"action": "accept"}})
    world.clock.advance(SOON)
    questions, state = retry.is_asked()
    assert list(questions) == [other] and server.received == []
    retry = client.calls(state=state, answers={other: {"action": "accept"}})
    answers_of(server)
    assert retry.answer["content"] == []


def test_the_server_may_want_another_url_after_that():
    world = world_of()
    client = client_of(world)
    exchange = client.calls()
    for _ in range(3):
        _, server = refuses(world, PAGE)
        (key,), state = exchange.is_asked()
        exchange = client.calls(state=state, answers={key: {"action": "accept"}})
    answers_of(server)
    assert exchange.answer["content"] == []


@pytest.mark.parametrize("action", ["decline", "cancel", None])
def test_a_user_who_does_not_open_it_gets_the_servers_error(action):
    world = world_of()
    client = client_of(world)
    exchange = client.calls()
    _, server = refuses(world, PAGE)
    (key,), state = exchange.is_asked()
    retry = client.calls(state=state, answers={key: {"action": action}})
    assert retry.answer == {"code": INTERNAL, "message": "A key is needed"}
    assert server.received == [] and world.router.sessions.all() == []


@pytest.mark.parametrize("capabilities", [FORM, ROOTS, {}])
def test_a_client_that_cannot_be_asked_gets_the_error_of_this_era(capabilities):
    world = world_of()
    exchange = client_of(world, capabilities).calls()
    refuses(world, PAGE)
    assert exchange.answer == {"code": MISSING, "message": "A key is needed", "data": {
        "requiredCapabilities": {"elicitation": {"url": {}}}}}


@pytest.mark.parametrize("data", [{}, {"elicitations": []}, {"elicitations": "x"}, "x", {
    "elicitations": [{"url": 7}]}, {"elicitations": [None]}])
def test_an_error_without_urls_is_an_error_of_another_code(data):
    world = world_of()
    exchange = client_of(world).calls()
    refuses(world, data=data)
    assert exchange.answer == {"code": INTERNAL, "message": "A key is needed"}


def test_a_client_that_leaves_just_when_it_is_to_be_asked_leaves_nothing(monkeypatch):
    world = world_of()
    exchange = client_of(world).calls()
    keep = world.stateless.parked.keep

    def keep_and_leave(size):
        keep(size)
        exchange.hangs_up()
    monkeypatch.setattr(world.stateless.parked, "keep", keep_and_leave)
    refuses(world, PAGE)
    assert world.stateless.parked.size == 0 and world.router.sessions.all() == []


def test_too_many_urls_are_refused(monkeypatch):
    monkeypatch.setattr("transports.stateless.asked_session.MOST_QUESTIONS", 3)
    world = world_of()
    exchange = client_of(world).calls()
    refuses(world, *[PAGE] * 5)
    assert "3 questions wait" in exchange.answer["message"]
    assert world.router.sessions.all() == [] and world.stateless.parked.size == 0


def test_a_user_who_cannot_be_asked_as_too_many_calls_are_parked_hears_so(monkeypatch):
    monkeypatch.setattr("transports.stateless.parked.MOST_PARKED", 0)
    world = world_of()
    exchange = client_of(world).calls()
    refuses(world, PAGE)
    assert "calls wait" in exchange.answer["message"]
    assert world.router.sessions.all() == [] and world.stateless.parked.size == 0


def test_a_call_that_waits_for_urls_makes_room(monkeypatch):
    world = world_of()
    monkeypatch.setattr("time.monotonic", lambda: world.clock.now)
    world.router.sessions._most = 1
    exchange = client_of(world).calls()
    refuses(world, PAGE)
    assert exchange.is_asked()
    world.clock.advance(SILENT_SECONDS)
    assert client_of(world).asks("server/discover").answer
    assert world.router.sessions.all() == [] and not world.stateless.parked._waiting
    assert world.stateless.parked.size == 0


@pytest.mark.parametrize("is_between", [False, True])
def test_a_client_that_comes_back_while_its_call_makes_room_is_answered(monkeypatch, is_between):
    world = world_of()
    exchange = client_of(world).calls()
    refuses(world, PAGE)
    questions, state = exchange.is_asked()
    (session,) = world.router.sessions.all()
    resume, ends, later = session.resume, session._end, []

    def too_late(*arguments):
        if is_between:      # it has taken its exchange, and ends when the client is there
            session._end = lambda: later.append(ends)
        world.router.leave(session)
        resume(*arguments)
    monkeypatch.setattr(session, "resume", too_late)
    retry = client_of(world).calls(state=state, answers={
        key: {"action": "accept"} for key in questions})
    for end in later:
        end()
    assert "A key is needed" in retry.answer["message"]     # as without an answer to the question
    assert not world.stateless.parked._waiting and world.stateless.parked.size == 0


def test_whoever_does_not_come_back_leaves_nothing():
    world = world_of()
    exchange = client_of(world).calls()
    refuses(world, PAGE)
    assert exchange.is_asked()
    world.clock.advance(301)
    assert world.router.sessions.all() == [] and world.stateless.parked.size == 0
    assert not world.pool.sessions


def test_the_same_on_a_pipe():
    world = World(share=False, a=offers(tools=["t"]))
    client = PipedClient(world)
    client.asks_modern("tools/call", capabilities=URL, name="a__t")
    refuses(world, PAGE)
    answer = client.get()["result"]
    (key,) = answer["inputRequests"]
    client.asks_modern("tools/call", capabilities=URL, name="a__t", inputResponses={
        key: {"action": "accept"}}, requestState=answer["requestState"])
    answers_of(world["a"])
    assert client.get()["result"]["content"] == []
    assert world.router.sessions.all() == [client.session]
