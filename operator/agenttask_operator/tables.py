"""Tables, which the API server makes of objects: their metadata and their printer columns.

Pure. A table of tasks leaves out the spec and nearly all of the status. A row becomes an
object again: its metadata, cut to what we use, and `cells` by the names of the columns.
"""

from typing import Any

Object = dict[str, Any]

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
"""What to accept, so that a list or watch answers with tables."""

PHASE, OBSERVED, PUBLISHED, UNSENT = ROSTER_COLUMNS = ("Phase", "Observed", "Published", "Unsent")
"""Columns of the AgentTask resource that say whether anything is left to do for a task."""

METADATA = ("name", "namespace", "uid", "resourceVersion", "generation")


def column_names(table: Object) -> tuple[str, ...]:
    """Return the names of all columns; empty in a watch, but for its first table."""
    return tuple(column["name"] for column in table.get("columnDefinitions") or [])


def read_rows(table: Object, names: tuple[str, ...], wanted: tuple[str, ...]) -> list[Object]:
    """Return the rows of a table with these columns.

    Of the cells only the wanted ones are kept; a column that the resource does not have, as
    an older one, is missing.
    """
    return [_row(row, names, wanted) for row in table.get("rows") or []]


def read_bookmark(table: Object) -> Object:
    """Return what a table without rows says: the version, as a bookmark."""
    return {"metadata": {"resourceVersion": table["metadata"]["resourceVersion"]}}


def _row(row: Object, names: tuple[str, ...], wanted: tuple[str, ...]) -> Object:
    metadata = (row.get("object") or {}).get("metadata") or {}
    cells = dict(zip(names, row.get("cells") or [], strict=False))
    return {
        "metadata": {k: metadata[k] for k in METADATA if k in metadata},
        "cells": {k: cells[k] for k in wanted if k in cells},
    }
