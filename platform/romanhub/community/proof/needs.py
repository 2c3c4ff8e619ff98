"""In which image and which size a shared notebook is run: what it names, where the platform has that."""

from __future__ import annotations

from dataclasses import dataclass

from hubquota.models.tiers import Size, Tier, Tiers

from romanhub.community.proof.settings import RunSettings


class NotOfferedError(Exception):
    """The platform does not have what an entry needs; the message says what, for its author."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What the server of a run is started with."""

    #: The image's name; empty for the one that everybody has.
    image: str
    #: The name of the size; None for the default of the robot's tier.
    size: str | None


@dataclass(frozen=True, slots=True)
class Offer:
    """What the platform has for the runs of shared notebooks.

    Parameters
    ----------
    tiers
        The tiers, as they are now.
    settings
        Which tier the robot has, and which images there are besides everybody's.
    image
        What the image is called that everybody has; empty where that is not known, and then an entry may call it
        anything.
    images
        More images, which the platform knows by itself.
    """

    tiers: Tiers
    settings: RunSettings
    image: str = ""
    images: tuple[str, ...] = ()

    def of(self, image: str, tier: str) -> Needs:
        """Return what a notebook that names an image and a tier is run in.

        Parameters
        ----------
        image
            The image that its author names; empty where they name none.
        tier
            The smallest tier that it needs; empty where its author names none.

        Raises
        ------
        NotOfferedError
            The platform does not have it.
        """
        return Needs(self._image(image), self.size(tier))

    def size(self, tier: str) -> str | None:
        """Return the size for a notebook that needs a tier: its default, or the robot's next larger one.

        Raises
        ------
        NotOfferedError
            There is no such tier, or no size of the robot's is as large.
        """
        if not tier:
            return self.settings.size
        if tier not in self.tiers.tiers:
            raise NotOfferedError(
                f"It names the tier '{tier}', and this platform has {_listed(list(self.tiers.tiers))}."
            )
        robot = self.tiers.tiers.get(self.settings.tier)
        if robot is None:
            return self.settings.size
        wanted = self.tiers.tiers[tier].default_size
        if wanted in robot.sizes:
            return wanted
        need, sizes = self.tiers.sizes[wanted], self._sizes(robot)
        fitting = [name for name, one in sizes if one.cores >= need.cores and one.memory_gib >= need.memory_gib]
        if not fitting:
            raise NotOfferedError(
                f"It needs the tier '{tier}', whose servers have {need.cores:g} cores and {need.memory_gib:g} "
                f"GiB, and the platform runs shared notebooks in {_listed([name for name, _ in sizes])}."
            )
        return fitting[0]

    def _sizes(self, tier: Tier) -> list[tuple[str, Size]]:
        found = [(name, self.tiers.sizes[name]) for name in tier.sizes]
        return sorted(found, key=lambda one: (one[1].memory_gib, one[1].cores))

    def _image(self, image: str) -> str:
        others = dict.fromkeys(one for one in (*self.images, *self.settings.images) if one != self.image)
        if image in others:
            return image
        if not image or not self.image or _name(image) == _name(self.image):
            return ""
        known = _listed([self.image, *others])
        raise NotOfferedError(f"It names the image '{image}', and this platform has {known}.")


def _name(image: str) -> str:
    """An image's name without its tag and digest: of everybody's image people have today's."""
    name = image.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"


def _listed(names: list[str]) -> str:
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), *names[-1:]]) or "none"
