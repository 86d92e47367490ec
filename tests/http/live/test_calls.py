"""Calls and messages on the live page, in a real browser: see tests/browser.py."""

import base64
import collections
import json
import re
import signal
import struct
import sys
import threading
import zlib

import anyio
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from modern_by_hand import calls, headers_of
from selenium.webdriver.common.keys import Keys

from browser import DESKTOP, PHONE
from live_by_hand import Page, ask_to_act
from processes import ROOT, fake
from streamable_by_hand import Http, close

ANY = {"command": sys.executable, "args": [str(ROOT / "tests/http/live/any_server.py")]}
CAN_BE_ASKED = {"sampling": {}, "elicitation": {}}
MODERN = {"io.modelcontextprotocol/clientCapabilities": CAN_BE_ASKED}
ADA = {"id": 0, "method": "initialize", "params": {
    "protocolVersion": "2025-06-18", "capabilities": CAN_BE_ASKED,
    "clientInfo": {"name": "Ada's editor", "version": "7.1"}}}
QUESTION = ["elicitation/create", {"message": "Which colour?", "requestedSchema": {
    "type": "object", "properties": {"colour": {"type": "string"}}}}]


def png(width, height):
    """The bytes of a picture, all of one colour."""
    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data
                + struct.pack(">I", zlib.crc32(kind + data)))
    rows = (b"\0" + b"\x0a\x5c\xad" * width) * height
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2,
                                                             0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b""))


def call_with_sdk(url, name, arguments):
    """One session of the official SDK that makes one call and hears of its progress."""
    async def main():
        async with streamable_http_client(url) as (read, write):
            async with ClientSession(read, write) as session:
                await session.initialize()

                async def heard(done, total, text):
                    told.append(done)
                await session.call_tool(name, arguments, progress_callback=heard)
    told = []
    anyio.run(main)
    return told


@pytest.fixture
def any_page(start_router, open_page):
    """(the page of a router with the server `any`, a client of it)."""
    running = start_router({"any": ANY})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    return page, Http(running, hello=ADA)


def do(client, id, **arguments):
    """Call the tool `do`; returns the answer."""
    return client.post(client.call(id, "any__do", **arguments))[2]


def says(*texts, **more):
    return {"content": [{"type": "text", "text": text} for text in texts], **more}


def cells(page, pattern):
    """The cells of the newest call whose row matches, when there is one."""
    page.wait_for("#calls .call", pattern)
    return page.driver.execute_script(
        "const row = Array.from(document.querySelectorAll('#calls .call')).findLast("
        "one => one.innerText.match(arguments[0]));"
        "return Object.fromEntries(Array.from(row.children, (c) => [c.className, c.innerText]))",
        pattern)


def test_a_call_is_one_row_with_all_that_a_developer_asks_first(any_page):
    page, client = any_page
    do(client, 1, word="first", result=says("hi"))
    row = cells(page, "first.*\\nok")
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}", row.pop("time"))
    assert re.fullmatch(r"[\d.,]+ ms", row.pop("took")) and row.pop("size").endswith(" B")
    assert row == {"client": "Ada's editor", "server": "any", "tool": "do", "status": "ok",
                   "arguments": 'word: "first", '
                                'result: {"content":[{"type":"text","text":"hi"}]}'}
    assert page.find("#show-calls").get_attribute("aria-pressed") == "true"


def test_what_failed_is_marked_with_its_code_or_that_the_tool_says_so(any_page):
    page, client = any_page
    do(client, 1, word="one", error={"code": -32042, "message": "no"})
    do(client, 2, word="two", result=says("no", isError=True))
    do(client, 3, word="three", result=says("x" * 50_000, isError=True))    # it is cut
    page.wait_for("#calls .call.error", "one.*\nerror -32042\n")
    page.wait_for("#calls .call.error", "two.*\nfailed\n")
    page.wait_for("#calls .call.error", "three.*\nfailed\n")
    page.show("messages")
    page.wait_for("#messages .response.error", "error to tools/call do\n.*\n48.9 KB")
    page.find("#by-error").click()
    page.wait(lambda: len(page.texts("#messages .row")) == 12)  # both halves of three calls
    page.show("calls")
    assert len(page.texts("#calls .call")) == 3


def test_a_call_under_way_counts_up_and_one_that_took_long_is_marked(any_page):
    page, client = any_page
    connection = client.begin("POST", client.call(1, "any__do", asks=QUESTION))

    def took():
        return float(cells(page, "asks the client")["took"].removesuffix(" ms").replace(",", ""))
    first = took()
    page.wait(lambda: took() > first)
    response = connection.getresponse()
    answer_question(client, response)
    page.wait_for("#calls .call", "do\n.*\nok\n")  # the client took long, and nobody else
    connection.close()


