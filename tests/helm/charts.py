"""The chart under test, with the two charts that it is made of: the real ones, or stand-ins."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import helm_python as helm
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "romanhub"
TIERS = ROOT / "hub_config" / "tiers.yaml"
DATASETS = ROOT / "hub_config" / "datasets.yaml"

#: A folder with the real charts, unpacked or packed: jupyterhub and dask-gateway of the versions in Chart.yaml.
CHARTS = "ROMANHUB_CHARTS"

#: A folder with the real charts' schemas, for where the charts are not; CI has one beside the checkout.
SCHEMAS = Path(os.environ.get("ROMANHUB_SCHEMAS", ROOT.parent / "shared" / "schemas"))

NAMESPACE, RELEASE = "roman", "romanhub"

#: What an operator has to say at least.
VALUES: dict[str, Any] = {
    "global": {"romanhub": {"url": "https://hub.example.org"}},
    "tiers": TIERS.read_text(),
    "datasets": DATASETS.read_text(),
}

#: What adds the community to them.
COMMUNITY: dict[str, Any] = {"global": {"romanhub": {"community": {"bucket": "my-community"}}}}

#: Shows what reaches a chart, as data of a ConfigMap.
_ECHO = """apiVersion: v1
kind: ConfigMap
metadata: {name: values-of-%s}
data:
  values: {{ .Values | toJson | quote }}
"""


def with_values(*more: dict[str, Any]) -> dict[str, Any]:
    """The least values, with others over them."""
    found = VALUES
    for one in more:
        found = _over(found, one)
    return found


def _over(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _over(merged[key], value) if both else value
    return merged


def dependencies() -> dict[str, str]:
    """The charts that ours is made of, with their versions."""
    said = yaml.safe_load((CHART / "Chart.yaml").read_text())
    return {one["name"]: one["version"] for one in said["dependencies"]}


def schema_of(name: str) -> dict[str, Any] | None:
    """The real schema of one of them, where there is one on this machine.

    Without what it requires: the real chart's own values say that, and a stand-in has none.
    """
    path = SCHEMAS / f"{name}-{dependencies()[name]}.values.schema.json"
    return _nothing_required(json.loads(path.read_text())) if path.is_file() else None


def _nothing_required(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_nothing_required(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _nothing_required(one)
        for key, one in schema.items()
        if not (key == "required" and isinstance(one, list))
    }


def assembled(folder: Path, real: Path | None = None) -> Path:
    """A copy of our chart in a folder, with the charts that it is made of; returns the copy."""
    copy = folder / "romanhub"
    shutil.copytree(CHART, copy, ignore=shutil.ignore_patterns("charts"))
    if real is not None:
        shutil.copytree(real, copy / "charts")
        return copy
    for name, version in dependencies().items():
        stand_in = copy / "charts" / name
        (stand_in / "templates").mkdir(parents=True)
        about = {"apiVersion": "v2", "name": name, "version": version, "description": "A stand-in."}
        (stand_in / "Chart.yaml").write_text(yaml.safe_dump(about))
        (stand_in / "templates" / "values.yaml").write_text(_ECHO % name)
        # Ours takes the images from it, and only what it says itself is there.
        (stand_in / "values.yaml").write_text("{}\n")
        if schema := schema_of(name):
            (stand_in / "values.schema.json").write_text(json.dumps(schema))
    return copy


@dataclass(frozen=True)
class Rendered:
    """What Helm makes of the chart."""

    objects: list[dict[str, Any]]

    def kind(self, kind: str) -> dict[str, dict[str, Any]]:
        """The objects of a kind, by name."""
        return {one["metadata"]["name"]: one for one in self.objects if one["kind"] == kind}

    def ours(self) -> list[dict[str, Any]]:
        """The objects of our own chart."""
        return [
            one
            for one in self.objects
            if one["metadata"].get("labels", {}).get("helm.sh/chart", "").startswith("romanhub-")
        ]

    def reached(self, chart: str) -> dict[str, Any]:
        """The values that reached a stand-in."""
        found: dict[str, Any] = json.loads(self.kind("ConfigMap")[f"values-of-{chart}"]["data"]["values"])
        return found


def render(chart: Path, values: dict[str, Any]) -> Rendered:
    """Render a chart, as an install does; raises helm's own errors."""
    with helm.Chart.load(chart) as loaded:
        # An install checks the values first; rendering alone does not.
        loaded.validate_schema(values)
        files = loaded.render(values, name=RELEASE, namespace=NAMESPACE, is_install=True)
    texts = [text for name, text in files.items() if not name.endswith("NOTES.txt")]
    documents = [one for text in texts for one in yaml.safe_load_all(text) if isinstance(one, dict)]
    return Rendered([one for one in documents if "kind" in one])


def pods(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The templates of pods in objects, by kind and name; those that run none are left out."""
    found = {}
    for one in objects:
        spec = one.get("spec", {})
        if one["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "template" in spec and spec.get("replicas") != 0:
            found[f"{one['kind']}/{one['metadata']['name']}"] = spec["template"]
    return found
