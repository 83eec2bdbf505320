"""The network policies, read as a plugin that enforces them would."""

from ipaddress import ip_address, ip_network

import pytest

from tests.fixtures.manifests import Manifest, of_kind, selects, targets, workloads


def test_a_pod_may_talk_only_as_a_policy_says(manifests: list[Manifest]) -> None:
    policies = {m["metadata"]["name"]: m["spec"] for m in of_kind(manifests, "NetworkPolicy")}
    deny = policies.pop("relora-default-deny")
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert deny.keys() == {"podSelector", "policyTypes"}
    for workload in workloads(manifests).values():
        assert selects(deny["podSelector"], workload)
    for name, policy in policies.items():
        assert any(selects(policy["podSelector"], w) for w in workloads(manifests).values()), name


def test_a_policy_lets_the_processes_reach_the_queue(manifests: list[Manifest]) -> None:
    policies = {m["metadata"]["name"]: m["spec"] for m in of_kind(manifests, "NetworkPolicy")}
    (rule,) = policies["relora-valkey"]["ingress"]
    allowed = {
        name
        for name, workload in workloads(manifests).items()
        if selects(rule["from"][0]["podSelector"], workload)
    }
    assert allowed == {"relora-api", "relora-worker", "relora-reaper"}


def test_names_are_asked_of_the_clusters_dns_alone(manifests: list[Manifest]) -> None:
    assert targets(manifests, "relora-dns") == [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {
                "matchExpressions": [{"key": "k8s-app", "operator": "In", "values": ["kube-dns"]}]
            },
        }
    ]


@pytest.mark.parametrize(
    ("address", "is_open"),
    [
        ("8.8.8.8", True),
        ("10.96.0.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("172.31.255.255", False),
        ("192.168.0.1", False),
        ("2001:4860:4860::8888", True),
        ("fd00:ec2::254", False),
        ("fe80::1", False),
        ("64:ff9b::808:808", True),
        ("64:ff9b::a60:1", False),
        ("64:ff9b::6440:1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("64:ff9b::ac1f:ffff", False),
        ("64:ff9b::c0a8:1", False),
    ],
)
def test_a_pod_reaches_the_internet_and_no_private_network(
    manifests: list[Manifest], address: str, *, is_open: bool
) -> None:
    blocks = [target["ipBlock"] for target in targets(manifests, "relora-internet")]
    assert is_open == any(
        ip_address(address) in ip_network(block["cidr"])
        and not any(ip_address(address) in ip_network(net) for net in block["except"])
        for block in blocks
    )


def test_every_rule_for_traffic_out_says_where_to(manifests: list[Manifest]) -> None:
    for policy in of_kind(manifests, "NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            assert rule["to"], policy["metadata"]["name"]
            assert rule["ports"], policy["metadata"]["name"]
