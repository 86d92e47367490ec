"""transports/pending.py: ids and tokens, out and home again."""

import json

import pytest

from transports.fabric.messages import Refused
from transports.fabric.pending import LATE_CALLS, Calls, PendingRequests
from transports.fabric.session import Session


class Peer:
    """Anything with send(message); keeps what it was sent."""

    is_brief = False

    def __init__(self):
        self.sent = []
        self.cancelled = []
        self.calls = Calls(self)

    def send(self, message):
        self.sent.append(message)

    def withdraw(self, our_id, reason):
        self.cancelled.append(our_id)


def ask(id, **params):
    return {"jsonrpc": "2.0", "id": id, "method": "m", "params": params}


def answer(id):
    return {"jsonrpc": "2.0", "id": id, "result": {"r": 1}}


def progress(token):
    return {"jsonrpc": "2.0", "method": "notifications/progress",
            "params": {"progressToken": token, "progress": 1, "future": "field"}}


def test_equal_ids_of_two_askers_never_meet():
    table, one, other = PendingRequests(), Peer(), Peer()
    first, second = table.add(ask(1), one), table.add(ask(1), other)
    assert first["id"] != second["id"]
    table.answer(answer(second["id"]))
    assert (one.sent, other.sent) == ([], [answer(1)])


@pytest.mark.parametrize("id", [1, "1", 0, "", 2**60, 1.5])
def test_the_answer_has_the_id_as_it_was_asked_with(id):
    table, peer = PendingRequests(), Peer()
    table.answer(answer(table.add(ask(id), peer)["id"]))
    assert peer.sent == [answer(id)]
    assert type(peer.sent[0]["id"]) is type(id)


def test_the_message_of_the_asker_is_never_changed():
    message = ask(1, _meta={"progressToken": "t", "other": 1})
    PendingRequests().add(message, Peer())
    assert message == ask(1, _meta={"progressToken": "t", "other": 1})


@pytest.mark.parametrize("token", ["t", 7, "7", 0])
def test_progress_comes_home_under_the_askers_token(token):
    table, peer = PendingRequests(), Peer()
    sent = table.add(ask(1, _meta={"progressToken": token, "other": 1}), peer)
    assert sent["params"]["_meta"] == {"progressToken": sent["id"], "other": 1}
    table.progress(progress(sent["id"]))
    assert peer.sent == [progress(token)]


@pytest.mark.parametrize("token", [True, "1.5", None, [], {}, 2])
def test_progress_for_an_unknown_token_is_dropped(token):
    table = PendingRequests()
    table.add(ask(1, _meta={"progressToken": "t"}), Peer())
    assert not table.progress(progress(token))


def test_there_is_no_progress_after_the_answer_nor_where_none_was_asked_for():
    table, peer = PendingRequests(), Peer()
    sent = table.add(ask(1), peer)
    assert not table.progress(progress(sent["id"]))
    sent = table.add(ask(2, _meta={"progressToken": "t"}), peer)
    table.answer(answer(sent["id"]))
    assert not table.progress(progress(sent["id"]))


def test_an_answer_that_nobody_waits_for_is_dropped():
    table, peer = PendingRequests(), Peer()
    sent = table.add(ask(1), peer)
    assert table.answer(answer(sent["id"]))
    assert not table.answer(answer(sent["id"]))
    assert not table.answer(answer(99))
    assert len(peer.sent) == 1


def test_a_closed_table_answers_everybody_at_once_and_refuses_newcomers():
    table, peer = PendingRequests(), Peer()
    table.add(ask(1), peer)
    table.add(ask(2), peer)
    table.close("server x has left")
    assert [(m["id"], m["error"]["message"]) for m in peer.sent] == [
        (1, "server x has left"), (2, "server x has left")]
    with pytest.raises(Refused, match="server x has left"):
        table.add(ask(3), peer)
    assert len(table) == 0


def test_an_id_that_is_still_in_use_is_refused_and_the_first_goes_on():
    peer = Peer()
    call = peer.calls.open(ask(1), peer)
    peer.calls.open(ask("1"), peer)  # another id, and so no clash
    with pytest.raises(Refused, match="still in use"):
        peer.calls.open(ask(1), peer)
    call.send(answer(1))
    assert peer.sent == [answer(1)]
    peer.calls.open(ask(1), peer)  # free again


def test_nothing_follows_the_answer_of_a_call():
    peer = Peer()
    call = peer.calls.open(ask(1), peer)
    call.send(progress("t"))
    call.send(answer(1))
    call.send(progress("t"))
    call.send(answer(1))
    assert peer.sent == [progress("t"), answer(1)]
    assert len(peer.calls) == 0


def test_a_cancelled_call_is_cancelled_wherever_it_was_passed_on_and_never_answered():
    peer, server = Peer(), Peer()
    call = peer.calls.open(ask(1), peer)
    call.passed_on(server, 41)
    peer.calls.cancel(1, "enough")
    call.passed_on(server, 42)  # the race: passed on just when it was cancelled
    call.send(answer(1))
    assert server.cancelled == [41, 42]
    assert peer.sent == []


def test_initialize_cannot_be_cancelled():
    peer = Peer()
    call = peer.calls.open({**ask(1), "method": "initialize"}, peer)
    peer.calls.cancel(1, "enough")
    call.send(answer(1))
    assert peer.sent == [answer(1)]


