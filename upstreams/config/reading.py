"""The bytes of a config file → a dict."""

import json
import os
import stat
from pathlib import Path
from typing import NamedTuple

from transports.fabric.messages import why_unreadable

WITHIN = "MCP_ROUTER_WITHIN"    # an environment variable: the files that routers above us read
TAKEN_OUT = "needs a room of this program that was taken out"


class ConfigError(ValueError):
    """The config cannot be used. The text is for the user; the exit status is 2."""

    files = {}  # what was read until then; see Config


def read(path, parse):
    """The object in the file, by parse(text). Raises ConfigError if there is none."""
    try:
        text = text_of(path)
        if not text.strip():
            raise ConfigError('is empty; it needs at least {"mcpServers": {…}}')
        config = parse(text)
        if not isinstance(config, dict):
            kinds = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
            raise ConfigError('must be an object like {"mcpServers": {…}}, '
                              f'not {kinds.get(type(config), "a number")}')
        return config
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; name yours with --config") from None
    except ConfigError as problem:
        raise ConfigError(f"{path}: {problem}") from None
    except (OSError, ValueError) as problem:
        why = getattr(problem, "strerror", None) or problem
        raise ConfigError(f"{path}: cannot be read: {why}") from None


def text_of(path):
    """What is in a file. Raises OSError or ValueError, also for a pipe or a device (reading it
    might wait for ever, or never come to an end) and for another encoding."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and str(path) != os.devnull:
        raise OSError("it is a directory" if stat.S_ISDIR(mode) else "it is a pipe or a device")
    try:
        text = Path(path).read_text("utf-8-sig")
    except UnicodeDecodeError:
        text = None
    if text is None or "\0" in text:    # as there are in UTF-16
        raise ValueError("it is not UTF-8: save it as UTF-8")
    return text


class Stamp(NamedTuple):
    time: int
    size: int
    inode: int


def stamp_of(path):
    """Something that is another when the file has changed; None if there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):     # or its path has a null byte
        return None
    return Stamp(found.st_mtime_ns, found.st_size, found.st_ino)


def parse(text):
    """The value of a JSON text. Raises ConfigError."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except ValueError as problem:       # not always a JSONDecodeError
        where = isinstance(problem, json.JSONDecodeError) and (
            f"line {problem.lineno}, column {problem.colno}: ")
        why = f"not JSON: {getattr(problem, 'msg', why_unreadable(problem))}"
        raise ConfigError(f"{where or ''}{why}" + (
            ": write a backslash as two, or as /" if "escape" in why else "")) from None


class Doubled(dict):
    """An object in which keys stand twice. Of each it has the last value, as other JSON readers
    do; but a server, or what it is denied, would be lost in silence."""

    twice = ()      # these keys
    told = False    # whether that is the problem of one server


def _object(pairs):
    found = dict(pairs)
    if twice := [key for key, value in pairs if found[key] is not value and found[key] != value]:
        found = Doubled(found)
        found.twice = tuple(dict.fromkeys(twice))
    return found


def doubled_in(value, *path):
    """Yield (where, the Doubled) for each one in this value."""
    if isinstance(value, Doubled):
        yield path, value
    for key, inside in value.items() if isinstance(value, dict) else enumerate(
            value if isinstance(value, list) else ()):
        yield from doubled_in(inside, *path, str(key))


def refuse_doubled(path, config):
    """Raise ConfigError for one that is not in a server."""
    for _, found in doubled_in(config):
        if not found.told:
            raise ConfigError(f"{path}: the key {found.twice[0]!r} stands twice in one object; "
                              "rename or remove one of the two")


def _no_constant(name):
    """Python's JSON reader takes NaN and Infinity for numbers."""
    raise ValueError(f"{name} is no number there")


def refuse_circle(paths):
    """Raise ConfigError if a router that reads one of these files has started this one: the two
    would start routers without end. The environment of our servers says which files we read."""
    above = [name for name in os.environ.get(WITHIN, "").split(os.pathsep) if name]
    paths = [os.path.realpath(path) for path in paths]
    for path in set(paths) & set(above):
        raise ConfigError(f"{path}: a server that it names is this router with the same config, "
                          "which would start routers without end: remove that entry")
    os.environ[WITHIN] = os.pathsep.join([*above, *paths])
