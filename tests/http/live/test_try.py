"""The panel that calls tools, gets prompts and reads resources, in a real browser."""

import json
import re
import sys

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from live_by_hand import ask
from processes import ROOT, fake, wait_until
from streamable_by_hand import Http


def sdk(era):
    return {"command": sys.executable, "args": [str(ROOT / "tests" / "sdk_server.py"), era]}


SDK = sdk("legacy")
ANY = {"command": sys.executable, "args": [str(ROOT / "tests/http/live/any_server.py")]}


def open_try(page):
    page.wait(lambda: page.find("#open-try").is_enabled())
    page.find("#open-try").click()
    page.wait_for("#try-name option", ".")
    return page


def choose(page, name):
    page.wait_for("#try-name option", f"^{name}$")
    page.choose("#try-name", name)


def fill(page, label, text):
    """Type into the field of this name."""
    field = next(each for each in page.all("#try-fields label") if each.text.startswith(label))
    box = field.find_element(By.CSS_SELECTOR, "textarea, input")
    box.clear()
    box.send_keys(text)


def run(page):
    page.find("#try-form [type=submit]").click()


def first_json_in(text):
    return json.JSONDecoder().raw_decode(text[text.index("{"):])[0]


def press(page, selector, name):
    page.click(f"{selector} button", f"^{re.escape(name)}$")


def test_a_tool_is_tried_through_a_session_of_the_page(start_router, open_page,
                                                       timekeeper):  # noqa: F811
    page = open_page(start_router({"time": timekeeper}))
    page.wait(lambda: page.find("#first-try").is_enabled())
    page.find("#first-try").click()
    choose(page, "time__wait")
    assert page.texts("#try-fields label") == ["seconds required"]
    assert "only reads" in page.find("#try-hints").text
    fill(page, "seconds", "0.1")
    run(page)
    assert page.wait_for("#try-answer", "passed") == "0.1 seconds have passed."
    assert page.wait_for("#try-status", r"^The answer, after \d+(\.\d)? ms:$")
    page.wait_for("#calls .status", "ok")
    page.screenshot("try-a-tool.png")
    page.find("#try-show").click()
    page.wait_for("#details", "Answered after")
    assert "tools/call time__wait" in page.steps()[0][2]
    assert "live page 1" in page.wait_for("#sessions .card", "live page")
    page.driver.get("about:blank")  # the page is left, and its session ends
    page.driver.get(page.url + "/live")
    page.wait_for("#connection", "^connected")
    page.wait(lambda: page.find("#no-sessions").is_displayed())


def test_only_what_is_tried_is_a_call_and_not_what_the_page_asks_by_itself(start_router,
                                                                           open_page):
    page = open_try(open_page(start_router({"fake": fake()})))
    choose(page, "fake__echo")
    run(page)
    page.wait_for("#try-answer", "None")
    page.wait(lambda: page.texts("#calls .tool") == ["echo"])
    page.find("#show-messages").click()
    page.wait_for("#messages li", "tools/list")


def test_a_call_that_is_tried_can_be_cancelled_and_that_is_no_problem(start_router, open_page,
                                                                      timekeeper):  # noqa: F811
    page = open_try(open_page(start_router({"time": timekeeper})))
    page.choose("#try-server", "time")
    choose(page, "wait")
    page.find("#try-fields input").send_keys("600", Keys.ENTER)
    page.wait_for("#try-status", r"^Calling… \d+ s$")
    page.find("#try-cancel").click()
    page.wait_for("#try-status", r"^Cancelled after [\d.,]+ m?s\.$")
    assert page.find("#try-status").get_attribute("class") == ""
    assert page.find("#try-form [type=submit]").is_enabled()
    page.wait_for("#calls .status", "cancelled")


def test_an_error_of_a_tool_is_told_as_one_with_its_code_and_data(start_router, open_page):
    page = open_try(open_page(start_router({"sdk": SDK})))
    choose(page, "sdk__fail")
    run(page)
    page.wait_for("#try-status", "^The tool says that it failed, after")
    assert page.find("#try-status").get_attribute("class") == "problem"
    page.wait_for("#try-answer", "failed as told")
    fill(page, "code", "-31000")
    page.press(Keys.CONTROL + Keys.ENTER)
    answer = page.wait_for("#try-answer", "-31000")
    assert "failed as told" in answer and '"told": true' in answer


