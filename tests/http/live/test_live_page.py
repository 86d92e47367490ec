"""The live page in a real browser: Debian's chromium, driven over WebDriver.

Every test ends with the same two questions: has the browser complained, and has any request left
for another host? See `LivePage.end`.
"""

import base64
import contextlib
import json
import os
import re

import anyio
import pytest
from authorization_server import Far
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from processes import ROOT, debian, fake
from streamable_by_hand import Http

# No request to the makers of the browser; and a sandbox does not work as root.
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-lcd-text")
SCREENSHOTS = ROOT / "tests" / "http" / "live" / "screenshots"
HOSTILE = "<img src=x onerror=alert(1)>\u202egnp.\u0007"
HARMLESS = r"<img src=x onerror=alert(1)>\u202egnp.\u0007"     # as the page shows it
ADA = {"id": 0, "method": "initialize", "params": {
    "protocolVersion": "2025-06-18", "capabilities": {"roots": {}},
    "clientInfo": {"name": "Ada's editor", "version": "7.1"}}}
DESKTOP, PHONE = (1040, 640), (390, 800)


class LivePage:
    """The page of one router in a browser of its own; `find` and `text` take CSS selectors."""

    def __init__(self, running, folder):
        self.url, self.complaints_allowed, self.elsewhere = running.url, r"$^", []
        options = webdriver.ChromeOptions()
        options.binary_location = debian("chromium")
        for flag in (*FLAGS, f"--user-data-dir={folder}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(debian("chromedriver")))
        self.resize(*DESKTOP)
        self.driver.get(self.url + "/live")

    def resize(self, width, height):
        self._tell("Emulation.setDeviceMetricsOverride", width=width, height=height,
                   deviceScaleFactor=1, mobile=width < 700)

    def prefer(self, scheme):
        self._tell("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme}])

    def _tell(self, command, **parameters):
        return self.driver.execute_cdp_cmd(command, parameters)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector):
        """The texts of all elements, at one moment: rows come and go while we look."""
        return self.driver.execute_script(
            "return Array.from(document.querySelectorAll(arguments[0]), e => e.innerText)",
            selector)

    def wait(self, condition, seconds=60):
        """Wait until condition() is true; returns what it returned."""
        return WebDriverWait(self.driver, seconds, 0.05).until(lambda _: condition())

    def wait_for(self, selector, pattern=""):
        """Wait for an element whose text matches; returns the text."""
        def found():
            return [text for text in self.texts(selector) if re.search(pattern, text)]
        return self.wait(found)[0]

    def press(self, *keys):
        self.driver.switch_to.active_element.send_keys(*keys)

    def focused(self):
        return self.driver.switch_to.active_element

    def choose(self, selector, text):
        Select(self.find(selector)).select_by_visible_text(text)

    def open(self, pattern):
        """Open the newest message whose row matches; returns the steps of its ladder."""
        self.wait_for("#messages li", pattern)
        self.driver.execute_script(
            "Array.from(document.querySelectorAll('#messages button')).findLast("
            "row => row.innerText.match(arguments[0])).click()", pattern)
        return self.steps()

    def steps(self):
        """The ladder: [(side, direction, text, [marks])]."""
        return self.driver.execute_script("""
            return Array.from(document.querySelectorAll("#details .step"), (step) => {
              const [time, left, right] = step.children, hop = left.firstChild ? left : right;
              return [hop === left ? "client" : "server", hop.querySelector(".arrow").classList[1],
                      Array.from(hop.querySelector(".label").childNodes, (n) => n.textContent)
                        .join("").trim(),
                      Array.from(hop.querySelectorAll(".mark"), (mark) => mark.textContent)];
            })""")

    def screenshot(self, name):
        """What the page looks like, checked. UPDATE_SCREENSHOTS=1 puts it into the README."""
        png = base64.b64decode(self._tell("Page.captureScreenshot", format="png")["data"])
        assert png.startswith(b"\x89PNG") and len(png) > 15_000  # an empty one has 5,000
        if os.environ.get("UPDATE_SCREENSHOTS"):
            SCREENSHOTS.mkdir(exist_ok=True)
            (SCREENSHOTS / name).write_bytes(png)
        assert (SCREENSHOTS / name).stat().st_size < 150_000

    def end(self):
        try:
            complaints = [entry["message"] for entry in self.driver.get_log("browser")
                          if not re.search(self.complaints_allowed, entry["message"])]
            urls = [event["params"]["request"]["url"] for event in self._events()
                    if event["method"] == "Network.requestWillBeSent"]
        finally:
            self.driver.quit()
        assert complaints == []
        assert self.url + "/live/events" in urls
        assert [url for url in urls if re.match("(http|ws)s?:", url)
                and not url.startswith((self.url + "/", *self.elsewhere))] == []

    def _events(self):
        return [json.loads(entry["message"])["message"]
                for entry in self.driver.get_log("performance")]


@pytest.fixture
def open_page(tmp_path):
    """open_page(running) opens its live page in a browser."""
    opened = []

    def open_it(running):
        opened.append(LivePage(running, tmp_path / f"browser-{len(opened)}"))
        return opened[-1]
    yield open_it
    for page in opened:
        page.end()


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


def test_a_tool_is_tried_through_a_session_of_the_page(start_router, open_page,
                                                       timekeeper):  # noqa: F811
    page = open_page(start_router({"time": timekeeper}))
    page.wait(lambda: page.find("#first-try").is_enabled())
    page.find("#first-try").click()
    page.wait_for("#try-name option", "time__convert")
    page.choose("#try-name", "time__wait")
    assert page.texts("#try-fields label") == ["seconds required"]
    page.find("#try-fields input").send_keys("0.1")
    page.find("#try-form [type=submit]").click()
    assert page.wait_for("#try-answer", "passed") == "0.1 seconds have passed."
    page.screenshot("try-a-tool.png")
    page.find("#try-show").click()
    page.wait_for("#details", "Answered after")
    assert not page.find("#try").is_displayed()
    assert "tools/call time__wait" in page.steps()[0][2]
    assert "live page 1" in page.wait_for("#sessions .card", "live page")
    page.driver.get("about:blank")  # the page is left, and its session ends
    page.driver.get(page.url + "/live")
    page.wait_for("#connection", "^connected")
    page.wait(lambda: page.find("#no-sessions").is_displayed())


def test_a_call_that_is_tried_can_be_cancelled_and_its_errors_are_told(start_router, open_page,
                                                                       timekeeper):  # noqa: F811
    page = open_page(start_router({"time": timekeeper}))
    page.wait(lambda: page.find("#open-try").is_enabled())
    page.find("#open-try").click()
    page.wait_for("#try-name option", "time__wait")
    page.choose("#try-server", "time")
    page.wait_for("#try-name option", "^wait")
    page.choose("#try-name", "wait")
    page.find("#try-fields input").send_keys("600", Keys.ENTER)
    page.wait_for("#try-status", "Calling")
    page.find("#try-cancel").click()
    page.wait(lambda: page.find("#try-form [type=submit]").is_enabled())
    page.choose("#try-name", "convert")
    for field, value in zip(page.all("#try-fields textarea"), ("2026-01-01", "Mars", "UTC")):
        field.send_keys(value)
    page.press(Keys.CONTROL + Keys.ENTER)
    page.wait_for("#try-answer", "Unknown time zone: Mars")
    assert page.find("#try-status").get_attribute("class") == "problem"


def test_a_tool_can_be_tried_again_after_the_router_has_forgotten_the_session(start_router,
                                                                              open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    page.complaints_allowed = "404"
    page.wait(lambda: page.find("#open-try").is_enabled())
    page.find("#open-try").click()
    page.wait_for("#try-name option", "fake__echo")
    page.driver.execute_async_script("""
        const done = arguments[0], ask = window.fetch;
        window.fetch = (path, options) => {  // the page's next request is one that comes too late
          window.fetch = ask;
          return ask(path, {method: "DELETE", headers: options.headers}).then(
            () => ask(path, options));
        };
        done();""")
    page.find("#try-form [type=submit]").click()
    page.wait_for("#try-status", "The answer:")
    page.wait_for("#sessions .card", "live page 1")


def test_the_messages_of_a_tool_are_shown_although_the_list_is_paused(start_router, open_page):
    page = open_page(start_router({"fake": fake()}))
    page.wait(lambda: page.find("#open-try").is_enabled())
    page.find("#pause").click()
    page.find("#open-try").click()
    page.wait_for("#try-name option", "fake__echo")
    page.find("#try-form [type=submit]").click()
    page.wait_for("#try-answer", "None")
    page.wait_for("#count", "more since the pause")

    def is_shown():  # these messages may still be on their way
        page.driver.execute_script("document.getElementById('try-show').click()")
        return len(page.steps()) == 4
    page.wait(is_shown)
    assert page.find("#pause").text == "Go on"


def test_a_form_has_a_field_of_the_right_kind_for_each_argument(start_router, open_page):
    page = open_page(start_router({"fake": fake("hostile")}))
    page.wait(lambda: page.find("#open-try").is_enabled())
    page.find("#open-try").click()
    page.wait_for("#try-name option", "form")
    page.choose("#try-name", "fake__form")
    word, count, yes, color, rest = page.all("#try-fields label")
    word.find_element(By.TAG_NAME, "textarea").send_keys("two\nlines")
    count.find_element(By.CSS_SELECTOR, "input[type=number][step='1']").send_keys("7")
    Select(yes.find_element(By.TAG_NAME, "select")).select_by_visible_text("false")
    assert Select(color.find_element(By.TAG_NAME, "select")).first_selected_option.text == "green"
    rest.find_element(By.TAG_NAME, "textarea").send_keys('{"a": ')
    page.find("#try-form [type=submit]").click()
    page.wait_for("#try-status", "rest: this is not JSON")
    rest.find_element(By.TAG_NAME, "textarea").send_keys("[1]}")
    page.find("#try-form [type=submit]").click()
    assert json.loads(page.wait_for("#try-answer", "two")) == {
        "word": "two\nlines", "count": 7, "yes": False, "color": "green", "rest": {"a": [1]}}


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
