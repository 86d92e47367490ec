"""What the live page shows, in a real browser: see tests/browser.py."""

import contextlib
import json
import re

import anyio
import pytest
from authorization_server import Far
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from browser import PHONE
from processes import fake
from streamable_by_hand import Http

HOSTILE = "<img src=x onerror=alert(1)>\u202egnp.\u0007"
HARMLESS = r"<img src=x onerror=alert(1)>\u202egnp.\u0007"     # as the page shows it
ADA = {"id": 0, "method": "initialize", "params": {
    "protocolVersion": "2025-06-18", "capabilities": {"roots": {}},
    "clientInfo": {"name": "Ada's editor", "version": "7.1"}}}


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


def test_a_new_user_sees_what_runs_and_which_url_to_give_to_a_client(start_router, open_page,
                                                                     timekeeper):  # noqa: F811
    running = start_router({"time": timekeeper, "broken": fake("dies")})
    page = open_page(running)
    page.wait_for("#connection", "^connected$")
    assert "timekeeper 1.0.0" in page.wait_for("#servers .card", "time\nrunning")
    assert "this server was told to die" in page.wait_for("#servers .card", "broken\nfailed")
    assert page.find("#no-sessions").is_displayed()
    assert page.texts("#urls dd") == [
        running.url + "/mcp", running.url + "/sse", running.url + "/mcp/NAME"]
    config = json.loads(page.find("#client-config").text)
    assert config["mcpServers"]["router"]["url"] == running.url + "/mcp"


def test_a_remote_server_has_a_url_and_connections_and_a_group_is_what_a_session_sees(
        start_router, open_page):
    far = start_router({"fake": fake()}, "--no-reload")
    running = start_router({"far": {"url": far.url + "/mcp/fake"}}, groups={"work": ["far"]})
    page = open_page(running)
    card = page.wait_for("#servers .card", "running")
    assert far.url in card and "/mcp" not in card
    assert "1 connection" in card and "process" not in card
    client = Http(running, "/mcp/work")
    page.wait_for("#sessions .card", "sees work")
    client.post(client.call(7, "far__echo", text="hi"))
    assert [step[:2] for step in page.open("tools/call far__echo")] == [
        ["client", "right"], ["server", "right"], ["server", "left"], ["client", "left"]]