def test_an_error_keeps_its_line_breaks_and_the_last_tries_say_it_without_a_colon(
        start_router, open_page):
    page = open_try(open_page(start_router({"any": ANY})))
    press(page, "#try-fields", "Write it as JSON") if page.all("#try-fields .plain") else None
    for given in {"error": {"code": -31000, "message": "one\ntwo"}}, {"result": {"content": []}}:
        page.find("#try-fields textarea").clear()
        page.find("#try-fields textarea").send_keys(json.dumps(given))
        run(page)
        page.wait_for("#try-status", "one\ntwo" if "error" in given else "The answer, after")
    page.wait_for("#try-tries li", "one\ntwo")
    assert page.texts("#try-tries li")[0].endswith("ms")


def test_a_number_is_tried_again_as_it_was_sent(start_router, open_page):
    running = start_router({"any": ANY})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    client = Http(running)
    client.post(client.call(1, "any__do", half=1.0))
    page.open_call("half")
    press(page, "#call-tools", "Try again")
    page.wait_for("#try-status", "The answer")
    page.wait(lambda: sum(" half" in f" {text}" for text in page.texts("#calls .arguments")) == 2)
    page.open_call("half")
    page.wait_for("#details .side", "half 1\\.0")
    assert "live page" in page.find("#details").text


def test_a_call_under_way_is_not_ended_by_what_else_is_to_be_tried(start_router, open_page,
                                                                   timekeeper):  # noqa: F811
    running = start_router({"time": timekeeper, "fake": fake()})
    page = open_try(open_page(running))
    client = Http(running, "/mcp/fake")
    client.post(client.call(1, "echo", text="elsewhere"))
    choose(page, "time__wait")
    fill(page, "seconds", "600")
    run(page)
    page.wait_for("#try-status", "^Calling…")
    page.open_call("elsewhere")
    press(page, "#call-tools", "Try again")
    page.wait_for("#try-status", "A call is under way here")
    page.find("#try-cancel").click()
    page.wait_for("#try-status", "Cancelled")
    press(page, "#call-tools", "Try again")
    page.wait_for("#try-answer", "elsewhere")


def test_required_text_must_be_filled_and_an_empty_one_is_written_as_json(start_router,
                                                                          open_page):
    running = start_router({"sdk": SDK})
    page = open_try(open_page(running))
    page.choose("#try-server", "sdk")
    choose(page, "greet")
    before = page.texts("#try-fields label")
    assert before and "required" in before[0]
    run(page)
    assert page.find("#try-fields textarea:invalid")
    assert page.find("#try-status").text == ""
    client = Http(running, "/mcp/sdk")
    client.post({"id": 1, "method": "prompts/get", "params": {
        "name": "greet", "arguments": {"name": ""}}})
    page.open_call("greet")
    press(page, "#call-tools", "Edit")
    page.wait(lambda: json.loads(page.find("#try-fields textarea").get_attribute("value") or "0")
              == {"name": ""})


