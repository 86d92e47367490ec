"""--check: the table and JSON, with servers that list odd things."""

import json
import logging
import re
import signal
import subprocess
import sys

from upstreams.routing import status

from listing import SECRETS, listing
from processes import ROOT
from world import World, offers


def test_the_exit_status_says_whether_all_is_well(check):
    assert check({"good": listing("search")})[0] == 0
    assert check({"good": listing("search"), "missing": {"command": "no-such"}})[0] == 1


def test_what_servers_say_is_not_told_beside_the_table_but_that_of_those_that_failed(check):
    words = "import sys; print('one', 'two', sep='\\n', file=sys.stderr); sys.exit(3)"
    status, text = check({"good": listing("search"), "bad": {"command": sys.executable,
                                                             "args": ["-c", words]}})
    assert status == 1 and text.splitlines()[3:] == ["bad: exited with status 3: two", "    one"]
    (told,) = check.log.splitlines()
    assert 'server "bad" is not running: exited with status 3: two' in told


def test_one_bad_entry_is_one_failed_server_and_all_that_is_wrong_is_told(check):
    bad = {"command": "x", "args": ["${NO_SUCH}"], "timeout": -1, "env": {"KEY": "s3cret-value"}}
    status, text = check({"good": listing("search"), "bad": bad, "empty": {"url": ""}})
    assert status == 1 and "Traceback" not in check.log
    assert re.search("^good +running", text, re.MULTILINE)
    assert re.search("^bad +failed$", text, re.MULTILINE)
    assert "bad.timeout: must be at least 0" in text and "s3cret" not in text + check.log
    assert "bad.args.0: the variable NO_SUCH is not set: set it, or write" in text
    assert "mcpServers.empty.url: must not be empty" in text
    status, answer = check({"good": listing("search"), "bad": bad}, as_json=True)
    assert status == 1 and answer["servers"]["good"]["state"] == "running"
    assert answer["servers"]["bad"]["state"] == "failed"
    assert "bad.timeout: must be" in answer["servers"]["bad"]["lastError"]


def test_of_a_url_scheme_and_host_are_shown_whatever_it_is():
    for url, shown in (("https://me:pw@a.example:8/key?k=v", "https://a.example:8"),
                       ("http://[::1/a@b", "http://[::1"), ("http://a?x=@", "http://a"),
                       ("nonsense", "nonsense"), ("", ""), (None, None)):
        assert status._origin(url) == shown


def test_a_pattern_that_no_tool_fits_is_told(check):
    status, text = check({"one": {**listing("search"), "tools": {"deny": ["serach"]}}})
    assert status == 0
    assert 'one: "tools.deny" in its config is for serach, which fits no tool of it' in text


def test_the_table_has_the_width_of_a_terminal_whatever_servers_say_of_themselves():
    info = {"name": "n" * 3000, "version": "v" * 3000}
    world = World(a=offers(tools=["search"], prompts=[], capabilities={"resources": {}}))
    world.pool.upstreams()["a"][0].info["serverInfo"] = info
    head, row = status.table(world.pool.upstreams()["a"]).splitlines()
    assert head.split() == ["server", "state", "tools", "seconds", "revision", "process", "is"]
    assert len(row) < 110


def test_json_has_what_health_says(check):
    status, answer = check({"good": listing("b", "c"), "missing": {"command": "no-such"}},
                           as_json=True)
    assert status == 1 and answer["ok"] is False and answer["advice"] == []
    good, missing = answer["servers"]["good"], answer["servers"]["missing"]
    assert (good["state"], good["tools"], good["templates"], good["unlisted"]) == (
        "running", 2, 0, {})
    assert good["serverInfo"] == {"name": "listing", "version": "7"} and good["url"] is None
    assert 0 < good["cost"]["startSeconds"] < 60
    assert missing["state"] == "failed" and "was not found" in missing["lastError"]
    assert check({"good": listing("c")}, as_json=True)[1]["ok"] is True


def test_a_server_that_prints_its_arguments_and_dies_gives_no_variable_away(check):
    dying = listing("a", arguments=["--token=${API_KEY}"], env={"API_KEY": SECRETS[0]})
    dying["args"][2] = json.dumps({"initialize": "crash"})
    for as_json in (False, True):
        status, said = check({"one": dying}, as_json=as_json)
        assert status == 1 and "crashed with" in str(said)
        assert SECRETS[0] not in str(said) + check.log


def test_a_program_that_sends_back_what_it_gets_is_said_to_be_no_server(check):
    for settings in {}, {"protocol": "legacy"}:
        status, text = check({"one": {"command": "cat", **settings}})
        assert status == 1 and "\none: sends back what it gets, so it is probably no MCP" in text


def test_a_list_that_a_server_announces_and_does_not_know_is_no_problem(check):
    status, text = check({"one": listing("search")})
    assert status == 0 and "resources/list" not in text + check.log


def test_clients_get_an_empty_list_from_a_server_that_announced_it_and_does_not_know_it(caplog):
    with caplog.at_level(logging.DEBUG, "router"):
        world = World(a=offers(tools=["search"], capabilities={"prompts": {}}))
        del world.offers["a"]["lists"]["prompts/list"]
        client = world.client()
        client.asks("prompts/list")
        world["a"].says(id=world["a"].take()["id"], error={"code": -32601, "message": "no"})
    assert client.get()["result"] == {"prompts": []}
    assert [record.levelname for record in caplog.records
            if "prompts/list" in record.getMessage()] == ["DEBUG"]


def test_json_without_check_is_refused(run):
    done = run(sys.executable, ROOT / "router.py", "--json")
    assert done.returncode == 2 and b"--json goes with --check" in done.stderr


def test_a_config_that_starts_this_router_with_itself_is_refused(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"mcpServers": {"router": {
        "command": sys.executable, "args": [str(ROOT / "router.py"), "--config", str(path)]}}}))
    done = subprocess.run([sys.executable, str(ROOT / "router.py"), "--config", str(path),
                           "--check"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "would start routers without end" in done.stdout


def test_a_check_that_is_ended_tells_how_things_are_and_has_not_succeeded(config):
    slow = {"command": sys.executable, "args": ["-c", "import time; time.sleep(60)"]}
    running = subprocess.Popen(
        [sys.executable, "-c", "import sys, runpy\nfrom upstreams.routing import status\n"
         "status.PATIENCE = 0.1\nsys.argv[0] = 'router.py'\n"
         "runpy.run_path('router.py', run_name='__main__')",
         "--config", config(good=listing("search"), slow=slow), "--check"],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with running.stdout, running.stderr:
        for line in running.stderr:
            if line.endswith("still starting: slow\n"):
                running.send_signal(signal.SIGINT)
                break
        running.stderr.read()
        text = running.stdout.read()
    assert running.wait(30) == 1
    assert re.search("^good +running", text, re.MULTILINE)
    assert re.search("^slow +starting$", text, re.MULTILINE)
