"""A search service with a small sky of its own, and what is in it, for comparing answers by brute force."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyvo
import requests
import uvicorn
from romanhub.client.sky import Footprint, separation, unit_vectors
from romanhub.discovery.app import create_app
from romanhub.discovery.index import build
from romanhub.discovery.settings import DiscoverySettings
from romanhub.discovery.sources import FolderSource
from romanhub.discovery.store import Place
from romanhub.models.archive import ArchiveIndex, ExposureRecord
from romanhub.models.datasets import Datasets
from romanhub.portal.hub import HubClient
from romanhub.services.datasetsfile import DatasetsFile

NOW = datetime(2027, 7, 1, tzinfo=UTC)
SCOPE = "access:services!service=archive"

#: Tokens, and whose they are: a name and groups.
PEOPLE = {
    "token-of-ann": ("ann", []),
    "token-of-mia": ("mia", ["survey"]),
    "token-of-tom": ("tom", ["team"]),
}
UNSCOPED = "token-without-scope"

FILE = """
datasets:
  open-l2:
    &place
    title: Open exposures
    description: For everybody.
    mission: Roman
    format: asdf
    level: 2
    bucket: sky
    prefix: open/
    region: us-east-1
    index: index.json
    citation: {text: Nobody 2027}
  embargoed-l2:
    {title: Embargoed exposures, description: Later for everybody., mission: Roman, format: asdf, level: 2,
     bucket: sky, prefix: embargoed/, region: us-east-1, index: index.json, citation: {text: Nobody 2027},
     access: {kind: embargo, until: 2027-10-01T00:00:00Z, groups: [survey]}}
  team-l3:
    {title: The team's mosaics, description: For the team., mission: Roman, format: asdf, level: 3, bucket: sky,
     prefix: team/, region: us-east-1, index: index.json, citation: {text: Nobody 2027},
     access: {kind: groups, groups: [team]}}
  stars:
    {title: Stars, description: For everybody., mission: Gaia, format: parquet, bucket: sky, prefix: stars/,
     region: us-east-1, citation: {text: Nobody 2027}}
  team-stars:
    {title: The team's stars, description: For the team., mission: Roman, format: parquet, bucket: sky,
     prefix: team-stars/, region: us-east-1, citation: {text: Nobody 2027}, access: {kind: groups, groups: [team]}}
"""

#: Where footprints and stars gather: poles, the meridian of 0, and nowhere in particular.
PLACES = ((0.0, 90.0), (123.0, -90.0), (0.0, 0.0), (359.99, 45.0), (180.0, -60.0), (270.0, 66.0))


@dataclass
class Sky:
    """What the service's archive holds."""

    images: list[ExposureRecord]
    #: Which data set each image is of, by name.
    dataset: dict[str, str]
    ra: np.ndarray
    dec: np.ndarray
    flux: np.ndarray
    footprints: dict[str, Footprint] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.footprints = {image.name: Footprint(image.footprint) for image in self.images}
        self.vectors = unit_vectors(self.ra, self.dec)

    def readable(self, *datasets: str) -> list[ExposureRecord]:
        return [image for image in self.images if self.dataset[image.name] in datasets]

    def stars_within(self, ra: float, dec: float, radius: float) -> set[int]:
        near = separation(self.vectors, unit_vectors(ra, dec)) <= math.radians(radius)
        return set(np.flatnonzero(near).tolist())


def polygon(ra: float, dec: float, reach: float, corners: int, turn: float) -> tuple[tuple[float, float], ...]:
    """Corners at a distance in degrees around a position, also where that is a pole."""
    center = unit_vectors(ra, dec)
    axis = np.eye(3)[int(np.argmin(np.abs(center)))]
    east = np.cross(axis, center) / np.linalg.norm(np.cross(axis, center))
    north = np.cross(center, east)
    found = []
    for number in range(corners):
        angle = turn + 2 * math.pi * number / corners
        away = math.radians(reach)
        x, y, z = center * math.cos(away) + math.sin(away) * (east * math.cos(angle) + north * math.sin(angle))
        found.append((math.degrees(math.atan2(y, x)) % 360.0, math.degrees(math.asin(max(-1.0, min(1.0, z))))))
    return tuple(found)


