"""The published JSON Schemas, as a consumer in another language would use them."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parents[1] / "docs" / "schemas"


@cache
def validator(name: str) -> Draft202012Validator:
    schema = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def valid(name: str, payload: bytes) -> Any:
    """Return the payload, parsed; fails when it does not fit its schema."""
    found = json.loads(payload)
    validator(name).validate(found)
    return found


def fits(name: str, value: object) -> bool:
    return bool(validator(name).is_valid(value))
