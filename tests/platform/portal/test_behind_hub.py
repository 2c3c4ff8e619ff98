"""The portal as it runs: its own process, behind a real JupyterHub and its proxy."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import load_tiers
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate
from romanhub.portal import scopes

from tests.platform.portal.world import ROOT, TIERS, Clock, tell_story
from tests.support.person import Person
from tests.support.ports import free_port

PORTAL = "/services/portal/"
PATIENCE = 60.0
BIN = Path(sys.executable).parent

CONFIG = """
from romanhub.portal.scopes import ADMIN, CUSTOM_SCOPES, READ, REQUEST

c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.auth_token = "{proxy_token}"
c.JupyterHub.default_url = "/hub/home"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allowed_users = {{"ada", "cecilia", "newcomer", "mallory", "edwin"}}
c.Authenticator.admin_users = {{"edwin"}}
c.JupyterHub.services = [
    {{
        "name": "portal",
        "url": "http://127.0.0.1:{portal_port}",
        "api_token": "{portal_token}",
        "oauth_no_confirm": True,
        "oauth_client_allowed_scopes": ["admin-ui", *CUSTOM_SCOPES],
    }},
    {{"name": "robot", "api_token": "{robot_token}"}},
]
c.JupyterHub.custom_scopes = CUSTOM_SCOPES
c.JupyterHub.load_roles = [
    {{
        "name": "portal-users",
        "users": ["ada", "cecilia", "newcomer", "edwin"],
        "scopes": ["access:services!service=portal", REQUEST],
    }},
    {{
        "name": "auditors",
        "services": ["robot"],
        "scopes": ["access:services!service=portal", READ],
    }},
]
"""


def wait_until_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return once the address answers as it should."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, f"{process.args!r} ended"
        try:
            if httpx.get(url, trust_env=False, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{url} did not answer within {PATIENCE:.0f} s")


@dataclass
class Site:
    """A hub, its proxy and the portal, each a process of its own."""

    folder: Path
    port: int
    robot_token: str
    ledger: Ledger
    tiers: Tiers
    hub: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def person(self, name: str) -> Person:
        """Somebody who has signed in at the hub."""
        person = Person(self.url, name)
        assert name in person.sign_in().text
        return person

    def get(self, path: str, token: str | None = None) -> httpx.Response:
        """Ask the portal as a program does."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.get(f"{self.url}{PORTAL}{path}", headers=headers, trust_env=False, timeout=30)


