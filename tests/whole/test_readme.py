"""What the README says, and the pages beside the rooms, is so."""

import ast
import json
import os
import plistlib
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import jsonschema
import pytest

from transports.fabric.outbox import MAX_BEHIND_BYTES, MAX_BEHIND_MESSAGES
from upstreams.config.checking import SCHEMA
from upstreams.server.catalog import LONGEST_TOOL_NAME

from processes import ROOT, fake

PAGES = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
         for path in (ROOT / "README.md", *(
             page for top in ("transports", "upstreams", "tests")
             for page in sorted((ROOT / top).rglob("README.md"))))}
README = PAGES["README.md"]
TRANSPORTS = PAGES["transports/README.md"]
PROGRAM = ast.parse((ROOT / "router.py").read_text("utf-8"))
USAGE = ast.get_docstring(PROGRAM)
ROOMS = set(re.findall("# room: (.+)$", (ROOT / "router.py").read_text("utf-8"), re.MULTILINE))
CODE = [path for top in ("transports", "upstreams") for path in (ROOT / top).rglob("*.py")]


def section(title, page=README):
    """What a page says below a heading, up to the next one of any level."""
    return re.split("^#+ ", page.split(f"\n## {title}\n")[1], flags=re.MULTILINE)[0]


TROUBLE = section("When something does not work")
CORE = section("The core in two evenings")


def blocks(language, text):
    return [block for name, block in re.findall(r"^```(\w*)\n(.*?)^```$", text,
                                                re.DOTALL | re.MULTILINE) if name == language]


def without_blocks(text):
    return re.sub("^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text):
    """The names that code hosts make of a page's headings."""
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall("^#+ (.*)$", without_blocks(text), re.MULTILINE)}


def run_router(folder, *options):
    """Run the router to its end, in a folder and without variables; returns all it printed."""
    done = subprocess.run([sys.executable, ROOT / "router.py", *options], cwd=folder, text=True,
                          capture_output=True, timeout=60, env={"PATH": "/usr/bin:/bin"})
    return done.stderr + done.stdout


def test_the_readme_is_read_in_ten_minutes():
    assert len(README.splitlines()) <= 250


def test_links_lead_to_files_and_headings_that_exist():
    broken = []
    for name, text in PAGES.items():
        links = re.findall(r"\]\(([^)\s]+)\)", without_blocks(text))
        for link in links + re.findall('src="([^"]+)"', text):
            path, _, anchor = link.partition("#")
            there = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
            if "://" not in link and not ((ROOT / there).exists() and (
                    not anchor or anchor in anchors(PAGES[there]))):
                broken.append((name, link))
    assert broken == []


def test_files_that_the_pages_name_exist():
    named = {(name, path) for name, text in PAGES.items()
             for path in re.findall(r"`((?:tests|transports|upstreams)/[\w./-]+)`", text)}
    assert {(name, path) for name, path in named if not (ROOT / path).exists()} == set()


# -- what the program prints and answers

def cells(line):
    """A line of the table at the start, without what differs from run to run."""
    line = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8080", line.strip())
    return [re.sub(r"^\d+\.\d$", "seconds", cell) for cell in re.split("  +", line)]


def test_the_first_command_prints_what_the_readme_shows():
    (command,) = re.findall(r"&& \.venv/bin/python (router\.py .*)$", README, re.MULTILINE)
    (shown,) = blocks("", section("Run it"))
    shown = [cells(line) for line in shown.splitlines()]
    with subprocess.Popen([sys.executable, *command.split(), "--port", "0"], cwd=ROOT, text=True,
                          stderr=subprocess.PIPE, env={"PATH": os.environ["PATH"]}) as router:
        printed = []
        for line in router.stderr:
            printed += [cells(line)] if printed or line.startswith("server ") else []
            if line.startswith("all together"):
                break
        router.send_signal(signal.SIGINT)
        router.communicate(timeout=30)
    assert printed == shown
    assert router.returncode == 0  # "Ctrl+C ends it"


