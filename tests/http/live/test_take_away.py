"""What is taken away from the page, and a trace that is opened on it, in a real browser."""

import json
import re
import subprocess
import urllib.request

import pytest
from modern_by_hand import calls, headers_of
from selenium.webdriver.common.keys import Keys

from processes import fake, wait_until
from streamable_by_hand import Http

OLD = {"n": 7, "time": 1.7e9, "place": "from client", "session": "session abc123", "server": None,
       "process": None, "thread": "MainThread", "size": 50, "cut": False, "id": 2**60 + 1,
       "text": '{"jsonrpc":"2.0","id":1152921504606846977,"method":"tools/call",'
               '"params":{"name":"<b>bold</b>"}}',
       "kind": "request", "call": 3, "method": "tools/call"}


def copied(page, name):
    """What a button of the open call copies."""
    page.driver.execute_script(
        "window.taken = null; navigator.clipboard.writeText = async (text) => {"
        " window.taken = text; }")
    page.click("#call-tools .copies button", f"^{name}$")
    return page.wait(lambda: page.driver.execute_script("return window.taken"))


def saved(page):
    """The file that Save makes."""
    page.driver.execute_script("""
        URL.createObjectURL = (blob) => { blob.text().then((text) => window.taken = text);
                                          return "about:blank#saved"; };
        HTMLAnchorElement.prototype.click = function () { window.savedAs = this.download; };
        window.taken = null;""")
    page.click("#list-tools button", "^Save$")
    text = page.wait(lambda: page.driver.execute_script("return window.taken"))
    assert re.match(r"mcp-router-[\d-]+\.jsonl$", page.driver.execute_script(
        "return window.savedAs"))
    return [json.loads(line) for line in text.splitlines()]


def open_trace(page, path):
    page.wait_for("#connection", "^connected")
    page.find("#trace-file").send_keys(str(path))


def with_a_call(running, page, path="/mcp", name="fake__echo", **arguments):
    page.wait_for("#connection", "^connected")
    client = Http(running, path)
    client.post(client.call(7, name, **arguments))
    page.open_call("echo")
    page.wait_for("#details", "Answered after")


def test_a_request_and_its_answer_are_copied_as_they_passed(start_router, open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    with_a_call(running, page, text="\u00e9 hi", number=12345678901234567890)
    request = copied(page, "request")
    assert "12345678901234567890" in request
    assert json.loads(request)["params"]["arguments"]["text"] == "\u00e9 hi"
    answer = json.loads(copied(page, "answer"))
    assert answer["id"] == 7 and answer["result"]["content"][0]["text"] == "\u00e9 hi"
    page.all("#details .step")[1].click()
    assert json.loads(copied(page, "message"))["params"]["name"] == "echo"


def test_of_a_long_answer_all_is_copied(start_router, open_page):
    running = start_router({"fake": fake()})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    client = Http(running)
    client.post(client.call(7, "fake__big", bytes=3_000_000))
    page.open_call("big")
    assert len(json.loads(copied(page, "answer"))["result"]["content"][0]["text"]) == 3_000_000


def test_a_call_is_copied_as_lines_of_a_trace(start_router, open_page, tmp_path):
    running = start_router({"fake": fake()}, "--trace", str(tmp_path / "trace"))
    page = open_page(running)
    with_a_call(running, page, text="hi")
    lines = [json.loads(line) for line in copied(page, "trace").splitlines()]
    trace = tmp_path / "trace"
    assert wait_until(lambda: trace.read_text().endswith("\n") and trace.read_text().count(
        '"method":"tools/call"') == 4)
    written = [json.loads(line) for line in trace.read_text().splitlines()]
    assert lines == (mine := [line for line in written if line["method"] == "tools/call"])
    assert [list(line) for line in lines] == [list(line) for line in mine]


ODD = "it's \u00e9 $HOME \\n"


def run_in_a_shell(command):
    """The message that a copied command prints."""
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60,
                          env={"PATH": "/usr/bin:/bin", "MCP_ROUTER_TOKEN": "s3cret"})
    return json.loads(re.sub("^.*?data: ", "", done.stdout, flags=re.DOTALL))


