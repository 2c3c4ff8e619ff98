"""What two people on one platform can reach of each other: nothing."""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import Iterator

import httpx
import pytest

from tests.support.person import Person
from tests.support.platform import Platform


@pytest.fixture(scope="module")
def people(platform: Platform) -> Iterator[tuple[Person, Person]]:
    """Eve and Carol, each with a server that runs."""
    eve, carol = Person(platform.url, "eve"), Person(platform.url, "carol")
    for person in (eve, carol):
        person.sign_in()
        assert person.start_server(size="small").is_success
    yield eve, carol
    for person in (eve, carol):
        person.stop_server()


def test_another_persons_server_is_closed(people: tuple[Person, Person]) -> None:
    eve, carol = people
    # In the browser: a page that refuses; with a token of her own: refused.
    assert eve.web.get("/user/carol/lab").status_code == 403
    token = eve.token()
    answer = eve.web.get("/user/carol/api/contents", headers={"Authorization": f"token {token}"})
    assert answer.status_code == 403
    assert eve.api("DELETE", "/users/carol/server").status_code in (403, 404)
    assert eve.api("GET", "/users/carol").status_code in (403, 404)
    assert eve.api("POST", "/users/carol/tokens", json={}).status_code in (403, 404)
    # Carol's own server answers Carol.
    answer = carol.web.get("/user/carol/api/contents", headers={"Authorization": f"token {carol.token()}"})
    assert answer.status_code == 200


def test_another_persons_ledger_and_the_admin_pages_are_closed(people: tuple[Person, Person]) -> None:
    eve, _ = people
    assert eve.api("GET", "/users").status_code == 403
    assert eve.web.get("/hub/admin").status_code == 403
    page = eve.web.get("/services/portal/admin")
    assert page.status_code == 403
    assert "carol" not in page.text
    bearer = {"Authorization": f"token {eve.token()}"}
    assert eve.web.get("/services/portal/api/accounts", headers=bearer).status_code == 403
    mine = eve.web.get("/services/portal/api/statement", headers=bearer)
    assert mine.status_code == 200
    assert "carol" not in mine.text


def test_the_administrator_sees_the_accounts(platform: Platform, people: tuple[Person, Person]) -> None:
    admin = Person(platform.url, "admin", platform.admin_password)
    admin.sign_in()
    page = admin.web.get("/services/portal/admin")
    assert page.status_code == 200
    assert "carol" in page.text
    assert "eve" in page.text


@pytest.mark.skipif(
    os.geteuid() != 0, reason="started by an ordinary user, homes share one system user, as it says"
)
async def test_files_and_processes_are_private(platform: Platform, people: tuple[Person, Person]) -> None:
    eve, _ = people
    assert "each user's server runs as a system user of its own" in platform.output
    kernel = await eve.kernel()
    attempts = {
        "another home": f"import os; os.listdir('{platform.state}/homes/carol')",
        "the list of homes": f"os.listdir('{platform.state}/homes')",
        "the secrets": f"open('{platform.state}/private/secrets.json').read()",
        "the ledger": f"open('{platform.state}/private/ledger.sqlite', 'rb').read()",
        "the logs": f"os.listdir('{platform.state}/logs')",
        "the environment of others": (
            "import glob\n"
            "found = []\n"
            "for path in glob.glob('/proc/[0-9]*/environ'):\n"
            "    try:\n"
            "        text = open(path).read()\n"
            "    except OSError:\n"
            "        continue\n"
            "    found += [path] if 'JUPYTERHUB_USER=eve' not in text and 'ROMANHUB' in text else []\n"
            "raise PermissionError if not found else RuntimeError(found)"
        ),
        "its own environment's programs": "import astropy; open(astropy.__file__, 'a')",
    }
    for what, code in attempts.items():
        result = await kernel.run(code)
        assert result.error, f"{what} can be read"
        assert "PermissionError" in result.error, f"{what}: {result.error}"
    # No secret of the platform stands in a command line, which everybody can read.
    secrets = (platform.state / "private" / "secrets.json").read_text()
    lines = (await kernel.run("print(*(open(p).read() for p in glob.glob('/proc/[0-9]*/cmdline')))")).text
    assert not [word for word in secrets.split('"') if len(word) > 40 and word in lines]
    kernel.close()


def test_the_homes_say_so_when_they_are_shared(platform: Platform) -> None:
    if os.geteuid() != 0:
        assert "users can read each other's files" in platform.output
    else:
        assert "homes are private" in platform.output


async def test_the_kernel_has_what_its_name_promises(people: tuple[Person, Person]) -> None:
    eve, _ = people
    kernel = await eve.kernel()
    result = await kernel.run(
        "import asdf, astropy, dask, distributed, gwcs, matplotlib, photutils, roman_datamodels, s3fs, romanhub"
    )
    assert not result.error, result.error
    # What passes between a server and its kernel can be read by nobody else on the machine.
    keys = await kernel.run("import json, ipykernel\nprint(*json.load(open(ipykernel.get_connection_file())))")
    assert "curve_publickey" in keys.text.split()
    kernel.close()


async def test_no_notebook_holds_a_key_of_another_part(platform: Platform, people: tuple[Person, Person]) -> None:
    eve, _ = people
    kernel = await eve.kernel()
    names = (await kernel.run("import os; print(*os.environ)")).text.split()
    assert not [name for name in names if "SECRET" in name or "PASSWORD" in name or "ACCESS_KEY" in name]
    kernel.close()


def test_the_archive_is_reached_by_s3_alone(platform: Platform) -> None:
    ports = json.loads((platform.state / "private" / "ports.json").read_text())
    master = f"http://127.0.0.1:{ports['archive_master']}"
    assert httpx.get(f"{master}/col/delete?collection=roman-archive").status_code == 404
    assert httpx.get(f"{master}/dir/assign").status_code == 404
    assert httpx.get(f"http://127.0.0.1:{ports['archive_filer']}/buckets/").status_code in (401, 404)
    assert httpx.get(f"http://127.0.0.1:{ports['archive']}/roman-archive/index.json").status_code == 403
    for part in ("archive_grpc", "archive_master_grpc", "archive_volume_grpc", "archive_filer_grpc"):
        stranger = ssl.create_default_context()
        stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
        stranger.set_alpn_protocols(["h2"])
        with (
            socket.create_connection(("127.0.0.1", ports[part]), timeout=20) as plain,
            stranger.wrap_socket(plain) as connection,
            pytest.raises(ssl.SSLError, match="certificate required"),
        ):
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            while connection.recv(4096):
                pass
