"""What the log says of each server, for the page: transports/http/live/server_log.py."""

import json
import logging
import time

import pytest

from transports.fabric.text import hidden, log
from transports.http.live.server_log import KEPT_LINES, LONGEST_LINE, ServerLog

from by_hand import Sse, call
from live_by_hand import Page
from processes import fake


def texts(page, level):
    return [line["text"] for line in page.lines if line["server"] == "fake"
            and line["level"] == level]


def test_a_page_is_told_what_the_log_says_of_a_server_also_from_before_it_was_open(start_router):
    running = start_router({"fake": {**fake("rubbish"), "restart": {"pause": 0.1}}})
    with Sse(running.url) as client:
        client.post(call(1, "fake__crash"))
        assert "error" in client.get()
    with Page(running) as page:
        page.until(lambda page: any("not running: exited with status 7: crashing as told" in text
                                    for text in texts(page, "error")))
        page.until(lambda page: "crashing as told" in texts(page, "stderr") and any(
            text.startswith("skipped a line")
            for text in [*texts(page, "warning"), *texts(page, "stderr")]))
        numbers = [line["n"] for line in page.lines]
        assert numbers == sorted(set(numbers)) and all(line["time"] for line in page.lines)


def test_the_log_of_a_server_begins_with_its_first_start(start_router):
    begun = time.time()
    running = start_router({"fake": fake("rubbish")})
    running.wait_for('server "fake" is running')
    with Page(running) as page:
        page.until(lambda page: any("is running" in text for text in texts(page, "info")))
        assert any(text.startswith("skipped a line") for text in texts(page, "warning"))
        assert not any("skipped a line" in text for text in texts(page, "stderr"))
        logged = [line["time"] for line in page.lines]
        assert begun < logged[0] and logged == sorted(logged)
        for line in page.lines:
            assert running.wait_for(time.strftime("%H:%M:%S", time.localtime(line["time"])))


def test_why_a_server_failed_before_there_was_a_page_is_told_too(start_router):
    with Page(start_router({"fake": fake("dies")})) as page:
        page.until(lambda page: any("status 1: this server was told to die" in text
                                    for text in texts(page, "error")))


@pytest.fixture
def kept():
    log.setLevel(logging.INFO)
    lines = ServerLog(lambda: ["fake"])
    yield lines
    lines.close()
    log.setLevel(logging.NOTSET)


def test_lines_of_known_servers_are_kept_short_and_without_secrets(kept):
    hidden.add({"s3cret"})
    log.info("%s: %s", "other", "of no server")
    log.info("%s", {"fake": 1})
    log.info("fake: without arguments")
    log.debug("%s: %s", "fake", "too much detail")
    log.info("%s: %s", "fake#12", f"a s3cret\u202e {'x' * 5000}")
    (line,), last = kept.after(0)
    said = json.loads(line)
    assert (said["server"], said["process"], said["level"]) == ("fake", "fake#12", "info")
    assert said["text"].startswith("a ***\\x202e xxx") and len(said["text"]) < LONGEST_LINE + 20
    assert kept.after(last) == ([], last)


def test_their_number_is_bounded_and_nothing_is_kept_after_the_end(kept):
    for _ in range(2 * KEPT_LINES):
        log.info("%s: %s", "fake", "again")
    found, last = kept.after(10)
    assert len(found) == KEPT_LINES and last == 2 * KEPT_LINES
    assert len(kept.after(last - 3)[0]) == 3
    kept.close()
    log.warning("%s: %s", "fake", "after its end")
    assert kept.after(last)[1] == last