def test_the_router_prints_what_the_readme_says_of_configs_that_do_not_work(tmp_path):
    cases = re.findall(r"^```json\n(.*?)^```\n\n```\n(.*?)^```$", TROUBLE,
                       re.DOTALL | re.MULTILINE)
    assert len(cases) == len(blocks("json", TROUBLE)) > 0
    for config, printed in cases:
        (tmp_path / "mcp-config.json").write_text(config)
        assert printed in run_router(tmp_path, "--check")


def test_check_gives_the_advice_that_its_page_shows(tmp_path):
    page = PAGES["upstreams/advice/README.md"]
    (config,), (advice,) = blocks("json", page), blocks("", page)
    (tmp_path / "mcp-config.json").write_text(config)
    assert advice in run_router(tmp_path, "--check")


def test_a_missing_config_and_a_port_in_use_are_told_as_the_readme_says(tmp_path, start_router):
    missing = "mcp-config.json: there is no such file"
    assert f"`{missing}`" in TROUBLE and missing in run_router(tmp_path, "--check")
    running = start_router({"time": fake()})
    port = running.url.split(":")[-1]
    printed = run_router(tmp_path, "--config", running.config, "--transport", "sse",
                         "--port", port)
    assert f"`{printed.strip().replace(port, '8080')}`" in TROUBLE


def test_http_errors_are_those_of_the_readme(tmp_path, start_router):
    (tmp_path / "token").write_text("secret")
    servers = {"time": fake(), "files": fake()}
    without = start_router(servers).url
    url = start_router(servers, "--token-file", str(tmp_path / "token")).url
    let_in = {"Authorization": "Bearer secret"}
    told = []
    for path, headers in ((f"{without}/mcp", {"Host": "mybox:8080"}),
                          (f"{url}/mcp", {**let_in, "Origin": "https://app.example"}),
                          (f"{url}/mcp", {}),
                          (f"{url}/mcp", {**let_in, "Mcp-Session-Id": "gone"}),
                          (f"{url}/sse/nosuch", let_in)):
        with pytest.raises(urllib.error.HTTPError) as problem:
            urllib.request.urlopen(urllib.request.Request(path, headers=headers))
        body = problem.value.read().decode().strip()
        if body.startswith("{"):
            body = json.loads(body)["error"]["message"]
        told.append((str(problem.value.code), body))
    assert told == re.findall(r"^\| (\d+) \| `(.+?)` \|", TROUBLE, re.MULTILINE)


def test_the_limits_are_those_of_the_program():
    assert f"{MAX_BEHIND_MESSAGES:,} messages or {MAX_BEHIND_BYTES // 2**20} MiB" in TRANSPORTS
    for name in "upstreams/config/README.md", "upstreams/advice/README.md":
        assert f"over {LONGEST_TOOL_NAME} characters" in PAGES[name], name


# -- what users copy

def test_the_configs_and_snippets_are_json():
    for name, text in PAGES.items():
        for block in blocks("json", text.replace(TROUBLE, "")):
            try:
                json.loads(block)
            except ValueError as problem:
                pytest.fail(f"{name}: {problem}:\n{block}")


def test_the_config_and_the_keys_of_the_readme_are_those_of_the_schema():
    text = section("Configure it")
    (example,) = blocks("json", text)
    jsonschema.validate(json.loads(example), SCHEMA)
    rows = re.findall(r"^\| (`.+?`) \|", text, re.MULTILINE)
    keys = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert len(keys) >= len(rows) > 0
    assert keys <= SCHEMA["$defs"]["server"]["properties"].keys()


def test_the_options_that_the_readme_names_exist():
    ours = [name for name in PAGES if name in (
        "README.md", "upstreams/relay/README.md", "upstreams/reload/README.md",
        "upstreams/advice/README.md")]
    for name in ours:
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGES[name]):
            assert f"\n  {option} " in USAGE, (name, option)


def test_the_services_start_this_program_with_options_that_it_has():
    (plist,), (unit,) = blocks("xml", TRANSPORTS), blocks("ini", TRANSPORTS)
    (task,) = re.findall('-Argument "(.*?)"', TRANSPORTS)
    _, program, *options = plistlib.loads(plist.encode())["ProgramArguments"]
    assert program.endswith("/router.py")
    assert f"router.py {' '.join(options)}".replace("/path/to", "%h") in unit
    for option in [*options, *task.split()]:
        assert not option.startswith("--") or f"\n  {option} " in USAGE, option


