"""The house keeps its own rules: imports, sizes, and what the README says."""

import ast
import json
import re
import subprocess
import sys

import pytest

from upstreams.config.entries import SCHEMA

from processes import ROOT

LARGEST = 350       # lines of a file; 250 are a good size, and 300 a reason to think
# room → the rooms that its files may import besides their own
MAY_IMPORT = {
    "": {"transports", "transports.fabric", "transports.http", "transports.program", "upstreams",
         "upstreams.config", "upstreams.connections", "upstreams.surfaces"},
    "transports": {"transports.fabric", "transports.program"},
    "transports.http": {"transports.fabric", "transports.http.engine", "transports.program"},
    "transports.http.engine": {"transports.fabric", "transports.program"},
    "transports.fabric": set(),
    "transports.program": set(),
    "upstreams.surfaces": {"transports.fabric", "upstreams"},
    "upstreams": {"transports.fabric", "upstreams.config", "upstreams.connections"},
    "upstreams.connections": {"transports.fabric"},
    "upstreams.config": set(),
}
FOLDERS = [ROOT / room.replace(".", "/") for room in MAY_IMPORT]
FILES = sorted(path for folder in FOLDERS for path in folder.glob("*.py")
               if path.name != "__init__.py")
README = (ROOT / "README.md").read_text("utf-8")


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
    assert sorted(listed) == sorted(there)


def test_run_time_needs_four_packages_and_the_standard_library():
    ours = {"router", "transports", "upstreams"}
    outside = {name.split(".")[0] for path in FILES for name in imports(path)}
    outside -= ours | set(sys.stdlib_module_names)
    assert outside == {"flask", "waitress", "jsonschema", "docopt"}


def test_no_file_is_more_than_a_few_screens():
    assert {path.name: lines(path) for path in FILES if lines(path) > LARGEST} == {}


def lines(path):
    return len(path.read_text("utf-8").splitlines())


def test_the_readme_lists_every_file_in_reading_order():
    rows = re.findall(r"^\| `([\w/]+\.py)` \| .+ \|$", README, re.MULTILINE)
    assert sorted(rows) == sorted(str(path.relative_to(ROOT)) for path in FILES)


def test_the_readme_has_the_options_and_the_threads_of_the_program():
    usage = ast.get_docstring(ast.parse((ROOT / "router.py").read_text("utf-8")))
    options = re.search(r"Usage:.*?\n\n.*?(?=\n\n)", usage, re.DOTALL)[0]
    assert options in README
    for line in re.search(r"MainThread.*?(?=\n\n)", usage, re.DOTALL)[0].splitlines():
        assert re.sub(" +", " ", line.strip()) in re.sub(" +", " ", README), line


def test_the_readme_explains_every_key_of_the_config_with_its_default():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", README, re.MULTILINE))
    known = SCHEMA["$defs"]["server"]["properties"]
    assert rows.keys() == known.keys() - {"type"}
    for key, default in rows.items():
        if default.startswith("`"):
            assert json.loads(default.strip("`")) == known[key]["default"], key


def test_the_transcript_in_the_readme_is_one_that_is_replayed():
    quoted = re.search(r"```\n(C> .*?)```", README, re.DOTALL)[1]
    assert quoted in (ROOT / "tests" / "transcripts" / "tools-call-aggregate.txt").read_text()


def test_the_configs_in_the_readme_are_json():
    for block in re.findall(r"```json\n(.*?)```", README, re.DOTALL):
        json.loads(block)


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
