"""`agenttask context get`: what a finished task left for later ones."""

from agenttask_api.contextrecord import render_record
from agenttask_cli.contextstore import Store, StoreError, read_record
from agenttask_cli.errors import EX_SUCCEEDED
from agenttask_cli.remote import say
from agenttask_courier.journal import clean


def get(store: Store, namespace: str, name: str, as_json: bool) -> int:
    """Print the record, as a later task would read it or as JSON; raises StoreError."""
    record = read_record(store, namespace, name)
    if record is None:
        raise StoreError(
            f"no record of task {namespace}.{name} in cluster {store.cluster_id!r}: it has not"
            " finished, or another cluster's operator wrote it (--cluster-id)"
        )
    if as_json:
        say(record.model_dump_json(indent=2))
        return EX_SUCCEEDED
    for line in render_record(record).splitlines():
        say(clean(line))
    return EX_SUCCEEDED