def test_a_session_is_shown_while_it_lasts(start_router, open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    client = Http(running, hello=ADA)
    card = page.wait_for("#sessions .card", "Ada's editor 7.1")
    assert all(fact in card for fact in ("2025-06-18", "can do roots", "sees all servers"))
    client.open("DELETE").connection.close()
    page.wait(lambda: page.texts("#sessions .card") == [])
    assert page.find("#no-sessions").is_displayed()


def test_a_call_is_drawn_as_a_ladder_with_its_ids_on_both_sides(start_router, open_page,
                                                                timekeeper):  # noqa: F811
    running = start_router({"time": timekeeper})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    Http(running, hello=ADA)
    page.wait_for("#sessions .card", "Ada's editor 7.1")
    assert len(call_with_sdk(running.url + "/mcp", "time__wait", {"seconds": 0.2})) == 10
    page.open("tools/call time__wait")
    page.wait_for("#details", "Answered after")
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
    page.screenshot("call.png")


def test_of_a_call_that_the_client_took_back_no_answer_is_expected(start_router, open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    client = Http(running)
    connection = client.begin("POST", client.call(1, "fake__wait"))
    page.open("tools/call fake__wait")
    page.wait_for("#details", "This call has no answer yet.")
    client.post({"method": "notifications/cancelled", "params": {"requestId": 1}})
    page.wait_for("#details", "The client took this call back after .* ms.")
    connection.close()


def test_the_filters_choose_by_session_server_method_and_text(start_router, open_page):
    running = start_router({"one": fake(), "two": fake()})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    for number, name in enumerate(("one", "two")):
        client = Http(running)
        client.post(client.call(number, f"{name}__echo", text=f"said to {name}"))
        page.wait_for("#messages li", f"tools/call {name}__echo")

    def kinds():
        return set(page.texts("#messages .way")), len(page.texts("#messages .row"))
    _, everything = kinds()
    page.choose("#by-server", "two")
    page.wait(lambda: kinds()[0] == {"router → server", "server → router"})
    page.choose("#by-method", "tools/call")
    page.wait(lambda: kinds()[1] == 2)
    page.choose("#by-server", "all servers")
    page.wait(lambda: kinds()[1] == 8)
    first, second = (option.text for option in Select(page.find("#by-session")).options[1:])
    page.choose("#by-session", second)
    page.wait(lambda: kinds()[1] == 4)
    page.find("#by-text").send_keys("said to ONE")
    page.wait(lambda: page.find("#no-match").is_displayed())
    page.choose("#by-session", first)
    page.wait(lambda: kinds()[1] == 4)
    page.find("#by-text").clear()
    page.choose("#by-session", "all sessions")
    page.choose("#by-method", "all methods")
    page.wait(lambda: kinds()[1] == everything)


def test_paused_it_stands_still_and_cleared_it_is_empty(start_router, open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    client = Http(running)
    page.wait_for("#messages li", "answer to initialize")
    page.find("#pause").click()
    before = len(page.texts("#messages li"))
    client.post(client.call(1, "fake__echo", text="hi"))
    page.wait_for("#count", "4 more since the pause")
    assert len(page.texts("#messages li")) == before
    page.find("#pause").click()
    page.wait(lambda: len(page.texts("#messages li")) == before + 4)
    page.find("#clear").click()
    page.wait(lambda: page.texts("#messages li") == [])
    assert page.find("#count").text == "0"


def test_a_server_that_dies_turns_red_and_after_its_restart_green(start_router, open_page):
    running = start_router({"fake": {**fake(), "restart": {"pause": 3}}})
    page = open_page(running)
    page.wait_for("#servers .card[data-state=running]", "running")
    client = Http(running)
    client.post(client.call(1, "fake__crash"))
    card = page.wait_for("#servers .card[data-state=failed]", "failed")
    assert "exited with status 7: crashing as told" in card
    page.find("#servers .stderr summary").click()
    page.wait_for("#servers .stderr code", "crashing as told")
    assert "restarted once" in page.wait_for("#servers .card[data-state=running]", "running")


def test_hostile_names_and_messages_harm_nothing(start_router, open_page):
    running = start_router({"fake": fake("hostile")})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    client = Http(running, hello={"id": HOSTILE, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {HOSTILE: {}},
        "clientInfo": {"name": HOSTILE, "version": HOSTILE}}})
    client.post({"id": HOSTILE, "method": "tools/call", "params": {
        "name": "fake__echo", "arguments": {"text": HOSTILE}, HOSTILE: HOSTILE,
        "_meta": {"progressToken": HOSTILE}}})
    client.post({"id": 2, "method": HOSTILE, "params": [HOSTILE]})
    client.post(client.call(3, "fake__big", bytes=5 * 2**20))
    assert HARMLESS in page.wait_for("#sessions .card")
    page.wait_for("#messages li", "5.0 MB")
    page.open("tools/call fake__echo")
    assert HARMLESS in page.find("#details .ladder").text
    page.open("5.0 MB")
    assert "The first part of 5.0 MB:" in page.find("#details").text
    page.open(re.escape(HARMLESS))
    page.find("#open-try").click()
    page.wait_for("#try-name option", "img")
    page.driver.execute_script(
        "const select = document.getElementById('try-name');"
        "select.selectedIndex = 0; select.dispatchEvent(new Event('change'))")
    assert HARMLESS in page.find("#try-about").text
    assert HARMLESS in page.find("#try-fields label").text
    page.find("#try-form [type=submit]").click()
    assert HARMLESS in page.wait_for("#try-answer", "img")
    assert page.all("img, a, iframe, [onerror], main script") == []
    # A dialog of alert() would have made every line above fail.
    unseen = page.driver.execute_script("return document.body.innerText.match(/[\\u202e\\u0007]/)")
    assert unseen is None


def test_thousands_of_messages_leave_a_bounded_page(start_router, open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    client = Http(running)
    client.post(client.call(1, "fake__flood", lines=3000))
    page.wait_for("#count", "were too many to show")

    def is_shown_again():
        client.post(client.call(2, "fake__echo", text="after the flood"))
        return any("fake__echo" in text for text in page.texts("#messages li"))
    page.wait(is_shown_again)
    page.wait(lambda: int(re.match(r"\d+", page.find("#count").text)[0]) <= 1000)
    assert len(page.all("#messages li")) <= 300


def test_everything_can_be_done_with_the_keyboard(start_router, open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    client = Http(running)
    client.post(client.call(1, "fake__echo", text="hi"))
    page.wait_for("#messages li", "answer to tools/call")
    page.press("/")
    assert page.focused().get_attribute("id") == "by-text"
    page.press("echo")
    page.wait(lambda: len(page.texts("#messages li")) == 2)
    for _ in range(10):  # Pause, Clear, then the row
        if "row" in page.focused().get_attribute("class"):
            break
        page.press(Keys.TAB)
    page.press(Keys.HOME)
    page.press(Keys.ARROW_DOWN)
    assert "router → server" in page.focused().text
    page.press(Keys.ENTER)
    page.wait_for("#details", "Call ")
    outline = page.driver.execute_script(
        "return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.press(Keys.ESCAPE)
    assert not page.find("#details").is_displayed()
    assert "router → server" in page.focused().text


def test_it_fits_a_phone_and_has_a_dark_scheme(start_router, open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    client = Http(running)
    client.post(client.call(1, "fake__echo", text="x" * 500))

    def background():
        return page.driver.execute_script(
            "return getComputedStyle(document.body).backgroundColor")
    bright = background()
    page.prefer("dark")
    page.wait(lambda: background() != bright)
    page.resize(*PHONE)
    assert len(page.open("tools/call fake__echo")) == 4
    width = page.driver.execute_script("return document.scrollingElement.scrollWidth")
    assert width == PHONE[0]
    page.screenshot("phone.png")


def test_the_token_is_asked_for_and_kept_in_memory_only(start_router, open_page, tmp_path):
    (tmp_path / "token").write_text("s3cret")
    running = start_router({"fake": fake()}, "--token-file", str(tmp_path / "token"))
    page = open_page(running)
    page.complaints_allowed = "401"
    for given in ("wrong", "s3cret"):
        page.wait(lambda: page.find("#token input").is_displayed())
        page.find("#token input").send_keys(given, Keys.ENTER)
        if given == "wrong":
            page.wait_for("#token .problem", "does not know this token")
    page.wait_for("#connection", "^connected")
    page.wait_for("#servers .card", "running")
    stored = page.driver.execute_script(
        "return [document.cookie, localStorage.length, sessionStorage.length]")
    assert stored == ["", 0, 0]
    page.driver.refresh()
    page.wait(lambda: page.find("#token input").is_displayed())


def test_when_the_router_has_ended_it_says_so(start_router, open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    page.complaints_allowed = "ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING"
    page.wait_for("#servers .card", "running")
    running.stop()
    page.wait_for("#connection", "^not connected: ")


def test_json_is_shown_as_it_was_sent(start_router, open_page):
    """It is not parsed: a number with many digits stays what it is, and a text may be cut off."""
    page = open_page(start_router({"fake": fake()}))

    def indented(text):
        return page.driver.execute_async_script(
            "import('./live/text.js').then((it) => arguments[1](it.indented(arguments[0])))", text)
    assert indented('{"a":12345678901234567890,"b":[],"c":["{,}", 1.0 ]}') == """\
{
  "a": 12345678901234567890,
  "b": [],
  "c": [
    "{,}",
    1.0
  ]
}"""
    assert indented('{"a": "cut \\" of') == '{\n  "a": "cut \\" of'


@pytest.fixture
def far(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with contextlib.closing(Far()) as server:
        yield server


def test_a_server_that_needs_a_login_has_a_button_and_turns_green(start_router, open_page, far):
    running = start_router({"far": {"url": far.url}})
    page = open_page(running)
    page.wait_for("#servers .card", "needs login: router.py --login far")
    page.elsewhere = [f"{far.issuer}/authorize?"]
    (button,) = (each for each in page.all("#servers .card button") if each.text == "Log in")
    first = page.driver.current_window_handle
    button.click()
    page.wait(lambda: len(page.driver.window_handles) == 2)
    page.driver.switch_to.window(next(
        handle for handle in page.driver.window_handles if handle != first))
    page.wait_for("p", "You are logged in at far. This page can be closed.")
    assert page.driver.current_url.startswith(f"{running.url}/live/login/callback?")
    page.driver.close()
    page.driver.switch_to.window(first)
    assert "2 tools" in page.wait_for("#servers .card", "far\nrunning")
    assert not [each for each in page.all("#servers .card button") if each.text == "Log in"]


def test_a_login_that_cannot_begin_says_why_on_the_card(start_router, open_page, far):
    del far.metadata["registration_endpoint"]
    page = open_page(start_router({"far": {"url": far.url}}))
    page.complaints_allowed = "400"
    page.wait_for("#servers .card", "needs login")
    next(each for each in page.all("#servers .card button") if each.text == "Log in").click()
    assert "registers nobody by itself" in page.wait_for("#servers .card", "registers nobody")
    assert len(page.driver.window_handles) == 1
