"""What follows from who somebody is: the tier that they start on, and the projects of their groups."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any

from pydantic import Field

from hubquota.models.fields import Name, Strict, Text


class ClaimRule(Strict):
    """A rule that goes by what the identity provider says of a user."""

    claim: Text = Field(
        description="The claim's name in the user's auth_state, such as eduperson_scoped_affiliation."
    )
    matches: Text = Field(
        description="A pattern for its value, such as *@stsci.edu, with * for anything; of a list, any counts."
    )
    tier: Name = Field(description="The tier of users whom the rule names.")

    def fits(self, claims: Mapping[str, Any]) -> bool:
        """Return whether a claim has a value that the rule names."""
        # Claims are often one level down in auth_state.
        for place in (claims, *(inner for inner in claims.values() if isinstance(inner, Mapping))):
            given = place.get(self.claim)
            values = given if isinstance(given, list | tuple | set | frozenset) else [given]
            if any(isinstance(value, str) and fnmatchcase(value, self.matches) for value in values):
                return True
        return False


class FirstTier(Strict):
    """Which tier an account starts on."""

    default: Name = Field(description="The tier of users whom no rule names.")
    claims: tuple[ClaimRule, ...] = Field(
        default=(), description="Rules on claims. The first that matches decides, before the groups are looked at."
    )
    groups: dict[str, Name] = Field(
        default_factory=dict,
        description="Hub group to tier. The first rule in the file whose group the user is in decides.",
    )


class GroupProject(Strict):
    """Hub groups whose members draw on the project of the group's name."""

    match: Text = Field(description="The groups' names; `*` stands for anything, such as in roman-*.")
    tier: Name = Field(description="The tier of a project that is opened for such a group, without credits.")
    pi_suffix: str = Field(
        default="-pi", description="The group of this name's ending holds the PIs: of roman-x, roman-x-pi."
    )


class Projects(Strict):
    """Which projects follow from hub groups."""

    groups: tuple[GroupProject, ...] = Field(
        default=(), description="The rules, tried in order; groups that match none are no projects."
    )

    def of_groups(self, groups: Collection[str]) -> dict[str, tuple[str, bool]]:
        """Return the projects that membership of some groups gives.

        Args:
            groups: names of hub groups that one person is in.

        Returns:
            By the project's name, the tier to open it on and whether they are a PI of it.
        """
        found: dict[str, tuple[str, bool]] = {}
        for group in sorted(groups):
            for rule in self.groups:
                project = group.removesuffix(rule.pi_suffix) if rule.pi_suffix else group
                if project != group and fnmatchcase(project, rule.match):
                    found[project] = (rule.tier, True)
                    break
                if fnmatchcase(group, rule.match):
                    found.setdefault(group, (rule.tier, False))
                    break
        return found

    def people_of(
        self, project: str, groups: Mapping[str, Collection[str]]
    ) -> tuple[frozenset[str], frozenset[str]]:
        """Return the members and the PIs of a project, by what each hub group's people are."""
        members: set[str] = set()
        pis: set[str] = set()
        for group, people in groups.items():
            for name, (_, leads) in self.of_groups([group]).items():
                if name == project:
                    (pis if leads else members).update(people)
        return frozenset(members), frozenset(pis)
