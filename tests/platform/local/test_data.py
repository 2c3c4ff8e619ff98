"""Data without keys in sight: a notebook and its workers read the archive and write scratch, by any library."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import AsyncIterator

import pytest
from hubquota.services.ledger import Ledger
from hubquota.services.scratch import ScratchSpaces
from hubquota.services.tiersfile import load_tiers
from hubquota.storage.engine import make_engine
from romanhub.local.settings import SCRATCH_BUCKET

from tests.platform.portal.world import TIERS
from tests.support.person import Kernel, Person
from tests.support.platform import Platform


@pytest.fixture
async def kernel(platform: Platform) -> AsyncIterator[Kernel]:
    """A Roman kernel in Dora's server."""
    dora = Person(platform.url, "dora")
    dora.sign_in()
    assert dora.start_server(size="small").is_success
    connected = await dora.kernel()
    yield connected
    connected.close()
    dora.stop_server()


def ledger_of(platform: Platform) -> Ledger:
    return Ledger(make_engine(f"sqlite:///{platform.state / 'private' / 'ledger.sqlite'}"))


def broker_tokens(platform: Platform) -> int:
    """How many tokens for the broker alone the hub has given to Dora's clusters."""
    with sqlite3.connect(f"file:{platform.state / 'private' / 'hub.sqlite'}?mode=ro", uri=True) as hub:
        rows = hub.execute(
            "SELECT scopes FROM api_tokens JOIN users ON users.id = user_id "
            "WHERE users.name = 'dora' AND note LIKE 'Dask cluster%'"
        ).fetchall()
    assert all(json.loads(scopes) == ["access:services!service=broker"] for (scopes,) in rows)
    return len(rows)


READ = """
from romanhub import archive
one = archive.exposures()[0]
print("found", len(archive.exposures()), one.cutout(one.footprint[0], 5).shape)
"""

BY_S3FS = f"""
import s3fs
files = s3fs.S3FileSystem()
print("s3fs", [name for name in files.ls("roman-archive/level3/")][0].endswith(".asdf"))
files.pipe_file("{SCRATCH_BUCKET}/scratch/dora/work/s3fs", b"dora's")
print("wrote", files.cat_file("{SCRATCH_BUCKET}/scratch/dora/work/s3fs"))
for path in ("{SCRATCH_BUCKET}/scratch/eva/work/x", "roman-archive/level2/x"):
    try:
        files.pipe_file(path, b"x")
    except PermissionError:
        print("refused")
"""

BY_BOTOCORE = """
import botocore.session
client = botocore.session.get_session().create_client("s3")
print("botocore", client.get_object(Bucket="roman-archive", Key="index.json")["ContentLength"] > 1000)
"""

BY_BOTO3 = f"""
import boto3
scratch = boto3.resource("s3").Bucket("{SCRATCH_BUCKET}")
scratch.put_object(Key="scratch/dora/work/boto3", Body=b"by boto3")
for one in scratch.objects.filter(Prefix="scratch/dora/work/boto3"):
    print(one.get()["Body"].read())
"""

# As one types it in a terminal of Lab.
BY_COMMAND_LINE = f"""
import subprocess
def aws(*words):
    done = subprocess.run(["aws", *words], capture_output=True, text=True)
    print(done.returncode, done.stdout, done.stderr)
aws("s3", "ls", "s3://roman-archive/level3/")
aws("s3", "cp", "s3://{SCRATCH_BUCKET}/scratch/dora/work/boto3", "-")
aws("s3", "ls", "s3://{SCRATCH_BUCKET}/scratch/eva/")
"""

BY_OBSTORE = f"""
import os, obstore
from obstore.store import S3Store
from romanhub.client.credentials import source
store = S3Store("{SCRATCH_BUCKET}", endpoint=source().current().endpoint, client_options={{"allow_http": True}},
                credential_provider=source())
print("obstore", bytes(obstore.get(store, "scratch/dora/work/s3fs").bytes()))
"""

BY_WORKERS = f"""
import romanhub, s3fs
def there():
    import os
    from romanhub import archive
    import s3fs
    seen = [name for name in os.environ if "TOKEN" in name and "GATEWAY" not in name]
    s3fs.S3FileSystem().pipe_file("{SCRATCH_BUCKET}/scratch/dora/work/worker", b"from a worker")
    return seen, len(archive.exposures())
cluster = romanhub.cluster(workers=1)
client = cluster.get_client()
print("worker", client.submit(there).result(timeout=180))
asked = client.submit(lambda one: one.open().meta.instrument.name, archive.exposures()[0])
print("handle", asked.result(timeout=60))
"""


@pytest.mark.timeout(600)
async def test_every_library_reads_and_writes_without_a_key_in_sight(platform: Platform, kernel: Kernel) -> None:
    spaces = ScratchSpaces.sharing(ledger_of(platform))
    spaces.make(load_tiers(TIERS), "dora", person="dora", name="work", gib=1, days=3)

    async def says(code: str) -> str:
        result = await kernel.run(code)
        assert not result.error, result
        return str(result.text)

    said = await says(READ)
    assert "found" in said and "(5, 5)" in said
    said = await says(BY_S3FS)
    assert "s3fs True" in said and "dora's" in said and said.count("refused") == 2
    assert "botocore True" in await says(BY_BOTOCORE)
    assert "by boto3" in await says(BY_BOTO3)
    said = await says(BY_COMMAND_LINE)
    assert ".asdf" in said and "by boto3" in said and "AccessDenied" in said
    assert "dora's" in await says(BY_OBSTORE)
    said = await says(BY_WORKERS)
    assert "worker (['ROMANHUB_BROKER_TOKEN']" in said and "handle WFI" in said
    assert broker_tokens(platform) == 1
    await says("client.close(); cluster.shutdown()")
    deadline = time.monotonic() + 60
    while broker_tokens(platform):
        assert time.monotonic() < deadline, "the token outlives its cluster"
        time.sleep(0.2)
    secrets = json.loads((platform.state / "private" / "secrets.json").read_text())
    environment = await says("import os; print(dict(os.environ))")
    assert not [name for name, secret in secrets.items() if secret in environment]
