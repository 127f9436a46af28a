"""kopf's shell: nothing registered there may make kopf write to a task."""

import itertools

import kopf
from kopf._core.intents.registries import SmartOperatorRegistry

from agenttask_operator import handlers


def registry() -> SmartOperatorRegistry:
    found = kopf.get_default_registry()
    assert isinstance(found, SmartOperatorRegistry)
    return found


def test_only_events_are_handled():
    found = registry()
    assert {h.id for h in found._watching.get_all_handlers()} == {"on_class"}
    assert not found._changing.get_all_handlers()
    assert not found._spawning.get_all_handlers()
    assert not found._webhooks.get_all_handlers()


def test_retries_of_kopf_never_end_and_never_exceed_half_a_minute():
    delays = list(itertools.islice(handlers.Backoffs(), 200))
    assert len(delays) == 200
    assert max(delays) <= 30


async def test_settings_are_those_that_keep_the_process_up(monkeypatch):
    settings, memo = kopf.OperatorSettings(), kopf.Memo()
    handlers.tune(settings)
    assert not settings.posting.enabled
    assert settings.peering.standalone
    assert settings.scanning.disabled
    assert settings.queueing.worker_limit is None
    assert not settings.watching.initial_streaming
    assert isinstance(settings.watching.server_timeout, int)
    assert settings.watching.reconnect_backoff >= 1
    assert memo == {}
