"""transports/fabric/text.py: what is from outside is made fit for logs and tables."""

from transports.fabric.text import MOST_LATE, hidden, outline, printable, redacted


def test_control_characters_and_line_breaks_are_escaped():
    assert printable("a\x1b[31m b\nfake line") == "a\\x1b[31m b\\x0afake line"


def test_where_a_text_is_cut_no_beginning_of_a_secret_is_left():
    assert redacted(["hunter2"], "hunter2 or hunter2", 15) == "*** or …"


def test_the_outline_of_a_value_is_as_deep_as_is_asked_for():
    value = {"name": "x", "icons": [{"src": {"deep": {}}}]}
    assert outline(value, 2) == {"name": "x", "icons": ["…"]}


def test_the_outline_of_a_value_has_no_secret_in_it():
    hidden.add({"hunter22"})
    assert outline({"name": "by hunter22", "hunter22": ["x" * 198 + "hunter22"]}) == {
        "name": "by ***", "***": ["x" * 198 + "…"]}


def test_a_secret_that_another_has_replaced_is_hidden_for_a_while_yet():
    hidden.add({"token-0"})
    for number in range(MOST_LATE):
        hidden.add({f"token-{number + 1}"}, instead_of={f"token-{number}"})
    assert "token-0" in hidden.texts and f"token-{MOST_LATE}" in hidden.texts
    hidden.add({"token-0"}, instead_of={f"token-{MOST_LATE}"})      # it has come back
    for number in range(MOST_LATE):
        hidden.add(set(), instead_of={f"code-{number}"})
    assert hidden.texts == ("token-0",)
