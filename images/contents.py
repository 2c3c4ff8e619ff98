"""Write down what is in an image: an SBOM in CycloneDX's form, and the same as a list for people.

Run while an image is built, by the Python of `images/tools.lock`, on the system that the image will have.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

#: The names of the two files.
SBOM, LIST = "sbom.cdx.json", "contents.md"

#: The kinds of packages, as package URLs call them, with what the list calls them.
TITLES = {"pypi": "Python", "npm": "JavaScript", "deb": "Debian"}


def main() -> None:
    """Write the two files into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="the image's name")
    parser.add_argument("--python", type=Path, required=True, help="the environment's folder")
    parser.add_argument("--node", type=Path, help="the folder that holds node_modules")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write into")
    given = parser.parse_args()
    components = [*_python(given.python), *_debian()]
    if given.node is not None:
        components += _node(given.node)
    given.output.mkdir(parents=True, exist_ok=True)
    bom = Bom(components=components)
    bom.metadata.component = Component(name=f"romanhub/{given.name}", type=ComponentType.CONTAINER)
    bom.register_dependency(bom.metadata.component, components)
    outputter = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6)
    (given.output / SBOM).write_text(outputter.output_as_string(indent=1))
    (given.output / LIST).write_text(_table(given.name, components))


def _python(environment: Path) -> Iterator[Component]:
    """The packages of a Python environment, by what they say of themselves."""
    (packages,) = (environment / "lib").glob("python3.*/site-packages")
    found: dict[str, Distribution] = {}
    for distribution in distributions(path=[str(packages)]):
        found.setdefault(re.sub(r"[-_.]+", "-", distribution.name).lower(), distribution)
    for name, distribution in sorted(found.items()):
        about = distribution.metadata
        yield _component("pypi", name, distribution.version, _licence(distribution), about["Summary"] or "")


def _licence(distribution: Distribution) -> str:
    """A package's licence: its expression, its classifiers, its text's first line, or its file."""
    about = distribution.metadata
    if expression := about["License-Expression"]:
        return str(expression)
    classifiers = about.get_all("Classifier") or []
    named = [one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License :: ")]
    if named := [one for one in named if one != "OSI Approved"]:
        return " and ".join(sorted(set(named)))
    if line := (about["License"] or "").split("\n")[0].strip():
        return line
    files = [file for file in distribution.files or () if "licen" in file.name.lower()]
    text = " ".join(" ".join(file.read_text().split()) for file in files)
    if "Redistribution and use in source and binary forms" in text:
        return "BSD-3-Clause" if "specific prior written permission" in text else "BSD-2-Clause"
    return ""


def _node(folder: Path) -> Iterator[Component]:
    """The packages that npm has installed."""
    lock = json.loads((folder / "node_modules" / ".package-lock.json").read_text())
    for path, package in sorted(lock["packages"].items()):
        about = json.loads((folder / path / "package.json").read_text())
        name = path.rpartition("node_modules/")[2]
        licence = str(about.get("license") or "")
        yield _component("npm", name, package["version"], licence, str(about.get("description") or ""))


def _debian() -> Iterator[Component]:
    """The system's own packages. Each has its licence in /usr/share/doc/NAME/copyright."""
    wanted = "${Package}\t${Version}\t${binary:Summary}\n"
    listed = subprocess.run(["dpkg-query", "-W", "-f", wanted], capture_output=True, text=True, check=True)
    for line in sorted(listed.stdout.splitlines()):
        name, version, summary = line.split("\t")
        yield _component("deb", name, version, "", summary)


def _component(kind: str, name: str, version: str, licence: str, description: str) -> Component:
    namespace = "debian" if kind == "deb" else None
    url = PackageURL(type=kind, namespace=namespace, name=name, version=version)
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=str(url),
        purl=url,
        description=description,
        licenses=[LicenseFactory().make_from_string(licence)] if licence else None,
    )


def _table(name: str, components: list[Component]) -> str:
    """The list for people, in Markdown."""
    lines = [f"# What is in the image {name}", ""]
    for kind, title in TITLES.items():
        chosen = [one for one in components if one.purl is not None and one.purl.type == kind]
        if not chosen:
            continue
        lines += [f"## {title}: {len(chosen)} packages", ""]
        if kind == "deb":
            lines += ["The licence of each is in `/usr/share/doc/NAME/copyright`.", ""]
        lines += ["| name | version | licence | what it is |", "| --- | --- | --- | --- |"]
        for one in chosen:
            licences = [getattr(each, "value", None) or each.id or each.name for each in one.licenses]
            about = (one.description or "").replace("|", "\\|").replace("\n", " ")
            lines.append(f"| {one.name} | {one.version} | {', '.join(licences)[:60]} | {about} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
