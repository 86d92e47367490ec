"""What the live page shows, in a real browser: see tests/browser.py."""

import contextlib
import json
import re

import pytest
from authorization_server import Far
from selenium.webdriver.common.keys import Keys

from processes import fake
from streamable_by_hand import Http

HOSTILE = "<img src=x onerror=alert(1)>\u202egnp.\u0007"
HARMLESS = r"<img src=x onerror=alert(1)>\u202egnp.\u0007"     # as the page shows it
ADA = {"id": 0, "method": "initialize", "params": {
    "protocolVersion": "2025-06-18", "capabilities": {"roots": {}},
    "clientInfo": {"name": "Ada's editor", "version": "7.1"}}}


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


def test_it_is_connected_as_soon_as_it_knows_the_router_and_not_before(start_router, open_page):
    page = open_page(start_router({"fake": fake()}))
    page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": """
        const ask = window.fetch;
        window.fetch = async (path, options) => {
          const response = await ask(path, options), held = new TransformStream();
          window.goOn = () => response.body.pipeTo(held.writable);
          return new Response(held.readable);
        };"""})
    page.driver.refresh()
    page.wait(lambda: page.driver.execute_script("return Boolean(window.goOn)"))
    assert page.texts("#connection") == ["connecting…"]
    page.driver.execute_script("window.goOn()")
    page.wait_for("#connection", "^connected")
    assert page.find("#open-try").is_enabled() and page.texts("#urls dd")


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
    assert [step[:2] for step in page.open("answer to tools/call far__echo")] == [
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


def test_a_card_tells_what_starts_a_server_that_is_down(start_router, open_page):
    page = open_page(start_router({"fake": fake("dies")}))
    page.wait_for("#servers .card[data-state=failed]", "it is started again when a client uses it")


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
    page.open("tools/call fake__echo")
    assert HARMLESS in page.find("#details .ladder").text
    page.open("5.0 MB")
    assert "The first part of 5.0 MB." in page.find("#details").text
    page.open(re.escape(HARMLESS))
    page.open_call(re.escape(HARMLESS))
    page.choose("#by-client", HARMLESS)
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
    assert page.find("#client-token").is_displayed()
    config = json.loads(page.find("#client-config").text)
    assert config["mcpServers"]["router"]["headers"] == {"Authorization": "Bearer THE-TOKEN"}
    stored = page.driver.execute_script(
        "return [document.cookie, localStorage.length, sessionStorage.length]")
    assert stored == ["", 0, 0]
    page.driver.refresh()
    page.wait(lambda: page.find("#token input").is_displayed())


def test_when_the_router_has_ended_it_says_so(start_router, open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    page.complaints_allowed = "ERR_(CONNECTION|INCOMPLETE_CHUNKED|EMPTY_RESPONSE)"
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


def test_what_was_not_looked_at_is_not_said_to_be_nothing(start_router, open_page):
    running = start_router({"fake": fake()})
    client = Http(running)
    connection = client.begin("POST", client.call(1, "fake__wait"))
    page = open_page(running)
    page.wait_for("#sessions .card", "1 in flight")
    assert re.search(r"No calls since \d\d:\d\d:\d\d.*also of those that were\s+under way then",
                     page.find("#first-steps").text, re.S)
    page.wait_for("#chart-text", r"^no calls since \d\d:\d\d:\d\d$")
    connection.close()


def test_the_chart_counts_no_call_that_the_page_makes_of_its_own_accord(start_router, open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    page.find("#open-try").click()
    page.wait_for("#try-name option", "echo")
    client = Http(running)
    client.post(client.call(1, "fake__echo", text="hi"))
    page.wait_for("#chart-text", ": 2 calls")   # with the client's initialize
