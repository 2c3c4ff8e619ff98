"""A data product on a real platform: from one scientist's scratch to another's table, and on to a Dask worker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect
from romanhub.local.settings import COMMUNITY_BUCKET

from tests.support.browser import chromium, sign_in, take
from tests.support.person import Person
from tests.support.platform import Platform

API = "/services/portal/api/v1/community"
#: How long an answer may take on a busy machine, in seconds.
PATIENCE = 180.0
expect.set_options(timeout=60_000)

COMMIT = "0123456789abcdef0123456789abcdef01234567"

WRITE = """
import io, subprocess, textwrap
import numpy as np, pyarrow as pa, pyarrow.parquet as pq, s3fs
import romanhub
scratch = romanhub.scratch("work", size="1 GiB", days=2, yes=True)
made = np.random.default_rng(1)
columns = {
    "source_id": np.arange(1000), "ra": 270 + made.normal(0, 0.01, 1000), "dec": 66 + made.normal(0, 0.01, 1000),
    "z": made.uniform(0, 3, 1000), "z_err": made.uniform(0, 0.1, 1000),
}
fields = [pa.field(name, pa.array(values).type, metadata={"unit": "deg"} if name in ("ra", "dec") else None)
          for name, values in columns.items()]
file = io.BytesIO()
pq.write_table(pa.table(list(columns.values()), schema=pa.schema(fields)), file)
files = s3fs.S3FileSystem()
files.pipe_file(scratch.path + "photoz/first.parquet", file.getvalue())
files.pipe_file(scratch.path + "photoz/README.md", b"# Photometric redshifts of the first field")
with open("photo-z.community.yaml", "w") as sidecar:
    sidecar.write(textwrap.dedent('''
        kind: product
        scratch: work
        folder: photoz/
        title: Photometric redshifts of the first field
        abstract: Redshifts of every source of the first field with uncertainties, from seven filters.
        authors: Vera Rubin 0000-0002-1825-0097
        licence: CC-BY-4.0
        tags: photo-z
        datasets: roman-sources
        software: [eazy-py 0.8.5]
    '''))
done = subprocess.run(["romanhub", "publish", "photo-z.community.yaml"], capture_output=True, text=True,
                      stdin=subprocess.DEVNULL)
print(done.returncode, done.stdout, done.stderr)
"""

REFUSED = """
files.pipe_file(scratch.path + "programs/a.exe", b"MZ")
done = subprocess.run(["romanhub", "publish", scratch.path + "programs"], capture_output=True, text=True,
                      stdin=subprocess.DEVNULL)
print(done.returncode, done.stderr)
try:
    romanhub.community.publish("s3://roman-scratch/scratch/wilma/work/")
except Exception as error:
    print(type(error).__name__, error)
"""

READ = """
from romanhub import archive
table = archive.table("community.photo-z", columns=["ra", "z", "z_err"])
print(len(table), table["ra"].unit, repr(table["z"].description), table.meta["version"])
print(archive.products()["name", "version"])
print(archive.product("community.photo-z").read("README.md"))
"""

ELSEWHERE = f"""
import boto3
from romanhub.client.credentials import source
keys = source("community.photo-z").current()
client = boto3.client("s3", endpoint_url=keys.endpoint, region_name="us-east-1",
    aws_access_key_id=keys.access_key.get_secret_value(), aws_secret_access_key=keys.secret_key.get_secret_value(),
    aws_session_token=keys.session_token.get_secret_value())
place = keys.products["community.photo-z"]
print("own", client.list_objects_v2(Bucket=place.bucket, Prefix=place.prefix)["KeyCount"])
for key in ("products/", "sha256/", "products/photo-z/"):
    try:
        client.list_objects_v2(Bucket="{COMMUNITY_BUCKET}", Prefix=key)
        print("listed", key)
    except client.exceptions.ClientError as error:
        print("denied", key)
for put in ("{COMMUNITY_BUCKET}", place.bucket):
    try:
        client.put_object(Bucket=put, Key=place.prefix + "x", Body=b"x")
        print("wrote")
    except client.exceptions.ClientError:
        print("denied to write")
"""

BY_WORKER = """
import romanhub
cluster = romanhub.cluster(workers=1)
client = cluster.get_client()
def mean():
    from romanhub import archive
    return len(archive.table("community.photo-z")), archive.product("community.photo-z.v1").version
