"""A queue of keys: each key at most once in it, and at most one worker on a key.

As client-go's: a key added while it is being worked on is due again afterwards, so
no change is lost and none is handled twice at the same time. Failures come back
later and later, with jitter, so that a broken object costs nothing.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable

BACKOFF_FIRST_SECONDS = 0.2
BACKOFF_LAST_SECONDS = 300.0

Schedule = Callable[[float, Callable[[], None]], asyncio.TimerHandle | None]


class WorkQueue[K]:
    """Keys that are due, or will be."""


