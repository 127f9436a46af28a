"""Which calls of one reply may be executed at the same time. Pure."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

T = TypeVar("T")


def batches(calls: Sequence[T], may_join: Callable[[T], bool]) -> Iterator[list[T]]:
    """Yield the calls in their order: neighbours that may join together, all others alone."""
    for joined, group in groupby(calls, may_join):
        if joined:
            yield list(group)
        else:
            yield from ([call] for call in group)
