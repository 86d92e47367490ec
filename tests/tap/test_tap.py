"""transports/fabric/tap.py in a whole router: each message passes once, with the right number."""

import json
import re
import time
import types

import pytest

from transports.fabric.peers import passing
from transports.fabric.text import hidden
from transports.tap import tap as tap_module
from transports.tap.rates import Rates, minute
from transports.tap.tap import FIRST_MESSAGES, LONGEST_TEXT, MOST_A_SECOND, WHOLE_BYTES, tap

from world import World, offers

ASKED = {"elicitation": {}, "sampling": {}, "roots": {}}


@pytest.fixture
def look():
    """look() returns what has passed since the last time."""
    reader = tap.open()

    def read():
        records, missed = reader.read(0)
        assert missed == 0
        return [json.loads(record.line()) for record in records]
    yield read
    reader.close()


def world(**more):
    return World(a=offers(tools=["t"], capabilities={"logging": {}}), **more)


def passes(messages):
    """[(place, method, id, call as a letter)] of messages, the first call being "A"."""
    letters = {}
    return [(one["place"], one["method"], one["id"],
             one["call"] and letters.setdefault(one["call"], chr(65 + len(letters))))
            for one in messages]


def test_a_call_with_all_that_belongs_to_it_has_one_number(look):
    here = world()
    client = here.client()
    look()
    client.asks("tools/call", id="c7", name="a__t", _meta={"progressToken": "p"})
    sent = here["a"].take()["id"]
    here["a"].says(method="notifications/progress",
                   params={"progressToken": sent, "progress": 1})
    here["a"].says(method="notifications/message", params={"level": "error", "data": "x"})
    here["a"].says(id=sent, result={})
    assert passes(look()) == [
        ("from client", "tools/call", "c7", "A"), ("to server", "tools/call", sent, "A"),
        ("from server", "notifications/progress", None, "A"),
        ("to client", "notifications/progress", None, "A"),
        ("from server", "notifications/message", None, "A"),
        ("to client", "notifications/message", None, "A"),
        ("from server", "tools/call", sent, "A"), ("to client", "tools/call", "c7", "A")]


def test_a_question_belongs_to_the_call_that_it_is_asked_within(look):
    here = world(share=False)
    client = here.client(capabilities=ASKED)
    client.asks("tools/call", id="c7", name="a__t")
    look()
    here["a"].says(id="q", method="sampling/createMessage", params={})
    asked = client.gets()[-1]["id"]
    client.sends(id=asked, result={"role": "assistant"})
    assert passes(look()) == [
        ("from server", "sampling/createMessage", "q", "A"),
        ("to client", "sampling/createMessage", asked, "A"),
        ("from client", "sampling/createMessage", asked, "A"),
        ("to server", "sampling/createMessage", "q", "A")]


def test_a_question_without_a_call_has_a_number_of_its_own(look):
    here = world(share=False)
    client = here.client(capabilities=ASKED)
    look()
    here["a"].says(id="q", method="roots/list")
    client.sends(id=client.gets()[-1]["id"], result={"roots": []})
    assert [(place, letter) for place, _, _, letter in passes(look())] == [
        ("from server", "A"), ("to client", "A"), ("from client", "A"), ("to server", "A")]


def test_client_tool_and_failure_are_told_with_each_message_of_a_call(look):
    here = world()
    client = here.client()
    look()
    for answer in ({"result": {}}, {"error": {"code": 1, "message": "x"}},
                   {"result": {"isError": True, "content": [], "text": "x" * 2 * LONGEST_TEXT}}):
        client.asks("tools/call", name="a__t")
        here["a"].says(id=here["a"].take()["id"], **answer)
    messages = look()
    name = client.session.client_info["name"]
    assert {one["client"] for one in messages} == {name}
    assert [one["name"] for one in messages] == ["a__t", "t", "t", "a__t"] * 3
    assert [one["failed"] for one in messages] == [*[False] * 6, True, True, False, False, True,
                                                   True]


