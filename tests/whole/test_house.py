"""The house keeps its own rules: who imports whom, how large it is, what locks are held for."""

import ast
import builtins
import functools
import importlib
import inspect
import re
import subprocess
import sys

import pytest
from rooms import APART, CORE, ROOMS, ROOT, folders_of_tests, lines_of_rooms

LARGEST = 350       # lines of a file; 250 are a good size
MOST_FILES = 10     # of a folder
# Lines of Python, all in all, as `wc -l` counts them: recorded, and may grow by a tenth. The
# example servers, 393 lines, are of the whole, but nobody needs them to read the core.
CORE_LINES, WHOLE_LINES = 7_300, 16_650
MAY_IMPORT = {**CORE, **ROOMS}
FABRIC = "transports/fabric"
FILES = sorted(path for top in ("transports", "upstreams") for path in (ROOT / top).rglob("*.py"))
TREES = {path: ast.parse(path.read_text("utf-8")) for path in [*FILES, ROOT / "router.py"]}


def folder_of(path):
    return path.parent.relative_to(ROOT).as_posix()


def imports(path):
    """The modules that a file imports, by their full dotted names."""
    found, here = set(), folder_of(path).split("/")
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*(here[:len(here) + 1 - node.level] if node.level else []),
                             *filter(None, [node.module])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def folders_used(path):
    """The folders of ours that a file imports something from."""
    modules = {".".join(other.relative_to(ROOT).with_suffix("").parts): folder_of(other)
               for other in FILES if other.name != "__init__.py"}
    packages = {folder.replace("/", "."): folder for folder in MAY_IMPORT}
    return {{**packages, **modules}[name] for name in imports(path)
            if name in modules or name in packages}


def lines(path):
    return len(path.read_text("utf-8").splitlines())


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_folder_imports_only_what_its_arrows_allow(folder):
    for path in FILES:
        if folder_of(path) == folder:
            # `upstreams.config` is on the way to `upstreams.config.entries`.
            used = {one for one in folders_used(path) if not folder.startswith(one + "/")}
            assert used - {folder, FABRIC} <= MAY_IMPORT[folder], path


def test_the_core_imports_no_room_and_the_arrows_have_no_circle():
    order = list(CORE)
    for folder, below in CORE.items():
        assert not below & ROOMS.keys() and below <= {*order[order.index(folder):]}, folder
    for folder, below in MAY_IMPORT.items():
        assert not (folder.startswith("transports") and any(
            one.startswith("upstreams") for one in below)), folder


def test_every_folder_with_code_is_known():
    empty = {"upstreams", "upstreams/connections"}  # they have nothing but folders
    assert {folder_of(path) for path in FILES} - {APART, *empty} == MAY_IMPORT.keys()


def test_router_names_each_room_in_at_most_three_lines():
    named = lines_of_rooms()
    assert named.keys() == ROOMS.keys()
    assert {room: found for room, found in named.items() if len(found) > 3} == {}


@pytest.mark.parametrize("folder", [folder for folder in [*MAY_IMPORT, "upstreams"]])
def test_a_folder_says_what_it_is_for_what_it_may_import_and_what_is_in_it(folder):
    assert ROOT / folder / "__init__.py" in TREES
    text = ast.get_docstring(TREES[ROOT / folder / "__init__.py"])
    assert "May import: " in text
    listed = re.findall(r"^    ([\w.]+)/?  ", text.split("In reading order:")[1], re.MULTILINE)
    there = {path.name: path for path in (ROOT / folder).iterdir()}
    wanted = {name for name, path in there.items() if path.suffix == ".py" or path.is_dir()}
    assert wanted - {"__init__.py", "__pycache__"} <= {*listed} <= there.keys()


def test_a_folder_has_few_files_and_a_file_a_few_screens():
    for folder in MAY_IMPORT:
        here = [path for path in FILES if folder_of(path) == folder and path.stem != "__init__"]
        assert len(here) <= MOST_FILES, folder
    assert {path.name: lines(path) for path in TREES if lines(path) > LARGEST} == {}


def test_the_core_and_the_whole_stay_small(capsys):
    rooms = sum(lines(path) for path in FILES
                if any(ROOT / room in path.parents for room in [*ROOMS, APART]))
    whole = sum(map(lines, TREES))
    with capsys.disabled():
        print(f" the core has {whole - rooms} lines, the whole {whole} ", end="")
    assert whole - rooms <= 1.1 * CORE_LINES and whole <= 1.1 * WHOLE_LINES


def test_every_room_has_tests():
    assert [room for room in ROOMS if not folders_of_tests(room)] == []


def test_no_test_of_the_core_imports_a_room():
    of_rooms = {folder for room in ROOMS for folder in folders_of_tests(room)}
    names = (*(room.replace("/", ".") for room in ROOMS), "streamable_by_hand")
    for path in (ROOT / "tests").glob("*/**/test_*.py"):
        inside = path.relative_to(ROOT)
        if of_rooms.isdisjoint(inside.parents) and inside.parts[1] != "whole":
            found = re.findall(r"^from (\S+) import|^import (\S+)", path.read_text(), re.MULTILINE)
            assert not [one for pair in found for one in pair if one.startswith(names)], inside


