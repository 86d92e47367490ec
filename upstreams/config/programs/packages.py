"""The packages, images and programs that a command may name, and which of them are known to keep
something of their client in the process. The processes of those are not shared unless the config
says so, even if their SDK made them speak a stateless revision."""

import json
import re
from pathlib import Path

_KEPT = {name: what for what, names in json.loads(
    Path(__file__).with_name("stateful.json").read_text("utf-8")).items() for name in names}
# Known to list other tools to a client that can be asked
LIST_BY_CAPABILITIES = {"server-everything", "mcp-server-everything"}
_SHELLS = {"sh", "bash", "zsh", "dash", "ksh", "fish", "cmd", "powershell", "pwsh"}
_REGISTRY = re.compile(r"(localhost|[\w-]+(?=[.:]))[\w.:-]*/(?=.*/)")     # of an image: ghcr.io/
# A program, or the package of a script, in the path where it is installed
_INSTALLED = re.compile(r".*[/\\](?:bin[/\\](?=[^/\\]+$)|node_modules[/\\])"
                        r"((?:@[^/\\]+[/\\])?[^/\\]+)")


def words_of(command, args):
    """What a command may name, as packages, images and programs are named: without a path, a URL,
    a registry, an option before it and a version.

    >>> words_of("/usr/bin/npx", ["--package=@playwright/mcp@latest", "playwright-mcp"])
    ['npx', '@playwright/mcp', 'playwright-mcp']
    >>> words_of("bash", ["-lc", "exec npx @playwright/mcp --headless"])[3:]
    ['npx', '@playwright/mcp', '--headless']
    >>> words_of("docker", ["run", "registry.example:5000/mcp/playwright:latest"])[2:]
    ['registry.example:5000/mcp/playwright', 'mcp/playwright']
    """
    words = [program(command).lower(), *args]
    if not _SHELLS.isdisjoint(map(program, words)):
        words = [part for word in words for part in re.split(r"[\s;&|()'\"]+", word) if part]
    return list(dict.fromkeys(name for word in words for name in _names(word.lower())))


def program(path):
    """The name of a program: without its path, and what Windows puts behind it."""
    return re.sub(r"\.(exe|cmd)$", "", re.split(r"[/\\]", path)[-1])


def _names(word):
    word = re.sub(r"^(--?[a-z-]+=)?(npm:)?", "", word)
    if word.startswith(("git+", "http")):
        word = word.rstrip("/").removesuffix(".git").rpartition("/")[2]
    elif found := _INSTALLED.match(word):
        word = found[1]
    registry = _REGISTRY.match(word)
    name = word[registry.end():] if registry else word
    name = re.sub(r"(?<=.)(@|==|>=|<=|~=|\[|:).*", "", name)
    return [registry[0] + name, name] if registry else [name]


def kept_by(words):
    """What the package among these words keeps; None if none is known.

    >>> kept_by(words_of("npx", ["-y", "@playwright/mcp@latest", "--headless"]))
    'a browser'
    >>> kept_by(words_of("uvx", ["--from", "git+https://github.com/oraios/serena", "x"]))
    'a project'
    """
    names = (name for word in words for name in (word, word.replace("_", "-")))
    return next((_KEPT[name] for name in names if name in _KEPT), None)


def lists_by_capabilities(words):
    """Whether a package among these is known to list other tools to a client that can be asked.

    >>> lists_by_capabilities(["npx", "-y", "@modelcontextprotocol/server-everything@2026.1"])
    True
    """
    return any(part in LIST_BY_CAPABILITIES
               for word in words for part in re.split(r"[/\\@:=\s]", word))