print("worker", client.submit(mean).result(timeout=180))
frame = archive.product("community.photo-z").to_dask(columns=["z"])
print("frame", client.compute(frame.z.count()).result(timeout=180))
client.close(); cluster.shutdown()
"""

IMPORT = "from romanhub import archive"

DEPRECATED = """
import warnings
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    archive.table("community.photo-z", columns="z")
print([str(one.message) for one in told if one.category.__name__ == "DeprecatedProductWarning"])
"""

WITHDRAWN = """
for name in ("community.photo-z", "community.photo-z.v1", "community.nothing"):
    try:
        archive.table(name)
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def people(platform: Platform) -> Iterator[tuple[Person, Person]]:
    """Vera, who publishes, and Wilma, who reads, each with a server."""
    found = Person(platform.url, "vera"), Person(platform.url, "wilma")
    for one in found:
        one.sign_in()
        assert one.start_server(size="small").is_success
    yield found
    for one in found:
        one.stop_server()


def act(platform: Platform, person: Person, name: str, what: str, reason: str = "") -> None:
    answer = httpx.post(
        f"{platform.url}{API}/entries/{name}/acts/{what}",
        json={"reason": reason} if reason else {},
        headers={"Authorization": f"token {person.token()}"},
        trust_env=False,
        timeout=60,
    )
    assert answer.is_success, answer.text


async def run(person: Person, *cells: str) -> str:
    """What some cells print in a fresh kernel of a person's."""
    kernel = await person.kernel()
    said = ""
    try:
        for cell in cells:
            done = await kernel.run(cell)
            assert not done.error, done.error
            said += done.text
    finally:
        kernel.close()
    return said


@pytest.mark.timeout(900)
async def test_from_one_scientists_scratch_to_anothers_table(
    platform: Platform, people: tuple[Person, Person]
) -> None:
    vera, wilma = people
    said = await run(vera, WRITE, REFUSED)
    assert "Draft 1 of 'Photometric redshifts of the first field' is in the catalogue as photo-z" in said
    assert "or the word dimensionless: z, z_err" in said
    assert "a.exe is of no format" in said
    assert "CommunityRefusedError s3://roman-scratch/scratch/wilma/work/ is no folder of a scratch space" in said
    token = {"Authorization": f"token {wilma.token()}"}
    hidden = await run(wilma, IMPORT, WITHDRAWN)
    assert hidden.count("There is no data product") == 3, "a draft is its owner's alone"

    await asyncio.to_thread(on_the_pages, platform)

    read = await run(wilma, READ, ELSEWHERE)
    assert "1000 deg" in read
    assert "'the redshift' 1" in read
    assert "community.photo-z" in read
    assert "b'# Photometric redshifts of the first field'" in read
    assert "own 3" in read
    assert read.count("denied") == 5
    assert "listed" not in read
    assert "wrote" not in read
    by_worker = await run(wilma, READ, BY_WORKER)
    assert "worker (1000, 1)" in by_worker
    assert "frame 1000" in by_worker
    told: dict[str, Any] = httpx.get(
        f"{platform.url}{API}/entries/photo-z/versions/1/manifest", headers=token, trust_env=False, timeout=60
    ).json()
    assert told["dataset"] == "community.photo-z.v1"

    act(platform, vera, "photo-z", "deprecate", "The filters were wrong.")
    assert "community.photo-z is deprecated: The filters were wrong." in await run(wilma, IMPORT, DEPRECATED)
    act(platform, vera, "photo-z", "withdraw", "All of it was wrong.")
    gone = await run(wilma, IMPORT, WITHDRAWN)
    assert gone.count("was withdrawn, and its files are gone: All of it was wrong.") == 2
    tombstone = wilma.web.get("/services/portal/community/photo-z")
    assert tombstone.status_code == 410


