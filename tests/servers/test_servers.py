"""The two bundled servers, without a router: what they say to a client of either era."""

import pytest

TIMEKEEPER, FILES = "upstreams/servers/timekeeper.py", "upstreams/servers/files.py"
VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
SERVER = "io.modelcontextprotocol/serverInfo"
MODERN = {VERSION: "2026-07-28", CAPABILITIES: {}}
SUPPORTED = ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"]
KEPT = {"ttlMs": 3_600_000, "cacheScope": "private"}


@pytest.mark.parametrize("asked, told", [
    *[(revision, revision) for revision in SUPPORTED[1:]],
    ("2026-07-28", "2025-11-25"), ("1999-01-01", "2025-11-25")])
def test_a_legacy_client_gets_its_revision_or_the_newest_legacy_one(pipe, asked, told):
    assert pipe(TIMEKEEPER).initialize(asked) == {
        "protocolVersion": told, "capabilities": {"tools": {}, "prompts": {}, "resources": {}},
        "serverInfo": {"name": "timekeeper", "version": "1.0.0"},
        "instructions": "Ask for the time here instead of guessing it."}


def test_a_legacy_answer_has_nothing_of_the_modern_era_in_it(pipe):
    server = pipe(TIMEKEEPER)
    server.initialize()
    assert server.ask("ping") == {}
    assert server.ask("tools/list").keys() == {"tools"}
    assert server.ask("tools/call", name="now").keys() == {"content", "isError"}
    assert server.ask("resources/read", uri="time://zones").keys() == {"contents"}
    assert server.ask("server/discover", {"progressToken": 1})["code"] == -32602
    assert server.ask("resources/read", uri="time://nowhere") == {
        "code": -32002, "message": "Resource not found", "data": {"uri": "time://nowhere"}}


def test_a_modern_client_discovers_what_a_legacy_one_is_told_by_initialize(pipe):
    assert pipe(TIMEKEEPER).ask("server/discover", MODERN) == {
        "resultType": "complete", "supportedVersions": SUPPORTED, **KEPT,
        "capabilities": {"tools": {}, "prompts": {}, "resources": {}},
        "instructions": "Ask for the time here instead of guessing it.",
        "_meta": {SERVER: {"name": "timekeeper", "version": "1.0.0"}}}


@pytest.mark.parametrize("script, name, tool", [(TIMEKEEPER, "timekeeper", "now"),
                                                (FILES, "files", "summary")])
def test_every_modern_result_is_complete_and_says_which_server_gave_it(pipe, script, name, tool):
    server = pipe(script)
    for method in ("tools/list", "prompts/list", "resources/list", "resources/templates/list"):
        result = server.ask(method, MODERN)
        assert result["resultType"] == "complete" and KEPT.items() <= result.items()
        assert result["_meta"] == {SERVER: {"name": name, "version": "1.0.0"}}
    uri = server.ask("resources/list", MODERN)["resources"][0]["uri"]
    read = server.ask("resources/read", MODERN, uri=uri)
    assert (read["resultType"], read["ttlMs"], read["cacheScope"]) == ("complete", 0, "private")
    called = server.ask("tools/call", MODERN, name=tool)
    assert called["resultType"] == "complete" and not called["isError"]
    assert called.keys() == {"resultType", "content", "isError", "_meta"}


@pytest.mark.parametrize("meta, code", [
    ({VERSION: "2026-07-28"}, -32602),
    ({**MODERN, CAPABILITIES: None}, -32602),
    ({**MODERN, VERSION: 20260728}, -32602),
    ({CAPABILITIES: {}}, -32602),
    (None, -32602)])
def test_a_request_without_what_every_request_needs_is_refused(pipe, meta, code):
    """2026-07-28, General fields: _meta. Before `initialize` there is no other era."""
    server = pipe(TIMEKEEPER)
    for method in ("tools/list", "server/discover"):
        problem = server.ask(method, meta)
        assert problem["code"] == code and "io.modelcontextprotocol/" in problem["message"]


@pytest.mark.parametrize("version", ["2025-11-25", "2027-01-01"])
def test_a_version_it_does_not_serve_is_refused_with_those_that_it_does(pipe, version):
    problem = pipe(TIMEKEEPER).ask("tools/list", {VERSION: version})
    assert problem == {"code": -32022, "message": "Unsupported protocol version",
                       "data": {"supported": SUPPORTED, "requested": version}}


@pytest.mark.parametrize("method", ["initialize", "ping", "logging/setLevel",
                                    "subscriptions/listen", "resources/subscribe"])
def test_what_revision_2026_07_28_or_this_server_does_not_have_is_not_found(pipe, method):
    assert pipe(TIMEKEEPER).ask(method, MODERN)["code"] == -32601


def test_a_modern_resource_that_does_not_exist_is_an_invalid_parameter(pipe):
    assert pipe(FILES).ask("resources/read", MODERN, uri="time://nowhere") == {
        "code": -32602, "message": "Resource not found", "data": {"uri": "time://nowhere"}}


def test_both_eras_take_turns_on_one_pipe(pipe):
    """A modern request depends on nothing that was said before it, nor changes it."""
    server = pipe(TIMEKEEPER)
    assert "resultType" in server.ask("tools/list", MODERN)
    server.initialize("2025-06-18")
    assert "resultType" not in server.ask("tools/list")
    assert "resultType" in server.ask("tools/list", MODERN)
    assert "resultType" not in server.ask("tools/list")


