"""How API objects become Python: camelCase outside, snake_case inside.

Unknown fields are refused, as the API server refuses them under strict field
validation: a misspelt field must never be taken for a default.
"""

import re

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from agenttask_api.names import GROUP as GROUP

VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


_INITIALISM = re.compile(r"(?<=[a-z])(Id|Uid|Sha)(?=[A-Z]|$)")


def api_name(field: str) -> str:
    """Return the JSON name: `max_items` as maxItems, `pod_uid` as podUID.

    Kubernetes writes an initialism after the first word in capitals.
    """
    return _INITIALISM.sub(lambda found: found[0].upper(), to_camel(field))


class APIModel(BaseModel):
    """An immutable value of the API.

    No program uses all of them, so each validator is built when first needed.
    """

    model_config = ConfigDict(
        alias_generator=api_name,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        defer_build=True,
    )

    def to_api(self) -> dict[str, object]:
        """Return the JSON form: camelCase keys, unset optional fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class OpenAPIModel(APIModel):
    """A value written by another version of us, so unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore")
