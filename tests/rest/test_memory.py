"""What is remembered lies in files that only their user can read, and a file that is not right is
none."""

import hashlib
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from upstreams.config.entries import Entry
from upstreams.rest import Memory, state_folder
from upstreams.rest.idle import IDLE
from upstreams.rest.memory import OLDEST

from processes import ROOT

SECRETS = "hunter22", "a-token-of-mine"
ENTRY = Entry("a", "python3", ("-c", f"--token={SECRETS[1]}"), env=(("KEY", SECRETS[0]),),
              secrets=SECRETS)
FOUND = {"era": "modern", "listsByCapabilities": False, "cost": {"startSeconds": 0.4}, "said": {
    "": {"info": {"protocolVersion": "2026-07-28", "capabilities": {"tools": {}},
                  "instructions": "…"},
         "lists": {"tools/list": [{"name": "t"}]}}}}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state" / "ours" / "memory"


@pytest.fixture
def memory(folder):
    return Memory(folder)


@pytest.fixture
def file(folder, memory):
    memory.write(ENTRY, FOUND)
    return next(folder.glob("*.memory"))


def same(found):
    return found and {key: found[key] for key in FOUND} == FOUND


def test_what_was_written_is_read_by_the_next_router(folder, file):
    assert same(Memory(folder).read(ENTRY))


def test_only_its_user_can_read_it(folder, file):
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    folder.chmod(0o755)
    Memory(folder).read(ENTRY)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_no_secret_is_in_it_and_nothing_by_which_one_could_be_guessed(folder, file):
    said = b"".join(path.name.encode() + path.read_bytes() for path in folder.iterdir())
    for secret in SECRETS:
        assert secret.encode() not in said
        for name in ("md5", "sha1", "sha256"):
            assert hashlib.new(name, secret.encode()).hexdigest().encode() not in said
    others = folder.parent / "others"
    Memory(others).write(ENTRY, FOUND)      # the name depends on the key of the folder
    assert {path.name for path in others.glob("*.memory")} != {file.name}


def test_a_server_that_repeats_a_secret_is_not_remembered(folder, memory, file):
    said = {"": {**FOUND["said"][""], "lists": {"tools/list": [
        {"name": "t", "description": f"uses {SECRETS[0]}"}]}}}
    memory.write(ENTRY, {**FOUND, "said": said})
    assert list(folder.glob("*.memory")) == [] and memory.read(ENTRY) is None


@pytest.mark.parametrize("name, value, where", [
    ("MODE", "legacy", None), ("MODE", "object", None), ("STAGE", "production", None),
    ("API_KEY", "production", "env.API_KEY"), ("STAGE", "pro-4711", "env.STAGE"),
    ("PASSWORD", "object", None), ("COST", "startSeconds", None), ("MODE", "version", None)])
def test_only_what_the_server_said_and_may_be_secret_is_not_remembered(folder, memory, caplog,
                                                                       name, value, where):
    caplog.set_level("INFO")
    entry = Entry("a", "python3", env=((name, value),), secrets=(value,))
    said = {"": {**FOUND["said"][""], "lists": {"tools/list": [
        {"name": "t", "description": "deploys to production, or pro-4711",
         "inputSchema": {"type": "object"}}]}}}
    memory.write(entry, {**FOUND, "era": "legacy", "said": said})
    assert bool(memory.read(entry)) == (where is None)
    assert not where or f"repeats the value of {where} in its config" in caplog.text


def test_a_server_that_repeats_what_we_log_in_with_is_not_remembered(folder, memory, caplog):
    caplog.set_level("INFO")
    far = Entry("far", url="https://far.example/mcp")
    said = {"": {**FOUND["said"][""], "lists": {"tools/list": [
        {"name": "t", "description": "your token is a-token-of-a-login"}]}}}
    memory.write(far, {**FOUND, "said": said}, ["a-token-of-another", "a-token-of-a-login"])
    assert memory.read(far) is None and list(folder.glob("*.memory")) == []
    assert "repeats a token of ours, which is not in its config" in caplog.text
    assert "a-token" not in caplog.text


def test_a_server_that_repeats_what_we_log_in_with_is_not_remembered(folder, memory, caplog):
    caplog.set_level("INFO")
    far = Entry("far", url="https://far.example/mcp")
    said = {"": {**FOUND["said"][""], "lists": {"tools/list": [
        {"name": "t", "description": "your token is a-token-of-a-login"}]}}}
    memory.write(far, {**FOUND, "said": said}, ["a-token-of-another", "a-token-of-a-login"])
    assert memory.read(far) is None and list(folder.glob("*.memory")) == []
    assert "repeats a token of ours, which is not in its config" in caplog.text
    assert "a-token" not in caplog.text


def test_a_folder_in_the_place_of_a_file_is_told_in_words(memory, file, caplog):
    file.unlink()
    file.mkdir()
    assert memory.read(ENTRY) is None and "is no file of this user" in caplog.text


def test_what_is_damaged_is_told_once(memory, file, caplog):
    caplog.set_level("INFO")
    file.write_bytes(b"?")
    assert memory.read(ENTRY) is memory.read(ENTRY) is None
    assert caplog.text.count("is damaged") == 1


@pytest.mark.parametrize("change", [
    {"command": "python4"}, {"args": ()}, {"env": ()}, {"cwd": "/"}, {"command": None, "url": "u"},
    {"headers": (("A", "b"),)}, {"protocol": "legacy"}])
def test_what_is_of_another_entry_is_none(memory, file, change):
    entry = Entry(**{"name": "a", "command": ENTRY.command, "args": ENTRY.args, "env": ENTRY.env,
                     **change})
    assert memory.read(entry) is None
    memory.write(entry, FOUND)
    (other,) = set(file.parent.glob("*.memory")) - {file}
    file.replace(other)     # it lies where that of the other entry should be
    assert memory.read(entry) is None


