"""The house keeps its own rules: imports, sizes, and what the README says."""

import ast
import importlib
import inspect
import json
import plistlib
import re
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from transports.fabric.outbox import MAX_BEHIND_BYTES, MAX_BEHIND_MESSAGES
from upstreams.config.checking import SCHEMA
from upstreams.server.catalog import LONGEST_TOOL_NAME

from processes import ROOT, fake

LARGEST = 350       # lines of a file; 250 are a good size, and 300 a reason to think
# room → the rooms that its files may import besides their own
MAY_IMPORT = {
    "": {"transports", "transports.fabric", "transports.http", "transports.program", "upstreams",
         "upstreams.config", "upstreams.connections", "upstreams.surfaces"},
    "transports": {"transports.fabric", "transports.program"},
    "transports.http": {"transports.fabric", "transports.http.engine", "transports.program"},
    "transports.http.engine": {"transports.fabric", "transports.program"},
    "transports.fabric": set(),
    "transports.program": {"transports.fabric"},
    "upstreams.surfaces": {"transports.fabric", "upstreams"},
    "upstreams": {"transports.fabric", "upstreams.config", "upstreams.connections"},
    "upstreams.connections": {"transports.fabric"},
    "upstreams.config": {"transports.fabric"},
}
FOLDERS = [ROOT / room.replace(".", "/") for room in MAY_IMPORT]
FILES = sorted(path for folder in FOLDERS for path in folder.glob("*.py")
               if path.name != "__init__.py")
README = (ROOT / "README.md").read_text("utf-8")
TROUBLE = "When something does not work"


def room_of(path):
    """The dotted name of a file's folder; "" for the top level."""
    return ".".join(path.relative_to(ROOT).parts[:-1])


