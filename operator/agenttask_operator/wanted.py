"""What the settings want of each part, in the part's own terms."""

from agenttask_operator.classstatus import Wall
from agenttask_operator.facts import Defaults
from agenttask_operator.outbox import Access, Outbox
from agenttask_operator.settings import Settings
from agenttask_operator.turns import Limits


def open_outbox(settings: Settings) -> Outbox | None:
    """Return what speaks to NATS, not yet started; None where there is none."""
    access = Access(settings.nats_creds, settings.nats_nkey, settings.nats_tls)
    return Outbox(settings.nats_url, access) if settings.nats_url else None


def defaults_of(settings: Settings) -> Defaults:
    """Return what holds for every task whose class says nothing else."""
    return Defaults(
        settings.agent_image,
        settings.nats_url,
        settings.cluster_id,
        settings.egress,
        settings.otlp_endpoint,
    )


def limits_of(settings: Settings) -> Limits:
    """Return how many tasks may run."""
    return Limits(settings.max_tasks, settings.max_tasks_per_namespace)


def wall_of(settings: Settings) -> Wall:
    """Return what is around the pods, as far as whoever installed us says."""
    made = settings.egress is not None
    return Wall(made, settings.egress_enforced, settings.nats_url, settings.otlp_endpoint)
