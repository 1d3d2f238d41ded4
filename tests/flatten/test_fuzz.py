"""The short form of soak/fuzz_answers.py."""

from __future__ import annotations

from soak import fuzz_answers


def test_150_damaged_answers_give_frames_or_a_pulse_error() -> None:
    ends = fuzz_answers.fuzz(count=150, seed=7)
    assert ends.total() == 150
    assert set(ends) == {"frames", "frames, with drift", "frames, and rejected rows", "MalformedAnswer"}
