"""Rows of tables become objects again, with the cells that are wanted."""

from pathlib import Path

import yaml
from tests.operator.builders import task_object
from tests.operator.taskwatches import line, table

from agenttask_operator.tables import ROSTER_COLUMNS, column_names, read_bookmark, read_rows

CRD = Path(__file__).parents[2] / "crds" / "agenttask.yaml"


def test_rows_are_lines():
    obj = task_object({"phase": "Failed", "observedGeneration": 1})
    found = table([obj], "7")
    assert read_rows(found, column_names(found), ROSTER_COLUMNS) == [line(obj)]


def test_unwanted_metadata_and_cells_are_left_out():
    names, metadata = ("Name", "Phase"), {"name": "a", "managedFields": [1], "annotations": {}}
    row = {"cells": ["a", "Failed"], "object": {"metadata": metadata}}
    found = read_rows({"rows": [row]}, names, ("Phase", "Unsent"))
    assert found == [{"metadata": {"name": "a"}, "cells": {"Phase": "Failed"}}]


def test_table_without_rows_is_a_bookmark():
    assert read_bookmark(table([], "7")) == {"metadata": {"resourceVersion": "7"}}


def test_columns_are_those_of_the_resource():
    resource = yaml.safe_load(CRD.read_text("utf-8"))
    columns = resource["spec"]["versions"][0]["additionalPrinterColumns"]
    assert set(ROSTER_COLUMNS) <= {column["name"] for column in columns}
