"""upstreams/reload/watch.py: the file changes while a real router runs, with sessions open."""

import fcntl
import functools
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import threading

import pytest

from upstreams.config.entries import load
from upstreams.config.reading import ConfigError
from upstreams.reload import watch
from upstreams.reload.watch import Watch

import processes
from by_hand import HELLO, Sse, call, get, lines
from processes import ROOT, children, fake, wait_until
from soak import measure


def write(path, **servers):
    """As most editors do it: a new file takes the place of the old one."""
    new = path.with_name("new.json")
    new.write_text(json.dumps({"mcpServers": servers}))
    new.replace(path)


class Calling(threading.Thread):
    """A client that calls one server without a pause, and checks every answer."""

    def __init__(self, running, capabilities):
        super().__init__(name="calling")
        self.client = Sse(running.url, hello=False)
        self.client.post({**HELLO, "params": {**HELLO["params"], "capabilities": capabilities}})
        self.client.get()
        self._over, self.right, self.problem = threading.Event(), 0, None
        self.start()

    def run(self):
        try:
            while not self._over.is_set():
                id, text = f"call {self.right}", f"{self.right} of {self.client.endpoint}"
                self.client.post(call(id, "same__echo", text=text))
                while "method" in (answer := self.client.get()):
                    assert answer["method"].endswith("list_changed")
                assert answer["id"] == id
                assert answer["result"]["content"][0]["text"] == text
                self.right += 1
        except BaseException as problem:
            self.problem = problem

    def goes_on(self):
        before = self.right
        return wait_until(lambda: self.problem or self.right > before + 20) and not self.problem

    def end(self):
        self._over.set()
        self.join()
        self.client.close()
        assert self.problem is None


def test_a_hundred_changes_lose_nothing_and_leave_nothing_behind(start_router):
    running = start_router({"same": fake()})
    callers = [Calling(running, capabilities) for capabilities in ({}, {"roots": {}},
                                                                   {"roots": {}})]
    try:
        with Sse(running.url) as idle:
            assert all(caller.goes_on() for caller in callers)
            before, same = measure(running), children(running.process.pid)
            for n in range(100):
                others = {"other": fake(), "third": fake("stubborn"), "fourth": fake("dies"),
                          "fifth": {**fake(), "timeout": n + 1}}
                kept = {name: others[name] for place, name in enumerate(others) if n % 4 != place}
                write(running.config, **(
                    {**kept, "same": fake()} if n % 2 else {"same": fake(), **kept}))
                read_again(running, n + 1)
            write(running.config, same=fake())
            read_again(running, 101)
            assert all(caller.goes_on() for caller in callers)
            idle.post({"method": "notifications/initialized"})
            idle.post({"id": 2, "method": "tools/list"})
            assert len(idle.get()["result"]["tools"]) == 11
            assert wait_until(lambda: all(
                measure(running)[what] <= before[what]
                for what in ("sessions", "own", "threads", "files", "orphans", "processes")), 20)
            assert children(running.process.pid) == same
            assert list(json.loads(get(f"{running.url}/health")[1])["servers"]) == ["same"]
    finally:
        for caller in callers:
            caller.end()
    assert "Traceback" not in "\n".join(running.lines)


def read_again(running, times):
    """SIGHUP; returns when the router has done so for as many times."""
    running.process.send_signal(signal.SIGHUP)
    assert wait_until(lambda: sum("the config was read again" in line for line in running.lines)
                      >= times), "\n".join(running.lines[-20:])


def test_a_file_that_has_changed_is_seen_and_what_is_new_is_printed_as_a_table(start_router):
    running = start_router({"one": fake()})
    with Sse(running.url) as client:
        client.post({"method": "notifications/initialized"})
        client.post({"id": 2, "method": "tools/list"})
        client.get()
        running.lines.clear()
        write(running.config, one=fake(), two=fake())
        assert client.get()["method"] == "notifications/tools/list_changed"
        running.wait_for(r"\[reload\] the config was read again: new: two")
        running.wait_for(r"^two +running +11 ")
        assert not [line for line in running.lines if line.startswith(("one ", "all "))]
        client.post(call(3, "two__echo", text="here"))
        assert client.get()["result"]["content"][0]["text"] == "here"
        assert "/mcp/two" in get(f"{running.url}/nothing")[1]


def test_a_config_that_is_wrong_changes_nothing_and_is_told_once(start_router):
    running = start_router({"one": fake()})
    servers = children(running.process.pid)
    running.config.write_text('{"mcpServers": {"one": {"command":')
    running.wait_for("the config cannot be used.*line 1, column.*not JSON")
    write(running.config, one=fake(), two=fake())
    running.wait_for("the config was read again: new: two")
    assert sum("cannot be used" in line for line in running.lines) == 1
    assert servers < children(running.process.pid)


