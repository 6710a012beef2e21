"""The line's arithmetic, with a clock in the test's hand."""

from hypothesis import given
from hypothesis import strategies as st

from fastmail_ingest.simulator.line import Line, Way

SECOND_BYTES = 1000
DSL = Line(delay_s=0.5, bytes_per_s=SECOND_BYTES)


def arrived(way: Way, line: Line, now: float) -> bytes:
    return b"".join(way.take(line, now))


def test_nothing_arrives_before_the_delay() -> None:
    way = Way()
    way.put(b"x", 10.0)
    line = Line(delay_s=0.5)
    assert arrived(way, line, 10.0) == b""
    assert arrived(way, line, 10.49) == b""
    assert way.next_at() == 10.5
    assert arrived(way, line, 10.5) == b"x"
    assert not way


def test_bytes_come_at_the_rate_of_the_line_and_not_all_at_once() -> None:
    way = Way()
    way.put(bytes(3 * SECOND_BYTES), 0.0)
    counts = [len(arrived(way, DSL, 0.5 + second)) for second in (0.0, 0.999, 2.0, 3.0)]
    assert counts[0] == 0
    assert counts[1] in (998, 999)  # the last of them arrives in this very instant, as far as floats can tell
    assert sum(counts) == 3 * SECOND_BYTES
    assert way.held_bytes == 0


def test_who_looks_late_gets_all_that_had_time_to_come() -> None:
    way = Way()
    way.put(bytes(3 * SECOND_BYTES), 0.0)
    assert len(arrived(way, DSL, 2.5)) >= 2 * SECOND_BYTES - 1


def test_an_idle_line_saves_up_nothing() -> None:
    way = Way()
    way.put(b"x", 0.0)
    assert arrived(way, DSL, 1.0) == b"x"
    way.put(bytes(SECOND_BYTES), 100.0)
    assert len(arrived(way, DSL, 101.0)) <= SECOND_BYTES / 2 + 1


def test_a_line_of_one_byte_a_second_that_gets_well() -> None:
    way, ill, well = Way(), Line(bytes_per_s=1.0), Line(bytes_per_s=1e6)
    way.put(bytes(1000), 0.0)
    assert len(arrived(way, ill, 5.5)) == 5
    way.line_changed(6.0)
    assert len(arrived(way, well, 7.0)) == 995


@given(
    st.lists(st.tuples(st.binary(max_size=300), st.floats(0, 3)), max_size=30),
    st.lists(st.tuples(st.floats(0, 0.5), st.sampled_from([0.0, 1.0, 50.0, 1e4])), min_size=1, max_size=5),
)
def test_all_bytes_arrive_once_and_in_order(
    sent: list[tuple[bytes, float]], lines: list[tuple[float, float]]
) -> None:
    way, now, got = Way(), 0.0, b""
    for number, (data, pause_s) in enumerate(sent):
        line = Line(*lines[number % len(lines)])
        way.line_changed(now)
        way.put(data, now)
        now += pause_s
        got += arrived(way, line, now)
        assert len(got) + way.held_bytes == sum(len(each) for each, _ in sent[: number + 1])
    while way:
        now = max(now, way.next_at())
        got += arrived(way, Line(0.1, 1e3), now)
    assert got == b"".join(data for data, _ in sent)
