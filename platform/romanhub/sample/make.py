"""Make a whole sample archive: exposures, mosaic, catalogue, index."""

from __future__ import annotations

import functools
import json
import logging
import multiprocessing
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from romanhub.asdf_blocks.indexing import write_index
from romanhub.models.archive import INDEX_KEY, ArchiveIndex
from romanhub.sample.catalog import find_sources, write_catalog
from romanhub.sample.files import write_whole
from romanhub.sample.index import catalog_record, image_record
from romanhub.sample.mosaic import make_mosaic
from romanhub.sample.partitioned import make_catalogs
from romanhub.sample.plan import Exposure, SamplePlan, Scene, sample_plan
from romanhub.sample.references import work_offline
from romanhub.sample.rounding import round_model
from romanhub.sample.scene import make_scene, scene_at
from romanhub.sample.simulate import simulate

#: Notes what an unfinished archive is being made of. It goes when the index is written.
UNFINISHED = ".unfinished.json"

Compression = Literal["zlib", "lz4"]

#: Called with a file's key each time one is finished.
Report = Callable[[str], None]


class ArchiveInTheWayError(Exception):
    """The output directory holds an archive already, finished or of other settings."""


@dataclass(frozen=True)
class Settings:
    """What decides the archive's contents, apart from the plan that is in the code."""

    size: int
    seed: int
    rounded: bool
    compression: Compression

    def command(self) -> str:
        """Return the command line that makes the archive, with DIR for the output directory."""
        rounding = " --round" if self.rounded else ""
        return (
            f"python -m romanhub.sample make --output DIR --size {self.size} --seed {self.seed}"
            f"{rounding} --compression {self.compression}"
        )


def file_keys(plan: SamplePlan) -> tuple[str, ...]:
    """Return the keys of all files of the plan, in the order in which they can be made."""
    keys = tuple(exposure.key for exposure in plan.exposures)
    return keys if plan.mosaic is None else (*keys, plan.mosaic.key, plan.mosaic.catalog_key)


@functools.cache
def _scene(scene: Scene, elements: tuple[str, ...], seed: int) -> Any:
    return make_scene(scene, list(elements), seed)


def _quiet() -> None:
    """Keep the libraries' running commentary off the terminal; errors are raised all the same."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")


def _save(model: Any, path: Path, settings: Settings) -> None:
    if settings.rounded:
        round_model(model)
    write_whole(path, lambda half: model.save(half, all_array_compression=settings.compression))
    # So that notebooks find their way in the file without looking for it.
    write_index(path)


def make_exposure(plan: SamplePlan, exposure: Exposure, root: Path, settings: Settings) -> str:
    """Simulate one exposure into its file under `root` and return its key."""
    _quiet()
    work_offline()
    elements = tuple(sorted({each.optical_element for each in plan.exposures}))
    sources = scene_at(_scene(plan.scene, elements, plan.seed), plan.scene, exposure.middle)
    model = simulate(exposure, sources, seed=plan.exposure_seed(exposure), size=plan.size)
    _save(model, root / exposure.key, settings)
    return exposure.key


def make_coadd(plan: SamplePlan, root: Path, settings: Settings) -> tuple[str, str]:
    """Make the plan's mosaic and its catalogue from the exposures under `root`; return their keys."""
    from roman_datamodels import datamodels

    _quiet()
    mosaic = plan.mosaic
    if mosaic is None:
        raise ValueError("The plan has no mosaic.")
    image = root / mosaic.key
    if not image.exists():
        members = [root / exposure.key for exposure in plan.mosaic_members()]
        _save(make_mosaic(mosaic, members), image, settings)
    with datamodels.open(image) as model:
        columns = find_sources(model)
    write_whole(
        root / mosaic.catalog_key,
        lambda half: write_catalog(columns, half, image=mosaic.name, element=mosaic.optical_element),
    )
    return mosaic.key, mosaic.catalog_key


def _claim(root: Path, settings: Settings) -> None:
    """Note in `root` what is being made there, or check that it is what was begun there before."""
    if (root / INDEX_KEY).exists():
        raise ArchiveInTheWayError(
            "The output directory holds a finished archive already. Name another directory, or remove "
            "what this one holds."
        )
    note = root / UNFINISHED
    begun = {"command": settings.command()}
    if note.exists():
        before = json.loads(note.read_text())
        if before != begun:
            raise ArchiveInTheWayError(
                f"The output directory holds the beginning of another archive ({before['command']}). "
                "Run that command to finish it, name another directory, or remove what this one holds."
            )
        return
    if root.exists() and any(root.iterdir()):
        raise ArchiveInTheWayError(
            "The output directory is not empty and holds no unfinished archive. Name another directory."
        )
    root.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(begun) + "\n")


def make_archive(
    root: Path, settings: Settings, *, jobs: int, now: Callable[[], datetime], report: Report
) -> ArchiveIndex:
    """Make the sample archive under `root` and return its index.

    Files that an interrupted run of the same settings has finished are kept. `jobs` processes simulate
    at the same time. Raises ArchiveInTheWayError if `root` holds something else, ValueError for a size that
    a detector does not have.
    """
    plan = sample_plan(size=settings.size, seed=settings.seed)
    _claim(root, settings)
    missing = []
    for exposure in plan.exposures:
        if (root / exposure.key).exists():
            report(exposure.key)
        else:
            missing.append(exposure)
    context = multiprocessing.get_context("spawn")
    # A new process for each exposure: what one has grown to is not given back before it ends.
    with ProcessPoolExecutor(max_workers=jobs, mp_context=context, max_tasks_per_child=1) as pool:
        running = [pool.submit(make_exposure, plan, each, root, settings) for each in missing]
        try:
            for done in as_completed(running):
                report(done.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        if plan.mosaic is not None:
            for key in pool.submit(make_coadd, plan, root, settings).result():
                report(key)
    index = describe(plan, root, settings, made=now())
    if plan.mosaic is not None:
        index = index.model_copy(update={"hats": make_catalogs(plan, root, index)})
    write_whole(root / INDEX_KEY, lambda half: _write_index(index, half))
    (root / UNFINISHED).unlink()
    return index


def remake_catalogs(root: Path) -> ArchiveIndex:
    """Make the HATS catalogues of a finished sample archive anew from its images; return its index.

    Raises FileNotFoundError where `root` holds no index.
    """
    _quiet()
    index = ArchiveIndex.model_validate_json((root / INDEX_KEY).read_bytes())
    words = index.made_by.split()
    plan = sample_plan(size=int(words[words.index("--size") + 1]), seed=int(words[words.index("--seed") + 1]))
    index = index.model_copy(update={"hats": make_catalogs(plan, root, index)})
    write_whole(root / INDEX_KEY, lambda half: _write_index(index, half))
    return index


def describe(plan: SamplePlan, root: Path, settings: Settings, *, made: datetime) -> ArchiveIndex:
    """Return the index of the plan's files under `root`, images by level, start and name."""
    keys = [exposure.key for exposure in plan.exposures]
    catalogs = []
    if plan.mosaic is not None:
        keys.append(plan.mosaic.key)
        catalogs.append(catalog_record(root, plan.mosaic.catalog_key, image=plan.mosaic.name))
    records = sorted(
        (image_record(root, key) for key in keys),
        key=lambda record: (record.level, record.start, record.name),
    )
    return ArchiveIndex(made=made, made_by=settings.command(), exposures=tuple(records), catalogs=tuple(catalogs))


def _write_index(index: ArchiveIndex, path: Path) -> None:
    path.write_text(index.model_dump_json(indent=2) + "\n")
