"""What servers said last time: a file for each, in a folder of ours that only its user can read.

The name of a file is made of what decides what its server lists: the command, its arguments, its
environment. These may hold secrets that could be guessed, so it is a hash with a random key, which
lies in the same folder. The first line of a file is such a hash of its name and the rest: what is
damaged, or of something else, is none.

    {"version": 1, "written": 1790000000.0, "era": "legacy", "listsByCapabilities": false,
     "cost": {"startSeconds": 0.4},
     "said": {key of the client's capabilities: {"info": {…}, "lists": {"tools/list": […]}}}}
"""

import contextlib
import hmac
import json
import logging
import os
import re
import secrets
import stat
import sys
import tempfile
import time
from pathlib import Path

from transports.fabric.text import log

VERSION = 1
OLDEST = 30 * 86400     # seconds
OF_KILLED = 3600        # seconds, after which what a killed router has begun to write goes
LARGEST = 32 * 2**20    # bytes of a file
MOST_KEYS = 8           # of one server: how many sets of capabilities
KEY_BYTES = 32

# What decides what a server lists, of an Entry.
_DECIDES = ("command", "args", "env", "cwd", "url", "type", "headers", "headers_command", "ca",
            "certificate", "key", "protocol")
_PLAIN = re.compile("[A-Za-z]{1,16}")
_NAMED = re.compile("key|token|secret|pass|pwd|auth|cred|headers", re.IGNORECASE)
_WORDS = {"object", "string", "integer", "number", "boolean", "properties", "required",
          "description", "additionalProperties", "inputSchema", "outputSchema", "default"}
_SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def state_folder():
    """Where programs of this user keep what they remember; None if there is no such place."""
    home, said = os.path.expanduser("~"), os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(said):
        base = said
    elif os.name == "nt":
        base = os.environ.get("LOCALAPPDATA", "")
    elif sys.platform == "darwin":
        base = os.path.join(home, "Library", "Application Support")
    else:
        base = os.path.join(home, ".local", "state")
    return Path(base, "mcp-local-router", "memory") if os.path.isabs(base) else None


class Memory:
    """The files. Nothing here raises: what cannot be read is not remembered, and of what cannot be
    written the log says so once."""

    def __init__(self, folder):
        self._folder, self._key = folder, None
        self._told, self._bad = False, set()    # what the log has said already

    def read(self, entry):
        """What is remembered of this server, as above; None if nothing is."""
        with self._problems(entry):
            path = self._path(entry)
            mark, _, text = _content(path).partition(b"\n")
            if mark.decode("latin-1") == self._hash(path.stem.encode() + text):
                found = json.loads(text)
                age = time.time() - found["written"]
                if found["version"] == VERSION and 0 <= age <= OLDEST:
                    return found
            if path not in self._bad:
                log.info('server "%s": what was remembered of it is damaged, or older than %d '
                         'days', entry.name, OLDEST / 86400)
            self._bad.add(path)
        return None

    def write(self, entry, found, tokens=()):
        """Remember this of the server. `tokens`: secrets that are not in its config."""
        with self._problems(entry):
            path = self._path(entry)
            said = dict(list(found["said"].items())[-MOST_KEYS:])
            text = json.dumps({**found, "said": said, "version": VERSION, "written": time.time()})
            if what := _repeated(entry, said, tokens):
                log.info('server "%s" is not remembered: what it lists repeats %s', entry.name,
                         what)
                path.unlink(missing_ok=True)
            elif len(text) <= LARGEST:
                mark = self._hash((path.stem + text).encode())
                self._replace(path, f"{mark}\n{text}".encode())

    @contextlib.contextmanager
    def _problems(self, entry):
        try:
            yield
        except FileNotFoundError:
            log.debug('server "%s": nothing is remembered of it', entry.name)
        except (ValueError, RecursionError) as problem:     # nested too deeply, or a surrogate
            log.info('server "%s" cannot be remembered: %s', entry.name, problem)
        except OSError as problem:
            why = problem.strerror and f"{problem.strerror}: {problem.filename}" or problem
            log.log(logging.DEBUG if self._told else logging.WARNING,
                    "what servers list cannot be remembered in %s: %s; \"start\": \"first-use\" "
                    "starts them with the router", self._folder, why)
            self._told = True

    def _path(self, entry):
        if self._key is None:
            self._open()
        what = json.dumps([getattr(entry, name) for name in _DECIDES])
        return self._folder / f"{self._hash(what.encode())}.memory"

    def _hash(self, data):
        return hmac.new(self._key, data, "sha256").hexdigest()

    def _open(self):
        """Make the folder and its key, if they are not there. Raises OSError if it is not ours."""
        if self._folder is None:
            raise OSError("this user has no home")
        self._folder.parent.parent.mkdir(parents=True, exist_ok=True)
        for folder in self._folder.parent, self._folder:
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or not _is_ours(found):
                raise OSError(f"{folder} is no folder of this user")
        if os.name != "nt" and stat.S_IMODE(found.st_mode) != 0o700:
            self._folder.chmod(0o700)
        self._tidy()
        path = self._folder / "key"
        try:
            key = _content(path)
        except FileNotFoundError:
            key = b""
        if len(key) != KEY_BYTES:
            self._replace(path, secrets.token_bytes(KEY_BYTES))
            key = _content(path)    # another router may have been faster
        self._key = key

    def _replace(self, path, data):
        """Write beside, and rename: whoever is killed meanwhile leaves what was there before."""
        number, beside = tempfile.mkstemp(".tmp", dir=self._folder)     # mode 600
        try:
            with open(number, "wb") as file:
                file.write(data)
            os.replace(beside, path)
        except BaseException:
            os.unlink(beside)
            raise

    def _tidy(self):
        for ending, oldest in ((".memory", OLDEST), (".tmp", OF_KILLED)):
            for path in self._folder.glob(f"*{ending}"):
                with contextlib.suppress(OSError):      # another router does the same
                    if time.time() - path.lstat().st_mtime > oldest:
                        path.unlink()


def _content(path):
    """The bytes of a file of ours. Raises OSError for anything else."""
    number = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | _SAFE)
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode) or not _is_ours(found) or found.st_size > LARGEST:
        os.close(number)
        raise OSError(f"{path} is no file of this user, or too large")
    with open(number, "rb") as file:
        return file.read(LARGEST)


def _repeated(entry, said, tokens):
    """What the server has said and may be a secret, in words; None if there is no such thing. A
    plain word is none, unless its name says so: "MODE": "legacy"."""
    text = "\0".join(_texts(said))
    if any(token in text for token in tokens):
        return "a token of ours, which is not in its config"
    for secret in entry.secrets:
        places = [f"{section}.{name}" for section in ("env", "headers")
                  for name, value in getattr(entry, section) if secret in value]
        is_plain = _PLAIN.fullmatch(secret) and places and not any(map(_NAMED.search, places))
        if not is_plain and secret in text:
            return (f"the value of {places[0] if places else 'something'} in its config, which "
                    "may be a secret")
    return None


def _texts(value):
    """All that a server said, without the words of JSON Schema."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, str):
        yield from () if value in _WORDS else (value,)
    for each in value if isinstance(value, list) else ():
        yield from _texts(each)


def _is_ours(found):
    return os.name == "nt" or found.st_uid == os.geteuid()
