"""Answers held between requests: how much, which, and by many threads at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from gradscope.dashboards.kept import Kept


@pytest.fixture
def asked() -> list[int]:
    return []


def finding(number: int, asked: list[int]) -> Callable[[], str]:
    """Return how to find an answer; that it was looked for is noted."""

    def find() -> str:
        asked.append(number)
        return str(number)

    return find


def test_what_was_not_asked_for_the_longest_goes_first(asked):
    kept: Kept[int, str] = Kept(3)
    for number in (0, 1, 2, 0, 3, 0, 1):
        assert kept.get(number, finding(number, asked)) == str(number)
    assert asked == [0, 1, 2, 3, 1]
    assert kept.among([3, 7, 0]) == {3: "3", 0: "0"}  # and counts as asking
    kept.get(8, finding(8, asked))
    assert kept.among(range(10)) == {0: "0", 3: "3", 8: "8"}


def test_what_comes_together_stays_together_and_one_too_large_alone():
    kept: Kept[int, str] = Kept(10, len)
    kept.add({0: "four"})
    kept.add(dict.fromkeys(range(1, 6), "four"))
    assert (kept.used, sorted(kept.among(range(9)))) == (20, [1, 2, 3, 4, 5])
    kept.add({1: "eight...", 6: "x"})  # one that is held already counts once, with its size of now
    assert (kept.used, kept.among(range(9))) == (9, {1: "eight...", 6: "x"})
    kept.add({7: "larger than all the room"})
    assert (kept.used, list(kept.among(range(9)))) == (24, [7])
    kept.clear()
    assert (kept.used, kept.among(range(9))) == (0, {})


def test_an_answer_that_cannot_be_found_is_asked_for_again(asked):
    kept: Kept[int, str] = Kept(2)
    with pytest.raises(ZeroDivisionError):
        kept.get(1, lambda: str(1 // 0))
    assert kept.get(1, finding(1, asked)) == "1"


def test_threads_share_it():
    kept: Kept[int, str] = Kept(20, len)

    def work(thread: int) -> None:
        for number in range(2000):
            key = (number * (thread + 1)) % 30
            assert kept.get(key, finding(key, [])) == str(key)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert kept.used == sum(map(len, kept.among(range(30)).values())) <= 20
