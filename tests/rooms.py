"""The core and its rooms: who may import whom, and how a room is taken out.

`python tests/rooms.py ROOM …` copies the program without these rooms, or without any if none is
named, and runs the tests that are left, as `tox -e core` does.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent

# folder → the folders that its files may import besides their own. The core; arrows go down.
CORE = {
    "upstreams/routing": {"upstreams/sharing", "upstreams/server", "upstreams/config",
                          "transports/program"},
    "upstreams/sharing": {"upstreams/server", "upstreams/config"},
    "upstreams/server": {"upstreams/connections/process", "upstreams/config"},
    "upstreams/connections/process": set(),
    "upstreams/config": set(),
    "transports": {"transports/program"},
    "transports/http": {"transports/program"},
    "transports/program": set(),
    "transports/fabric": set(),     # which everybody may import
}
ROOMS = {
    "transports/http/streamable": {"transports/http"},
    "transports/http/live": {"transports/http", "transports/tap"},
    "transports/stateless": {"transports/http"},
    "transports/tap": set(),
    "upstreams/advice": {"upstreams/server", "upstreams/config"},
    "upstreams/config/dialects": {"upstreams/config"},
    "upstreams/config/programs": {"upstreams/config"},
    "upstreams/connections/remote": {"upstreams/connections/process"},
    "upstreams/eras": {"upstreams/server"},
    "upstreams/login": {"upstreams/connections/remote", "upstreams/server", "upstreams/config",
                        "transports/program"},
    "upstreams/relay": {"upstreams/connections/remote", "upstreams/server", "upstreams/config",
                        "transports/program"},
    "upstreams/reload": {"upstreams/config", "upstreams/server", "upstreams/sharing",
                         "transports/program"},
    "upstreams/rest": {"upstreams/sharing", "upstreams/server", "upstreams/config"},
}
APART = "upstreams/servers"     # the example servers are programs of their own
BLOCK = re.compile(r"# -- The rooms\..*# -- the end of the block", re.DOTALL)


def lines_of_rooms():
    """{folder: its lines in the block of router.py}."""
    found = {}
    for line in BLOCK.search((ROOT / "router.py").read_text("utf-8"))[0].splitlines():
        code, mark, room = line.partition("# room: ")
        if mark:
            found.setdefault(room, []).append(code.strip())
    return found


def with_dependents(rooms):
    """These rooms, and those that import one of them."""
    more = {room for room, below in ROOMS.items() if below & set(rooms)} | set(rooms)
    return more if more == set(rooms) else with_dependents(more)


def folders_of_tests(room):
    """The folder of a room's tests: it has the name of the room's own folder."""
    return [folder.relative_to(ROOT) for folder in (ROOT / "tests").glob(f"**/{Path(room).name}")]


def tests_that_need(modules):
    """The files of tests in which two rooms meet, and all that import these; with a conftest.py
    goes its folder."""
    texts = {path.relative_to(ROOT): path.read_text("utf-8")
             for path in (ROOT / "tests").glob("**/*.py")}
    needs = {path for path, text in texts.items() if any(
        re.search(rf"^(from|import) {re.escape(module)}\b", text, re.M) for module in modules)}
    more = {path.stem for path in needs} - {"conftest"}
    return {path.parent if path.stem == "conftest" else path for path in needs} | (
        tests_that_need(modules | more) if more - modules else set())


def copy_without(rooms, folder):
    """Copy the program to this folder, without these rooms and all that is theirs."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others",
                             "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    gone = {Path(path) for room in rooms for path in [room, *folders_of_tests(room)]}
    gone |= tests_that_need({room.replace("/", ".") for room in rooms})
    for name in map(Path, filter(None, listed.stdout.decode().split("\0"))):
        # tests/whole is about the program with all of its rooms.
        if gone.isdisjoint([name, *name.parents]) and name.parts[:2] != ("tests", "whole") \
                and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    router = folder / "router.py"
    ends = tuple(f"# room: {room}" for room in rooms)
    router.write_text("".join(line for line in router.read_text("utf-8").splitlines(True)
                              if not line.rstrip().endswith(ends)), "utf-8")


def main(rooms):
    if unknown := set(rooms) - ROOMS.keys():
        print(f"no rooms: {', '.join(unknown)}; there are {', '.join(ROOMS)}")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        copy_without(with_dependents(rooms or ROOMS), Path(folder))
        return subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q",
                               "--continue-on-collection-errors"], cwd=folder).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
