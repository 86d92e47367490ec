"""Random histories, see tests/histories.py."""

from hypothesis import settings

from histories import History

TestHistory = History.TestCase
TestHistory.settings = settings(stateful_step_count=60)