def test_every_transport_is_in_the_page_about_them():
    table = next(node.value for node in PROGRAM.body
                 if isinstance(node, ast.Assign) and node.targets[0].id == "TRANSPORTS")
    rows = re.findall(r"^\| `(\w+)` \|", TRANSPORTS, re.MULTILINE)
    assert set(rows) == ast.literal_eval(table).keys()


# -- what readers of the code are told

def test_every_room_has_a_row_in_the_readme_and_a_page_of_its_own():
    rows = re.findall(r"^\| \[(.+?)\]\((.+?)/README\.md\) \|", section("The rooms"), re.MULTILINE)
    assert all(name == folder for name, folder in rows)
    assert len(rows) == len(ROOMS) and {folder for _, folder in rows} == ROOMS
    assert {room for room in ROOMS if f"{room}/README.md" not in PAGES} == set()


def test_the_core_is_about_as_long_as_the_readme_says():
    (told,) = re.findall("about ([0-9,]+) lines", README)
    lines = sum(len(path.read_text("utf-8").splitlines()) for path in [ROOT / "router.py", *CODE]
                if not any(ROOT / room in path.parents for room in ROOMS))
    assert abs(lines / int(told.replace(",", "")) - 1) < 0.15, lines


def test_the_folders_of_the_core_are_in_the_readme_and_its_files_exist():
    folders = {path.parent.relative_to(ROOT).as_posix() for path in CODE
               if path.name not in ("__init__.py", "stdio.py")}
    folders -= {folder for folder in folders for room in ROOMS
                if f"{folder}/".startswith(f"{room}/")}
    assert {folder for folder in folders if f"`{folder}/`" not in CORE} == set()
    for folder, files in re.findall(r"^\| `([\w/]+/)` \| .* \| (.*) \|$", CORE, re.MULTILINE):
        for name in re.findall("`(.+?)`", files):
            assert (ROOT / folder / name).exists(), folder + name


def test_the_classes_and_methods_that_the_readme_names_exist():
    classes = {node.name: {child.name for child in node.body
                           if isinstance(child, ast.FunctionDef)}
               for path in CODE for node in ast.parse(path.read_text("utf-8")).body
               if isinstance(node, ast.ClassDef)}
    text = CORE + section("One call, hop by hop") \
        + section("Exercises", PAGES["tests/README.md"])
    for name, method in re.findall(r"`([A-Z][a-z]\w+)(?:\.(\w+))?`", text):
        assert name in classes and (not method or method in classes[name]), name


def test_the_threads_that_the_readme_names_are_those_of_the_program():
    known = set(re.findall(r"^  (\S+)  +\S", USAGE.split("Threads;")[1], re.MULTILINE))
    named = re.findall(r"^\| \d \| ([\w-]+) \|", section("One call, hop by hop"), re.MULTILINE)
    named += re.findall(r"`(\w+-(?:writer|reader|N))`", section("One call, hop by hop"))
    assert {name.replace("github", "NAME") for name in named} - {"same"} - known == set()


def test_a_transcript_that_a_page_quotes_is_one_that_is_replayed():
    replayed = [path.read_text("utf-8") for path in (ROOT / "tests").rglob("transcripts/*.txt")]
    quoted = [block for text in PAGES.values() for block in blocks("", text)
              if block.startswith("C> ")]
    assert quoted and all(any(block in text for text in replayed) for block in quoted)


def test_every_folder_of_the_tests_is_in_their_page():
    folders = {path.parent.relative_to(ROOT / "tests").as_posix()
               for path in (ROOT / "tests").rglob("test_*.py")}
    table = section("How they are laid out", PAGES["tests/README.md"])
    assert {folder for folder in folders if f"`{folder}`" not in table} == set()


def test_continuous_integration_runs_the_test_command_of_the_readme():
    (command,) = re.findall(r"```sh\n(.*tox.*)\n```", README)
    assert command in (ROOT / ".ci" / "run").read_text()
    assert command in PAGES["tests/README.md"]