def test_with_no_reload_a_change_waits_for_sighup(start_router):
    running = start_router({"one": fake()}, "--no-reload")
    write(running.config, two=fake())
    with Sse(running.url) as client:
        client.post(call(2, "one__sleep", seconds=2.5))  # for longer than between two looks
        assert "result" in client.get()
    assert not any("read again" in line for line in running.lines)
    read_again(running, 1)
    assert get(f"{running.url}/sse/one")[0] == 404


def test_secrets_of_a_new_config_are_hidden_and_those_of_the_one_before_as_well(start_router):
    secrets = "s3cret-one", "s3cret-two"
    running = start_router({"one": {**fake(), "env": {"KEY": secrets[0]}}})
    write(running.config, one={**fake(), "env": {"KEY": secrets[1]}})
    read_again(running, 1)
    with Sse(running.url, "/sse/one") as client:
        for id, secret in enumerate(secrets):
            client.post(call(id, "say", line=f"this is {secret}, and no message"))
            client.get()
    running.wait_for("this is .*, and no message")
    assert not any(secret in line for line in running.lines for secret in secrets)


def test_the_only_client_over_stdio_gets_a_new_server(config, tmp_path):
    path = tmp_path / "config.json"
    config(one=fake())
    with subprocess.Popen([sys.executable, str(ROOT / "router.py"), "--config", str(path)],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as router:
        def tell(*messages):
            router.stdin.write(lines(*messages))
            router.stdin.flush()

        tell(HELLO, {"method": "notifications/initialized"}, {"id": 2, "method": "tools/list"})
        assert [json.loads(router.stdout.readline())["id"] for _ in range(2)] == [1, 2]
        write(path, two=fake())
        assert b"tools/list_changed" in router.stdout.readline()    # one is gone
        assert b"tools/list_changed" in router.stdout.readline()    # two is there
        tell(call(3, "two__echo", text="here"))
        assert b"here" in router.stdout.readline()
        router.stdin.close()
        assert router.wait(30) == 0


@pytest.mark.parametrize("how, lives", [([], False), (["nohup"], True)])
def test_a_terminal_that_is_closed_ends_the_router_but_not_under_nohup(config, how, lives):
    ours, its = pty.openpty()

    def take_the_terminal():
        signal.signal(signal.SIGHUP, signal.SIG_DFL)    # the tests may run under nohup too
        os.setsid()
        fcntl.ioctl(its, termios.TIOCSCTTY, 0)
    router = subprocess.Popen(
        [*how, sys.executable, str(ROOT / "router.py"), "--config", config(one=fake()),
         "--transport", "http", "--port", "0"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL, text=True, preexec_fn=take_the_terminal)
    os.close(its)
    try:
        for line in router.stderr:
            if "all together" in line:
                break
        os.close(ours)
        if lives:
            assert any("was read again" in line for line in router.stderr)
            router.terminate()
        assert router.wait(30) == 0
    finally:
        router.kill()
        router.wait()
        router.stderr.close()


# -- one look after another


@pytest.fixture
def watched(config, monkeypatch):
    """A Watch that looks when it is told to, its file, and the names of each config in use."""
    monkeypatch.setattr(watch, "LOOK", 3600.0)
    path = processes.Path(config(one=fake()))
    used = []
    return Watch(load([path]), lambda: load([path]), lambda new: used.append(list(new.entries))
                 ), path, used


def look(watched, times=2):
    """As the thread does: a change counts at the look that finds it as the one before did."""
    for _ in range(times):
        if watched._has_changed():
            watched._read()


def test_a_file_that_stays_as_it_was_is_not_read_again(watched):
    watched, path, used = watched
    look(watched)
    write(path, two=fake())
    look(watched)
    look(watched)
    assert used == [["two"]]


def test_a_file_that_is_missing_for_a_moment_is_no_change(watched, caplog):
    watched, path, used = watched
    path.rename(path.with_name("aside"))
    look(watched, times=1)
    assert caplog.text == ""
    write(path, two=fake())
    look(watched)
    assert used == [["two"]] and caplog.text == ""


def test_a_file_that_is_gone_is_told_once_and_read_when_it_is_back(watched, caplog):
    watched, path, used = watched
    path.unlink()
    for _ in range(5):
        look(watched)
    assert caplog.text.count("there is no such file") == 1 and used == []
    write(path, one=fake())
    look(watched)
    assert used == [["one"]]


def test_a_change_between_the_reading_of_the_file_and_the_first_look_is_seen(watched):
    watched, path, used = watched
    write(path, two=fake())
    with watched:
        watched.read_again()
        assert wait_until(lambda: used)
    assert used == [["two"]]


@pytest.fixture
def load_with_env_files():
    """`load` as the room for the configs of other hosts makes it."""
    dialects = pytest.importorskip("upstreams.config.dialects").Dialects()
    return functools.partial(load, form=dialects)


def test_files_that_the_config_names_are_looked_at_too(config, load_with_env_files):
    path = processes.Path(config(one={**fake(), "envFile": "variables"},
                                 two={**fake(), "envFile": "secret"}))
    for name in "variables", "secret":
        path.with_name(name).write_text("A=1")
    used, read = [], functools.partial(load_with_env_files, [path])
    watched = Watch(read(), read, lambda new: used.append(
        [dict(entry.env)["A"] for entry in new.entries.values()]))
    path.with_name("variables").write_text("A=22")
    look(watched)
    path.with_name("secret").write_text("A=333")
    look(watched)
    look(watched)
    assert used == [["22", "1"], ["22", "333"]]


def test_a_file_that_a_wrong_entry_names_is_looked_at_until_it_is_right(
        config, load_with_env_files, caplog):
    path = processes.Path(config(two={**fake(), "envFile": "variables"}))
    found, read = [], functools.partial(load_with_env_files, [path])
    watched = Watch(read(), read,
                    lambda new: found.append(new.entries["two"].problem))
    for text in "no variable", "A=1":
        path.with_name("variables").write_text(text)
        look(watched, times=3)
    assert "line 1: must be like NAME=value" in found[0] and found[1:] == [None]
    assert caplog.text == ""


def test_a_file_that_an_editor_empties_first_is_no_change_until_it_is_written(watched, caplog):
    watched, path, used = watched
    for text in "", '{"mcpServers": {"tw':
        path.write_text(text)
        look(watched)
    write(path, two=fake())
    look(watched)
    assert used == [["two"]] and caplog.text == ""


def test_what_cannot_be_used_is_told_once_if_it_stays_so(watched, caplog):
    watched, path, used = watched
    path.write_text("")
    look(watched)
    assert caplog.text == ""
    look(watched, times=5)
    assert caplog.text.count("is empty") == 1 and len(caplog.records) == 1
    path.write_text("{")
    look(watched, times=5)
    assert caplog.text.count("line 1, column 2") == 1 and len(caplog.records) == 2 and used == []


def test_what_would_clash_with_what_stays_as_it_was_is_told_like_any_other(watched, caplog):
    watched, path, _ = watched

    def refuse(_config):
        raise ConfigError("two prefixes")
    watched = Watch(load([path]), lambda: load([path]), refuse)
    write(path, two=fake())
    look(watched, times=5)
    assert caplog.text.count("cannot be used, and the one before stays: two prefixes") == 1


def test_an_env_file_that_is_empty_for_a_second_restarts_nothing(start_router, tmp_path):
    pytest.importorskip("upstreams.config.dialects")
    variables = tmp_path / "variables"
    variables.write_text("A=1")
    running = start_router({"one": {**fake(), "envFile": str(variables)}})
    servers = children(running.process.pid)
    with Sse(running.url) as client:
        for text in "A=1", "A=2":
            variables.write_text("")
            client.post(call(text, "one__sleep", seconds=1))  # for longer than a hurried look
            assert "result" in client.get()
            variables.write_text(text)
        running.wait_for("started again: one")
    assert sum("started again" in line for line in running.lines) == 1
    assert wait_until(lambda: not servers <= children(running.process.pid))
    assert not any("cannot be used" in line for line in running.lines)


def test_a_wrong_entry_is_told_once_and_keeps_what_it_was_and_a_new_one_fails(start_router):
    running = start_router({"one": fake(), "two": fake()})
    servers = children(running.process.pid)
    write(running.config, one={"url": ""}, two=fake(), new={**fake(), "env": {"A": "${NO_SUCH}"}})
    running.wait_for('server "one" stays as it was, since its new entry is wrong: .*one.url: must')
    running.wait_for("the config was read again: new: new")
    with Sse(running.url) as client:
        client.post(call(2, "one__sleep", seconds=2.5))  # for longer than between two looks
        assert "result" in client.get()
        states = json.loads(get(f"{running.url}/health")[1])["servers"]
        assert {name: state["state"] for name, state in states.items()} == {
            "one": "running", "two": "running", "new": "failed"}
        assert "new.env.A: the variable NO_SUCH is not set" in states["new"]["lastError"]
        write(running.config, one=fake(), two=fake(), new=fake())
        running.wait_for("the config was read again: started again: new")
        running.wait_for("^new +running")
    assert sum("stays as it was" in line for line in running.lines) == 1
    assert servers < children(running.process.pid)


def test_a_bug_in_one_reload_does_not_stop_those_that_follow(config, caplog):
    path = processes.Path(config(one=fake()))
    used = []

    def use(new):
        used.append(new)
        if len(used) == 1:
            raise RuntimeError("a bug")
    with Watch(load([path]), lambda: load([path]), use) as watched:
        watched.read_again()
        watched.read_again()
        assert wait_until(lambda: len(used) == 2)
    assert "could not be read again" in caplog.text
