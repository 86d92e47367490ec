"""The guardian: a small process that outlives the router, to end servers that outlived it too.

A router that is killed outright (kill -9, out of memory) cannot close its servers, and some do
not notice that their input has ended; npx and uvx leave grandchildren besides. So the router
tells this process which process groups it has started. The pipe between them closes when the
router is gone, however it went; then every group still on the list is ended.

This file is both ends of that pipe: the router imports it, and the guardian process runs it.
Its lines: "+1234" a group has started, "-1234" it has ended.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time

GRACE = 2.0  # seconds from SIGTERM to SIGKILL
WINDOWS = sys.platform == "win32"
KILL = -1 if WINDOWS else signal.SIGKILL

log = logging.getLogger("router")


def signal_group(group, what):
    """Send a signal to a process group; False when all of it has ended."""
    try:
        if not WINDOWS:
            os.killpg(group, what)
        elif what != KILL:  # not tried, see the README
            os.kill(group, signal.CTRL_BREAK_EVENT)
        else:  # no groups there, but the tree below the process
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(group)], capture_output=True)
        return True
    except OSError:  # no such group; macOS says "permission" of a group of zombies
        return False


class Guardian:
    """The router's end; the process is started with the first group that it has to watch."""

    def __init__(self):
        self._lock = threading.Lock()
        self._process = None

    def watch(self, group):
        self._tell(f"+{group}\n")

    def release(self, group):
        self._tell(f"-{group}\n")

    def _tell(self, line):
        if WINDOWS:  # no process groups there, see the README
            return
        # One short line is written whole (PIPE_BUF), so holding the lock costs next to nothing.
        with self._lock:
            try:
                if self._process is None:
                    self._process = subprocess.Popen(
                        [sys.executable, "-I", "-S", __file__],
                        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL, start_new_session=True)
                self._process.stdin.write(line.encode())
                self._process.stdin.flush()
            except OSError:
                log.warning("the guardian process is gone: if the router is killed outright, "
                            "servers may survive it")

    def close(self):
        with self._lock:
            if self._process:
                try:
                    self._process.stdin.close()
                except OSError:
                    pass  # it was gone already, and we have said so
                self._process.wait()


def main():
    """The guardian's end."""
    groups = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    groups = {group for group in groups if signal_group(group, signal.SIGTERM)}
    deadline = time.monotonic() + GRACE
    while groups and time.monotonic() < deadline:
        time.sleep(0.05)
        groups = {group for group in groups if signal_group(group, 0)}
    for group in groups:
        signal_group(group, KILL)


if __name__ == "__main__":
    main()
