"""The house keeps its own rules: imports, sizes, and what the README says."""

import ast
import json
import re
import subprocess
import sys

import pytest

from processes import ROOT
from upstreams.config import SCHEMA

LARGEST = 335       # lines of a file: a few screens. The largest is router.py, with its docstring
FILES = sorted(path for folder in (".", "transports", "upstreams") for path in
               (ROOT / folder).glob("*.py") if path.name != "__init__.py")
README = (ROOT / "README.md").read_text("utf-8")


def imports(path):
    """The modules of ours that a file imports, as "folder.module"."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = path.parent.name if node.level else ""
            base = ".".join(filter(None, (package, node.module)))
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def test_nobody_imports_router():
    assert [path for path in FILES if "router" in imports(path)] == []


def test_transports_never_import_upstreams():
    for path in FILES:
        if path.parent.name == "transports":
            assert not any(name.startswith("upstreams") for name in imports(path)), path


def test_upstreams_know_messages_and_sessions_but_no_way_in():
    allowed = {"messages", "outbox", "pending", "session"}
    for path in FILES:
        if path.parent.name == "upstreams":
            used = {name.split(".")[1] for name in imports(path)
                    if name.startswith("transports.")}
            assert used <= allowed, path


def test_run_time_needs_four_packages_and_the_standard_library():
    ours = {"router", "transports", "upstreams"}
    outside = {name.split(".")[0] for path in FILES for name in imports(path)}
    outside -= ours | set(sys.stdlib_module_names) | {path.parent.name for path in FILES}
    assert outside - {"main"} <= {"flask", "waitress", "jsonschema", "docopt"}


def test_no_file_is_more_than_a_few_screens():
    assert {path.name: lines(path) for path in FILES if lines(path) > LARGEST} == {}


def lines(path):
    return len(path.read_text("utf-8").splitlines())


def test_the_readme_lists_every_file_with_its_lines_in_reading_order():
    rows = re.findall(r"^\| `([\w/]+\.py)` \| (\d+) \| .+ \|$", README, re.MULTILINE)
    assert {name: int(count) for name, count in rows} == {
        str(path.relative_to(ROOT)): lines(path) for path in FILES}


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
