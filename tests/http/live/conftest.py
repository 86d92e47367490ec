import pytest

from browser import LivePage


@pytest.fixture
def open_page(tmp_path):
    """open_page(running) opens its live page in a browser."""
    opened = []

    def open_it(running):
        opened.append(LivePage(running, tmp_path / f"browser-{len(opened)}"))
        return opened[-1]
    yield open_it
    for page in opened:
        page.end()
