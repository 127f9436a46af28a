"""A kopf operator that does nothing but count what it sees: `kopf run -n NAMESPACE idle.py`.

Prints when it has seen EXPECTED objects, and at what time.
"""

import os
import time
from typing import Any

import kopf

SEEN: set[str] = set()


@kopf.on.login()
def login(**kwargs: Any) -> Any:
    """Log in as KUBECONFIG says."""
    return kopf.login_with_kubeconfig(**kwargs)


@kopf.on.event("agenttask.dev", "v1alpha1", "agenttasks")
async def see(name: str, **_: Any) -> None:
    """Count."""
    SEEN.add(name)
    if len(SEEN) == int(os.environ["EXPECTED"]):
        print("seen", time.time(), flush=True)
