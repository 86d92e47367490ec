"""Streamable HTTP by hand: statuses, headers, broken streams, sessions that end."""

import concurrent.futures
import json
import re
import threading

from processes import children, fake, wait_until
from streamable_by_hand import HELLO, Http, close, events, progress_call


def test_the_common_case_is_one_json_answer(start_router):
    client = Http(start_router({"fake": fake()}))
    assert client.hello["result"]["protocolVersion"] == "2025-11-25"
    status, headers, body = client.post(client.call(1, "fake__echo", text="hi"))
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body)["result"]["content"][0]["text"] == "hi"
    assert re.fullmatch(r"[\x21-\x7e]{30,}", client.id)


def test_what_comes_before_the_answer_makes_a_stream_of_it(start_router, timekeeper):
    client = Http(start_router({"time": timekeeper}))
    response = client.open("POST", progress_call(7))
    assert response.headers["Content-Type"].startswith("text/event-stream")
    (primer, nothing), *rest = events(response)
    close(response)
    assert nothing is None and re.fullmatch(r"\d+-0", primer)
    assert [message.get("method") for _, message in rest] == [
        *["notifications/progress"] * 10, None]
    assert rest[-1][1]["id"] == 7
    assert [int(id.split("-")[1]) for id, _ in rest] == list(range(1, 12))


def test_a_broken_stream_is_resumed_with_what_was_missed(start_router, timekeeper):
    client = Http(start_router({"time": timekeeper}))
    response = client.open("POST", progress_call(7))
    other = client.open("POST", progress_call(8))
    got = events(response, 4)
    close(response)  # the call goes on: this is no cancellation
    resumed = client.open("GET", Last_Event_ID=got[-1][0])
    (_, nothing), *rest = events(resumed)
    close(resumed)
    assert nothing is None
    told = [message["params"]["progress"] for _, message in got[1:] + rest[:-1]]
    assert told == list(range(1, 11))
    assert all(message["params"]["progressToken"] == "p7" for _, message in rest[:-1])
    assert rest[-1][1]["id"] == 7
    assert events(other)[-1][1]["id"] == 8
    close(other)
    again = client.open("GET", Last_Event_ID=got[0][0])  # complete, and still kept
    assert events(again)[-1][1]["id"] == 7
    close(again)


def test_the_sessions_own_stream_has_what_belongs_to_no_call_and_is_resumed_too(start_router):
    client = Http(start_router({"fake": fake()}))
    stream = client.open("GET")
    assert events(stream, 1)[0][1] is None
    refused = client.open("GET")
    assert refused.status == 409
    close(refused)
    news = {"jsonrpc": "2.0", "method": "notifications/news"}
    client.post(client.call(1, "fake__say", line=json.dumps(news)))
    ((id, message),) = events(stream, 1)
    assert message == news
    close(stream)
    client.post(client.call(2, "fake__say", line=json.dumps(news)))
    resumed = client.open("GET", Last_Event_ID=id)
    assert events(resumed, 2)[1] == ("0-2", news)
    close(resumed)


def test_a_question_goes_out_on_the_stream_of_its_call(start_router):
    hello = {**HELLO, "params": {**HELLO["params"], "capabilities": {"roots": {}}}}
    client = Http(start_router({"fake": fake()}), hello=hello)
    response = client.open("POST", client.call(1, "fake__ask", method="roots/list"))
    _, (_, question), (_, answer) = events(response)
    close(response)
    assert question["method"] == "roots/list" and answer["id"] == 1
    assert client.post({"id": question["id"], "result": {"roots": []}})[0] == 202


def test_an_answer_without_a_result_ends_the_question(start_router):
    for version in "2025-03-26", "2025-11-25":
        hello = {**HELLO, "params": {**HELLO["params"], "capabilities": {"roots": {}},
                                     "protocolVersion": version}}
        client = Http(start_router({"fake": fake()}), hello=hello)
        response = client.open("POST", client.call(1, "fake__ask", method="roots/list"))
        question = events(response)[1 if version == "2025-11-25" else 0][1]
        close(response)
        if version == "2025-03-26":     # in a batch it is refused, as what is no message
            assert "neither" in client.post([{"id": question["id"]}])[2]
        assert client.post({"id": question["id"]})[0] == 202
        assert client.post({"id": question["id"]})[0] == 400


