"""Tests that a bundle's files for Kubernetes and Docker Compose match the official schemas, without a network."""

import copy
import json
import re
from pathlib import Path

import pytest

pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api, the official messages")

import yaml
from served import tiny_bundle

# The oldest and the newest version that kubernetes-validate contains. The oldest one has all kinds used here.
VERSIONS = ("1.25", "1.37")
OF_KUSTOMIZE = {"kustomization.yaml"}


def load(name):
    return yaml.safe_load((tiny_bundle() / name).read_text("utf-8"))


def manifests() -> dict[str, dict]:
    paths = sorted((tiny_bundle() / "kubernetes").glob("*.yaml"))
    return {path.name: load(f"kubernetes/{path.name}") for path in paths if path.name not in OF_KUSTOMIZE}


def merged(base, patch):
    """Merges as Kustomize does: objects by key, and lists of named objects by name. Other lists are replaced."""
    if isinstance(base, dict) and isinstance(patch, dict):
        return base | {key: merged(base[key], value) if key in base else value for key, value in patch.items()}
    if isinstance(base, list) and all(isinstance(part, dict) and "name" in part for part in [*base, *patch]):
        parts = {part["name"]: part for part in base}
        for part in patch:
            parts[part["name"]] = merged(parts.get(part["name"], {}), part)
        return list(parts.values())
    return patch


def on_gpus() -> dict[str, dict]:
    overlay = load("kubernetes-gpu/kustomization.yaml")
    assert overlay["resources"] == ["../kubernetes"]
    patches = [patch["path"] for patch in overlay["patches"]]
    found = manifests()
    for name in patches:
        patch = load(f"kubernetes-gpu/{name}")
        # Kustomize finds the object to patch by these fields.
        for key in ("apiVersion", "kind"):
            assert patch[key] == found[name][key]
        assert patch["metadata"]["name"] == found[name]["metadata"]["name"]
        found[name] = merged(found[name], patch)
    return {name: found[name] for name in patches}


def validate(document: dict, version: str) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="needs pip install '.[test]'")
    kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_fit_the_schemas_of_kubernetes(version):
    found = manifests()
    assert {document["kind"] for document in found.values()} == {
        "Deployment", "Service", "PersistentVolumeClaim", "Pod", "PodDisruptionBudget",
        "NetworkPolicy",
    }  # fmt: skip
    for document in [*found.values(), *on_gpus().values()]:
        validate(document, version)


def test_a_misspelt_field_is_found():
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="needs pip install '.[test]'")
    document = copy.deepcopy(manifests()["deployment.yaml"])
    document["spec"]["template"]["spec"]["containers"][0]["resource"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="resource"):
        validate(document, VERSIONS[-1])


def compose_schema() -> dict:
    pytest.importorskip("check_jsonschema", reason="needs pip install '.[test]'")
    from importlib.resources import files

    folder = files("check_jsonschema") / "builtin_schemas" / "vendor"
    return json.loads((folder / "compose-spec.json").read_text("utf-8"))


def test_compose_files_fit_the_schema_of_compose():
    jsonschema = pytest.importorskip("jsonschema", reason="needs pip install '.[test]'")
    schema = compose_schema()
    plain, gpu = load("docker-compose.yml"), load("docker-compose.gpu.yml")
    together = merged(plain, gpu)
    for document in (plain, gpu, together):
        jsonschema.validate(document, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"services": {"serving": {"imagee": "x"}}}, schema)

    limits = plain["services"]["serving"]["deploy"]["resources"]["limits"]
    assert limits == {"cpus": "2", "memory": "2G"}
    resources = together["services"]["serving"]["deploy"]["resources"]
    assert resources["limits"]["cpus"] == "2"
    assert resources["reservations"]["devices"] == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
    images = [document["services"]["serving"]["image"] for document in (plain, gpu)]
    assert images[1] == f"{images[0]}-gpu"


def test_the_page_lists_the_tags_that_bundles_name():
    from keras_audiosr.serving.bundle import ASSUMED_TAGS

    page = (Path(__file__).parents[1] / "docs" / "serving.md").read_text("utf-8")
    assert dict(re.findall(r"^\| (\d+\.\d+) \| (\d\S*) \| never \|$", page, re.MULTILINE)) == ASSUMED_TAGS


def test_kustomization_names_every_manifest_but_the_pod_that_fills():
    kustomization = load("kubernetes/kustomization.yaml")
    assert (kustomization["apiVersion"], kustomization["kind"]) == (
        "kustomize.config.k8s.io/v1beta1", "Kustomization",
    )  # fmt: skip
    assert set(kustomization) == {"apiVersion", "kind", "resources"}
    assert sorted(kustomization["resources"]) == sorted(set(manifests()) - {"fill.yaml"})


def test_manifests_fit_each_other():
    found = manifests()
    deployment, claim, fill = (found[f"{name}.yaml"] for name in ("deployment", "claim", "fill"))
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert found["pdb.yaml"]["spec"]["selector"]["matchLabels"] == labels
    policy = found["networkpolicy.yaml"]["spec"]
    assert policy["podSelector"]["matchLabels"] == labels
    # With labels of its own, the pod gets no requests from the service and is not counted by the disruption budget.
    assert fill["metadata"]["labels"] != labels
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    open_ports = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    assert open_ports == {port["containerPort"] for port in container["ports"]}
    assert (policy["policyTypes"], policy["egress"]) == (["Ingress", "Egress"], [])
    claims = [
        next(v["persistentVolumeClaim"] for v in spec["volumes"] if v["name"] == "bundle")
        for spec in (deployment["spec"]["template"]["spec"], fill["spec"])
    ]
    assert [volume["claimName"] for volume in claims] == [claim["metadata"]["name"]] * 2
    assert [volume.get("readOnly", False) for volume in claims] == [True, False]
    assert "ReadOnlyMany" in claim["spec"]["accessModes"]
    # At least one server must stay available while nodes are drained.
    assert deployment["spec"]["replicas"] > found["pdb.yaml"]["spec"]["maxUnavailable"]
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "2Gi"}


def test_the_gpu_variant_changes_image_device_and_numbers_alone():
    plain, gpu = manifests()["deployment.yaml"], on_gpus()["deployment.yaml"]
    (before,), (after,) = (spec["spec"]["template"]["spec"]["containers"] for spec in (plain, gpu))
    assert after["image"] == f"{before['image']}-gpu"
    assert after["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert {key for key in after if after[key] != before[key]} == {"image", "resources"}
