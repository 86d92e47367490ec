"""A small process that ends the servers of a router that was killed outright (kill -9, out of
memory), as some of them do not notice that their input has ended.

The router tells it, through a pipe, which process groups have started ("1234") and ended
("-1234"). When the pipe closes, it ends every group that still runs. It is a shell, as one more
Python would take 10 MB more."""

import contextlib
import logging
import os
import signal
import subprocess
import threading

WINDOWS = not hasattr(os, "killpg")     # there are no process groups
KILL = getattr(signal, "SIGKILL", -1)

# After SIGTERM (15) it looks for two seconds who is left, before SIGKILL (9). 0 is no signal.
PROGRAM = """
while read -r change; do
    left=
    for group in $groups; do [ "$group" = "${change#-}" ] || left="$left $group"; done
    groups=$left
    case $change in -*) ;; *) groups="$groups $change" ;; esac
done
for number in 15 0 0 0 0 0 0 0 0 0 9; do
    left=
    for group in $groups; do kill -$number -$group && left="$left $group"; done
    groups=$left
    [ "$groups" ] || exit
    sleep 0.2
done
"""

log = logging.getLogger("router")


def signal_group(group, number):
    """Send a signal, by its number, to a process group; False if all of the group has ended."""
    try:
        if not WINDOWS:
            os.killpg(group, number)
        elif number != KILL:  # not tried, see the README
            os.kill(group, signal.CTRL_BREAK_EVENT)
        else:  # no groups there, but the tree below the process
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(group)], capture_output=True)
        return True
    except OSError:  # no such group; macOS says "permission" of a group of zombies
        return False


class Guardian:
    """The router's end of the pipe. The process is started for the first group to watch."""

    def __init__(self):
        self._lock = threading.Lock()
        self._process = None
        self._gone = False      # and the log says so

    def tell(self, change):
        """A process group has started (its number), or ended (less than 0). Any thread."""
        if WINDOWS:  # see the README
            return
        with self._lock:  # also while we write: the guardian always reads, so that does not block
            try:
                if self._process is None:
                    self._process = subprocess.Popen(
                        ["/bin/sh", "-c", PROGRAM, "guardian"],
                        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL, start_new_session=True)
                self._process.stdin.write(b"%d\n" % change)
                self._process.stdin.flush()
            except (OSError, ValueError):  # ValueError: the pipe is closed
                if not self._gone:
                    log.warning("the guardian process is gone: if the router is killed outright, "
                                "servers may go on running")
                self._gone = True

    def close(self):
        """Let the process end, and wait until it has. Call it when all servers have ended."""
        with self._lock:
            if self._process:
                with contextlib.suppress(OSError):  # it is gone already, and the log says so
                    self._process.stdin.close()
                self._process.wait()
