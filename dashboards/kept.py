"""Kept: answers that are held between requests as far as there is room for them, shared by all threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

__all__ = ["Kept"]

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")


class Kept(Generic[Key, Answer]):
    """Holds answers as far as there is room for them; what was not asked for the longest goes first.

    What comes in together stays together, even where it is larger than all the room. No lock is held while an answer
    is found, so two threads may find one and the same at once; the later is kept.

    Parameters
    ----------
    room : int
        Sum of the sizes that are held.
    size : callable
        Answer -> int; each counts as one when left out.

    Attributes
    ----------
    room : int
    used : int
        Sum of the sizes of what is held now.
    """

    def __init__(self, room: int, size: Callable[[Answer], int] = lambda _: 1) -> None:
        self.room, self.used = room, 0
        self._size = size
        self._lock = threading.Lock()
        self._held: OrderedDict[Key, tuple[Answer, int]] = OrderedDict()  # with their sizes, the last asked last

    def among(self, keys: Iterable[Key]) -> dict[Key, Answer]:
        """Return those of some answers that are held, by key."""
        found = {}
        with self._lock:
            for key in keys:
                if key in self._held:
                    self._held.move_to_end(key)
                    found[key] = self._held[key][0]
        return found

    def add(self, answers: Mapping[Key, Answer]) -> None:
        """Hold some answers, by key; others go where there is no room for all."""
        sized = {key: (answer, self._size(answer)) for key, answer in answers.items()}
        with self._lock:
            for key, entry in sized.items():
                self.used += entry[1] - self._held.pop(key, (None, 0))[1]
                self._held[key] = entry
            while self.used > self.room and len(self._held) > len(sized):
                self.used -= self._held.popitem(last=False)[1][1]

    def get(self, key: Key, find: Callable[[], Answer]) -> Answer:
        """Return an answer, found now if it is not held."""
        known = self.among([key])
        if not known:
            known[key] = find()
            self.add(known)
        return known[key]

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._held.clear()
            self.used = 0