def test_a_slow_server_is_marked(start_router, open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    client = Http(running)
    client.post(client.call(1, "fake__sleep", seconds=1.1))
    page.wait_for("#calls .call.slow", "sleep\n.*\nok, slow\n")


def answer_question(client, response):
    """Read on to the question, answer it, and read the answer to the call."""
    found = []
    while line := response.readline().decode():
        if line.startswith("data: {"):
            found.append(json.loads(line[6:]))
            if found[-1].get("method") == QUESTION[0]:
                client.post({"id": found[-1]["id"], "result": {
                    "action": "accept", "content": {"colour": "blue"}}})
    return found[-1]


def test_a_question_is_part_of_its_call_and_the_time_of_the_client_is_not_the_servers(any_page):
    page, client = any_page
    connection = client.begin("POST", client.call(1, "any__do", asks=QUESTION))
    page.wait_for("#calls .call", "asks the client")
    page.open_call("asks the client", ".open")
    assert "has no answer yet" in page.wait_for("#details .question", "Which colour")
    page.wait(lambda: float(re.search(r"([\d,.]+) (m?s)", page.find(".sentence").text)[1]
                            .replace(",", "")) > 600)      # of which the client's is a part
    assert "blue" in answer_question(client, connection.getresponse())[
        "result"]["content"][0]["text"]
    connection.close()
    page.wait_for("#details .sentence", "Answered after")
    spent = {where: float(number.replace(",", "")) for number, where in re.findall(
        r"([\d.,]+) ms (at the server|at the client|in the router)",
        page.find("#details .sentence").text)}
    assert spent["at the client"] > 300 > spent["at the server"] + spent["in the router"]
    assert '"colour": "blue"' in page.find("#details .question").text
    assert len(page.steps()) == 8
    assert len(page.texts("#calls .call")) == 2     # with initialize


def test_request_and_answer_stand_side_by_side_as_what_they_are(any_page):
    page, client = any_page
    page.resize(1300, 900)
    picture = base64.b64encode(png(8, 6)).decode()
    do(client, 1, word="lines\nof text", result={
        "content": [{"type": "text", "text": "first line\n\tsecond: äöü"},
                    {"type": "image", "mimeType": "image/png", "data": picture},
                    {"type": "image", "mimeType": "image/png", "data": "https://example.org/x"},
                    {"type": "resource", "resource": {"uri": "file:///a", "text": "a\nb"}},
                    {"type": "resource_link", "uri": "https://example.org/y", "name": "y"}],
        "structuredContent": {"number": 12345678901234567890, "half": 1.0}})
    page.open_call("do\n")
    request, answer = page.all("#details .side")
    assert request.location["y"] == answer.location["y"]
    assert request.location["x"] < answer.location["x"]
    assert "lines\nof text" in request.text
    assert "first line\n" in answer.text and "second: äöü" in answer.text and "a\nb" in answer.text
    assert '"number": 12345678901234567890' in answer.text and '"half": 1.0' in answer.text
    (image,) = page.all("#details img")
    page.wait(lambda: image.get_property("naturalWidth") == 8)
    assert page.find("#details .side").location["y"] < page.find("#details .ladder").location["y"]


def test_the_picture_in_the_readme_of_what_a_tool_got_and_returned(any_page):
    page, client = any_page
    days = [{"day": "Mon", "rain": 0.3}, {"day": "Tue", "rain": 0.8}]
    do(client, 1, result=says("Rain in the west,\nsun in the east.", structuredContent={
        "days": days}))
    page.wait_for("#calls .call", "do\n.*\nok\n")
    page.find("#clear").click()
    page.wait(lambda: not page.all("#calls .call"))
    page.find("#with-log").click()
    for city in ("London", "Paris"):
        do(client, city, city=city, days=2)
    do(client, "Rome", city="Rome", error={"code": -32042, "message": "no such city"})
    page.open_call('"Paris"')
    page.wait_for("#details .side", "Rain in the west,\nsun")
    page.screenshot("answer.png")


def test_an_error_has_its_code_its_words_and_its_data(any_page):
    page, client = any_page
    do(client, 1, error={"code": -32042, "message": "no\nway", "data": {"why": ["tired"]}})
    page.open_call("error -32042")
    answer = page.all("#details .side")[1].text
    assert "error -32042" in answer and '"why": [\n    "tired"' in answer
    assert "no\nway" in answer


def test_an_answer_of_any_form_is_shown_and_harms_nothing(any_page):
    page, client = any_page
    hostile = "<img src=https://example.org/x onerror=alert(1)>"
    answers = [{}, [], None, 7.0, hostile, {"content": 1.0}, {"content": {"type": 1.0}},
               {"content": [None, 1.0, [], {"type": hostile, "x": hostile},
                            {"type": "text", "text": hostile}, {"type": "text", "text": None},
                            {"type": "image", "mimeType": 1.0, "data": []},
                            {"type": "image", "mimeType": "image/png", "data": hostile},
                            {"type": "image", "mimeType": hostile, "data": "AAAA"},
                            {"type": "resource"}, {"type": "resource", "resource": {
                                "uri": 1.0, "mimeType": 1.0, "blob": 7, "text": 1.0}}]},
               {"contents": [None, {"uri": None}], "messages": [None, {"role": 1.0}]},
               {"structuredContent": {"__proto__": 1.0, "toString": hostile, "at": [[[[]]]]}},
               {"isError": 1.0, "content": "x", "resultType": "input_required",
                "inputRequests": {"a": None, "b": {"method": 1.0, "params": {"messages": 1.0}}}}]
    for id, answer in enumerate(answers):
        do(client, f"id {id}", number=f"({id})", result=answer)
        page.open_call(re.escape(f'"({id})"'))
        page.wait_for("#details .side", re.escape(f"({id})"))
        page.all("#details .step")[-1].click()
        assert json.loads(page.find("#details .json").text)["id"]
    assert page.all("img") == []


def test_of_an_image_that_cannot_be_drawn_it_is_said_why(any_page):
    page, client = any_page
    do(client, 1, result={"content": [{"type": "image", "mimeType": "image/png", "data": "é!"}]})
    page.open_call("do\n")
    page.wait_for("#details .side", "image/png, .*its data is not base64")


def test_a_line_of_the_log_is_opened_like_a_row_and_shows_garbage_first_and_whole(any_page):
    page, client = any_page
    do(client, 1, word="before")
    do(client, 2, stdout="this is no message", stderr="x" * 500 + " end")
    page.wait_for("#calls .line", "any\nskipped a line of its output: this is no message")
    page.open_call('"before"')
    page.click("#calls .line", "^xxx|\nxxx")
    assert page.find("#details pre").text == "x" * 500 + " end"
    assert page.texts("#details-title") == ["any"] and "stderr" in page.find("#details").text
    assert page.find("#calls [aria-selected=true]").get_attribute("class") == "row line stderr"
    assert page.texts("#call-tools button") == []
    page.click("#calls .call", '"before"')      # with the keys, too, the details go along
    page.wait_for("#details .side", "before")
    for _ in range(4):
        page.find("#calls").send_keys(Keys.ARROW_DOWN)
        if "line" in page.find("#calls [aria-selected=true]").get_attribute("class"):
            break
    assert page.find("#details pre").text in page.find("#calls [aria-selected=true]").text


def test_after_it_was_closed_the_keys_go_on_from_the_same_row(any_page):
    page, client = any_page
    for id in range(6):
        do(client, id, word=f"call {id}")
    page.open_call('"call 2"')
    page.wait_for("#details .side", "call 2")
    page.find("#calls").send_keys(Keys.ESCAPE)
    page.find("#calls").send_keys(Keys.ENTER)
    page.wait_for("#details .side", "call 2")
    page.find("#calls").send_keys(Keys.ESCAPE)
    page.find("#calls").send_keys(Keys.ARROW_UP)
    assert "call 1" in page.find("#calls [aria-selected=true]").text


def test_nothing_of_a_row_is_cut_that_is_a_number_or_a_word_of_the_page(any_page):
    page, client = any_page
    page.resize(1400, 900)
    open_try_panel(page)
    do(client, 1, result=says("x" * 1_000_000))
    client.post({"id": 2, "method": "prompts/get", "params": {"name": "any__greet"}})
    page.wait_for("#calls .call", "976.6 KB")
    page.wait_for("#calls .call.error .tool", "^greet")
    page.driver.execute_script(
        "document.querySelector('#calls .call .status').textContent = 'error -32000, slow';"
        "document.querySelector('#calls .call').classList.add('error', 'slow')")
    cut = page.driver.execute_script(
        "return Array.from(document.querySelectorAll('#calls .call > :is(.time, .status, .took, "
        ".size)')).filter(one => one.scrollWidth > one.clientWidth).map(one => one.textContent)")
    assert cut == []
    assert all(one.is_displayed() for one in page.all("#calls .client, #calls .size"))
    assert page.find("#calls").get_property("scrollWidth") <= page.find("#calls").get_property(
        "clientWidth")


def open_try_panel(page):
    page.wait(lambda: page.find("#open-try").is_enabled())
    page.find("#open-try").click()
    page.wait_for("#try-name option", ".")


def left(page, selector):
    return page.driver.execute_script(
        "return document.querySelector(arguments[0]).getBoundingClientRect().left", selector)


def test_the_server_of_a_line_stands_where_that_of_a_call_or_a_message_does(any_page):
    page, client = any_page
    do(client, 1, stderr="a word")
    page.wait_for("#calls .line", "a word")
    for width in 1300, 800:
        page.resize(width, 700)
        assert abs(left(page, "#calls .line .server") - left(page, "#calls .call .server")) < 2
    page.resize(*PHONE)
    page.wait(lambda: left(page, "#calls .line .said") == left(page, "#calls .line .server"))
    assert page.find("#calls .line .time").rect["width"] > 80
    page.resize(1300, 700)
    page.show("messages")
    page.wait_for("#messages .line", "a word")
    assert left(page, "#messages .line .server") == left(page, "#messages .message .server")


def test_long_names_make_the_details_no_wider(start_router, open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    client = Http(running, hello={**ADA, "params": {**ADA["params"], "clientInfo": {
        "name": "n" * 300, "version": "1"}}})
    client.post(client.call(1, "fake__" + "tool" * 60))
    page.open_call("tooltool")
    for size in DESKTOP, PHONE:
        page.resize(*size)
        assert page.find("#details").get_property("scrollWidth") <= page.find(
            "#details").get_property("clientWidth")


def test_what_was_cut_is_fetched_whole_if_it_is_still_kept(any_page):
    page, client = any_page
    page.complaints_allowed = "404"
    picture = base64.b64encode(png(200, 100)).decode()
    assert len(picture) > 2**16
    do(client, 1, result={"content": [{"type": "image", "mimeType": "image/png",
                                       "data": picture}]})
    page.open_call("do\n")
    page.wait(lambda: page.driver.execute_script(
        "return document.querySelector('#details img')?.naturalHeight") == 100)
    do(client, 2, result=says("y" * 2_000_000))     # this only if somebody wants it
    page.open_call("1.9 MB")
    assert "The first part of 1.9 MB. Show all" in page.find("#details").text
    page.find("#details .side button").click()
    page.wait_for("#details .side", "Only the first 100,000 characters are shown")
    do(client, 3, result=says("z" * 10_000_000))
    page.open_call("9.5 MB")
    page.find("#details .side button").click()
    page.wait_for("#details .side .problem", "it was too long")


def test_a_call_is_drawn_as_a_ladder_with_its_ids_on_both_sides(start_router, open_page,
                                                                timekeeper):  # noqa: F811
    running = start_router({"time": timekeeper})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    Http(running, hello=ADA)
    page.wait_for("#sessions .card", "Ada's editor 7.1")
    assert len(call_with_sdk(running.url + "/mcp", "time__wait", {"seconds": 0.2})) == 10
    page.open_call("wait")
    page.wait_for("#details", "Answered after")
    page.all("#details .step")[0].click()
    steps = page.steps()
    assert [step[:2] for step in steps] == [
        ["client", "right"], ["server", "right"], *[["server", "left"], ["client", "left"]] * 11]
    (asked, passed_on, *_, answer, answered) = steps
    assert asked[2].startswith("tools/call time__wait ")
    assert passed_on[2].startswith("tools/call wait ")
    # What the SDK chose is only left of the router, and what the router chose only right of it.
    sent = json.loads(page.find("#details .json").text)
    theirs = [f"id {sent['id']}", f"token {json.dumps(sent['params']['_meta']['progressToken'])}"]
    assert asked[3] == theirs and answered[3] == theirs[:1]
    ours = passed_on[3]
    assert answer[3] == ours[:1]
    assert [step[3] for step in steps[2:-2]] == [ours[1:], theirs[1:]] * 10
    assert re.search("Answered after .* ms: .* ms at the server", page.find("#details").text)
    page.all("#details .step")[1].click()
    assert f"id {json.loads(page.find('#details .json').text)['id']}" == ours[0]
    page.resize(DESKTOP[0], 760)
    page.screenshot("call.png")


def test_an_id_of_many_digits_is_shown_as_it_was_sent(any_page):
    page, client = any_page
    client.post(client.call(12345678901234567890, "any__do", word=98765432109876543210))
    page.open("^tools/call any__do")
    assert page.steps()[0][3] == ["id 12345678901234567890"]
    assert "98765432109876543210" in page.all("#details .side")[0].text


def test_of_a_call_that_the_client_took_back_no_answer_is_expected(start_router, open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    client = Http(running)
    connection = client.begin("POST", client.call(1, "fake__wait"))
    page.open_call("wait", ".open")
    page.wait_for("#details", "This call has no answer yet")
    client.post({"method": "notifications/cancelled", "params": {"requestId": 1}})
    page.wait_for("#details", "The client took this call back after .* ms.")
    page.wait_for("#calls .call", "cancelled")
    assert page.driver.execute_script(
        "const color = (one) => getComputedStyle(document.querySelector(one)).color;"
        "return color('#calls .cancelled .status') === color('#calls .call .time')")
    connection.close()


def test_a_call_whose_client_has_left_does_not_count_up_for_ever(start_router, open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    client = Http(running)
    connection = client.begin("POST", client.call(1, "fake__wait"))
    page.wait_for("#calls .call", "under way")
    close(client.open("DELETE"))
    page.wait(lambda: not page.all("#calls .open"))
    connection.close()


def test_why_a_server_ended_and_what_it_wrote_stays_on_the_time_line_after_its_restart(
        start_router, open_page):
    running = start_router({"any": ANY, "fake": {**fake(), "restart": {"pause": 0.1}}})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    client = Http(running)
    do(client, 1, stderr="a word on stderr", stdout="this is no message")
    client.post(client.call(2, "fake__crash"))
    page.wait_for("#servers .card", "fake\nrunning.*restarted once|restarted once")
    for words in ("any\na word on stderr", "any\nskipped a line of its output: .*no message",
                  "fake\ncrashing as told",
                  "fake\nserver .* is not running: exited with status 7"):
        page.wait_for("#calls .line", words)
    page.wait_for("#calls .call.error", "crash")
    page.find("#with-log").click()
    page.wait(lambda: not page.all("#calls .line"))


def rows(page, selector="#messages .row"):
    return len(page.texts(selector))


def test_the_filters_choose_by_client_server_method_and_text_and_both_halves_stay(
        start_router, open_page):
    running = start_router({"one": fake(), "two": fake()})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    page.show("messages")
    for number, name in enumerate(("one", "two")):
        client = Http(running, hello={**ADA, "params": {
            **ADA["params"], "clientInfo": {"name": f"client of {name}", "version": "1"}}})
        client.post(client.call(number, f"{name}__echo", text=f'said "to" {name} é'))
        page.wait_for("#messages li", f"answer to tools/call {name}__echo")
    everything = rows(page)
    page.find("#with-log").click()
    page.choose("#by-server", "two")
    page.choose("#by-method", "tools/call")
    page.wait(lambda: rows(page) == 4)
    assert {way for way in page.texts("#messages .way")} == {
        "client → router", "router → server", "server → router", "router → client"}
    page.choose("#by-server", "all servers")
    page.wait(lambda: rows(page) == 8)
    page.choose("#by-client", "client of two")
    page.wait(lambda: rows(page) == 4)
    page.find("#by-text").send_keys("said ONE")
    page.wait_for("#no-match", "No message matches these filters")
    page.choose("#by-client", "client of one")
    page.wait(lambda: rows(page) == 4)
    page.choose("#by-client", "all clients")
    for text, many in (('said "to" é', 8), ("said -two", 4), ("-said", 0), ("'to\" two'", 0)):
        page.find("#by-text").clear()
        page.find("#by-text").send_keys(text)
        page.wait(lambda: rows(page) == many)
    page.find("#reset").click()
    page.wait(lambda: rows(page) >= everything - 4)
    page.find("#by-text").send_keys("two")
    page.show("calls")
    page.wait(lambda: len(page.texts("#calls .call")) == 2)     # its initialize, and its call


def test_the_text_filter_searches_also_what_was_fetched(any_page):
    page, client = any_page
    do(client, 1, word="long", result=says("y" * 100_000 + " needle"))
    do(client, 2, word="short", result=says("y" * 100_000))
    page.wait_for("#calls .call", "short")
    page.find("#by-text").send_keys("needle")
    page.wait_for("#no-match", "No call matches these filters")
    page.find("#reset").click()
    page.open_call('"long"')
    page.wait(lambda: ["The first part" in text for text in page.texts("#details .side")]
              == [False, False])
    page.find("#by-text").send_keys("needle")
    page.wait(lambda: len(page.texts("#calls .call")) == 1)
    assert '"long"' in page.find("#calls .call").text


def test_a_call_to_a_server_that_is_stopped_is_listed_as_one_of_that_server(start_router,
                                                                          open_page):
    running = start_router({"fake": fake(), "other": fake()})
    page = open_page(running)
    page.wait_for("#servers .card", "fake\nrunning")
    clients = Http(running, hello=ADA), Http(running, "/mcp/fake", hello=ADA)
    page.wait_for("#sessions .card", "sees fake")
    assert ask_to_act(running, "fake/stop", Origin=running.url)[0] == 202
    page.wait_for("#servers .card", "fake\nstopped")
    for client, name in zip(clients, ("fake__echo", "echo")):
        client.post(client.call(7, name, text="hi"))
        page.wait_for("#calls .call.error", rf"\n{name}\n")
    page.choose("#by-server", "fake")
    page.wait(lambda: len(page.texts("#calls .call")) == 2)
    assert page.texts("#calls .call .server") == ["fake", "fake"]


def test_cleared_it_is_empty_and_says_since_when(any_page):
    page, client = any_page
    do(client, 1)
    page.wait_for("#calls .call", "do\n(.*\n)?ok\n")  # what is under way would stay
    page.find("#clear").click()
    page.wait(lambda: page.texts("#calls .call") == [])
    assert page.wait_for("#cleared", "Cleared at")
    assert not page.find("#first-steps").is_displayed()
    do(client, 2)
    page.wait(lambda: len(page.texts("#calls .call")) == 1)


def test_thousands_of_messages_are_kept_and_only_rows_that_are_seen_are_drawn(any_page):
    page, client = any_page
    page.wait_for("#calls .call", "initialize")
    done = add_calls(page, 1600)
    page.wait(lambda: page.find("#count").text == "1,601 calls")
    assert len(page.all("#calls .row")) < 60
    done = add_calls(page, 400, first=done)
    page.show("messages")
    page.wait(lambda: page.find("#count").text.startswith("5,000 messages"))
    assert len(page.all("#messages .row")) < 60
    page.find("#messages").send_keys(Keys.HOME)
    first = page.find("#messages .row").text
    assert page.find("#messages .row").get_attribute("aria-posinset") == "1"
    page.find("#messages").send_keys(Keys.END)
    page.wait_for("#messages .row", f"id {done - 1}\n")
    assert first not in page.texts("#messages .row")


def add_calls(page, many, text="hi", first=10_000):
    """As many calls as the router would tell of in minutes: the page's own reader is asked."""
    return page.driver.execute_async_script("""
        const [many, text, first, done] = arguments;
        import("./live/live.js").then(({view}) => {
          const before = view.all().at(-1), batch = [];
          let n = before.n;
          for (let at = 0; at < many; at += 1) {
            for (const [place, kind, said] of [
                ["from client", "request", {method: "tools/call", params: {
                  name: "any__do", arguments: {text: `${text} ${at}`}}}],
                ["to server", "request", {method: "tools/call", params: {name: "do"}}],
                ["to client", "response", {result: {content: [{type: "text", text}]}}]]) {
              n += 1;
              batch.push({...before, n, time: before.time + (at + 1) / 1000, place, kind,
                          call: first + at, id: first + at, method: "tools/call", name: "any__do",
                          client: "Ada's editor", server: place === "to server" ? "any" : null,
                          failed: false, cut: false, size: 50,
                          text: JSON.stringify({id: first + at, ...said})});
            }
          }
          view.add(batch);
          requestAnimationFrame(() => done(first + many));
        })""", many, text, first)


def test_long_messages_take_no_more_than_sixteen_megabytes(any_page):
    page, client = any_page
    page.wait_for("#calls .call", "initialize")
    add_calls(page, 1500, "x" * 8000)
    size, shown = page.driver.execute_async_script("""
        const done = arguments[0];
        import("./live/live.js").then(({view}) => done(
          [view.all().reduce((sum, one) => sum + one.text.length, 0), view.all().length]))""")
    assert size <= 16 * 2**20 and 1000 < shown < 4500
    assert page.heap() < 80 * 2**20


def test_it_follows_the_newest_and_says_how_many_are_new_when_it_does_not(any_page):
    page, client = any_page
    page.wait_for("#calls .call", "initialize")
    add_calls(page, 300)

    def is_at_end():
        return page.driver.execute_script(
            "const e = document.getElementById('calls');"
            "return e.scrollHeight - e.scrollTop - e.clientHeight < 13")
    page.wait(is_at_end)
    page.driver.execute_script("document.getElementById('calls').scrollTop = 2000")
    page.wait(lambda: not is_at_end())
    page.wait_for("#calls .row", '"hi 80"')
    page.wait(lambda: not any('"hi 290"' in text for text in page.texts("#calls .row")))
    seen = page.texts("#calls .row")
    add_calls(page, 2, "newest", first=20_000)
    page.wait_for("#new-calls", "2 new")
    covered = page.driver.execute_script(
        "const right = document.getElementById('new-calls').getBoundingClientRect().right;"
        "return right > document.querySelector('#calls .call .took').getBoundingClientRect().left")
    assert not covered
    assert page.texts("#calls .row") == seen
    page.find("#new-calls").click()
    page.wait_for("#calls .row", "newest 1")
    page.wait(is_at_end)
    assert not page.find("#new-calls").is_displayed()


def test_a_chosen_row_stays_in_sight_and_the_arrow_keys_change_the_details_too(any_page):
    page, client = any_page
    page.find("#with-log").click()  # so that the first row is a call
    for id in range(30):
        do(client, id, word=f"call {id}", result=says(f"answer {id}"))
    page.wait_for("#calls .call", '"call 29"')
    page.open_call('"call 27"')
    page.wait_for("#details .side", "answer 27")
    do(client, 30, word="another")
    page.wait_for("#new-calls", "1 new")

    def chosen_is_in_sight():
        return page.driver.execute_script(
            "const row = document.querySelector('#calls [aria-selected=true]');"
            "const a = row.getBoundingClientRect();"
            "const b = document.getElementById('calls').getBoundingClientRect();"
            "return a.top >= b.top - 1 && a.bottom <= b.bottom + 1")
    assert chosen_is_in_sight()
    for key, number in ((Keys.ARROW_UP, 26), (Keys.ARROW_DOWN, 27), (Keys.PAGE_UP, None)):
        page.find("#calls").send_keys(key)
        if number:
            page.wait_for("#details .side", f"answer {number}")
        assert chosen_is_in_sight()
    page.find("#calls").send_keys(Keys.HOME)
    page.wait_for("#details .side", "Ada's editor")
    assert chosen_is_in_sight()


def test_everything_can_be_done_with_the_keyboard(start_router, open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    client = Http(running)
    client.post(client.call(1, "fake__echo", text="hi"))
    client.post(client.call(2, "fake__echo", text="ho"))
    page.wait_for("#calls .call", "ho")
    page.press("/")
    assert page.focused().get_attribute("id") == "by-text"
    page.press("echo")
    page.wait(lambda: len(page.texts("#calls .call")) == 2)
    for _ in range(12):  # the filters and buttons, then the list
        if page.focused().get_attribute("id") == "calls":
            break
        page.press(Keys.TAB)
    page.press(Keys.HOME)
    page.press(Keys.ENTER)
    assert '"hi"' in page.find("#calls [aria-selected=true]").text
    page.wait_for("#details .side", "text hi")
    page.press(Keys.ARROW_DOWN)
    page.wait_for("#details .side", "text ho")
    outline = page.driver.execute_script(
        "return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.press(Keys.ESCAPE)
    assert not page.find("#details").is_displayed()
    assert page.focused().get_attribute("id") == "calls"


def test_a_restart_of_the_router_is_a_line_and_what_was_there_stays(start_router, open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    page.complaints_allowed = "ERR_(CONNECTION|INCOMPLETE_CHUNKED|EMPTY_RESPONSE)"
    page.wait_for("#connection", "^connected")
    client = Http(running)
    client.post(client.call(1, "fake__echo", text="before"))
    connection = client.begin("POST", client.call(2, "fake__wait"))
    page.wait_for("#calls .call", "under way")
    running.stop(signal.SIGKILL)
    connection.close()
    page.wait_for("#connection", "^not connected: the router cannot be reached")
    start_router({"fake": fake()}, port=running.url.split(":")[-1])
    page.wait_for("#calls .line", "The router was restarted.")
    page.wait_for("#connection", "^connected")
    client = Http(running)
    client.post(client.call(1, "fake__echo", text="after"))
    page.wait_for("#calls .call", "after")
    shown = page.texts("#calls .row")
    where = [next(at for at, text in enumerate(shown) if word in text)
             for word in ("before", "no answer", "The router was restarted.", "after")]
    assert where == sorted(where)


def test_what_comes_again_when_the_stream_begins_anew_is_not_listed_twice(any_page):
    page, client = any_page
    do(client, 1, word="once")
    page.wait_for("#calls .call", "do\n.*\nok\n")
    before, after = page.driver.execute_async_script("""
        const done = arguments[0];
        import("./live/live.js").then(({view}) => {
          const before = view.all();
          view.begin(before[0].run);
          view.add(before.slice(2).map((one) => ({...one})));
          requestAnimationFrame(() => requestAnimationFrame(
            () => done([before.length, view.all().length])));     // when it is drawn
        })""")
    assert before == after
    assert not page.all("#calls .mark")


def post_modern(running, message):
    """The result that a modern client gets."""
    headers = {name.replace("-", "_"): value for name, value in headers_of(message).items()
               if name not in ("Host", "Accept", "Content-Type")}
    body = Http(running, hello=None).post(message, **headers)[2]
    return json.loads(body.split("data: ")[-1])["result"]


def ask_a_modern_client(running, id):
    asked = post_modern(running, calls("any__do", id, MODERN, asks=QUESTION))
    assert asked["resultType"] == "input_required"
    return asked


def come_back(running, id, asked):
    """Call again, with the answer to what was asked."""
    (key,) = asked["inputRequests"]
    back = calls("any__do", id, MODERN, asks=QUESTION)
    back["params"].update(requestState=asked["requestState"], inputResponses={
        key: {"action": "accept", "content": {"colour": "green"}}})
    assert "green" in post_modern(running, back)["content"][0]["text"]


def test_both_answers_to_a_call_that_is_asked_something_belong_to_it(start_router):
    running, times = start_router({"any": ANY}), 60
    with Page(running) as page:
        for id in range(times):
            come_back(running, 2 * id + 1, ask_a_modern_client(running, 2 * id))

        def answers():
            return [one["call"] for one in page.messages
                    if one["place"] == "to client" and one["kind"] == "response"]
        page.until(lambda page: len(answers()) == 2 * times)
        assert sorted(collections.Counter(answers()).values()) == [2] * times


def test_a_modern_client_is_shown_by_its_name_and_its_retry_is_the_same_call(start_router,
                                                                             open_page):
    running = start_router({"any": ANY})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    asked = ask_a_modern_client(running, 1)
    page.wait_for("#calls .call", "asks the client")
    assert "has no session" in page.wait_for("#sessions .card", "by hand 1")
    come_back(running, 2, asked)
    assert cells(page, "do\n")["client"] == "by hand"
    page.wait(lambda: cells(page, "do\n")["status"] == "ok")
    assert len(page.texts("#calls .call")) == 1
    page.open_call("do\n")
    assert '"colour": "green"' in page.find("#details .question").text
    assert "at the client" in page.find("#details .sentence").text
    assert not any("request " in text for text in page.texts("#sessions .card"))


def test_the_minute_counts_also_calls_that_were_too_many_to_show(start_router, open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    client = Http(running)
    client.post(client.call(1, "fake__flood", lines=3000))
    page.wait_for("#count", "messages were too many to show")
    page.wait_for("#calls .mark", r"^[\d:.]+\n+[\d,]+ messages before this line were too many")

    def make_calls():
        for id in range(300):
            mine.post(mine.call(id, "fake__echo", text="x"))
    mine = Http(running)
    thread = threading.Thread(target=make_calls)
    thread.start()
    thread.join()
    # With two hellos and the flood, unless they were more than a minute ago.
    page.wait_for("#chart-text", ": 30[0-3] calls, at most .* a second; median latency .* ms, "
                                 "longest")
    page.wait(lambda: not page.all("#calls .open"))
    assert page.all("#chart .rate rect")


def test_it_fits_a_phone_and_has_a_dark_scheme(start_router, open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    client = Http(running)
    client.post(client.call(1, "fake__echo", text="x" * 500))
    page.wait_for("#calls .call", "echo")

    def background():
        return page.driver.execute_script(
            "return getComputedStyle(document.body).backgroundColor")
    bright = background()
    page.prefer("dark")
    page.wait(lambda: background() != bright)
    page.resize(*PHONE)
    assert page.find("#calls").location["y"] < page.find("#servers").location["y"]
    assert page.find("#calls").location["y"] < PHONE[1] / 2
    assert len(page.open("^answer to tools/call fake__echo")) == 4
    heads = page.driver.execute_script(
        "return Array.from(document.querySelectorAll('.lifelines > *'), (one) => {"
        "const box = one.getBoundingClientRect(); return [box.left, box.right]})")
    assert all(before[1] <= after[0] for before, after in zip(heads, heads[1:]))
    width = page.driver.execute_script("return document.scrollingElement.scrollWidth")
    assert width == PHONE[0]
    page.screenshot("phone.png")
