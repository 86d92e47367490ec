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
_NUMBER, _NONE = (int, float), type(None)
_PARTS = {"server": str, "issuer": str, "client": dict, "token": str, "access": str, "asked": list,
          "got": _NUMBER, "expires": (*_NUMBER, _NONE), "resource": (str, _NONE),
          "refresh_token": (str, _NONE), "scopes": list}
_OF_CLIENT = {"id": str, "secret": (str, _NONE), "method": str}


def folder():
    """The folder for the tokens of this user, which may not be made yet; None if there is no place
    for it. As that of the memories in the room `rest`."""
    home, said = os.path.expanduser("~"), os.environ.get("XDG_STATE_HOME", "")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local")
    elif sys.platform == "darwin":
        base = os.path.join(home, "Library", "Application Support")
    else:
        base = said if os.path.isabs(said) else os.path.join(home, ".local", "state")
    return Path(base, "mcp-local-router", "logins") if os.path.isabs(base) else None


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
        return self._folder and _stamp(self._folder)

    def _files(self, kind="json"):
        """The newest first; mostly there is one."""
        if not self._folder:
            return []
        found = glob.glob(f"{glob.escape(str(self._folder / self._name))}-*.{kind}")
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
            if _is_whole(found) and found["server"] == self._url:
                return found
        return None

    def write(self, record):
        """Whoever reads sees the old record or the new one, whole. Call it with the lock. Raises
        LoginFailed."""
        try:
            self._make_folder()
            path = self._folder / f"{self._name}-{_digest(record['issuer'])}.json"
            beside = path.with_suffix(".new")
            beside.unlink(missing_ok=True)      # of a router that was killed
            with open(beside, "x", encoding="utf-8", opener=_private) as file:
                json.dump(record, file)
            os.replace(beside, path)
            # Not before: the old tokens may be worth nothing any more, and we may be killed. What
            # waits for the disk is lost only with the system.
            with open(path, "rb+") as file:
                os.fsync(file.fileno())
        except OSError as problem:
            raise LoginFailed(f"{self._folder} cannot be written: {problem.strerror}") from None

    def forget(self, but=None):
        """Remove the records, but for that of this issuer."""
        for path in [*self._files(), *self._files("new")]:
            if but is None or not path.endswith(f"-{_digest(but)}.json"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)

    @contextlib.contextmanager
    def lock(self, stop=lambda: False):
        """Hold the tokens of this server against all routers of this user. May wait as long as
        one of them asks its authorization server, but not when `stop()` is true. Raises
        LoginFailed, also if nothing can be written there."""
        try:
            self._make_folder()
            tempfile.TemporaryFile(dir=self._folder).close()
            file = os.open(self._folder / f"{self._name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as problem:
            raise LoginFailed(f"{self._folder} cannot be written: {problem.strerror}") from None
        try:
            _lock(file, stop)   # ends with the file, even if we are killed
            yield
        finally:
            os.close(file)

    def _make_folder(self):
        if not self._folder:
            raise LoginFailed("this user has no home where its tokens could be kept: set "
                              "XDG_STATE_HOME to a folder")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_private(self._folder, self._folder)


def _lock(file, stop):
    """In steps: a router that is stopped would hold it for ever. Raises LoginFailed."""
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            if fcntl:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            import msvcrt
            return msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            if stop():
                raise LoginFailed("nobody waits for its tokens any more") from None
            if time.monotonic() > end:
                raise LoginFailed("another router holds its tokens, and does not go on") from None
        time.sleep(0.02)


def _private(path, flags):
    return os.open(path, flags, 0o600)


def _is_whole(record):
    """Whether it has all that a login has written. Without a client, see Bearer._refreshed."""
    return isinstance(record, dict) and _has(_PARTS, record) and (
        not record["client"] or _has(_OF_CLIENT, record["client"])) and isinstance(
        record.get("more", []), list) and isinstance(record.get("raised", 0), int)


def _has(parts, record):
    return all(key in record and isinstance(record[key], kind) for key, kind in parts.items())


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
