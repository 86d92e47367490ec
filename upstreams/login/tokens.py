"""Where the tokens are: one file for each server and authorization server, which only this user
can read. All routers of the user share them, and change them under one lock."""

import contextlib
import glob
import hashlib
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

from .web import LoginFailed

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

MOST_BYTES = 2**17      # of a file
LOCK_SECONDS = 30.0     # that another router may need to refresh
_NEEDED = {"server": str, "issuer": str, "client": dict, "token": str, "access": str}


def folder():
    """The folder for the tokens of this user. Not made yet, perhaps."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "mcp-local-router" / "logins"


class Tokens:
    """The tokens for the server at one URL. Any thread."""

    def __init__(self, url):
        self._folder, self._url = folder(), url
        readable = re.sub(r"[^a-z0-9.]+", "-", url.partition("://")[2].lower())[:40].strip("-.")
        self._name = f"{readable}-{_digest(url)}"

    def stamp(self):
        """Something that is another when the tokens have changed."""
        return [found for path in self._files() if (found := _stamp(path))]

    def quick_stamp(self):
        """Another one when the tokens may have changed: whatever is written beside is renamed."""
        return _stamp(self._folder)

    def _files(self):
        """The newest first; mostly there is one."""
        found = glob.glob(f"{glob.escape(str(self._folder / self._name))}-*.json")
        with contextlib.suppress(OSError):
            found.sort(key=os.path.getmtime, reverse=True)
        return found

    def read(self):
        """The record of the last login; None if there is none, or what is there is damaged.
        Raises LoginFailed if others could have read it."""
        for path in self._files():
            try:
                with open(path, "rb") as file:
                    _check_private(file.fileno(), path)
                    data = file.read(MOST_BYTES)
            except FileNotFoundError:
                continue
            except OSError as problem:
                raise LoginFailed(f"{path} cannot be read: {problem.strerror}") from None
            try:
                found = json.loads(data)
            except (ValueError, RecursionError):
                continue
            if isinstance(found, dict) and found.get("server") == self._url and all(
                    isinstance(found.get(key), kind) for key, kind in _NEEDED.items()):
                return found
        return None

    def write(self, record):
        """Whoever reads sees the old record or the new one, whole. Raises LoginFailed."""
        path = self._folder / f"{self._name}-{_digest(record['issuer'])}.json"
        try:
            self._make_folder()
            handle, beside = tempfile.mkstemp(dir=self._folder, suffix=".new")   # mode 600
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(record, file)
                    file.flush()
                    os.fsync(handle)
                os.replace(beside, path)
            except OSError:
                os.unlink(beside)
                raise
        except OSError as problem:
            raise LoginFailed(f"{path} cannot be written: {problem.strerror}") from None

    def forget(self, but=None):
        """Remove the records, but for that of this issuer."""
        for path in self._files():
            if but is None or not path.endswith(f"-{_digest(but)}.json"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)

    @contextlib.contextmanager
    def lock(self):
        """Hold the tokens of this server against all routers of this user. May wait as long as
        one of them asks its authorization server. Raises LoginFailed, also if nothing can be
        written there."""
        try:
            self._make_folder()
            tempfile.TemporaryFile(dir=self._folder).close()
            file = os.open(self._folder / f"{self._name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as problem:
            raise LoginFailed(f"{self._folder} cannot be written: {problem.strerror}") from None
        try:
            _lock(file)     # ends with the file, even if we are killed
            yield
        finally:
            os.close(file)

    def _make_folder(self):
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_private(self._folder, self._folder)


def _lock(file):
    """In steps: a router that is stopped would hold it for ever. Raises LoginFailed."""
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            if fcntl:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            import msvcrt
            return msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            if time.monotonic() > end:
                raise LoginFailed("another router holds its tokens, and does not go on") from None
        time.sleep(0.02)


def _stamp(path):
    """None if it is not there."""
    with contextlib.suppress(OSError):
        found = os.stat(path)
        return found.st_ino, found.st_mtime_ns


def _check_private(what, path):
    """Raises LoginFailed if somebody else could read it, or has made it."""
    if not hasattr(os, "getuid"):   # Windows, whose folders of a user are the user's
        return
    found = os.stat(what)
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise LoginFailed(f"{path} can be read by others: it must be yours, with mode "
                          f"{'700' if os.path.isdir(path) else '600'}")


def _digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]