def test_every_transport_has_what_the_program_asks_of_it():
    table = next(node.value for node in TREES[ROOT / "router.py"].body
                 if isinstance(node, ast.Assign) and node.targets[0].id == "TRANSPORTS")
    for name in ast.literal_eval(table).values():
        transport = importlib.import_module(name)
        assert isinstance(transport.ONE_CLIENT, bool), name
        assert list(inspect.signature(transport.serve).parameters)[0] == "router", name


def test_run_time_needs_four_packages_and_the_standard_library():
    ours = {"router", "transports", "upstreams"}
    outside = {name.split(".")[0] for path in TREES if folder_of(path) != APART
               for name in imports(path)} - ours - set(sys.stdlib_module_names)
    assert outside == {"flask", "waitress", "jsonschema", "docopt"}


# What may be called while a lock is held, as it does not wait, send or write: mostly by the last
# part of its name.
HARMLESS = {name for kind in (list, dict, set, str, bytes, tuple) for name in dir(kind)} | {
    *dir(builtins), "deque", "popleft", "appendleft", "partial", "count", "monotonic", "ref",
    "takewhile", "current_thread", "warning", "notify", "notify_all", "Lock", "RLock", "Condition",
    "heappush", "heappop", "heapify",
    "wait_for"}             # of the lock itself, which is free meanwhile


def functions(tree):
    """{name: [all functions and classes in it that have this name]}."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.setdefault(node.name, []).append(node)
    return found


OURS_TREE = ast.Module([tree for path, tree in TREES.items() if folder_of(path) != APART], [])
OURS = functions(OURS_TREE)


@functools.cache
def methods(owner):
    """As `functions` of a class, with those of the classes that it is made of."""
    bases = [methods(node) for base in owner.bases for node in OURS.get(ast.unparse(base), ())]
    return {name: nodes for each in [*bases, functions(owner)] for name, nodes in each.items()}


@functools.cache
def calls_in(node):
    """The name of each function that is called in it."""
    return [ast.unparse(call.func) for call in ast.walk(node) if isinstance(call, ast.Call)]


def harm_in(nodes, owner, seen=()):
    """What is called in these statements of a class and may wait, send or write: {its name}.

    A function of ours is harmless if all that it calls is; a class if its __init__ is.
    """
    found = set()
    for name in (name for node in nodes for name in calls_in(node)):
        last = name.split(".")[-1]
        if last in HARMLESS or name.removeprefix("self.") in HARMLESS or last in seen:
            continue
        mine = methods(owner).get(last) if name == f"self.{last}" else None
        bodies = [[each for each in node.body if getattr(each, "name", "") == "__init__"]
                  if isinstance(node, ast.ClassDef) else node.body
                  for node in mine or OURS.get(last, ())]
        if not bodies or any(harm_in(body, owner, (*seen, last)) for body in bodies):
            found.add(name)
    return found


def held_over_a_call():
    """{"Class.lock": what is called while it is held, and may wait, send or write}."""
    nodes = [node for tree in TREES.values() for node in ast.walk(tree)]
    locks = {"lock"} | {node.targets[0].attr for node in nodes if isinstance(node, ast.Assign)
                        and re.match(r"threading\.(Lock|RLock|Condition)\(",
                                     ast.unparse(node.value))}
    found = {}
    for owner in (node for node in ast.walk(OURS_TREE) if isinstance(node, ast.ClassDef)):
        for node in (node for node in ast.walk(owner) if isinstance(node, ast.With)):
            for lock in (ast.unparse(item.context_expr).split(".")[-1] for item in node.items):
                if lock in locks and (harm := harm_in(node.body, owner)):
                    found.setdefault(f"{owner.name}.{lock}", set()).update(harm)
    return found


def test_the_list_of_locks_that_are_held_over_a_call_is_complete():
    """A folder's `__init__` lists those of its classes, as `Class.lock  held while …`."""
    listed = {name for path in FILES if path.name == "__init__.py" for name, owner in re.findall(
        r"^    ((\w+)\.\w+)  .*\bheld\b", ast.get_docstring(TREES[path]) or "", re.MULTILINE)
        if owner in OURS}
    found = held_over_a_call()
    assert {lock: harm for lock, harm in found.items() if lock not in listed} == {}
    assert listed - found.keys() == set(), "these are not, or not any more"


def test_continuous_integration_runs_the_tests():
    assert re.search(r"\btox\b", (ROOT / ".ci" / "run").read_text("utf-8"))


def test_the_top_level_is_what_the_design_says():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.fail("not a git checkout")
    top = {name.split("/")[0] for name in listed.stdout.split()}
    assert top == {"router.py", "transports", "upstreams", "tests", "requirements.txt", "tox.ini",
                   "mcp-config.json", "README.md", "LICENSE", ".gitignore", ".ci"}