def test_a_tool_can_be_tried_again_after_the_router_has_forgotten_the_session(start_router,
                                                                              open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    page.complaints_allowed = "404"
    open_try(page)
    choose(page, "fake__echo")
    page.driver.execute_async_script("""
        const done = arguments[0], ask = window.fetch;
        window.fetch = (path, options) => {  // the page's next request is one that comes too late
          window.fetch = ask;
          return ask(path, {method: "DELETE", headers: options.headers}).then(
            () => ask(path, options));
        };
        done();""")
    run(page)
    page.wait_for("#try-status", "The answer")
    page.wait_for("#sessions .card", "live page 1")


def test_the_list_of_tools_follows_the_servers_and_what_was_typed_stays(start_router, open_page):
    page = open_try(open_page(start_router({"sdk": SDK})))
    choose(page, "sdk__change")
    Select(page.find("#try-fields select")).select_by_visible_text("tools")
    assert "sdk__extra" not in page.find("#try-name").text
    before = len(page.texts("#try-name option"))
    run(page)
    page.wait(lambda: len(page.texts("#try-name option")) == before + 1)
    assert Select(page.find("#try-name")).first_selected_option.text == "sdk__change"
    assert Select(page.find("#try-fields select")).first_selected_option.text == "tools"


def test_the_list_of_tools_follows_a_change_of_the_config(start_router, open_page):
    running = start_router({"one": fake()})
    page = open_try(open_page(running))
    choose(page, "one__echo")
    running.config.write_text(json.dumps({"mcpServers": {"one": fake(), "two": fake()}}))
    page.wait_for("#try-name option", "two__echo")
    page.wait_for("#try-server option", "^two$")


def test_the_list_of_tools_follows_a_restart_of_the_router(start_router, open_page):
    running = start_router({"one": fake()})
    page = open_page(running)
    page.complaints_allowed = "ERR_|404|500"
    open_try(page)
    choose(page, "one__echo")
    port = running.url.rsplit(":", 1)[1]
    running.stop()
    page.wait_for("#connection", "^not connected")
    start_router({"two": fake()}, port=port)
    page.wait_for("#try-name option", "two__echo")
    choose(page, "two__echo")
    run(page)
    page.wait_for("#try-status", "The answer")


def test_prompts_and_resources_are_tried_and_templates_with_a_value_put_in(start_router,
                                                                           open_page):
    page = open_try(open_page(start_router({"sdk": SDK})))
    page.choose("#try-server", "sdk")
    page.wait_for("#try-name option", "^greet")
    groups = page.driver.execute_script(
        "return Array.from(document.querySelectorAll('#try-name optgroup'), (one) => one.label)")
    assert groups == ["Tools", "Prompts", "Resources", "Resource templates"]
    choose(page, "sdk://note")
    assert page.find("#try-form [type=submit]").text == "Read"
    run(page)
    page.wait_for("#try-answer", "sdk://note")
    choose(page, r"sdk://greeting/{name}")
    fill(page, "uri", "sdk://greeting/Ada")
    run(page)
    page.wait_for("#try-answer", "Ada")


def test_a_group_is_tried_as_its_clients_see_it(start_router, open_page):
    running = start_router({"one": fake(), "two": fake()}, groups={"work": ["two"]})
    page = open_try(open_page(running))
    page.choose("#try-server", "group work")
    choose(page, "two__echo")
    assert not [text for text in page.texts("#try-name option") if text.startswith("one")]
    run(page)
    page.wait_for("#try-status", "The answer")


def test_a_form_has_a_field_of_the_right_kind_for_each_argument(start_router, open_page):
    page = open_try(open_page(start_router({"fake": fake("hostile")})))
    choose(page, "fake__form")
    word, count, yes, color, rest = page.all("#try-fields label")
    word.find_element(By.TAG_NAME, "textarea").send_keys("two\nlines")
    count.find_element(By.CSS_SELECTOR, "input[type=number][step='1']").send_keys(
        "9007199254740993")
    Select(yes.find_element(By.TAG_NAME, "select")).select_by_visible_text("false")
    assert Select(color.find_element(By.TAG_NAME, "select")).first_selected_option.text == "green"
    rest.find_element(By.TAG_NAME, "textarea").send_keys('{"a": ')
    run(page)
    page.wait_for("#try-status", "rest: this is not JSON")
    rest.find_element(By.TAG_NAME, "textarea").send_keys("[1]}")
    run(page)
    assert first_json_in(page.wait_for("#try-answer", "two")) == {
        "word": "two\nlines", "count": 9007199254740993, "yes": False, "color": "green",
        "rest": {"a": [1]}}


def test_what_has_schemas_in_schemas_has_a_skeleton_to_fill_in(start_router, open_page):
    page = open_try(open_page(start_router({"fake": fake("hostile")})))
    choose(page, "fake__nested")
    assert "may destroy" in page.find("#try-hints").text
    place, filters = (page.all("#try-fields textarea")[at] for at in (0, 2))
    assert json.loads(place.get_attribute("value")) == {"city": "", "at": [0]}
    assert filters.get_attribute("value") == ""
    page.all("#try-fields .field > button")[1].click()
    assert json.loads(filters.get_attribute("value")) == {"deep": False}
    days = Select(page.find("#try-fields select[multiple]"))
    days.select_by_visible_text("mon")
    days.select_by_visible_text("wed")
    press(page, "#try-fields", "Write it as JSON")
    whole = page.find("#try-fields textarea")
    given = {"place": {"city": "", "at": [0]}, "days": ["mon", "wed"], "filters": {"deep": False}}
    assert json.loads(whole.get_attribute("value")) == given
    press(page, "#try-fields", "Show it as fields")
    assert [each.text for each in Select(
        page.find("#try-fields select[multiple]")).all_selected_options] == ["mon", "wed"]
    run(page)
    assert first_json_in(page.wait_for("#try-answer", "mon")) == given


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_what_servers_ask_is_answered_in_forms(start_router, open_page, era):
    page = open_try(open_page(start_router({"sdk": sdk(era)})))
    page.find("#try-settings summary").click()
    page.find("#try-roots").send_keys("file:///home/ada\n", Keys.TAB)
    choose(page, "sdk__ask")
    for kind in "elicitation", "sampling", "roots":
        Select(page.find("#try-fields select[multiple]")).select_by_visible_text(kind)
    run(page)
    page.wait_for("#try-questions", "What is your name?")
    places = [one.rect for one in page.all("#try-questions form:first-child > button")]
    assert all(right["x"] - one["x"] - one["width"] > 2 for one, right in zip(places, places[1:]))
    page.find("#try-questions textarea").send_keys("Ada")
    press(page, "#try-questions", "Send")
    page.wait_for("#try-questions", "user: Say something.")
    page.find("#try-questions textarea").send_keys("Something.")
    press(page, "#try-questions", "Answer")
    answer = page.wait_for("#try-answer", "typed by hand")
    assert '"name": "Ada"' in answer and '"Something."' in answer and "file:///home/ada" in answer
    assert page.find("#try-questions").text == ""
    page.wait_for("#calls .tool", "ask")


@pytest.mark.parametrize("button, words", [("Decline", "decline"), ("Dismiss", "cancel")])
def test_a_question_can_be_declined_or_dismissed(start_router, open_page, button, words):
    page = open_try(open_page(start_router({"sdk": SDK})))
    choose(page, "sdk__ask")
    run(page)
    page.wait_for("#try-questions", "What is your name?")
    press(page, "#try-questions", button)
    page.wait_for("#try-answer", f'"action": "{words}"')


def test_a_question_goes_away_with_its_call_and_a_page_that_cannot_be_asked_says_so(start_router,
                                                                                    open_page):
    page = open_try(open_page(start_router({"sdk": SDK})))
    choose(page, "sdk__ask")
    run(page)
    page.wait_for("#try-questions", "What is your name?")
    page.find("#try-cancel").click()
    page.wait_for("#try-status", "Cancelled")
    assert page.find("#try-questions").text == ""
    page.find("#try-settings summary").click()
    page.find("#try-asked").click()
    page.wait(lambda: "can do" not in "".join(page.texts("#sessions .card")))
    choose(page, "sdk__ask")
    run(page)
    page.wait_for("#try-status", "The client has no elicitation.")


def test_the_last_tries_are_kept_with_their_arguments_and_answers(start_router, open_page,
                                                                  timekeeper):  # noqa: F811
    page = open_try(open_page(start_router({"time": timekeeper, "fake": fake()})))
    for name, seconds in ("time__wait", "0.1"), ("time__wait", "0.2"):
        choose(page, name)
        fill(page, "seconds", seconds)
        run(page)
        page.wait_for("#try-answer", f"{seconds} seconds")
    page.choose("#try-server", "fake")
    choose(page, "echo")
    run(page)
    page.wait(lambda: len(page.texts("#try-tries li")) == 3)
    assert 'wait {"seconds":0.1}' in page.texts("#try-tries li")[2].replace("\n", " ")
    page.all("#try-tries button")[2].click()
    assert "0.1 seconds" in page.wait_for("#try-answer", "0.1 seconds")
    assert page.find("#try-fields input").get_attribute("value") == "0.1"
    assert Select(page.find("#try-server")).first_selected_option.text == "all servers together"
    run(page)
    page.wait(lambda: len(page.texts("#try-tries li")) == 4)


@pytest.mark.parametrize("path, name", [("/mcp", "fake__echo"), ("/mcp/fake", "echo"),
                                        ("/mcp/work", "fake__echo")])
def test_a_call_that_was_seen_is_tried_again_or_edited_where_its_client_made_it(
        start_router, open_page, path, name):
    running = start_router({"fake": fake()}, groups={"work": ["fake"]})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    client = Http(running, path)
    client.post(client.call(1, name, text="as before"))
    page.open_call("echo")
    press(page, "#call-tools", "Edit")
    choose(page, name)
    assert json.loads(page.find("#try-fields textarea").get_attribute("value")) == {
        "text": "as before"}
    assert page.find("#try-answer").is_displayed() is False
    press(page, "#call-tools", "Try again")
    assert "as before" in page.wait_for("#try-answer", "as before")
    page.wait(lambda: len(page.texts("#calls .call")) >= 2)


def test_a_long_list_can_be_narrowed_and_a_seen_call_is_found_all_the_same(start_router,
                                                                           open_page):
    running = start_router({"one": fake(), "two": fake()})
    page = open_try(open_page(running))
    client = Http(running)
    client.post(client.call(1, "one__echo", text="x" * 20_000))
    page.find("#try-narrow").send_keys("TWO__S")
    page.wait(lambda: page.texts("#try-name option") == ["two__sleep", "two__say",
                                                         "two__stop_reading"])
    page.open_call("echo")
    press(page, "#call-tools", "Edit")
    page.wait(lambda: Select(page.find("#try-name")).first_selected_option.text == "one__echo")
    assert "x" * 20_000 in page.find("#try-fields textarea").get_attribute("value")
    assert len(page.texts("#try-name option")) == 22


def opened_by_hand(page, script):
    """What a script gives to done(); it has the Session of the page's own client."""
    return page.driver.execute_async_script(
        "const [done] = arguments; (async () => {"
        'const {Session} = await import("./live/panel/session.js");' + script + "})()")


def test_a_server_that_is_left_while_it_is_connected_to_leaves_no_session(start_router, open_page):
    running = start_router({"one": fake(), "two": fake()})
    page = open_try(open_page(running))
    page.driver.execute_script("""
        const select = document.getElementById("try-server");
        for (const name of ["one", "two", "one", "two"]) {
          select.value = name;
          select.dispatchEvent(new Event("change"));
        }""")
    page.wait_for("#try-name option", "^echo$")
    assert wait_until(lambda: sum("begins: live page" in line for line in running.lines) == 5)
    assert wait_until(lambda: json.loads(ask(running, "/health")[2])["sessions"] == 1)
    page.wait(lambda: "sees two" in "".join(page.texts("#sessions .card")))


def test_a_session_that_is_over_begins_no_other(start_router, open_page):
    page = open_page(start_router({"fake": fake()}))
    page.complaints_allowed = "404"
    page.wait_for("#connection", "^connected")
    assert opened_by_hand(page, """
        const session = new Session(null, {changed() {}});
        await session.begin();
        session.end();
        const asked = await session.lists().then(() => "listed", (problem) => problem.message);
        done(asked)""") == "This session is over."
    page.wait(lambda: page.texts("#sessions .card") == [])


def test_what_is_asked_while_a_session_begins_anew_waits_for_that(start_router, open_page):
    page = open_page(start_router({"fake": fake()}))
    page.complaints_allowed = "404"
    page.wait_for("#connection", "^connected")
    assert opened_by_hand(page, """
        const session = new Session(null), ask = window.fetch, methods = [];
        await session.begin();
        await ask("mcp", {method: "DELETE", headers: session._headers});
        let second = null;
        window.fetch = async (path, options) => {
          methods.push(JSON.parse(options.body).method);
          const response = await ask(path, options);
          if (methods.at(-1) === "initialize") {    // the user asks something just now
            second ??= session.request("tools/call", {name: "fake__echo",
                                                      arguments: {text: "hi"}});
          }
          return response;
        };
        const lists = await session.lists(), answer = await second;
        window.fetch = ask;
        session.end();
        done([lists.tools.length, answer.content[0].text, methods.filter(
          (one) => one === "initialize").length])""") == [11, "hi", 1]


def test_a_late_answer_of_a_forgotten_session_spoils_none_that_begins_anew(start_router,
                                                                           open_page):
    page = open_page(start_router({"fake": fake()}))
    page.complaints_allowed = "404"
    page.wait_for("#connection", "^connected")
    assert opened_by_hand(page, """
        const session = new Session(null), ask = window.fetch, call = (text) => session.request(
          "tools/call", {name: "fake__echo", arguments: {text}});
        await session.begin();
        let isForgotten, isAnswered, second;
        const forgotten = new Promise((resolve) => { isForgotten = resolve; });
        const answered = new Promise((resolve) => { isAnswered = resolve; });
        window.fetch = async (path, options) => {
          const response = await ask(path, options);
          if (options.body?.includes('"first"')) {
            await ask("mcp", {method: "DELETE", headers: options.headers});
            second = call("second");
            await forgotten;
          }
          return response.status !== 404 ? response : {status: 404, text: async () => {
            isForgotten();
            await answered;
            return response.text();
          }};
        };
        const first = await call("first");
        isAnswered();
        const answers = [first, await second];
        session.end();
        done(answers.map((one) => one.content[0].text))""") == ["first", "second"]