@pytest.mark.parametrize("path, name", [("/mcp", "fake__echo"), ("/mcp/fake", "echo")])
def test_a_request_is_copied_as_curl_that_works_as_it_stands(start_router, open_page, path, name):
    running = start_router({"fake": fake()})
    page = open_page(running)
    with_a_call(running, page, path, name, text=ODD)
    answer = run_in_a_shell(copied(page, "curl"))
    assert answer["id"] == 7 and answer["result"]["content"][0]["text"] == ODD


def test_the_copied_command_of_a_modern_client_names_no_token(start_router, open_page, tmp_path):
    (tmp_path / "token").write_text("s3cret")
    running = start_router({"fake": fake()}, "--token-file", str(tmp_path / "token"))
    page = open_page(running)
    page.complaints_allowed = "401"
    page.wait(lambda: page.find("#token input").is_displayed())
    page.find("#token input").send_keys("s3cret", Keys.ENTER)
    page.wait_for("#connection", "^connected")
    headers = {**headers_of(calls("echo")), "Authorization": "Bearer s3cret"}
    request = urllib.request.Request(f"{running.url}/mcp/fake", json.dumps(
        calls("echo", 7, text=ODD)).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
    page.open_call("echo")
    page.wait_for("#details", "Answered after")
    command = copied(page, "curl")
    assert "s3cret" not in command and "/mcp/fake'" in command and '"by hand"' in command
    assert run_in_a_shell(command)["result"]["content"][0]["text"] == ODD


def test_a_call_is_tried_again_at_the_group_that_the_page_hears_of_later(start_router, open_page):
    page = open_page(start_router({"fake": fake()}))
    page.wait_for("#connection", "^connected")
    assert page.driver.execute_async_script("""
        const [done] = arguments;
        import("./live/take_away/call_tools.js").then(({CallTools}) => {
          const box = document.createElement("div");
          const request = {place: "from client", kind: "request", method: "tools/call", cut: false,
                           session: "session 1", name: "fake__echo", text: "{}"};
          const tools = new CallTools(box, (text, at, run) => done([text, at, run]));
          tools.show({messages: [request], servers: ["fake"], nameAtServer: "echo", size: 1,
                      end: 1}, null, (one) => one.text);
          tools.state({servers: [{name: "fake"}], groups: {work: ["fake"]},
                       sessions: [{name: "session 1", surface: "work"}]});
          box.querySelector("button").click();
        })""") == ["{}", "work", True]


def test_what_is_filtered_is_saved_and_opened_again_as_it_was(start_router, open_page, tmp_path):
    running = start_router({"one": fake(), "two": fake()})
    page = open_page(running)
    page.wait_for("#connection", "^connected")
    client = Http(running)
    for name in "one", "two":
        client.post(client.call(1, f"{name}__echo", text=name))
    page.wait(lambda: page.texts("#calls .call:not(.open) .tool").count("echo") == 2)
    page.find("#by-text").send_keys("two__echo")
    page.wait(lambda: page.texts("#calls .tool") == ["echo"])
    lines = saved(page)
    assert [line["place"] for line in lines] == [
        "from client", "to server", "from server", "to client"]
    path = tmp_path / "saved.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    page.find("#by-text").clear()
    page.find("#by-text").send_keys(" ")
    open_trace(page, path)
    page.wait_for("#trace-shown", "saved.jsonl: 4 messages\\.")
    assert page.texts("#calls .tool") == ["echo"]
    client.post(client.call(2, "one__echo", text="meanwhile"))
    page.open_call("echo")
    assert "Answered after" in page.find("#details").text
    assert saved(page) == lines
    page.click("#trace-shown button", "Back")
    page.wait(lambda: page.texts("#calls .tool").count("echo") == 3)


def test_a_trace_of_a_router_over_stdio_is_opened_with_all_its_runs(start_router, open_page, run,
                                                                    config, tmp_path, repository):
    trace, said = tmp_path / "trace.jsonl", [
        {"id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "desktop", "version": "1"}}},
        {"method": "notifications/initialized"},
        {"id": 1, "method": "tools/call", "params": {
            "name": "fake__echo", "arguments": {"text": "over stdio"}}}]
    for _ in range(2):
        done = run("python3", str(repository / "router.py"), "--config", config(fake=fake()),
                   "--trace", str(trace), input=b"".join(
                       json.dumps({"jsonrpc": "2.0", **one}).encode() + b"\n" for one in said))
        assert done.returncode == 0
    page = open_page(start_router({"other": fake()}))
    open_trace(page, trace)
    page.wait_for("#trace-shown", r"trace.jsonl: \d+ messages\.")
    page.wait(lambda: page.texts("#calls .tool").count("echo") == 2)
    assert page.texts("#calls .line") and "The router was started again." in page.texts(
        "#calls .line")[0]
    assert page.texts("#calls .client").count("desktop") >= 2
    assert "over stdio" in page.open_call("echo")


def test_a_trace_is_hostile_until_shown_otherwise(start_router, open_page, tmp_path):
    lines = [json.dumps(OLD), '{"missed": 3}', "not JSON", "[]", "null", '{"n": "x"}', '{"n": 1}',
             json.dumps({**OLD, "n": 8, "place": "over there"}),
             json.dumps({**OLD, "n": 9, "session": {}, "server": [1], "id": {}, "call": "x",
                         "size": "big", "method": 7}),
             json.dumps({**OLD, "n": 10, "__proto__": {"n": 1}})]
    path = tmp_path / "old.jsonl"
    path.write_text("\n".join(lines))
    page = open_page(start_router({"fake": fake()}))
    open_trace(page, path)
    page.wait_for("#trace-shown", "old.jsonl: 3 messages\\.")
    page.wait_for("#count", "3 messages were too many to show")
    assert "<b>bold</b>" in page.open_call("bold")
    assert "1152921504606846977" in page.find("#details").text
    assert page.all("main b:not(:empty) b, main img") == []


def test_a_trace_that_is_cleared_is_not_said_to_go_on(start_router, open_page, tmp_path):
    path = tmp_path / "old.jsonl"
    path.write_text(json.dumps({**OLD, "kind": "response", "place": "to client"}))
    page = open_page(start_router({"fake": fake()}))
    page.wait_for("#first-steps", "No calls since")
    open_trace(page, path)
    page.wait_for("#trace-shown", "old.jsonl")
    page.find("#clear").click()
    assert re.search(r"^Cleared at [\d:.]+\.$", page.wait_for("#cleared", "Cleared"))
    page.find("#trace-shown button").click()
    page.wait(lambda: not page.find("#cleared").is_displayed())
    assert page.find("#first-steps").is_displayed()


@pytest.mark.parametrize("text, words", [
    ("", "has no message in it"), ("# A page\n", "is no file of --trace: its first line is none"),
    ("x" * 3 * 2**20, "is no file of --trace")])
def test_what_is_no_trace_is_refused_with_a_sentence(start_router, open_page, tmp_path, text,
                                                     words):
    path = tmp_path / "no-trace.txt"
    path.write_text(text)
    page = open_page(start_router({"fake": fake()}))
    open_trace(page, path)
    page.wait_for("#trace-shown .problem", f"no-trace.txt {words}")


def test_a_trace_that_is_shown_stays_named_when_another_file_is_none(start_router, open_page,
                                                                     tmp_path):
    page = open_page(start_router({"fake": fake()}))
    for name, text in ("good.jsonl", json.dumps(OLD)), ("bad.txt", "# A page\n"):
        (tmp_path / name).write_text(text)
        open_trace(page, tmp_path / name)
        page.wait_for("#trace-shown", name)
    assert "good.jsonl: 1 message." in page.find("#trace-shown").text
    page.click("#trace-shown button", "✕")
    page.wait(lambda: "bad.txt" not in page.find("#trace-shown").text)
    page.click("#trace-shown button", "Back")
    page.wait(lambda: page.find("#trace-shown").text == "")


def test_of_a_long_trace_the_last_messages_are_shown(start_router, open_page, tmp_path):
    path = tmp_path / "long.jsonl"
    with path.open("w") as file:
        for n in range(1, 12_001):
            print(json.dumps({**OLD, "n": n, "call": n, "id": n}), file=file)
    page = open_page(start_router({"fake": fake()}))
    open_trace(page, path)
    page.wait_for("#trace-shown", "the last 5,000 messages. 7,000 before them are too many to")
    page.wait_for("#count", "^5,000 calls")