def test_a_request_that_brings_answers_belongs_to_the_call_that_asked_for_them(look):
    tap.from_client(here := world().client().session, {"id": 1, "method": "tools/call"})
    tap.to_client(here.name, {"id": 1, "result": {"requestState": "s"}}, b"{}")
    tap.from_client(here, {"id": 2, "method": "tools/call", "params": {"requestState": "s"}})
    tap.to_client(here.name, {"id": 2, "result": {}}, b"{}")
    tap.from_client(here, {"id": 3, "method": "tools/call", "params": {"requestState": "other"}})
    assert [letter for *_, letter in passes(look()[-5:])] == list("AAAAB")


def test_a_cancelled_call_is_followed_to_the_server(look):
    here = world()
    client = here.client()
    client.asks("tools/call", id="c7", name="a__t")
    look()
    client.sends(method="notifications/cancelled", params={"requestId": "c7"})
    assert passes(look()) == [("from client", "notifications/cancelled", None, "A"),
                              ("to server", "notifications/cancelled", None, "A")]


def test_equal_ids_of_two_clients_are_two_calls(look):
    here = world()
    one, two = here.client(), here.client()
    look()
    for client in one, two:
        client.asks("tools/call", id=1, name="a__t")
    first, second = here["a"].takes()
    here["a"].says(id=second["id"], result={})
    here["a"].says(id=first["id"], result={})
    messages = look()
    assert [letter for *_, letter in passes(messages)] == list("AABBBBAA")
    assert [message["session"] for message in messages] == [
        (one if letter == "A" else two).session.name for letter in "AABBBBAA"]


def test_what_the_router_asks_for_itself_has_a_number_and_no_session(look):
    world()
    messages = look()
    assert ("to server", "tools/list") in [(one["place"], one["method"]) for one in messages]
    numbers = {}
    for message in messages:
        assert message["session"] is None and message["process"] == "a"
        numbers.setdefault(message["call"], []).append(message["place"])
    # No number: the notification that the server is initialized.
    assert numbers.pop(None) == ["to server"]
    assert set(map(tuple, numbers.values())) == {("to server", "from server")}


def test_all_that_servers_and_clients_get_passes_exactly_once(look):
    here = world()
    client = here.client()
    got = []
    client.asks("tools/list")
    client.asks("tools/call", name="a__t")
    client.asks("nosuch")
    client.asks("logging/setLevel", level="info")
    client.sends(method="notifications/roots/list_changed")
    sent = here["a"].takes()
    here["a"].says(id="p", method="ping")
    here["a"].says(id="q", method="sampling/createMessage", params={})
    here["a"].says(method="notifications/tools/list_changed")
    here["a"].says(id=sent[0]["id"], result={})
    sent += here["a"].takes()
    got += client.gets()
    messages = look()

    def passed(place):
        return [{key: value for key, value in json.loads(one["text"]).items()
                 if key != "jsonrpc"} for one in messages if one["place"] == place]
    assert passed("to client")[1:] == got  # the first is the answer to initialize
    assert [one for one in passed("to server") if one in sent] == sent
    assert len([one for one in passed("to server") if one.get("id") in ("p", "q")]) == 2
    assert len({one["n"] for one in messages}) == len(messages)


def test_a_long_message_is_cut_and_its_size_is_told_and_no_part_of_a_secret_is_left(
        look, monkeypatch):
    here = world()
    client = here.client()
    monkeypatch.setattr(hidden, "texts", ("hunter2",))
    look()
    head = len('{"jsonrpc":"2.0","method":"test","params":{"text":"')
    client.sends(method="test", params={"text": "x" * (LONGEST_TEXT - head - 3) + "hunter2"
                                        + "y" * 10**6})
    client.sends(method="test", params={"text": "hunter2"})
    long, short = look()
    assert long["cut"] and long["size"] > 10**6 and long["text"].endswith("xxx…")
    assert len(long["text"]) <= LONGEST_TEXT
    assert not short["cut"] and short["size"] > len(short["text"]) - 4
    assert json.loads(short["text"])["params"] == {"text": "***"}


