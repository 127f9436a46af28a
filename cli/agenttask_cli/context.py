"""`agenttask context get`: what a finished task left for later ones."""

import asyncio

from agenttask_api.contextrecord import render_record
from agenttask_cli.contextstore import read_record
from agenttask_cli.errors import EX_SUCCEEDED
from agenttask_cli.natsbus import Access
from agenttask_cli.remote import say
from agenttask_courier.journal import clean


def get(access: Access, cluster_id: str, namespace: str, name: str, as_json: bool) -> int:
    """Print the record, as a later task would read it or as JSON; raises BadInput and Failed."""
    record = asyncio.run(read_record(access, cluster_id, namespace, name))
    if as_json:
        say(record.model_dump_json(indent=2))
        return EX_SUCCEEDED
    for line in render_record(record).splitlines():
        say(clean(line))
    return EX_SUCCEEDED
