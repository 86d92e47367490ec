"""The guardian: a small process that outlives the router, to end servers that outlived it too.

A router that is killed outright (kill -9, out of memory) cannot close its servers, and some do
not notice that their input has ended; npx and uvx leave grandchildren besides. So the router
tells this process which process groups it has started. The pipe between them closes when the
router is gone, however it went; then every group still on the list is ended.

    python guardian.py < pipe        lines: "+1234" a group has started, "-1234" it has ended
"""

import os
import signal
import sys
import time

GRACE = 2.0  # seconds from SIGTERM to SIGKILL


def tell(group, what):
    try:
        os.killpg(group, what)
        return True
    except (ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        return False


def main():
    groups = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    groups = {group for group in groups if tell(group, signal.SIGTERM)}
    deadline = time.monotonic() + GRACE
    while groups and time.monotonic() < deadline:
        time.sleep(0.05)
        groups = {group for group in groups if tell(group, 0)}
    for group in groups:
        tell(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