def test_one_session_cannot_have_any_number_of_calls():
    peer = Peer()
    peer.calls = Calls(peer, limit=2)
    peer.calls.open(ask(1), peer)
    peer.calls.open(ask(2), peer)
    with pytest.raises(Refused, match="wait"):
        peer.calls.open(ask(3), peer)


def test_who_has_left_can_ask_nothing_more():
    peer = Peer()
    open_call = peer.calls.open(ask(1), peer)
    assert peer.calls.close() == [open_call]
    with pytest.raises(Refused, match="ended"):
        peer.calls.open(ask(2), peer)


def test_many_late_calls_of_one_asker_do_not_push_out_another():
    table, one, other = PendingRequests(), Peer(), Peer()
    for peer in [other, *[one] * (2 * LATE_CALLS)]:
        call = peer.calls.open(ask(1), peer)
        table.answer(answer(table.add(ask(1), call, call=call)["id"]))
    assert table.askers(60) == {one, other}


def test_what_was_withdrawn_is_suspected_until_something_asked_later_is_answered():
    table, one, other = PendingRequests(), Peer(), Peer()

    def asks(peer, id):
        call = peer.calls.open(ask(id), peer)
        return table.add(ask(id), call, call=call)["id"]
    earlier, given_up = asks(other, 1), asks(one, 1)
    table.take(given_up, is_withdrawn=True)
    later, last = asks(other, 2), asks(other, 3)
    table.answer(answer(earlier))
    assert table.askers() == {one, other}
    table.answer(answer(later))
    assert table.askers() == {other}
    table.answer(answer(last))
    assert table.askers() == {one, other}   # nobody has a call: it can be of anybody


def test_a_bug_in_what_follows_the_end_of_a_call_does_not_cost_its_answer(caplog):
    client, done = Peer(), []
    call = client.calls.open(ask(1), client)
    call.on_end(lambda: 1 / 0)
    call.on_end(lambda: done.append(1))
    call.send(answer(1))
    assert client.sent == [answer(1)] and done == [1]
    assert client.calls.wait_until_empty(0)
    assert "ZeroDivisionError" in caplog.text


def test_a_token_that_came_back_as_text_is_that_of_the_request():
    client, table = Peer(), PendingRequests()
    sent = table.add(ask(1, _meta={"progressToken": "t"}), client)
    assert table.progress(progress(str(sent["params"]["_meta"]["progressToken"])))
    assert client.sent == [progress("t")]


@pytest.mark.parametrize("asked_on_behalf", [True, False])
def test_an_answer_that_is_lost_by_a_bug_still_ends_its_call(asked_on_behalf, caplog):
    """What cannot be encoded stands for any such bug."""
    client = Session(None, "test")
    call = client.calls.open(ask("a"), client.outbox)
    server = PendingRequests()
    peer = call if asked_on_behalf else Translator(call)
    sent = server.add(ask("a"), peer, call)
    assert server.answer({"jsonrpc": "2.0", "id": sent["id"], "result": {"x": object()}})
    (found,) = map(json.loads, client.outbox.get(5))
    assert found["id"] == "a" and found["error"]["message"].startswith("a bug in the router")
    assert client.calls.wait_until_empty(0)
    assert "TypeError: Object of type object is not JSON serializable" in caplog.text


class Translator:
    """A peer between a server and a Call that fails itself."""

    def __init__(self, call):
        self.send = json.dumps


def test_one_that_cannot_be_told_of_the_end_does_not_keep_it_from_the_others():
    server, peer = PendingRequests(), Peer()
    server.add(ask(1), Translator(None))
    server.add(ask(2), peer)
    server.rows()[0][1].id = object()
    server.close("it has ended")
    assert peer.sent[0]["error"]["message"] == "it has ended"


@pytest.mark.parametrize("members, expected", [
    ({"error": "no"}, {"code": -32603, "message": 'an answer without a result or an error, but '
                                                  'with "no"'}),
    ({"error": ["no"], "result": {}}, {"code": -32603, "message": 'an answer without a result or '
                                                                  'an error, but with ["no"]'}),
    ({"result": None}, {"code": -32603, "message": "an answer without a result or an error, but "
                                                   "with null"}),
    ({"result": "x" * 1000}, {"code": -32603, "message": "an answer without a result or an error, "
                                                         'but with "' + "x" * 199}),
    ({"error": {"code": "E1", "message": "no", "data": 7}},
     {"code": -32603, "message": "no", "data": 7}),
    ({"error": {"code": -5}}, {"code": -5, "message": "an answer without a result or an error, "
                                                      'but with {"code":-5}'})])
def test_an_answer_that_clients_would_not_take_for_one_becomes_an_error(members, expected):
    table, asker = PendingRequests(), Peer()
    id = table.add(ask(1), asker)["id"]
    table.answer({"jsonrpc": "2.0", "id": id, **members})
    assert asker.sent == [{"jsonrpc": "2.0", "id": 1, "error": expected}]


def test_a_table_of_which_nobody_waits_for_an_answer_can_be_retired():
    """Requests of our own, as for lists, wait for nobody."""
    table, peer = PendingRequests(), Peer()
    table.add({"method": "tools/list", "id": None}, peer)
    sent = table.add(ask(1), peer)
    assert not table.retire()
    table.add(ask(2), peer)
    for _ in range(2):
        table.answer(answer(sent["id"]))
        sent = {"id": sent["id"] + 1}
    assert table.retire()
    with pytest.raises(Refused, match="rest"):
        table.add(ask(3), peer)
