"""The environment: read once, refused by name."""

import json

import pytest

from agenttask_operator.settings import BadSetting, read_settings

GOOD = {"AGENT_IMAGE": "agent:1"}


def test_only_the_image_is_needed():
    settings = read_settings(GOOD)
    assert (settings.agent_image, settings.nats_url, settings.namespaces) == ("agent:1", "", ())


def test_namespaces_are_a_set():
    assert read_settings(GOOD | {"NAMESPACES": "b, a,,b"}).namespaces == ("a", "b")


def test_empty_values_are_absent_ones():
    assert read_settings(GOOD | {"WORKERS": "", "CLUSTER_ID": " "}) == read_settings(GOOD)


def test_network_policies_are_made_when_their_rules_are_given():
    assert read_settings(GOOD).egress is None
    assert read_settings(GOOD | {"NETWORK_EGRESS": "[]"}).egress == ()
    rule = {"ports": [{"port": 53}]}
    assert read_settings(GOOD | {"NETWORK_EGRESS": json.dumps([rule])}).egress == (rule,)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AGENT_IMAGE", ""),
        ("NATS_URL", "http://nats"),
        ("WORKERS", "many"),
        ("WORKERS", "0"),
        ("RESYNC_SECONDS", "-1"),
        ("HTTP_ADDRESS", "8080"),
        ("HTTP_ADDRESS", "0.0.0.0:web"),
        ("LOG_LEVEL", "LOUD"),
        ("CLUSTER_ID", "two words"),
        ("CLUSTER_ID", "a.b"),
        ("TENANTS", "a=team"),
        ("TENANTS", "a=team/bridge"),
        ("DEFAULT_TENANT", "nobody"),
        ("NETWORK_EGRESS", "[{"),
        ("NETWORK_EGRESS", '{"to": []}'),
        ("EGRESS_ENFORCED", "Perhaps"),
    ],
)
def test_bad_value_is_refused_by_name(name, value):
    with pytest.raises(BadSetting, match=name):
        read_settings(GOOD | {name: value})


def test_tenants_come_from_the_environment():
    given = {"NATS_URL": "nats://n:4222", "TENANTS": "a=team/bridge", "DEFAULT_TENANT": "a"}
    tenant = read_settings(GOOD | given).tenants.find("")
    assert tenant
    assert tenant.user == "system:serviceaccount:team:bridge"
    with pytest.raises(BadSetting, match="NAMESPACES"):
        read_settings(GOOD | given | {"NAMESPACES": "other"})