def make_sky(*, images: int = 240, stars: int = 3_000, seed: int = 7) -> Sky:
    dice = Random(seed)
    found, dataset = [], {}
    for number in range(images):
        around_ra, around_dec = PLACES[number % len(PLACES)]
        ra = (around_ra + dice.gauss(0, 0.3)) % 360
        dec = max(-90.0, min(90.0, around_dec + dice.gauss(0, 0.3)))
        kind = ("open-l2", "open-l2", "embargoed-l2", "team-l3")[dice.randrange(4)]
        level = 3 if kind == "team-l3" else 2
        name = f"image_{number:04}"
        reach = 0.7 if level == 3 else 0.09
        found.append(
            ExposureRecord(
                name=name,
                level=level,
                key=f"{kind.partition('-')[0]}/{name}.asdf",
                optical_element=dice.choice(["F106", "F158", "F184"]),
                detector=None if level == 3 else "WFI01",
                start=datetime(2027, 1, 1, tzinfo=UTC) + timedelta(hours=number),
                exposure_time=100.0 + number,
                footprint=polygon(ra, dec, reach, dice.choice([3, 4, 4, 6]), dice.random()),
                shape=(100, 200),
                size=1_000_000 + number,
                sha256=hashlib.sha256(name.encode()).hexdigest(),
            )
        )
        dataset[name] = kind
    ra, dec = [], []
    for number in range(stars):
        around_ra, around_dec = PLACES[number % len(PLACES)]
        ra.append((around_ra + dice.gauss(0, 0.5)) % 360)
        dec.append(max(-90.0, min(90.0, around_dec + dice.gauss(0, 0.5))))
    flux = [dice.random() for _ in range(stars)]
    return Sky(found, dataset, np.array(ra), np.array(dec), np.array(flux))


def write_archive(sky: Sky, root: Path) -> None:
    index = ArchiveIndex(made=NOW, made_by="a test", exposures=tuple(sky.images), catalogs=())
    (root / "index.json").write_text(index.model_dump_json())
    fields = [
        pa.field("id", pa.int64(), metadata={"description": "The star's number.", "ucd": "meta.id;meta.main"}),
        pa.field("ra", pa.float64(), metadata={"unit": "deg"}),
        pa.field("dec", pa.float64(), metadata={"unit": "deg"}),
        pa.field("flux", pa.float64(), metadata={"unit": "uJy", "description": "How bright it is."}),
    ]
    half = len(sky.ra) // 2
    columns = [np.arange(len(sky.ra)), sky.ra, sky.dec, sky.flux]
    for folder, parts in (("stars", (slice(0, half), slice(half, None))), ("team-stars", (slice(0, 10),))):
        (root / folder).mkdir(exist_ok=True)
        for number, part in enumerate(parts):
            table = pa.table([column[part] for column in columns], schema=pa.schema(fields))
            pq.write_table(table, root / folder / f"{number}.parquet")


def make_index(root: Path, place: Place, datasets: Datasets, *, now: datetime = NOW) -> bool:
    return build(datasets, FolderSource(root, one_for_all=True), place, now=now, report=lambda _: None)


def hub_answer(request: httpx.Request) -> httpx.Response:
    """What a hub says of a token; stands in for one, which test_first_light has."""
    token = request.headers["authorization"].partition(" ")[2]
    if token == UNSCOPED:
        return httpx.Response(200, json={"name": "nia", "kind": "user", "groups": ["team"], "scopes": []})
    if token not in PEOPLE:
        return httpx.Response(403)
    name, groups = PEOPLE[token]
    return httpx.Response(200, json={"name": name, "kind": "user", "groups": groups, "scopes": [SCOPE]})


@dataclass
class Service:
    """A search service that listens."""

    url: str
    settings: DiscoverySettings
    sky: Sky
    root: Path
    datasets: Path

    def session(self, token: str | None = "token-of-ann") -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        if token is not None:
            session.headers["Authorization"] = f"Bearer {token}"
        return session

    def tap(self, token: str = "token-of-ann") -> pyvo.dal.TAPService:
        return pyvo.dal.TAPService(f"{self.url}tap", session=self.session(token))

    def get(self, path: str, token: str | None = "token-of-ann", **params: object) -> requests.Response:
        return self.session(token).get(f"{self.url}{path}", params=params, timeout=120)


@contextmanager
def serve(folder: Path, sky: Sky, **settings: str) -> Iterator[Service]:
    """A service over a sky, in a thread, on a port of its own."""
    root = folder / "archive"
    root.mkdir()
    write_archive(sky, root)
    datasets = folder / "datasets.yaml"
    datasets.write_text(FILE)
    file = DatasetsFile(datasets)
    make_index(root, Place(folder / "index"), file.current())
    with _free_socket() as (listening, port):
        url = f"http://127.0.0.1:{port}/services/archive/"
        told = DiscoverySettings.from_environment(
            {
                "JUPYTERHUB_API_TOKEN": "a-token-of-the-service",
                "ROMANHUB_DATASETS": str(datasets),
                "ROMANHUB_SEARCH_URL": url,
                "ROMANHUB_SEARCH_FOLDER": str(folder / "index"),
                "ROMANHUB_SEARCH_JOBS": str(folder / "jobs"),
                **settings,
            }
        )
        http = httpx.AsyncClient(transport=httpx.MockTransport(hub_answer))
        app = create_app(told, hub=HubClient(told.hub, http), datasets=file, clock=lambda: NOW)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            _answering(url)
            yield Service(url, told, sky, root, datasets)
        finally:
            server.should_exit = True
            thread.join(30)


@contextmanager
def _free_socket() -> Iterator[tuple[object, int]]:
    import socket

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening, listening.getsockname()[1]


def _answering(url: str) -> None:
    # The socket listens already: the request waits for the server, and needs no retries.
    httpx.get(f"{url}api/health", timeout=120, trust_env=False).raise_for_status()