def run(folder: Path, name: str, command: list[str | Path], **environment: str) -> subprocess.Popen[bytes]:
    """Start a process that writes what it says to a file of that name."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTERHUB", "CONFIGPROXY"))}
    with (folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=clean | environment)


def run_hub(folder: Path) -> subprocess.Popen[bytes]:
    return run(folder, "hub", [sys.executable, "-m", "jupyterhub", "-f", folder / "jupyterhub_config.py"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    ports = {name: free_port() for name in ("port", "hub_port", "proxy_port", "portal_port")}
    tokens = {name: secrets.token_hex(16) for name in ("proxy_token", "portal_token", "robot_token")}
    (folder / "jupyterhub_config.py").write_text(CONFIG.format(**ports, **tokens))
    url = f"sqlite:///{folder}/ledger.sqlite"
    engine = make_engine(url)
    migrate(engine)
    ledger, tiers = Ledger(engine), load_tiers(TIERS)
    past = Clock()
    tell_story(Ledger(engine, past), past, tiers)
    processes = [
        run(
            folder,
            "proxy",
            [BIN / "configurable-http-proxy", "--ip=127.0.0.1", f"--port={ports['port']}", "--api-ip=127.0.0.1",
             f"--api-port={ports['proxy_port']}"],
            CONFIGPROXY_AUTH_TOKEN=tokens["proxy_token"],
        ),
        run(
            folder,
            "portal",
            [sys.executable, "-m", "romanhub.portal", f"--port={ports['portal_port']}"],
            PYTHONPATH=f"{ROOT / 'platform'}{os.pathsep}{ROOT / 'quota'}",
            JUPYTERHUB_API_TOKEN=tokens["portal_token"],
            JUPYTERHUB_API_URL=f"http://127.0.0.1:{ports['hub_port']}/hub/api",
            JUPYTERHUB_OAUTH_ACCESS_SCOPES='["access:services!service=portal"]',
            HUBQUOTA_DATABASE_URL=url,
            HUBQUOTA_TIERS=str(TIERS),
        ),
    ]  # fmt: skip
    site = Site(folder, ports["port"], tokens["robot_token"], ledger, tiers, run_hub(folder))
    try:
        wait_until_answers(f"http://127.0.0.1:{ports['portal_port']}{PORTAL}api/health", processes[1])
        wait_until_answers(f"{site.url}/hub/health", site.hub)
        wait_until_answers(f"{site.url}{PORTAL}api/health", site.hub)
        yield site
    except AssertionError:
        for log in sorted(folder.glob("*.log")):
            print(f"== {log.name}\n{log.read_text()[-4000:]}")
        raise
    finally:
        for process in [site.hub, *processes]:
            process.kill()
            process.wait()
        engine.dispose()


def test_a_person_signs_in_once_and_reads_their_own_account(site: Site) -> None:
    ada = Person(site.url, "ada")

    asked = ada.web.get(f"{PORTAL}?before=30")
    assert asked.url.path == "/hub/login", "who is not signed in is asked to, by the hub"
    form = {"username": "ada", "password": "x", "_xsrf": ada.web.cookies.get("_xsrf", path="/hub/")}
    page = ada.web.post(str(asked.url), data=form)

    assert (page.status_code, page.url.path, page.url.query) == (200, PORTAL, b"before=30")
    assert "Hello, ada" in page.text
    assert "Medium server" in page.text
    kept = [cookie for cookie in ada.web.cookies.jar if cookie.name.startswith("romanhub-portal")]
    assert [(cookie.name, cookie.path) for cookie in kept] == [("romanhub-portal", PORTAL)]
    assert ada.web.get(PORTAL).history == [], "no second sign-in"


def test_a_person_sees_nobody_else_s_account(site: Site) -> None:
    cecilia = site.person("cecilia")

    assert "Hello, cecilia" in cecilia.web.get(PORTAL).text
    for path in ("admin", "admin/accounts/ada", "api/accounts", "api/accounts/ada"):
        answer = cecilia.web.get(f"{PORTAL}{path}")
        assert answer.status_code == 403, path
        assert "Only the people who run this platform" in answer.text
        assert "Large server" not in answer.text
    token = cecilia.token()
    assert site.get("api/accounts", token).status_code == 403
    assert site.get("api/accounts/ada", token).status_code == 403
    assert site.get("api/statement", token).json()["account"]["name"] == "cecilia"


def test_an_administrator_reads_every_account(site: Site) -> None:
    edwin = site.person("edwin")

    listing = edwin.web.get(f"{PORTAL}admin")
    assert listing.status_code == 200, listing.text
    assert "survey-team" in listing.text
    assert "Large server" in edwin.web.get(f"{PORTAL}admin/accounts/ada").text
    names = [row["account"]["name"] for row in site.get("api/accounts", edwin.token()).json()["accounts"]]
    assert names == sorted(names)
    assert {"ada", "cecilia", "survey-team"} <= set(names)


def test_a_narrow_token_of_an_administrator_opens_only_their_own_account(site: Site) -> None:
    token = site.person("edwin").token("access:services!service=portal")

    assert site.get("api/me", token).json() == {
        "name": "edwin", "tier": "explorer", "admin": False, "balance": None,
    }  # fmt: skip
    assert site.get("api/accounts", token).status_code == 403


def ticket_of(page: httpx.Response) -> str:
    """What the forms of a page carry."""
    found = re.search(r'name="ticket" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def test_a_request_goes_from_a_person_s_form_to_an_administrator_s(site: Site) -> None:
    cecilia, edwin = site.person("cecilia"), site.person("edwin")
    form = {"what": "tier:researcher", "justification": "My thesis.", "amount": "300"}

    forged = cecilia.web.post(f"{PORTAL}requests", data=form)
    assert forged.status_code == 403, "a form that no page of the portal's made"
    form["ticket"] = ticket_of(cecilia.web.get(f"{PORTAL}requests"))
    asked = cecilia.web.post(f"{PORTAL}requests", data=form)
    assert (asked.status_code, asked.url.path) == (200, f"{PORTAL}requests")
    assert "Nobody has decided yet." in asked.text
    number = site.get("api/requests", cecilia.token()).json()["requests"][0]["id"]
    decision = {"decision": "approve", "reason": "Good."}
    hers = {**decision, "ticket": form["ticket"]}
    assert cecilia.web.post(f"{PORTAL}admin/requests/{number}", data=hers).status_code == 403
    decision["ticket"] = ticket_of(edwin.web.get(f"{PORTAL}admin/requests"))
    assert edwin.web.post(f"{PORTAL}admin/requests/{number}", data=decision).status_code == 200

    assert "Approved" in cecilia.web.get(f"{PORTAL}requests").text
    assert "researcher" in (site.ledger.account("cecilia") or pytest.fail("no account")).tiers

    # Whoever signs out takes the forms of all open pages with them.
    late = {**form, "ticket": ticket_of(cecilia.web.get(f"{PORTAL}requests")), "what": "tier:team"}
    cecilia.web.get("/hub/logout")
    assert httpx.post(f"{site.url}{PORTAL}requests", data=late, trust_env=False).status_code in (303, 403)
    assert len(site.get("api/requests?everybody=true", edwin.token()).json()["requests"]) == 1


def test_the_hub_s_custom_scopes_decide_what_a_token_may_do(site: Site) -> None:
    edwin = site.person("edwin")
    body = {"tier": "team", "justification": "More."}

    def post(token: str) -> httpx.Response:
        return httpx.post(
            f"{site.url}{PORTAL}api/requests", json=body, headers={"Authorization": f"Bearer {token}"},
            trust_env=False, timeout=30,
        )  # fmt: skip

    narrow = edwin.token("access:services!service=portal")
    asking = edwin.token("access:services!service=portal", scopes.REQUEST)
    assert post(narrow).status_code == 403
    assert scopes.REQUEST in post(narrow).json()["detail"]
    assert post(asking).status_code == 201
    assert site.get("api/audit", asking).status_code == 403
    refused = edwin.api("POST", f"{edwin.path}/tokens", json={"scopes": [scopes.ADMIN]})
    assert refused.status_code == 400, "nobody makes a token with a scope that they do not hold"
    # The robot is given a role with the scope to read, and no more.
    assert site.get("api/audit", site.robot_token).status_code == 200
    assert site.get("api/accounts", site.robot_token).status_code == 200
    assert post(site.robot_token).status_code == 403


def test_a_token_without_the_scope_is_refused_and_one_with_it_is_not(site: Site) -> None:
    newcomer = site.person("newcomer")

    narrow = site.get("api/me", newcomer.token("read:users:activity!user"))
    assert narrow.status_code == 403
    assert "access:services!service=portal" in narrow.json()["detail"]
    assert site.get("api/me", newcomer.token("access:services!service=portal")).json()["name"] == "newcomer"


def test_another_service_and_a_made_up_token_are_refused(site: Site) -> None:
    assert site.get("api/me", site.robot_token).status_code == 403
    assert site.get("api/scratch", site.robot_token).status_code == 403
    assert site.get("api/statement", site.robot_token).status_code == 404, "a service has no account"
    assert site.get("api/me", "0123456789abcdef").status_code == 401
    assert site.get("api/me").status_code == 401


def test_a_person_whom_the_hub_does_not_let_in_is_told_so(site: Site) -> None:
    mallory = site.person("mallory")

    answer = mallory.web.get(PORTAL)

    assert answer.status_code == 403
    assert "Hello" not in answer.text
    assert site.get("api/me", mallory.token()).status_code == 403


@pytest.mark.parametrize("way_out", [f"{PORTAL}logout", "/hub/logout"], ids=["the portal's", "the hub's"])
def test_signing_out_on_either_side_ends_the_portal_s_session_at_once(site: Site, way_out: str) -> None:
    ada = site.person("ada")
    assert "Hello, ada" in ada.web.get(PORTAL).text

    ada.web.get(way_out)

    assert ada.web.get(PORTAL).url.path == "/hub/login"


def test_another_person_on_the_same_browser_gets_their_own_page(site: Site) -> None:
    browser = site.person("ada")
    assert "Hello, ada" in browser.web.get(PORTAL).text
    browser.web.get("/hub/logout")
    browser.name = "cecilia"
    browser.sign_in()

    assert "Hello, cecilia" in browser.web.get(PORTAL).text


def test_a_hub_that_is_killed_is_said_so_and_its_return_is_noticed(site: Site) -> None:
    ada = site.person("ada")
    token = site.person("cecilia").token()
    site.hub.kill()
    site.hub.wait()

    page, api = ada.web.get(PORTAL), site.get("api/me", token)
    assert page.status_code == api.status_code == 503
    assert "The hub is not answering" in page.text
    assert page.headers["content-type"].startswith("text/html")
    assert api.headers["content-type"] == "application/problem+json"
    assert site.get("api/health").status_code == 200

    site.hub = run_hub(site.folder)
    wait_until_answers(f"{site.url}/hub/health", site.hub)
    assert site.get("api/me", token).json()["name"] == "cecilia"
    assert "Hello, ada" in ada.web.get(PORTAL).text


def test_no_sign_in_code_is_left_in_the_portal_s_log(site: Site) -> None:
    site.person("ada").web.get(f"{PORTAL}?before=30")

    log = (site.folder / "portal.log").read_text()
    assert f"GET {PORTAL}oauth_callback HTTP" in log
    assert "code=" not in log
    assert "before=" not in log


def test_the_portal_ends_when_asked_to(site: Site, tmp_path: Path) -> None:
    port = free_port()
    process = run(
        tmp_path,
        "portal",
        [sys.executable, "-m", "romanhub.portal", f"--port={port}"],
        PYTHONPATH=f"{ROOT / 'platform'}{os.pathsep}{ROOT / 'quota'}",
        JUPYTERHUB_API_TOKEN="another-portal-s-token",
        HUBQUOTA_DATABASE_URL=f"sqlite:///{site.folder}/ledger.sqlite",
        HUBQUOTA_TIERS=str(TIERS),
    )
    try:
        with httpx.Client(trust_env=False) as client:
            wait_until_answers(f"http://127.0.0.1:{port}{PORTAL}api/health", process)
            client.get(f"http://127.0.0.1:{port}{PORTAL}api/health")
            process.terminate()
            assert process.wait(timeout=10) in (0, -15)
    finally:
        process.kill()
    assert "Traceback" not in (tmp_path / "portal.log").read_text()


def test_the_portal_does_not_start_without_what_it_needs_and_says_what() -> None:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTERHUB", "HUBQUOTA"))}

    ended = subprocess.run(
        [sys.executable, "-m", "romanhub.portal", "--port=1"],
        env=clean | {"PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT / 'quota'}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 2
    assert "JUPYTERHUB_API_TOKEN: is not set" in ended.stderr
    assert "Traceback" not in ended.stderr