def on_the_pages(platform: Platform) -> None:
    """Vera says the units and makes it public; a tool is sent from the form; both are looked at."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        # What is said is looked through for keys, which takes seconds of a processor.
        page.set_default_timeout(PATIENCE * 1000)
        sign_in(page, platform.url, "vera")
        page.goto(f"{platform.url}/services/portal/community/photo-z/draft")
        expect(page.get_by_text("not said yet").first).to_be_visible()
        take(page, "product-draft")
        page.fill("#columns", "z: dimensionless; the redshift\nz_err: furlongs?")
        page.get_by_role("button", name="Save, and look at it").click()
        expect(page.locator("#columns-wrong")).to_contain_text("'furlongs?' is no unit")
        page.fill("#columns", "z: dimensionless; the redshift\nz_err: dimensionless; its standard deviation")
        page.get_by_role("button", name="Save, and make it public").click()
        page.wait_for_url("**/community/photo-z")
        main = page.locator("main")
        expect(main).to_contain_text('archive.table("community.photo-z")')
        expect(main).to_contain_text("first.parquet")
        expect(main).to_contain_text("eazy-py 0.8.5")
        take(page, "product-entry")
        a_product_by_the_form(page, platform)
        a_tool(page, platform)


def a_product_by_the_form(page: Page, platform: Platform) -> None:
    page.goto(f"{platform.url}/services/portal/community/-/mine")
    copy = page.get_by_role("button", name="Copy it as a draft")
    page.fill("#folder", "nowhere")
    copy.click()
    expect(page.get_by_role("alert")).to_contain_text("There is nothing in that folder")
    page.fill("#folder", "photoz")
    page.fill("#product-name", "photo-z-again")
    copy.click()
    page.wait_for_url("**/community/photo-z-again/draft")
    expect(page.get_by_text("first.parquet").first).to_be_visible()


def a_tool(page: Page, platform: Platform) -> None:
    page.goto(f"{platform.url}/services/portal/community/-/mine")
    take(page, "product-mine")
    page.fill("#requirement", "https://example.org/vera/photoz-fit@main")
    page.fill("#entry_point", "photoz-fit")
    page.fill("#tool-name", "photoz-fit")
    page.locator("section", has=page.locator("#share-tool")).get_by_role("button").click()
    expect(page.get_by_role("alert")).to_contain_text("a whole commit")
    page.fill("#requirement", f"photoz-fit @ git+https://example.org/vera/photoz-fit@{COMMIT}")
    page.fill("#entry_point", "photoz_fit.fitting:fit")
    page.fill("#tool-name", "photoz-fit")
    page.locator("section", has=page.locator("#share-tool")).get_by_role("button").click()
    page.wait_for_url("**/community/photoz-fit/draft")
    page.fill("#title", "Fitting photometric redshifts")
    page.fill("#abstract", "Fits redshifts to fluxes in seven filters, with templates of one's own.")
    page.fill("#authors", "Vera Rubin; 0000-0002-1825-0097")
    page.fill("#licence", "BSD-3-Clause")
    take(page, "tool-draft")
    page.get_by_role("button", name="Save, and make it public").click()
    page.wait_for_url("**/community/photoz-fit")
    line = f'%pip install "photoz-fit @ git+https://example.org/vera/photoz-fit@{COMMIT}"'
    expect(page.locator("main")).to_contain_text(line)
    expect(page.locator("main")).to_contain_text("from photoz_fit.fitting import fit")
    take(page, "tool-entry")
    page.goto(f"{platform.url}/services/portal/community?kind=tool")
    expect(page.get_by_role("heading", name="1 entry")).to_be_visible()
    page.goto(f"{platform.url}/services/portal/community")
    take(page, "product-gallery")


ON_THE_SKY = """
import romanhub, s3fs
scratch = romanhub.scratch("sky", size="1 GiB", days=2, yes=True)
files = s3fs.S3FileSystem()
start = "roman-archive/hats/roman-sources/"
for path in files.find(start):
    files.pipe_file(scratch.path + "sources/" + path.removeprefix(start), files.cat_file(path))
romanhub.community.publish(scratch.path + "sources", name="own-sources", title="Sources of the field",
    abstract="Sources of the first field, as they were found in its mosaic.", authors="Vera Rubin", licence="MIT")
"""

CATALOGUE = """
import astropy.units as u
from romanhub import archive
print([name for name in archive.catalogs() if name.startswith("community.")])
cone = ((270, 66), 20 * u.arcsec)
own, others = (archive.catalog(name, cone=cone) for name in ("community.own-sources", "roman-sources"))
print("rows", len(own.to_table()), len(others.to_table()))
print("matched", len(archive.crossmatch("gaia", own, radius=0.1 * u.arcsec).to_table()) > 0)
"""


@pytest.mark.timeout(900)
async def test_a_catalogue_on_the_sky_is_opened_and_matched_by_name(
    platform: Platform, people: tuple[Person, Person]
) -> None:
    vera, wilma = people
    said = await run(vera, ON_THE_SKY)
    lacking = [line for line in said.splitlines() if "word dimensionless" in line]
    if lacking:
        columns = lacking[0].partition("dimensionless: ")[2].rstrip(".").split(", ")
        units = dict.fromkeys((name for name in columns if " more" not in name), "dimensionless")
        await run(vera, ON_THE_SKY.replace('licence="MIT"', f'licence="MIT", columns={units!r}'))
    act(platform, vera, "own-sources", "publish")
    read = await run(wilma, CATALOGUE)
    assert "['community.own-sources']" in read
    rows = next(line for line in read.splitlines() if line.startswith("rows")).split()[1:]
    assert rows[0] == rows[1] != "0", read
    assert "matched True" in read
