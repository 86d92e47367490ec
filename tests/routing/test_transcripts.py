"""Every file in transcripts/ is replayed against a real router, see tests/replay.py."""

from pathlib import Path

import pytest

from replay import Replay

FOLDER = Path(__file__).parent / "transcripts"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_transcript(path):
    Replay().run(path.read_text("utf-8"))