def test_what_only_changes_how_clients_see_it_is_remembered(memory, file):
    assert same(memory.read(Entry("b", ENTRY.command, ENTRY.args, ENTRY.env, prefix="x",
                                  rename=(("t", "u"),), deny=("t",), timeout=3)))


def test_what_is_damaged_is_none_whatever_the_damage(memory, file):
    whole, chance = file.read_bytes(), random.Random(7)
    for n in range(500):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] ^= chance.randrange(1, 256)
        file.write_bytes(data[:chance.randrange(len(data))] if n % 2 else data)
        assert memory.read(ENTRY) is None or file.read_bytes() == whole
    for data in (b"", b"\n", whole + b" ", whole.replace(b"\n", b"")):
        file.write_bytes(data)
        assert memory.read(ENTRY) is None
    file.write_bytes(whole)
    assert same(memory.read(ENTRY))


@pytest.mark.parametrize("age", [OLDEST + 60, -3600])
def test_what_is_old_or_of_the_future_is_none(memory, file, age, monkeypatch):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + age)
    assert memory.read(ENTRY) is None


def test_what_is_no_file_of_this_user_is_none(folder, memory, file, caplog):
    elsewhere = folder.parent / "elsewhere"
    file.replace(elsewhere)
    file.symlink_to(elsewhere)
    assert memory.read(ENTRY) is None
    file.unlink()
    os.mkfifo(file)     # reading it must not wait
    assert memory.read(ENTRY) is None
    if os.geteuid() == 0:
        file.unlink()
        elsewhere.replace(file)
        os.chown(file, 12345, 12345)
        assert memory.read(ENTRY) is None
    assert "cannot be remembered" in caplog.text


@pytest.mark.parametrize("obstacle", ["a file", "a file above", "a link", "no home",
                                      "of another user"])
def test_without_a_folder_of_its_own_nothing_is_remembered_and_the_log_says_so_once(
        folder, caplog, monkeypatch, obstacle):
    folder.parent.mkdir(parents=True)
    if obstacle == "a file":
        folder.touch()
    elif obstacle == "a file above":
        folder.parent.rmdir()
        folder.parent.parent.rmdir()
        folder.parent.parent.touch()
    elif obstacle == "a link":
        (folder.parent / "theirs").mkdir()
        folder.symlink_to(folder.parent / "theirs")
    elif obstacle == "of another user":
        folder.mkdir()     # only root could give it away, so we become another instead
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    memory = Memory(None if obstacle == "no home" else folder)
    for _ in range(3):
        memory.write(ENTRY, FOUND)
        assert memory.read(ENTRY) is None
    assert [record.levelname for record in caplog.records].count("WARNING") == 1
    assert "[Errno" not in caplog.text


def test_what_nobody_needs_any_more_is_thrown_away(folder, file):
    old, begun = folder / "old.memory", folder / "killed.tmp"
    for path in (old, begun):
        path.touch()
        os.utime(path, (time.time() - OLDEST - 60,) * 2)
    (folder / "just-begun.tmp").touch()
    assert same(Memory(folder).read(ENTRY))
    assert {path.suffix for path in folder.iterdir()} == {".memory", ".tmp", ""}
    assert not old.exists() and not begun.exists()


def test_a_damaged_key_costs_the_memory_and_nothing_else(folder, file):
    (folder / "key").write_bytes(b"short")
    memory = Memory(folder)
    assert memory.read(ENTRY) is None
    memory.write(ENTRY, FOUND)
    assert same(Memory(folder).read(ENTRY))


WRITES = """
import sys
from pathlib import Path
from upstreams.config.entries import Entry
from upstreams.rest import Memory
memory, n = Memory(Path(sys.argv[1])), 0
print("begun", flush=True)
while True:
    n += 1
    memory.write(Entry("a", "python3"), {
        "era": "legacy", "listsByCapabilities": False, "cost": {"n": n}, "said": {"": {
            "info": {"protocolVersion": "2025-11-25", "capabilities": {}},
            "lists": {"tools/list": [{"name": str(n)}] * 20_000}}}})
"""


def test_a_router_that_is_killed_while_it_writes_leaves_the_old_memory(folder):
    entry, chance, seen = Entry("a", "python3"), random.Random(3), 0
    for _ in range(15):
        with subprocess.Popen([sys.executable, "-c", WRITES, folder], cwd=ROOT,
                              stdout=subprocess.PIPE) as writer:
            writer.stdout.readline()
            threading.Event().wait(chance.uniform(0.05, 0.3))
            writer.send_signal(signal.SIGKILL)
        found = Memory(folder).read(entry)
        if found:
            (name,) = {tool["name"] for tool in found["said"][""]["lists"]["tools/list"]}
            assert name == str(found["cost"]["n"])
        assert found or not seen
        seen += bool(found)
    assert seen > 5


def test_the_folder_is_where_this_system_has_such_things(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert state_folder() == Path("/home/me/.local/state/mcp-local-router/memory")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert state_folder() == Path(
        "/home/me/Library/Application Support/mcp-local-router/memory")
    monkeypatch.setenv("XDG_STATE_HOME", "not/absolute")
    assert "Library" in str(state_folder())
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert state_folder() == Path("/state/mcp-local-router/memory")


def test_the_page_says_for_how_long_and_for_how_long_not():
    page = (ROOT / "upstreams" / "rest" / "README.md").read_text("utf-8")
    assert f"{OLDEST // 86400} days" in page and f"for {IDLE // 60:g} minutes" in page