def test_every_refusal_has_its_status_and_a_sentence(start_router):
    running = start_router({"fake": fake(), "dies": fake("dies")})
    client, nobody = Http(running), Http(running, hello=None)
    ping = {"id": 1, "method": "ping"}
    stranger = {"Mcp_Session_Id": "x"}
    for asked, status, words in (
            (client.post(ping, Accept="application/json"), 406, "text/event-stream"),
            (client.post(ping, Accept="application/json, text/event-stream;q=0"), 406, "both"),
            (client.post(ping, Accept="*/*, application/json;q=0"), 406, "both"),
            (client.post(ping, Content_Type="text/plain"), 415, "Content-Type"),
            (client.post("rubbish"), 400, "not JSON"),
            (client.post(""), 400, "not JSON"),
            (client.post({"x": 1}), 400, "neither"),
            (client.post([ping]), 400, "batch"),
            (client.post(ping, MCP_Protocol_Version="1999-01-01"), 400, "is not supported"),
            (client.post(ping, MCP_Protocol_Version="2025-06-18"), 400, "was not negotiated"),
            (nobody.post(ping), 400, "Mcp-Session-Id is missing"),
            (nobody.post({"id": 1, "method": "server/discover"}), 400, "initialize"),
            (nobody.post(ping, **stranger), 404, "Begin anew"),
            (nobody.post(HELLO, **stranger), 404, "Begin anew"),
            (Http(running, "/mcp/nosuch", None).post(HELLO), 404, "There are: fake, dies"),
            (Http(running, "/mcp/nosuch", None).post(ping), 404, "There are: fake, dies"),
            (Http(running, "/mcp/nosuch", None).post(ping, **stranger), 404, "Begin anew"),
            (client.post(ping, Origin="http://evil.example"), 403, "Origin"),
            (client.post(ping, Host="evil.example"), 403, "Host")):
        assert (asked[0], words in asked[2]) == (status, True), asked
    for method, headers, status in (("GET", {"Accept": "application/json"}, 406),
                                    ("GET", {"Accept": "text/event-stream;q=0"}, 406),
                                    ("GET", {"Last_Event_ID": "x"}, 400),
                                    ("GET", {"Last_Event_ID": "99-1"}, 400),
                                    ("GET", stranger, 404), ("DELETE", stranger, 404),
                                    ("PUT", {}, 405)):
        response = client.open(method, **headers)
        assert response.status == status, (method, headers)
        close(response)
    for method in ("GET", "DELETE"):
        response = Http(running, "/mcp/nosuch", None).open(method)
        assert response.status == 404 and b"There are: fake, dies" in response.read()
        close(response)
    single = Http(running, "/mcp/fake")
    client.path = "/mcp/fake"
    assert client.post(ping)[0] == 404  # a session belongs to its path
    status, headers, body = Http(running, "/mcp/dies", None).post(HELLO)
    assert "is not running" in json.loads(body)["error"]["message"]
    assert "Mcp-Session-Id" not in headers
    for good in ({"Accept": "*/*"}, {"Accept": "text/*;q=0.1, application/*"}, {"Accept": None},
                 {"MCP_Protocol_Version": "2025-11-25"},
                 {"Content_Type": "application/json; charset=utf-8"},
                 {"Origin": "http://localhost:6274"}, {"Host": "localhost:1"}):
        assert single.post(ping, **good)[0] == 200, good


def test_a_path_may_begin_with_several_slashes(start_router):
    """As where a client puts "/mcp" behind a URL that ends with a slash."""
    client = Http(start_router({"fake": fake()}), "//mcp")
    assert client.post({"id": 1, "method": "ping"})[0] == 200
    response = client.open("DELETE")
    assert response.status == 200
    close(response)


