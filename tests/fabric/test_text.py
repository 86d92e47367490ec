"""transports/fabric/text.py: what is from outside is made fit for logs and tables."""

from transports.fabric.text import outline, printable, redacted


def test_control_characters_and_line_breaks_are_escaped():
    assert printable("a\x1b[31m b\nfake line") == "a\\x1b[31m b\\x0afake line"


def test_where_a_text_is_cut_no_beginning_of_a_secret_is_left():
    assert redacted(["hunter2"], "hunter2 or hunter2", 15) == "*** or …"


def test_the_outline_of_a_value_is_as_deep_as_is_asked_for():
    value = {"name": "x", "icons": [{"src": {"deep": {}}}]}
    assert outline(value, 2) == {"name": "x", "icons": ["…"]}
