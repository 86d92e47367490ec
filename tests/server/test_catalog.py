"""upstreams/catalog.py: names out and home again."""

from hypothesis import given
from hypothesis import strategies as st

from upstreams.config.entries import Entry
from upstreams.server.catalog import (LONGEST_TOOL_NAME, PROMPTS, RESOURCES, TOOLS, Catalog,
                                      made_from, outer_name)

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=120)


@given(st.lists(NAMES, unique=True, max_size=20))
def test_every_tool_is_found_again_by_the_name_that_clients_see(names):
    catalog = Catalog(Entry("server", prefix="server__"))
    seen = catalog.learn(TOOLS, [{"name": name, "future": [1]} for name in names])
    assert [catalog.inner_name(TOOLS, item["name"]) for item in seen] == names
    assert all(len(item["name"]) <= LONGEST_TOOL_NAME for item in seen)
    assert all(item["future"] == [1] for item in seen)


def test_a_cut_name_is_the_same_after_every_restart_and_differs_from_its_neighbours():
    one, other = "x" * 80 + "1", "x" * 80 + "2"
    assert outer_name(TOOLS, "s__", one) == outer_name(TOOLS, "s__", one)
    assert outer_name(TOOLS, "s__", one) != outer_name(TOOLS, "s__", other)


def test_the_names_of_prompts_are_not_cut():
    assert outer_name(PROMPTS, "s__", "x" * 100) == "s__" + "x" * 100


def test_a_name_with_the_prefix_is_the_servers_to_judge_even_if_it_did_not_list_it():
    catalog = Catalog(Entry("s", prefix="s__", deny=("hidden",)))
    catalog.learn(TOOLS, [{"name": "old"}])
    assert catalog.inner_name(TOOLS, "s__new") == "new"
    assert catalog.inner_name(TOOLS, "other__new") is None
    assert catalog.inner_name(TOOLS, "s__hidden") is None


def test_a_pattern_that_no_tool_fits_is_told():
    catalog = Catalog(Entry("s", allow=("read_*", "wirte"), deny=("delet_*", "read_[[]x]", "*")))
    catalog.learn(TOOLS, [{"name": "read_a"}, {"name": "write"}])
    assert list(catalog.name_problems()) == [
        '"tools.allow" in its config is for wirte, which fits no tool of it',
        '"tools.deny" in its config is for delet_*, which fits no tool of it',
        '"tools.deny" in its config is for read_[x], which fits no tool of it']


def test_under_another_entry_everything_has_its_name_by_that():
    catalog = Catalog(Entry("s", prefix="s__", deny=("b",)))
    for method in TOOLS, PROMPTS:
        catalog.learn(method, [{"name": name} for name in "abc"])
    catalog.learn(RESOURCES, [{"uri": "r:/"}])
    other = catalog.under(Entry("s", prefix="p__", deny=("c",), rename=(("a", "z"),)))
    assert other.known[TOOLS] == {"p__z": "a", "p__b": "b"}
    assert other.known[PROMPTS] == {"p__z": "a", "p__b": "b", "p__c": "c"}
    assert other.known[RESOURCES] == catalog.known[RESOURCES]
    assert other.remembered(TOOLS) == catalog.remembered(TOOLS)
    assert other.names() == catalog.names()


def test_a_cut_name_that_was_never_listed_stands_for_no_name():
    catalog = Catalog(Entry("s", prefix="s__"))
    assert catalog.inner_name(TOOLS, outer_name(TOOLS, "s__", "x" * 80)) is None


def test_items_that_are_none_are_left_out():
    catalog = Catalog(Entry("s", prefix="s__"))
    assert catalog.learn(TOOLS, [1, {}, {"name": 2}, {"name": "a"}]) == [{"name": "s__a"}]


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_a_template_could_have_made_what_it_makes(before, value, after):
    before, after = before.replace("{", ""), after.replace("{", "")
    assert made_from(f"{before}{{v}}{after}", before + value + after)


def test_a_template_full_of_expressions_costs_nothing():
    template = "{a}x" * 200
    assert made_from(template, "x" * 200)
    assert not made_from(template, "x" * 199 + "y" * 100_000)