def say(client, count):
    for number in range(count):
        client.sends(method="test", params={"number": number})


def test_a_reader_that_begins_gets_the_last_messages():
    client, other = world().client(), tap.open(wants_all=True)
    say(client, FIRST_MESSAGES + 10)
    reader = tap.open()
    records, missed = reader.read(0)
    assert missed == 0 and [json.loads(json.loads(record.line())["text"])["params"]["number"]
                            for record in records] == list(range(10, FIRST_MESSAGES + 10))
    reader.close()
    other.close()


def test_messages_that_are_too_many_for_a_second_are_counted():
    client, reader = world().client(), tap.open()
    say(client, 3 * MOST_A_SECOND)
    records, missed = reader.read(0)
    assert missed and len(records) >= MOST_A_SECOND
    assert len(records) + missed == 3 * MOST_A_SECOND
    reader.close()


def test_of_a_burst_the_last_messages_are_kept_too(monkeypatch):
    now = time.monotonic()
    client, reader = world().client(), tap.open()
    reader.read(0)
    monkeypatch.setattr(tap_module, "time", types.SimpleNamespace(
        monotonic=lambda: now, time=time.time))
    now += 1
    for number in range(10 * MOST_A_SECOND):
        now += 0.2 / MOST_A_SECOND
        client.sends(method="test", params={"number": number})
    records, missed = reader.read(0)
    numbers = [json.loads(json.loads(record.line())["text"])["params"]["number"]
               for record in records]
    assert numbers[:MOST_A_SECOND] == list(range(MOST_A_SECOND))
    assert 10 * MOST_A_SECOND - numbers[-1] < 10 and missed
    assert 2.9 * MOST_A_SECOND < len(numbers) < 3.1 * MOST_A_SECOND
    reader.close()


def test_of_calls_that_are_too_many_whole_ones_are_left_out():
    here = world()
    client, reader = here.client(), tap.open()
    for id in range(MOST_A_SECOND):
        client.asks("tools/call", id=id, name="a__t")
    for sent in here["a"].takes():
        here["a"].says(id=sent["id"], result={})
    records, missed = reader.read(0)
    places = {}
    for one in (json.loads(record.line()) for record in records):
        places.setdefault(one["call"], []).append(one["place"])
    assert missed and MOST_A_SECOND / 4 <= len(places) < MOST_A_SECOND
    assert {"from client", "to server", "from server", "to client"} == set.intersection(
        *map(set, places.values()))
    assert sum(answered for _, answered, _, _ in tap.seconds()) == MOST_A_SECOND
    reader.close()


def test_what_was_cut_can_be_asked_for_whole_while_it_is_kept(look, monkeypatch):
    client = world().client()
    look()
    monkeypatch.setattr(hidden, "texts", ("hunter2",))
    client.sends(method="test", params={"text": "x" * LONGEST_TEXT + "hunter2"})
    client.sends(method="test", params={"text": "short"})
    long, short = look()
    monkeypatch.setattr(hidden, "texts", ())    # that of now may be another one
    whole = tap.whole(long["n"])
    assert json.loads(whole)["params"]["text"] == "x" * LONGEST_TEXT + "***"
    assert tap.whole(short["n"]) is None
    client.sends(method="test", params={"text": "y" * WHOLE_BYTES})
    assert tap.whole(look()[0]["n"]) is None and tap.whole(long["n"])
    client.sends(method="test", params={"text": "y" * (WHOLE_BYTES - 1000)})
    assert tap.whole(look()[0]["n"]) and tap.whole(long["n"]) is None


