"""The bytes of a config file → a dict.

The file is JSON as VS Code writes it: comments, and a comma after the last item, are allowed. A
file whose name ends in .toml is TOML, as Codex writes it.
"""

import importlib
import json
import os
import re


class ConfigError(ValueError):
    """The config cannot be used. The text is for the user; the exit status is 2."""

    files = {}  # what was read until then; see Config


def read(path):
    """The object in the file. Raises ConfigError if there is no such file or no object in it."""
    text = _text_of(path)
    if not text.strip():
        raise ConfigError(f'{path}: is empty; it needs at least {{"mcpServers": {{…}}}}')
    config = (_toml if path.suffix == ".toml" else _json)(path, text)
    if not isinstance(config, dict):
        raise ConfigError(f'{path}: must be an object like {{"mcpServers": {{…}}}}, '
                          f"not {_kind(config)}")
    return config


def _json(path, text):
    try:
        return json.loads(_without_comments(text), object_pairs_hook=_no_key_twice,
                          parse_constant=_no_constant)
    except KeyError as twice:
        raise ConfigError(f"{path}: the key {twice} stands twice in one object; rename or remove "
                          "one of the two") from None
    except json.JSONDecodeError as problem:
        raise ConfigError(f"{path}: line {problem.lineno}, column {problem.colno}: "
                          f"not JSON: {problem.msg}") from None
    except ValueError as problem:
        raise ConfigError(f"{path}: not JSON: {problem}") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply") from None


def _toml(path, text):
    try:
        return importlib.import_module("tomllib").loads(text)
    except ModuleNotFoundError:
        raise ConfigError(f"{path}: is TOML, which needs Python 3.11 or later: run the router "
                          "with that, or write the servers into a JSON file") from None
    except ValueError as problem:
        raise ConfigError(f"{path}: not TOML: {problem}") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply") from None


def stamp_of(path):
    """Something that is another when the file has changed; None if there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):     # or its path has a null byte
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _text_of(path):
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; name yours with --config") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a directory; name a file with --config") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path}: cannot be read: {problem}") from None


_STRING_OR_COMMENT = re.compile(r'("(?:\\.|[^"\\\n])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_STRING_OR_LAST_COMMA = re.compile(r'("(?:\\.|[^"\\\n])*")|,(?=\s*[}\]])')


def _without_comments(text):
    """Comments and last commas become blanks, so that an error names the right line and column.

    >>> _without_comments('{"a": "//", /* ? */ "b": [1,],}')
    '{"a": "//",         "b": [1 ] }'
    """
    for pattern in (_STRING_OR_COMMENT, _STRING_OR_LAST_COMMA):
        text = pattern.sub(lambda match: match[1] or re.sub(r"[^\n]", " ", match[0]), text)
    return text


def _no_key_twice(pairs):
    """Of two equal keys JSON readers keep the last: here, a server would be lost in silence.
    Nothing is lost where both have the same value."""
    seen = {}
    for key, value in pairs:
        if key in seen and seen[key] != value:
            raise KeyError(key)
        seen[key] = value
    return seen


def _no_constant(name):
    """Python's JSON reader takes NaN and Infinity for numbers."""
    raise ValueError(f"{name} is no number there")


def _kind(value):
    return {list: "a list", str: "a string", bool: "true or false",
            type(None): "null"}.get(type(value), "a number")
