"""compose.yaml, as it is written."""

from typing import Any

import pytest
import yaml

from jobs.settings import Settings
from tests.fixtures.containers import ROOT
from tests.fixtures.manifests import K8S

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_the_containers_run_the_commands_of_the_pods() -> None:
    for service in ("generator", "reaper"):  # the others run the command of their image
        manifest = next(yaml.safe_load_all((K8S / f"base/{service}.yaml").read_text()))
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        assert COMPOSE["services"][service]["command"] == container["args"]


def test_the_containers_are_given_settings_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    environment: dict[str, Any] = COMPOSE["x-environment"]
    names = {name.removeprefix("RELORA_").lower() for name in environment if "RELORA_" in name}
    assert names <= Settings.model_fields.keys()
    monkeypatch.setenv("RELORA_DATABASE_URL", environment["RELORA_DATABASE_URL"])
    assert Settings().database_url.startswith("postgresql")


def test_only_the_api_is_reachable_and_from_this_machine_alone() -> None:
    published = {
        name: service["ports"]
        for name, service in COMPOSE["services"].items()
        if "ports" in service
    }
    assert published == {"api": ["127.0.0.1:${PORT:-8000}:8000"]}


def test_only_our_processes_reach_the_internet() -> None:
    networks = COMPOSE["networks"]
    assert networks["inside"] == {"internal": True}
    for name in ("postgres", "valkey", "s3"):
        assert COMPOSE["services"][name]["networks"] == ["inside"]


def test_gpus_are_taken_only_where_they_are_asked_for() -> None:
    services = COMPOSE["services"]
    with_gpus = {name for name, service in services.items() if "deploy" in service}
    assert with_gpus == {name for name, service in services.items() if "profiles" in service}
    assert with_gpus == {"worker-gpu"}
