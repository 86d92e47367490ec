"""An MCP server that lists, searches and reads the text files of one folder.

Start it as `python3 files.py [FOLDER]`; without FOLDER it takes the current one. It shows nothing
outside of the folder, and does not follow links that lead out of it."""

import sys
from pathlib import Path
from urllib.parse import unquote

from serve import Problem, Server

FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
LARGEST = 2**20         # bytes of a file that is shown or searched
MOST_RESULTS = 500

server = Server("files", f"The text files in {FOLDER}, to list, search and read.")


def text_of(path):
    """The text of a file in the folder. Raises Problem."""
    if "\0" in path:
        raise Problem("No file has such a name.")
    whole = (FOLDER / path).resolve()
    hidden = any(part.startswith(".") for part in Path(path).parts)
    if hidden or FOLDER not in whole.parents or not whole.is_file():
        raise Problem(f"There is no file {path} here.")
    if whole.stat().st_size > LARGEST:
        raise Problem(f"{path} is larger than {LARGEST} bytes.")
    try:
        return whole.read_text("utf-8")
    except UnicodeDecodeError:
        raise Problem(f"{path} is not text.")


def names(pattern):
    """The files that fit the pattern, without hidden ones: sorted names relative to the folder."""
    if ".." in pattern or pattern.startswith("/"):
        raise Problem("The pattern must stay inside the folder.")
    try:
        found = [path.relative_to(FOLDER) for path in FOLDER.glob(pattern)
                 if path.is_file() and FOLDER in path.resolve().parents]    # not by a link
    except (ValueError, NotImplementedError):
        raise Problem(f"{pattern!r} is no pattern as **/*.py.")
    return sorted(path.as_posix() for path in found
                  if not any(part.startswith(".") for part in path.parts))


@server.tool("How many files the folder has, of which kinds and how large.")
def summary(request):
    kinds = {}
    for name in names("**/*"):
        kinds.setdefault(Path(name).suffix or "(none)", []).append((FOLDER / name).stat().st_size)
    return "\n".join(f"{kind}: {len(sizes)} files, {sum(sizes)} bytes" for kind, sizes in sorted(
        kinds.items(), key=lambda item: -sum(item[1]))) or "The folder is empty."


@server.tool("The names of the files that fit a pattern.",
             pattern={"type": "string", "description": "as **/*.py", "default": "**/*"})
def find(request, pattern="**/*"):
    found = names(pattern)
    more = f"\n… and {len(found) - MOST_RESULTS} more" if len(found) > MOST_RESULTS else ""
    return "\n".join(found[:MOST_RESULTS]) + more or "No file fits."


@server.tool("The lines that contain a text, as file:line: text. Tells its progress.",
             text={"type": "string", "minLength": 1},
             pattern={"type": "string", "description": "which files, as **/*.py",
                      "default": "**/*"})
def search(request, text, pattern="**/*"):
    hits, files = [], names(pattern)
    for done, name in enumerate(files, 1):
        if request.cancelled.is_set() or len(hits) >= MOST_RESULTS:
            break
        if done % 100 == 0 or done == len(files):
            request.progress(done, len(files), name)
        try:
            lines = text_of(name).splitlines()
        except Problem:
            continue  # too large, or not text
        hits += [f"{name}:{number}: {line.strip()[:200]}"
                 for number, line in enumerate(lines, 1) if text in line]
    return "\n".join(hits[:MOST_RESULTS]) or "Not found."


@server.prompt("Explain a file of the folder.", path="the file, as src/main.py",
               audience="for whom (optional)")
def explain_file(path, audience="a colleague who has not seen it"):
    return f"Explain this file, {path}, to {audience}.\n\n{text_of(path)}"


@server.resource("folder:///", "The names of all files in the folder, one a line.")
def overview(uri):
    return "\n".join(names("**/*"))


@server.resource("folder:///{path}", "A text file of the folder, as folder:///notes/a.md.")
def file(uri):
    return text_of(unquote(uri[len("folder:///"):]))


if __name__ == "__main__":
    server.run()