def test_what_was_cut_is_not_kept_for_a_trace():
    client, reader = world().client(), tap.open(wants_all=True)
    client.sends(method="test", params={"text": "x" * 2 * LONGEST_TEXT})
    (record,), _ = reader.read(0)
    assert tap.whole(record.n) is None
    reader.close()


def test_a_minute_has_the_calls_of_each_second_and_the_middle_of_their_times():
    rates = Rates()
    for id, (second, took) in enumerate([(50, 0.1), (50, 0.2), (50, 0.9), (51, 3.0)]):
        rates.note_request("session", id, now=second + 0.9 - took)
        rates.note_answer("session", id, now=second + 0.9)
    rates.note_answer("session", 7, now=51.0)   # nobody saw its request
    told = minute(rates.until(52.0))
    assert (told["answered"], round(told["longest"], 6)) == (4, 3.0)
    assert [(second, answered, round(middle, 6)) for second, answered, middle in told["seconds"]
            ] == [(50, 3, 0.2), (51, 1, 3.0)]
    assert round(told["middle"], 6) == 0.2
    assert minute(rates.until(52.0 + 60)) == {
        "now": 0, "answered": 0, "middle": 0.0, "longest": 0.0, "seconds": []}


def test_what_the_page_asks_of_its_own_accord_is_no_call_of_the_minute(look):
    here = world()
    client, page = here.client(), here.new_client()
    page.sends(id="init", method="initialize", params={
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "live page", "version": "1"}})
    before = sum(answered for _, answered, _, _ in tap.seconds())
    for one in client, page:
        for method in ("tools/list", "ping"):
            one.asks(method)
    client.asks("tools/call", name="a__t")
    page.asks("tools/call", name="a__t")
    for sent in here["a"].takes():
        here["a"].says(id=sent["id"], result={})
    assert sum(answered for _, answered, _, _ in tap.seconds()) - before == 3


def test_nothing_is_kept_some_time_after_the_last_look(monkeypatch):
    client = world().client()
    monkeypatch.setattr(tap_module, "LINGER", -1)
    reader = tap.open()
    assert passing.watched
    reader.close()
    assert reader.read(0) is None or reader.read(0) is None
    client.sends(method="test")
    assert not passing.watched
    later = tap.open()
    assert later.read(0) == ([], 0)
    later.close()


def test_ids_and_tokens_of_any_kind_do_no_harm(look):
    here = world()
    client = here.client()
    look()
    client.sends(method="notifications/cancelled", params={"requestId": {"a": []}})
    client.sends(method="notifications/progress", params=[1])
    client.sends(id=1.5, method="tools/list", params={"_meta": {"progressToken": []}})
    here["a"].says(method="notifications/progress", params={"progressToken": {}})
    assert [one["method"] for one in look()][:3] == [
        "notifications/cancelled", "notifications/progress", "tools/list"]


def test_of_long_ids_methods_and_tokens_little_is_kept_and_no_secret_yet_they_are_followed(
        look, monkeypatch):
    here = world()
    client = here.client()
    monkeypatch.setattr(hidden, "texts", ("hunter2",))
    look()
    long = "hunter2" + "x" * 9_000      # longer ones are refused
    client.asks("tools/call", id=long, name="a__t", _meta={"progressToken": long})
    here["a"].says(method="notifications/progress", params={
        "progressToken": here["a"].received[0]["id"], "progress": 1})
    here["a"].says(id=here["a"].take()["id"], result={})
    client.sends(method=long * 100)
    messages = look()
    assert [letter for *_, letter in passes(messages)] == ["A"] * 6 + [None]
    for one in messages:
        assert not re.search("hunter2|x{300}", json.dumps([one["id"], one["method"]]))
    assert all(len(str(key)) < 300 for key in tap._links._links)
    assert all(record.size < LONGEST_TEXT + 1000 for record in tap._kept)
    assert messages[-1]["method"].startswith("***xxx") and messages[-1]["method"].endswith("…")
