"""What the page keeps, and in which order: messages/history.js of the page, in a browser."""

import pytest

from processes import fake

HEAD = """
const done = arguments[0], {History} = await import("./live/messages/history.js");
const history = new History();
history.begin("a run");
let n = 0, lines = 0;
const message = (time, call, place, more = {}) => ({
  n: n += 1, time, call, place, kind: place === "to client" ? "response" : "request",
  method: "tools/call", id: call, name: "any__do", client: "Ada", session: "session 1",
  server: null, process: null, failed: false, cut: false, size: 10,
  text: JSON.stringify({params: {arguments: {call}}}), ...more});
const both = (time, call) => [message(time, call, "from client"),
                              message(time + 0.001, call, "to client")];
const line = (time, text = "a word", more = {}) => ({
  n: lines += 1, time, server: "any", level: "stderr", text, ...more});
const words = (entries) => entries.map((entry) => entry.isLine ? entry.text
  : entry.isCall ? `call ${entry.messages[0]?.call ?? "?"}` : `${entry.place} ${entry.call}`);
"""


@pytest.fixture
def history(start_router, open_page):
    """history(script) runs that after HEAD; returns what it gives to done()."""
    page = open_page(start_router({"fake": fake()}))
    page.wait_for("#connection", "^connected")

    def run(script):
        return page.driver.execute_async_script(f"(async () => {{{HEAD}{script}}})"
                                                ".apply(null, arguments)")
    return run


def test_a_server_that_says_much_pushes_out_no_call(history):
    calls, messages, lines = history("""
        for (let call = 0; call < 50; call += 1) history.add(both(call, call));
        for (let at = 0; at < 60; at += 1) {
          history.log(Array.from({length: 100}, (_, one) => line(100 + at, `${at} ${one}`)));
        }
        done([history.calls.filter((one) => one.isCall).length,
              history.all.filter((one) => !one.isLine).length,
              history.all.filter((one) => one.isLine).map((one) => one.text)])""")
    assert (calls, messages, len(lines)) == (50, 100, 2000)
    assert (lines[0], lines[-1]) == ("40 0", "59 99")


def test_calls_that_are_under_way_for_ever_have_a_bound_too(history):
    assert history("""
        for (let call = 0; call < 12000; call += 1) {
          history.add([message(call, call, "from client")]);
        }
        done([history.calls.length, history.all.length])""") == [5000, 5000]


def test_lines_and_calls_stand_by_their_time_whichever_came_first(history):
    assert history("""
        history.log([line(1, "first"), line(3, "third"), line(5, "fifth")]);
        history.add([...both(2, 2), ...both(4, 4)]);
        history.log([line(2.5, "late")]);
        history.add(both(6, 6));
        done([words(history.calls), words(history.all)])""") == [
            ["first", "call 2", "late", "third", "call 4", "fifth", "call 6"],
            ["first", "from client 2", "to client 2", "late", "third", "from client 4",
             "to client 4", "fifth", "from client 6", "to client 6"]]


def test_what_a_new_router_says_stands_below_the_line_that_tells_of_it(history):
    now = "Date.now() / 1000"
    shown, time = history(f"""
        history.add(both({now} - 60, 1));
        history.begin("another run");
        lines = 0;
        history.log([line({now} - 5, "starts"), line({now} - 4, "runs")]);
        n = 0;
        history.add(both({now} - 4.5, 2));
        done([words(history.calls), history.calls[1].time - history.calls[2].time])""")
    assert shown == ["call 1", "The router was restarted.", "starts", "call 2", "runs"]
    assert time == 0


def test_clear_leaves_a_call_under_way_and_it_gets_its_answer(history):
    assert history("""
        history.add([...both(1, 1), message(2, 2, "from client")]);
        history.log([line(3)]);
        history.clear();
        const kept = words(history.calls);
        history.add([message(4, 2, "to client")]);
        done([kept, words(history.calls), words(history.all), history.calls[0].status])""") == [
            ["call 2"], ["call 2"], ["from client 2", "to client 2"], "ok"]


def test_a_line_tells_where_how_many_were_missed_and_the_count_goes_down_with_it(history):
    assert history("""
        history.add(both(1, 1));
        history.miss(1, n += 1);
        history.add(both(1.5, 2));
        history.miss(1215, n += 1215);
        history.add(both(60, 3));
        history.miss(7, n += 7);
        const shown = words(history.calls), missed = history.missed;
        history.log([line(1.2, "between")]);
        for (let call = 4; call < 2503; call += 1) history.add(both(60 + call, call));
        const later = history.missed;
        history.miss(7, n);  // the stream has begun anew
        history.clear();
        done([shown, missed, later, history.missed])""") == [
            ["call 1", "call 2", "1,216 messages before this line were too many to show.",
             "call 3", "7 messages before this line were too many to show."], 1223, 7, 0]


def test_a_call_that_was_taken_for_lost_has_the_answer_that_comes_after_all(history):
    assert history("""
        history.add([message(1, 1, "from client")]);
        history.state([]);
        history.calls[0].heard -= 60_000;
        history.open();
        const before = history.calls[0].status;
        history.add([message(70, 1, "to client")]);
        done([before, history.calls[0].status])""") == ["no answer", "ok"]
