"""The official suite's scenarios for servers of revision 2026-07-28, with the router as a server.

They are run once for each surface, all together; each test looks at one scenario.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from processes import NPM_FOLDER, ROOT, npm

# Those that count, and three that the suite does not score yet.
SCENARIOS = """
    server-stateless completion-complete tools-list tools-call-simple-text tools-call-image
    tools-call-audio tools-call-embedded-resource tools-call-mixed-content tools-call-error
    tools-call-with-progress server-sse-multiple-streams resources-list resources-read-text
    resources-read-binary resources-templates-read sep-2164-resource-not-found prompts-list
    prompts-get-simple prompts-get-with-args prompts-get-embedded-resource prompts-get-with-image
    dns-rebinding-protection caching input-required-result-basic-elicitation
    input-required-result-basic-sampling input-required-result-basic-list-roots
    input-required-result-request-state input-required-result-multiple-input-requests
    input-required-result-multi-round input-required-result-missing-input-response
    input-required-result-non-tool-request input-required-result-result-type
    input-required-result-unsupported-methods input-required-result-tampered-state
    input-required-result-capability-check input-required-result-ignore-extra-params
    input-required-result-validate-input
    http-header-validation http-custom-header-server-validation json-schema-2020-12""".split()
TASKS = """
    tasks-lifecycle tasks-capability-negotiation tasks-wire-fields tasks-request-state-removal
    tasks-mrtr-input tasks-request-headers tasks-dispatch-and-envelope tasks-required-task-error
    tasks-mrtr-composition""".split()

# In front of a legacy server: the scenario gives an answer under the key that a modern server
# chooses for its question. A legacy server's question has no key, so the router chooses one, and
# nobody can know it before it has asked.
BY_THE_SERVERS_KEY = {"input-required-result-basic-elicitation",
                      "input-required-result-ignore-extra-params"}


@pytest.fixture(scope="module")
def verdicts(standing_router, ask, tmp_path_factory):
    """verdicts(path) → {scenario: [(check, status, what was wrong), …]} at this path."""
    npm("conformance")
    fixtures = {"command": sys.executable, "args": [str(ROOT / "tests" / "conformance_server.py")]}
    tasks = str(Path(__file__).with_name("task_server.py"))
    running = standing_router({"modern": {**fixtures, "protocol": "modern", "prefix": ""},
                               "legacy": {**fixtures, "protocol": "legacy"},
                               "tasks": {"command": sys.executable, "args": [tasks]}})
    # The suite waits 0.6 s for a call, and here would wait for the start of a process as well.
    ask(running, "/mcp/legacy", "tools/call", {"elicitation": {}}, name="test_simple_text")
    known = {}

    def at(path):
        if path not in known:
            folder = tmp_path_factory.mktemp("results")
            suite = NPM_FOLDER / "node_modules" / ".bin" / "conformance"
            done = subprocess.run(["node", str(suite), "server", "--url", running.url + path,
                                   "--requirements", "2026-07-28", "--output-dir", str(folder)],
                                  capture_output=True, text=True, timeout=300)
            print(done.stdout[-2000:], done.stderr)
            known[path] = {re.fullmatch(r"server-(.*)-\d{4}-\d\d-\d\dT.*", found.parent.name)[1]: [
                (check["id"], check["status"], check.get("errorMessage"))
                for check in json.loads(found.read_text("utf-8"))]
                for found in folder.glob("*/checks.json")}
            assert known[path], done.stderr
        return known[path]
    return at


def passes(checks):
    wrong = [" ".join(map(str, check)) for check in checks if check[1] not in ("SUCCESS", "INFO")]
    assert not wrong, "\n".join(wrong)
    assert any(check[1] == "SUCCESS" for check in checks)


@pytest.mark.parametrize("path", ["/mcp/modern", "/mcp"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_official_scenario_passes_in_front_of_a_modern_server(verdicts, path, scenario):
    """At /mcp this server is one of several, and the only one without a prefix."""
    passes(verdicts(path)[scenario])


@pytest.mark.parametrize("scenario", [one for one in SCENARIOS if one not in BY_THE_SERVERS_KEY])
def test_the_official_scenario_passes_in_front_of_a_legacy_server(verdicts, scenario):
    passes(verdicts("/mcp/legacy")[scenario])


@pytest.mark.parametrize("scenario", sorted(BY_THE_SERVERS_KEY))
def test_an_answer_under_a_key_that_nobody_gave_is_asked_for_again(verdicts, scenario):
    with pytest.raises(AssertionError, match="(?i)input_?required|incomplete|complete"):
        passes(verdicts("/mcp/legacy")[scenario])


@pytest.mark.parametrize("scenario", TASKS)
def test_the_official_scenario_of_tasks_passes(verdicts, scenario):
    passes(verdicts("/mcp/tasks")[scenario])