def test_a_session_that_is_deleted_ends_what_is_under_way(start_router):
    running = start_router({"fake": fake()})
    before = children(running.process.pid)
    hello = {**HELLO, "params": {**HELLO["params"], "capabilities": {"roots": {}}}}
    client = Http(running, hello=hello)
    assert client.post(client.call(0, "fake__echo", text="hi"))[0] == 200
    assert children(running.process.pid) != before
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(
        client.post(client.call(1, "fake__sleep", seconds=30))))
    waiting.start()
    assert wait_until(lambda: running_calls(client))
    stream = client.open("GET")
    response = client.open("DELETE")
    assert response.status == 200
    close(response)
    waiting.join(60)
    assert "the session has ended" in json.loads(answers[0][2])["error"]["message"]
    assert len(events(stream)) == 1  # the stream ends
    close(stream)
    assert client.post({"id": 2, "method": "ping"})[0] == 404
    assert wait_until(lambda: len(children(running.process.pid)) == 1)  # the guardian


def running_calls(client):
    """Whether the call has arrived: its id is in use then."""
    return "still in use" in client.post({"id": 1, "method": "ping"})[2]


def test_two_sessions_with_equal_ids_and_twenty_calls_at_once(start_router):
    running = start_router({"fake": fake()})
    clients = {name: Http(running) for name in ("one", "two")}

    def call(name, id):
        body = clients[name].post(clients[name].call(id, "fake__echo", text=f"{name} {id}"))[2]
        return json.loads(body)["id"], json.loads(body)["result"]["content"][0]["text"]
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        futures = {(name, id): pool.submit(call, name, id) for id in range(20) for name in clients}
        for (name, id), future in futures.items():
            assert future.result() == (id, f"{name} {id}")


def test_twenty_slow_calls_of_one_session_run_at_the_same_time(start_router):
    client = Http(start_router({"fake": fake()}))
    with concurrent.futures.ThreadPoolExecutor(21) as pool:
        slow = [pool.submit(client.post, client.call(id, "fake__sleep", seconds=2, text="x"))
                for id in range(20)]
        assert wait_until(lambda: running_calls(client))
        assert not any(future.done() for future in slow)
        assert client.post(client.call(99, "fake__echo", text="not blocked"))[0] == 200
        assert all(future.result()[0] == 200 for future in slow)


def test_an_answer_of_5_mb(start_router):
    client = Http(start_router({"fake": fake()}))
    body = client.post(client.call(1, "fake__big", bytes=5 * 2**20))[2]
    assert len(json.loads(body)["result"]["content"][0]["text"]) == 5 * 2**20


def test_a_batch_of_2025_03_26_is_answered_as_a_stream(start_router):
    hello = {**HELLO, "params": {**HELLO["params"], "protocolVersion": "2025-03-26"}}
    client = Http(start_router({"fake": fake()}), hello=hello)
    response = client.open("POST", [{"id": 1, "method": "ping"}, {"method": "notifications/x"},
                                    client.call(2, "fake__echo", text="two")])
    assert {message["id"] for _, message in events(response)} == {1, 2}
    close(response)
    assert client.post([{"method": "notifications/x"}])[0] == 202


def test_the_post_of_a_cancelled_call_ends_without_an_answer(start_router):
    client = Http(start_router({"fake": fake()}))
    got = []
    waiting = threading.Thread(target=lambda: got.append(
        client.post(client.call(1, "fake__sleep", seconds=30))))
    waiting.start()
    assert wait_until(lambda: running_calls(client))
    assert client.post({"method": "notifications/cancelled", "params": {"requestId": 1}})[0] == 202
    waiting.join(60)
    assert got[0][0] == 200 and "result" not in got[0][2]


def test_every_member_of_a_batch_has_its_answer_the_bad_ones_too(start_router):
    hello = {**HELLO, "params": {**HELLO["params"], "protocolVersion": "2025-03-26"}}
    client = Http(start_router({"fake": fake()}), hello=hello)
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    for batch, ids in (([{"foo": 1}, ping], [None, 1]), ([{"foo": 1}], [None]),
                       ([[ping]], [None]), ([7, ping], [None, 1])):
        response = client.open("POST", json.dumps(batch))
        body = response.read().decode()
        found = [json.loads(part)
                 for part in re.findall(r"^(?:data: )?({.*})$", body, re.MULTILINE)]
        assert [message["id"] for message in found] == ids
        close(response)
