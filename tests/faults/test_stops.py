"""A process that stands still keeps its lock, nobody takes anything away under it, and afterwards both finish."""

from __future__ import annotations

import pytest

from tests.faults.stops import FINISHED, LOCKED, MEETINGS, Meeting, every


@pytest.mark.parametrize("meeting", MEETINGS, ids=lambda meeting: meeting.name)
def test_a_stopped_process_and_one_that_comes_meanwhile(meeting: Meeting) -> None:
    found = every(meeting, 13)
    assert len(found) > 2
    assert LOCKED in found.values()
    assert set(found.values()) <= {LOCKED, *FINISHED}