def imports(path):
    """The modules that a file imports, by their full dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = room_of(path).split(".")[:len(room_of(path).split(".")) + 1 - node.level]
            base = ".".join(filter(None, [*(above if node.level else []), node.module]))
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def test_nobody_imports_router():
    """Run as a program it is `__main__`: an import would load it again, with other classes."""
    assert [path for path in FILES if "router" in imports(path)] == []


def test_every_folder_with_code_is_a_room():
    rooms = {room_of(path) for top in ("transports", "upstreams")
             for path in (ROOT / top).rglob("*.py")}
    assert rooms - {"upstreams.servers"} == MAY_IMPORT.keys() - {""}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_from_the_rooms_below_it(room):
    modules = {f"{room_of(path)}.{path.stem}".lstrip("."): room_of(path) for path in FILES}
    for path in FILES:
        if room_of(path) == room:
            used = {modules[name] for name in imports(path) if name in modules}
            assert used - {room} <= MAY_IMPORT[room], path


@pytest.mark.parametrize("room", [room for room in MAY_IMPORT if room])
def test_a_room_says_what_it_is_for_what_it_may_import_and_what_is_in_it(room):
    folder = ROOT / room.replace(".", "/")
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8")))
    assert "May import: " in text
    listed = re.findall(r"^    ([\w.]+)/?  ", text.split("In reading order:")[1], re.MULTILINE)
    there = {path.name for path in folder.iterdir()} - {"__init__.py", "__pycache__"}
    if room == "transports":  # whose files are transports, listed in router.py and the README
        there = {name for name in there if not name.endswith(".py")}
    assert sorted(listed) == sorted(there)


def test_every_transport_has_what_the_program_asks_of_it():
    table = next(node.value for node in ast.parse((ROOT / "router.py").read_text("utf-8")).body
                 if isinstance(node, ast.Assign) and node.targets[0].id == "TRANSPORTS")
    for name in ast.literal_eval(table).values():
        transport = importlib.import_module(name)
        assert isinstance(transport.ONE_CLIENT, bool), name
        assert list(inspect.signature(transport.serve).parameters)[0] == "router", name


def test_run_time_needs_four_packages_and_the_standard_library():
    ours = {"router", "transports", "upstreams"}
    outside = {name.split(".")[0] for path in FILES for name in imports(path)}
    outside -= ours | set(sys.stdlib_module_names)
    assert outside == {"flask", "waitress", "jsonschema", "docopt"}


def test_no_file_is_more_than_a_few_screens():
    assert {path.name: lines(path) for path in FILES if lines(path) > LARGEST} == {}


def lines(path):
    return len(path.read_text("utf-8").splitlines())


def section(title):
    """What the README says below a heading, up to the next one of any level."""
    return re.split("^#+ ", README.split(f"\n## {title}\n")[1], flags=re.MULTILINE)[0]


def blocks(language, text):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def test_the_readme_lists_every_file_and_what_shows_how_they_work_together():
    rows = re.findall(r"^\| `([\w/.]+)` \| .+ \|$", section("Read it"), re.MULTILINE)
    files = [str(path.relative_to(ROOT)) for path in FILES]
    assert set(rows) ^ {*files, "tests/world.py", "tests/transcripts/"} == set()
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize("room", [room for room in MAY_IMPORT if room not in ("", "transports")])
def test_the_readme_and_a_room_tell_the_same_reading_order(room):
    folder = room.replace(".", "/")
    told = re.findall(r"^    (\w+\.py)  ", (ROOT / folder / "__init__.py").read_text("utf-8"),
                      re.MULTILINE)
    assert re.findall(rf"^\| `{folder}/(\w+\.py)` ", README, re.MULTILINE) == told


def test_the_picture_of_the_rooms_is_what_they_may_import():
    (picture,) = blocks("mermaid", section("Rooms"))
    rooms = {node: path.replace("/", ".") for node, path in
             re.findall(r'(\w+)\["(\S+)"\]', picture)}
    drawn = {room: set() for room in rooms.values() if room != "router.py"}
    for one, other in re.findall(r"(\w+) --> (\w+)", picture):
        drawn[rooms[one]].add(rooms[other])
    assert drawn == {room: below for room, below in MAY_IMPORT.items() if room}


def test_the_classes_and_methods_that_the_readme_names_exist():
    classes = {node.name: {child.name for child in node.body
                           if isinstance(child, ast.FunctionDef)}
               for path in FILES for node in ast.parse(path.read_text("utf-8")).body
               if isinstance(node, ast.ClassDef)}
    text = README.split("\n## Glossary\n")[1]
    for name, method in re.findall(r"`([A-Z][a-z]\w+)(?:\.(\w+))?`", text):
        assert name in classes and (not method or method in classes[name]), name


def test_the_readme_has_the_options_and_the_threads_of_the_program():
    usage = ast.get_docstring(ast.parse((ROOT / "router.py").read_text("utf-8")))
    options = re.search(r"Usage:.*?\n\n.*?(?=\n\n)", usage, re.DOTALL)[0]
    assert options in README
    for line in re.search(r"MainThread.*?(?=\n\n)", usage, re.DOTALL)[0].splitlines():
        assert re.sub(" +", " ", line.strip()) in re.sub(" +", " ", README), line


def test_the_readme_explains_every_key_of_the_config_with_its_default():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", section("Configuration"),
                           re.MULTILINE))
    known = SCHEMA["$defs"]["server"]["properties"]
    assert rows.keys() == known.keys()
    for key, default in rows.items():
        if default.startswith("`"):
            assert json.loads(default.strip("`")) == known[key]["default"], key


def test_the_transcript_in_the_readme_is_one_that_is_replayed():
    quoted = re.search(r"```\n(C> .*?)```", README, re.DOTALL)[1]
    assert quoted in (ROOT / "tests" / "transcripts" / "tools-call-aggregate.txt").read_text()


def test_the_configs_in_the_readme_are_json():
    for block in blocks("json", README.replace(section(TROUBLE), "")):
        json.loads(block)


def test_the_plist_in_the_readme_starts_this_program_with_options_that_it_has(run):
    (plist,) = blocks("xml", section("For hosts that only start commands"))
    _, program, *options = plistlib.loads(plist.encode())["ProgramArguments"]
    assert program.endswith("/router.py")
    assert f"router.py {chr(32).join(options)}".replace("/path/to", "%h") in README
    known = run(sys.executable, ROOT / "router.py", "--help").stdout.decode()
    assert all(option in known for option in options if option.startswith("--"))


def run_router(folder, *options):
    """Run the router to its end, in a folder and without variables; returns all it printed."""
    done = subprocess.run([sys.executable, ROOT / "router.py", *options], cwd=folder, text=True,
                          capture_output=True, timeout=60, env={"PATH": "/usr/bin:/bin"})
    return done.stderr + done.stdout


def test_the_readme_has_every_transport_that_the_program_knows(tmp_path):
    known = re.search("--transport is one of (.*)", run_router(tmp_path, "--transport", "none"))
    rows = re.findall(r"^\| `(\w+)` \|", section("Point a client at it"), re.MULTILINE)
    assert sorted(rows) == sorted(known[1].split(", "))


def test_the_router_prints_what_the_readme_says_of_configs_that_do_not_work(tmp_path):
    cases = re.findall(r"^```json\n(.*?)^```\n\n```\n(.*?)^```$", section(TROUBLE),
                       re.DOTALL | re.MULTILINE)
    assert len(cases) == len(blocks("json", section(TROUBLE))) > 0
    for config, printed in cases:
        (tmp_path / "mcp-config.json").write_text(config)
        assert printed in run_router(tmp_path, "--check")


def test_a_missing_config_and_a_port_in_use_are_told_as_the_readme_says(tmp_path, start_router):
    missing = "`mcp-config.json: there is no such file`"
    assert missing in section(TROUBLE) and missing.strip("`") in run_router(tmp_path, "--check")
    running = start_router({"time": fake()})
    port = running.url.split(":")[-1]
    printed = run_router(tmp_path, "--config", running.config, "--transport", "sse",
                         "--port", port)
    assert printed.replace(port, "8080") in blocks("", section(TROUBLE))


def test_http_errors_are_those_of_the_readme(tmp_path, start_router):
    (tmp_path / "token").write_text("secret")
    running = start_router({"time": fake(), "files": fake()}, "--token-file",
                           str(tmp_path / "token"))
    let_in = {"Authorization": "Bearer secret"}
    told = []
    for path, headers in (("/mcp", {**let_in, "Host": "mybox:8080"}),
                          ("/mcp", {**let_in, "Origin": "https://app.example"}),
                          ("/mcp", {}),
                          ("/mcp", {**let_in, "Mcp-Session-Id": "gone"}),
                          ("/sse/nosuch", let_in)):
        with pytest.raises(urllib.error.HTTPError) as problem:
            urllib.request.urlopen(urllib.request.Request(running.url + path, headers=headers))
        body = problem.value.read().decode().strip()
        if body.startswith("{"):
            body = json.loads(body)["error"]["message"]
        told.append((str(problem.value.code), body))
    assert told == re.findall(r"^\| (\d+) \| `(.+?)` \|", section(TROUBLE), re.MULTILINE)


def test_the_limits_in_the_readme_are_those_of_the_program():
    assert f"{MAX_BEHIND_MESSAGES:,} messages or {MAX_BEHIND_BYTES // 2**20} MiB" in README
    assert f"over {LONGEST_TOOL_NAME} characters" in README


def test_continuous_integration_runs_the_test_command_of_the_readme():
    (command,) = re.findall(r"```sh\n(.*tox.*)\n```", README)
    assert command in (ROOT / ".ci" / "run").read_text()


def test_the_top_level_is_what_the_design_says():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.fail("not a git checkout")
    top = {name.split("/")[0] for name in listed.stdout.split()}
    assert top == {"router.py", "transports", "upstreams", "tests", "requirements.txt", "tox.ini",
                   "mcp-config.json", "README.md", "LICENSE", ".gitignore", ".ci"}
