"""A server from inside, in a real browser: what it offers and costs, its log, and what a person
does to it."""

import json
import re
import sys

from selenium.webdriver.common.keys import Keys

from browser import PHONE
from processes import ROOT, children, fake
from streamable_by_hand import Http

HARMLESS = r"<img src=x onerror=alert(1)>\u202egnp.\u0007"     # as the page shows it
SDK = {"command": sys.executable, "args": [str(ROOT / "tests" / "sdk_server.py"), "legacy"]}


def look_inside(page, name):
    page.wait(lambda: page.find("#open-servers").is_enabled())
    page.find("#open-servers").click()
    page.wait_for("#server-name option", f"^{name}$")
    page.choose("#server-name", name)
    return page


def press(page, selector, name):
    page.click(f"{selector} button", f"^{re.escape(name)}$")


def test_a_server_is_started_again_from_its_card_and_its_log_tells_of_it(start_router, open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    page.wait_for("#servers .card", "running")
    (before,) = servers_of(running)
    press(page, "#servers .card", "Restart")
    page.wait(lambda: servers_of(running) not in ([], [before]))
    page.wait_for("#calls .line", "is started again, as somebody has asked on the page")
    assert json.loads(running.config.read_text())["mcpServers"].keys() == {"fake"}


def servers_of(running):
    """The processes of the servers, without what guards them."""
    return [pid for pid in children(running.process.pid)
            if b"fake_server" in open_and_read(f"/proc/{pid}/cmdline")]


def open_and_read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def test_a_server_is_stopped_until_it_is_started_or_the_config_changes(start_router, open_page):
    running = start_router({"fake": fake(), "other": fake()})
    page = open_page(running)
    page.wait_for("#servers .card", "fake\nrunning")
    press(page, "#servers .card:first-child", "Stop")
    page.wait_for("#servers .card", "stopped(?s:.*)until it is started there or the")
    client = Http(running)
    answer = client.post(client.call(1, "fake__echo", text="hi"))
    assert "was stopped on the page" in json.dumps(answer[2])
    press(page, "#servers .card:first-child", "Start")
    page.wait_for("#servers .card", "fake\nrunning")
    press(page, "#servers .card:first-child", "Stop")
    page.wait_for("#servers .card", "fake\nstopped")
    running.config.write_text(json.dumps({"mcpServers": {"fake": fake(), "third": fake()}}))
    page.wait_for("#servers .card", "fake\nrunning")


def test_while_calls_are_under_way_a_server_is_only_ended_by_a_second_press(start_router,
                                                                            open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    client = Http(running)
    connection = client.begin("POST", client.call(1, "fake__wait"))
    page.wait_for("#servers .card", "1 in flight")
    press(page, "#servers .card", "Restart")
    press(page, "#servers .card", "Restart? A call fails")
    page.wait_for("#calls .status", "error -32000")
    connection.close()


def test_the_second_press_is_not_lost_when_the_card_changes_and_not_asked_for_when_no_call_is_left(
        start_router, open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    client, other = Http(running), Http(running)
    connection = client.begin("POST", client.call(1, "fake__wait"))
    page.wait_for("#servers .card", "1 in flight")
    page.all("#servers .acts button")[1].send_keys(Keys.ENTER)
    second = other.begin("POST", other.call(1, "fake__wait"))
    page.wait_for("#servers .card", "2 in flight")      # it is drawn anew
    assert page.focused().text == "Restart? A call fails"
    for mine in client, other:
        mine.post({"method": "notifications/cancelled", "params": {"requestId": 1}})
    page.wait_for("#servers .card", r"fake\nrunning(?!(.|\n)*in flight)")
    assert page.focused().text == "Restart"
    connection.close()
    second.close()


def test_where_nobody_can_act_on_servers_there_are_no_buttons_for_it(start_router, open_page):
    """As in a program without the room that follows the config."""
    running = start_router({"fake": fake()}, program=(
        "-c", "import router, sys; del router.ROOMS['follow']; sys.exit(router.main())"),
        env={"PYTHONPATH": str(ROOT)})
    page = open_page(running)
    page.wait_for("#servers .card", "running")
    assert [each.text for each in page.all("#servers .card .acts button")] == ["Inside"]


def test_what_a_server_offers_is_shown_with_descriptions_schemas_and_what_it_costs(start_router,
                                                                                   open_page):
    page = look_inside(open_page(start_router({"sdk": SDK})), "sdk")
    page.wait_for("#server-cost", r"^12 tools cost a model [\d.]+ KB, about \d+ tokens in each")
    page.wait_for("#server-offers h3", "resource template")
    assert [each.split(" ", 1)[1] for each in page.texts("#server-offers h3")] == [
        "tools", "prompts", "resources", "resource template"]
    page.click("#server-offers summary", "^weigh ")
    shown = page.wait_for("#server-offers details[open]", "Returns structured content")
    assert shown.startswith("weigh") and '"things": {' in shown
    sizes = [int(text) for text in page.driver.execute_script(
        "return Array.from(document.querySelectorAll('#server-offers .size'),"
        " (one) => one.textContent.split(' ')[0])")]
    assert sizes == sorted(sizes, reverse=True)
    page.click("#server-offers details[open] button", "Try it")
    page.wait_for("#try-name option", "^weigh$")
    assert page.find("#try-panel").is_displayed()
    assert not page.find("#server-panel").is_displayed()
    page.wait_for("#try-about", "Returns structured content")


def test_what_it_offers_follows_its_changes(start_router, open_page):
    running = start_router({"sdk": SDK})
    page = look_inside(open_page(running), "sdk")
    page.wait_for("#server-cost", "12 tools")
    client = Http(running)
    client.post(client.call(1, "sdk__change", kind="tools"))
    page.wait_for("#server-cost", "13 tools")


def test_what_it_offers_is_listed_anew_after_a_restart_of_the_router(start_router, open_page):
    running = start_router({"fake": {**fake(), "tools": {"allow": ["echo"]}}})
    page = open_page(running)
    page.complaints_allowed = "ERR_|404"
    look_inside(page, "fake")
    page.wait_for("#server-offers summary", "^echo ")
    running.stop()
    page.wait_for("#connection", "^not connected")
    start_router({"fake": {**fake(), "tools": {"allow": ["sleep"]}}},
                 port=running.url.rsplit(":", 1)[1])
    page.wait_for("#server-offers summary", "^sleep ")


def test_all_servers_together_and_groups_are_compared_by_what_they_cost(start_router, open_page,
                                                                        timekeeper):  # noqa: F811
    running = start_router({"time": timekeeper, "fake": fake()}, groups={"work": ["time"]})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    client = Http(running)
    client.post(client.call(1, "fake__echo", text="hi"))
    look_inside(page, "group work")
    page.wait_for("#server-cost", "^3 tools cost a model")
    page.click("#server-offers summary", "^time__wait ")
    page.wait_for("#server-offers details[open]", "Its arguments")
    page.screenshot("servers.png")
    page.choose("#server-name", "all servers together")
    page.wait_for("#server-cost", "^14 tools")
    assert [text.split(",")[0] for text in page.texts("#server-cost li")] == [
        "time 3 tools", "fake 11 tools"]    # the dearest first
    press(page, "#servers .card:first-child", "Inside")
    page.wait_for("#server-cost", "^3 tools")


def test_a_server_that_fails_says_why_and_all_that_it_said_is_in_its_log(start_router, open_page):
    page = look_inside(open_page(start_router({"broken": fake("dies")})), "broken")
    page.wait_for("#server-problem", "exited with status 1: this server was told to die")
    page.wait_for("#server-log .stderr", "this server was told to die")
    page.wait_for("#server-log .error", "exited with status 1: this server was told to die")


def test_garbage_stderr_ends_and_starts_are_on_the_time_line_after_the_server_is_back(
        start_router, open_page):
    running = start_router({"fake": {**fake("rubbish"), "restart": {"pause": 0.1}}})
    client = Http(running)
    client.post(client.call(1, "fake__crash"))
    page = look_inside(open_page(running), "fake")
    page.wait_for("#server-log .warning", "skipped a line of its output")
    page.wait_for("#server-log .stderr", "crashing as told")
    page.wait_for("#server-log .error", "exited with status 7: crashing as told")
    page.wait_for("#server-log .info", "is running")
    page.wait_for("#calls .line", "exited with status 7")
    card = page.wait_for("#servers .card", "fake\nrunning")
    assert "restarted once" in card and "exited with status 7: crashing as told" in card


def test_the_log_of_one_server_is_not_that_of_another(start_router, open_page):
    page = look_inside(open_page(start_router({"one": fake(), "two": fake("dies")})), "one")
    page.choose("#server-name", "two")
    page.wait_for("#server-log li", "told to die")
    page.choose("#server-name", "one")
    assert not [text for text in page.texts("#server-log li") if "told to die" in text]
    page.choose("#server-name", "all servers together")
    page.wait_for("#server-log li", "two .*told to die")


def test_the_keyboard_reaches_the_panel_and_leaves_it(start_router, open_page):
    page = look_inside(open_page(start_router({"fake": fake()})), "fake")
    assert page.focused().get_attribute("id") == "server-name"
    page.press(Keys.ESCAPE)
    assert page.focused().get_attribute("id") == "open-servers"
    assert not page.find("#server-panel").is_displayed()
    page.press(Keys.ENTER)
    page.find("#server-close").click()
    assert not page.find("#server-panel").is_displayed()


def test_hostile_names_and_schemas_harm_nothing_in_it(start_router, open_page):
    page = look_inside(open_page(start_router({"fake": fake("hostile")})), "fake")
    page.click("#server-offers summary", "img")
    shown = page.wait_for("#server-offers details[open]", "Its arguments")
    assert HARMLESS in shown and "\u202e" not in shown
    assert page.all("#panel img, #panel a, #panel script") == []


def test_on_a_phone_it_covers_the_calls_and_they_come_back(start_router, open_page):
    page = open_page(start_router({"fake": fake()}))
    page.resize(*PHONE)
    look_inside(page, "fake")
    page.wait_for("#server-cost", "11 tools")
    assert page.driver.execute_script("return document.scrollingElement.scrollWidth") == PHONE[0]
    assert page.find("#server-panel").rect["width"] > 0.9 * PHONE[0]
    page.find("#server-close").click()
    assert page.find("#first-steps").is_displayed()


def test_looking_at_a_server_that_fails_does_not_start_it(start_router, open_page):
    running = start_router({"fake": {**fake("dies"), "restart": {"attempts": 0}}})
    page = look_inside(open_page(running), "fake")
    page.wait_for("#server-problem", "exited with status 1")
    page.choose("#server-name", "all servers together")
    page.choose("#server-name", "fake")
    page.wait_for("#server-log .error", "exited with status 1")
    page.show("messages")
    assert page.texts("#messages .message") == []
    assert "restarted" not in page.find("#servers").text
