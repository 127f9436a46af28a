"""Who may command by NATS, and as whom: from the operator's configuration only. Pure.

A tenant is a token of the subject that his NATS permissions let him publish on; nothing in
a message can name another one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_TENANT = re.compile(r"[A-Za-z0-9_-]{1,63}")
_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_PLACE = re.compile(rf"({_LABEL})/({_LABEL}(\.{_LABEL})*)")


class BadTenant(ValueError):
    """The configuration cannot be used; the message says which part and how it must look."""


@dataclass(frozen=True)
class Tenant:
    """One tenant: where its tasks go, and the service account that creates them."""

    name: str
    namespace: str
    service_account: str

    @property
    def user(self) -> str:
        """The name by which RBAC and policy know the service account."""
        return f"system:serviceaccount:{self.namespace}:{self.service_account}"


@dataclass(frozen=True)
class Tenants:
    """All tenants; none = there are no commands by NATS."""

    by_name: Mapping[str, Tenant] = field(default_factory=dict)
    default: str = ""
    """Whose the plain subjects are; empty = nobody's."""

    def find(self, name: str) -> Tenant | None:
        """Return the tenant; an empty name means the default one."""
        return self.by_name.get(name or self.default)


def read_tenants(text: str, default: str) -> Tenants:
    """Return the tenants of `name=namespace/service-account,...`; raises BadTenant."""
    found: dict[str, Tenant] = {}
    for entry in (e.strip() for e in text.split(",") if e.strip()):
        tenant = _read_tenant(entry)
        if tenant.name in found:
            raise BadTenant(f"tenant {tenant.name!r} is there twice")
        found[tenant.name] = tenant
    if default and default not in found:
        raise BadTenant(f"the default tenant {default!r} is none of {', '.join(found) or 'none'}")
    return Tenants(found, default)


def _read_tenant(entry: str) -> Tenant:
    name, _, place = entry.partition("=")
    where = _PLACE.fullmatch(place.strip())
    if not _TENANT.fullmatch(name.strip()) or not where:
        raise BadTenant(f"must be name=namespace/service-account, comma separated, not {entry!r}")
    return Tenant(name.strip(), where[1], where[3])