@pytest.mark.parametrize("meta", [{}, MODERN], ids=["legacy", "modern"])
def test_progress_is_told_before_the_answer_with_the_callers_token(pipe, meta):
    server = pipe(TIMEKEEPER)
    server.initialize()
    server.start("tools/call", {**meta, "progressToken": "p"}, name="wait",
                 arguments={"seconds": 0})
    told = [server.hear() for _ in range(10)]
    assert [message["params"]["progress"] for message in told] == list(range(1, 11))
    assert {message["params"]["progressToken"] for message in told} == {"p"}
    assert server.hear()["result"]["content"][0]["text"] == "0 seconds have passed."


@pytest.mark.parametrize("meta", [{}, MODERN], ids=["legacy", "modern"])
def test_a_cancelled_request_is_not_answered(pipe, meta):
    server = pipe(TIMEKEEPER)
    server.initialize()
    waiting = server.start("tools/call", {**meta, "progressToken": 1}, name="wait",
                           arguments={"seconds": 3600})
    server.say({"method": "notifications/cancelled", "params": {"requestId": waiting}})
    assert "resultType" in server.ask("server/discover", MODERN)
    assert server.end()[0] == []


def test_a_line_that_is_no_message_is_told_on_stderr_and_does_no_harm(pipe):
    server = pipe(TIMEKEEPER)
    lines = ["{", "[]", "null", '"text"', "{}", '{"id": [], "method": "ping"}',
             '{"method": "notifications/cancelled"}']
    for line in lines:
        server.say(line)
    assert server.ask("ping") == {}
    assert server.end()[1].count("ignored") == len(lines)


@pytest.mark.parametrize("params", [[], [1], "text", {"_meta": [1]}, None])
def test_a_request_with_strange_params_is_answered(pipe, params):
    server = pipe(TIMEKEEPER)
    server.initialize()
    server.say({"id": 7, "method": "tools/call", "params": params})
    answer = server.hear()
    assert answer["id"] == 7 and answer["error"]["code"] in (-32602, -32603)


@pytest.mark.parametrize("script, name, arguments, words", [
    (TIMEKEEPER, "convert", {"time": "9:00"}, "The argument source is missing."),
    (TIMEKEEPER, "now", {"zone": "UTC"}, "There is no argument zone here; there are: none"),
    (TIMEKEEPER, "wait", {"seconds": "5"}, "The argument seconds must be a number."),
    (TIMEKEEPER, "wait", {"seconds": True}, "The argument seconds must be a number."),
    (TIMEKEEPER, "wait", [5], "The arguments must be an object."),
    (TIMEKEEPER, "convert", {"time": "noon", "source": "UTC", "target": "UTC"},
     "'noon' is no time as 2026-03-29T14:30."),
    (TIMEKEEPER, "convert", {"time": "0001-01-01T00:00", "source": "Asia/Tokyo", "target": "UTC"},
     "'0001-01-01T00:00' is no time as 2026-03-29T14:30."),
    (TIMEKEEPER, "convert", {"time": "2026-03-29T14:30", "source": "Nowhere", "target": "UTC"},
     "Unknown time zone: Nowhere. Use a name like Europe/Paris; the resource time://zones has "
     "them all."),
    (FILES, "find", {"pattern": ""}, "'' is no pattern as **/*.py."),
    (FILES, "find", {"pattern": 5}, "The argument pattern must be a string."),
    (FILES, "search", {"text": "x", "where": "y"},
     "There is no argument where here; there are: text, pattern"),
])
def test_what_is_wrong_with_the_arguments_is_said_in_a_sentence(
        pipe, script, name, arguments, words):
    found = pipe(script).ask("tools/call", MODERN, name=name, arguments=arguments)
    assert found["isError"] and found["content"][0]["text"] == words


def test_the_arguments_of_a_prompt_are_checked_as_well(pipe):
    problem = pipe(FILES).ask("prompts/get", MODERN, name="explain_file")
    assert problem == {"code": -32602, "message": "The argument path is missing."}
    problem = pipe(FILES).ask("prompts/get", MODERN, name="explain_file",
                              arguments={"path": "a\0b"})
    assert problem == {"code": -32602, "message": "No file has such a name."}


def test_what_is_under_way_is_answered_at_the_end_and_a_slow_tool_does_not_delay_it(pipe):
    server = pipe(TIMEKEEPER)
    for seconds in 0.3, 3600:
        server.start("tools/call", MODERN, name="wait", arguments={"seconds": seconds})
    answers, complained = server.end()      # within ten seconds
    assert [answer["id"] for answer in answers] == [1] and complained == ""


def test_only_files_of_the_folder_are_shown(pipe, tmp_path):
    folder = tmp_path / "shown"
    folder.mkdir()
    (folder / "a.txt").write_text("one\ntwo")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "link").symlink_to(tmp_path)
    (folder / ".env").write_text("two")
    server = pipe(FILES, str(folder))
    assert server.ask("resources/read", MODERN, uri="folder:///a.txt")["contents"] == [
        {"uri": "folder:///a.txt", "mimeType": "text/plain", "text": "one\ntwo"}]
    for path in ("../secret.txt", "link.txt", "link/secret.txt", ".env", "%2e%2e/secret.txt",
                 str(tmp_path / "secret.txt")):
        problem = server.ask("resources/read", MODERN, uri=f"folder:///{path}")
        assert problem["code"] == -32602 and "no file" in problem["message"]
    found = server.ask("tools/call", MODERN, name="search", arguments={"text": "two"})
    assert found["content"][0]["text"] == "a.txt:2: two"
    found = server.ask("tools/call", MODERN, name="find", arguments={"pattern": "link/*"})
    assert found["content"][0]["text"] == "No file fits."
