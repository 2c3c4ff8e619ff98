"""The documentation agrees with what it describes."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hubquota.cli import main as hubquota
from hubquota.models.words import duration_text
from hubquota.services.ledger import MINIMUM_SECONDS
from hubquota.services.tiersfile import load_tiers
from romanhub.cli import romanhub
from romanhub.client.command import romanhub as in_servers
from romanhub.models.community import states_table

ROOT = Path(__file__).resolve().parents[1]

TIERS = ROOT / "hub_config" / "tiers.yaml"

#: Every page for people, wherever it is.
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "quota/README.md", "helm/README.md")),
        *(ROOT / "images").rglob("README.md"),
        *(ROOT / "platform" / "romanhub").rglob("README.md"),
        *(ROOT / "docs").rglob("*.md"),
    ]
)

#: The checkout's own folders: what is named as a path in one of them has to be there.
FOLDERS = ("docs", "hub_config", "images", "platform", "quota", "tests")

#: Users' servers have a command `romanhub`, too, with other commands in it.
COMMANDS: dict[str, click.Command] = {
    "hubquota": hubquota,
    "romanhub": click.Group(commands={**in_servers.commands, **romanhub.commands}),
}

#: The largest picture that a page may have, in bytes.
LARGEST_PICTURE = 400_000

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def _rendered() -> Iterator[tuple[Path, str, str, str]]:
    """Yield what the pages have from a command: the page, the command, and the text between the markers."""
    for page in PAGES:
        marked = r"<!-- begin: (hubquota|romanhub) (.*?) -->\n(.*?)<!-- end -->"
        for found in re.finditer(marked, page.read_text(), re.DOTALL):
            yield page, found[1], found[2], found[3]


def test_what_the_pages_have_from_a_command_is_what_it_prints() -> None:
    commands = set()
    for page, program, command, text in _rendered():
        commands.add(command)
        rendered = CliRunner().invoke(
            COMMANDS[program], [str(ROOT / w) if "/" in w else w for w in shlex.split(command)]
        )
        assert rendered.exit_code == 0, rendered.output
        assert text == rendered.output, f"{page.name}: put the output of `{program} {command}` between the markers"
    assert commands >= {"states", "commands", "tiers table hub_config/tiers.yaml"}, "a page has lost its markers"


def test_what_the_pages_say_of_groups_and_minutes_is_what_happens() -> None:
    tiers = load_tiers(TIERS)
    page = (ROOT / "docs" / "pi.md").read_text()
    for group, tier in tiers.first_tier.groups.items():
        assert f"| `{group}` | {tiers.tiers[tier].title} |" in page
    assert f"| none of these | {tiers.tiers[tiers.first_tier.default].title} |" in page
    assert duration_text(MINIMUM_SECONDS) == "10 minutes", "the pages say that a start needs ten minutes' credits"


@pages
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        aim = (page.parent / path).resolve() if path else page
        assert aim.exists(), f"{target} is not there"
        assert aim.is_relative_to(ROOT), f"{target} leads out of the checkout"
        if anchor:
            assert anchor in set(_anchors(aim)), f"{target}: {aim.name} has no such heading"
        if aim.suffix == ".png":
            assert aim.stat().st_size < LARGEST_PICTURE, f"{target} is too large"


@pages
def test_every_path_of_the_checkout_that_is_named_exists(page: Path) -> None:
    named = re.findall(rf"(?<![\w/.$])(?:{'|'.join(FOLDERS)})/[\w./-]*\w", page.read_text())
    missing = [name for name in named if not any((base / name).exists() for base in (ROOT, page.parent))]
    assert not missing


def test_no_command_means_two_things() -> None:
    assert not in_servers.commands.keys() & romanhub.commands.keys()


@pages
def test_every_command_shown_exists(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As the pages have them set before these commands.
    monkeypatch.setenv("HUBQUOTA_DATABASE_URL", "sqlite:////nowhere/ledger.sqlite")
    monkeypatch.setenv("HUBQUOTA_TIERS", str(TIERS))
    monkeypatch.setenv("HUBQUOTA_PURGE", "/nowhere/purge.yaml")
    for line in _shown(page):
        words = _words(line)
        if words[:1] == ["make"]:
            _check_make(line, words[1:])
        elif words and words[0] in COMMANDS:
            _check_command(line, COMMANDS[words[0]], words[1:])
    for mention in re.findall(r"`((?:romanhub|hubquota|make) [^`]+)`", _prose(page).replace("\n", " ")):
        words = _words(mention)
        if words[0] == "make":
            _check_make(mention, words[1:])
        else:
            _find(mention, COMMANDS[words[0]], words[1:])


@pages
def test_every_variable_named_is_read_somewhere(page: Path) -> None:
    code = _code()
    for name in set(re.findall(r"\b(?:ROMANHUB|HUBQUOTA)_[A-Z_]+\b", page.read_text())):
        assert f'"{name}"' in code, f"nothing reads {name}"


@pages
def test_every_python_example_compiles(page: Path) -> None:
    for example in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        ast.parse(example)


def test_the_scientists_page_has_examples() -> None:
    text = (ROOT / "docs" / "scientist.md").read_text()
    for name in ("archive.exposures", "romanhub.cluster", "romanhub.balance"):
        assert name in text
    assert text.count("```python") >= 5


@cache
def _code() -> str:
    """All of our own code, and what says how the chart and a cluster are tested."""
    roots = ("platform", "quota", "tests/helm", "tests/cluster")
    return "".join(path.read_text() for root in roots for path in (ROOT / root).rglob("*.py"))


def _prose(page: Path) -> str:
    """A page without its blocks of code."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"(?:^|(?<=\n))    .*", "", text)


def _shown(page: Path) -> Iterator[str]:
    """The lines that a page shows as commands to type."""
    text = re.sub(r"^```\w+\n.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for line in text.splitlines():
        if line.startswith("    "):
            yield line.strip()


def _words(line: str) -> list[str]:
    """A command's words: without comments, the variables set before it, and the file that it writes to."""
    words = shlex.split(line, comments=True)
    words = words[: words.index(">")] if ">" in words else words
    while words and re.match(r"\w+=", words[0]):
        words = words[1:]
    return words


def _check_make(line: str, words: list[str]) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    aims = [word for word in words if "=" not in word]
    assert aims, f"{line}: which target?"
    assert set(aims) <= targets, line


def _find(line: str, command: click.Command, words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that a line means, and what it is given."""
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        within = command.commands.get(words[0])
        assert within, f"{line}: there is no command {words[0]}"
        command, words = within, words[1:]
    return command, words


def _check_command(line: str, command: click.Command, words: list[str]) -> None:
    """Have the command read its arguments, as far as just before it would do anything."""
    command, words = _find(line, command, words)
    try:
        command.make_context("documented", list(words))
    except click.exceptions.Exit:
        pass  # --help
    except click.ClickException as error:
        raise AssertionError(f"{line}: {error.format_message()}") from None
    if command is romanhub.commands["sample"]:
        # What it hands on is read in another environment.
        known = (ROOT / "platform" / "romanhub" / "sample" / "__main__.py").read_text()
        for option in (word for word in words if word.startswith("--")):
            assert f'"{option}"' in known, f"{line}: there is no option {option}"


def _anchors(page: Path) -> Iterator[str]:
    """The anchors that GitHub gives a page's headings."""
    for heading in re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_states_of_an_entry_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "community.md").read_text()
    found = re.search(r"<!-- states -->\n(.*?)\n<!-- end of states -->", page, re.DOTALL)
    assert found
    assert found[1] == states_table()
