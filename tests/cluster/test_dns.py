import json

from agenttask_cluster import dns


def test_names_outside_are_forwarded_only_by_wish():
    assert "forward" not in dns.render_corefile(None)
    assert "forward . 192.0.2.53" in dns.render_corefile("192.0.2.53")


def test_dns_service_has_the_address_that_pods_ask(layout):
    items = json.loads(dns.render(layout, None))["items"]
    services = [item for item in items if item["kind"] == "Service"]
    assert [service["spec"]["clusterIP"] for service in services] == [str(layout.dns_service)]


def test_dns_runs_without_privileges(layout):
    items = json.loads(dns.render(layout, None))["items"]
    pod = next(item for item in items if item["kind"] == "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
