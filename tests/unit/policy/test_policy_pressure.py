"""When fetching pauses, and when it goes on."""

from hypothesis import given
from hypothesis import strategies as st

from fastmail_ingest.policy.pressure import Load, Marks, too_full

MARKS = Marks(mails=1000, size=10_000_000, memory=0.8)
LOADS = st.builds(Load, mails=st.integers(0, 5000), size=st.integers(0, 50_000_000), memory=st.floats(0, 1))


def test_each_mark_pauses_and_says_why() -> None:
    assert too_full(MARKS, Load(), pausing=False) == ""
    assert "1000 mails wait" in too_full(MARKS, Load(mails=1000), pausing=False)
    assert "10 MB of mail" in too_full(MARKS, Load(size=10_000_000), pausing=False)
    assert "80% of its memory" in too_full(MARKS, Load(memory=0.8), pausing=False)


@given(LOADS)
def test_whatever_pauses_does_not_go_on_at_once(load: Load) -> None:
    if too_full(MARKS, load, pausing=False):
        assert too_full(MARKS, load, pausing=True)


@given(LOADS)
def test_an_emptier_stream_goes_on(load: Load) -> None:
    if not too_full(MARKS, load, pausing=True):
        assert not too_full(MARKS, Load(load.mails // 2, load.size // 2, load.memory / 2), pausing=True)


def test_a_limit_that_nobody_knows_pauses_nothing() -> None:
    assert too_full(MARKS, Load(memory=0.0), pausing=True) == ""
