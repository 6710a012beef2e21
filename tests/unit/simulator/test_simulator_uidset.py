"""Sequence sets: what a client asks for with `2,4:7,9:*`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmail_ingest.errors import ProtocolError
from fastmail_ingest.simulator.uidset import UidSet, compact

UIDS = [2, 3, 5, 8, 13]


def chosen(text: bytes, numbers: list[int]) -> list[int]:
    return [numbers[at] for at in UidSet.parse(text).indices(numbers)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"3", [3]),
        (b"4", []),
        (b"3:8", [3, 5, 8]),
        (b"8:3", [3, 5, 8]),
        (b"*", [13]),
        (b"5:*", [5, 8, 13]),
        (b"*:5", [5, 8, 13]),
        (b"1:*", UIDS),
        (b"13,2", [2, 13]),
        (b"2:5,3:8", [2, 3, 5, 8]),
        (b"2,2,2:3", [2, 3]),
    ],
)
def test_names_each_number_once_and_rising(text: bytes, expected: list[int]) -> None:
    assert chosen(text, UIDS) == expected


@pytest.mark.parametrize("text", [b"14:*", b"4294967295:*", b"*:999"])
def test_a_range_to_the_star_always_holds_the_last_mail(text: bytes) -> None:
    assert chosen(text, UIDS) == [13]


@pytest.mark.parametrize("text", [b"1:*", b"*", b"7"])
def test_an_empty_mailbox_has_nothing_to_choose(text: bytes) -> None:
    assert chosen(text, []) == []


@pytest.mark.parametrize(
    "text", [b"", b"0", b"0:*", b"a", b"1,", b",1", b"1:2:3", b"-1", b"1 2", b"4294967296"]
)
def test_refuses_what_the_grammar_does_not_allow(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        UidSet.parse(text)


ends = st.one_of(st.integers(1, 40), st.just("*"))


@given(st.lists(st.tuples(ends, ends), min_size=1, max_size=6), st.sets(st.integers(1, 30), min_size=1))
def test_agrees_with_the_definition(ranges: list[tuple[int | str, int | str]], uids: set[int]) -> None:
    numbers = sorted(uids)
    text = ",".join(f"{first}:{last}" for first, last in ranges).encode()
    pairs = [[numbers[-1] if end == "*" else int(end) for end in pair] for pair in ranges]
    expected = [uid for uid in numbers if any(min(pair) <= uid <= max(pair) for pair in pairs)]
    assert chosen(text, numbers) == expected


@given(st.sets(st.integers(1, 60), min_size=1))
def test_compact_says_the_same(uids: set[int]) -> None:
    assert chosen(compact(sorted(uids)), sorted(uids)) == sorted(uids)
