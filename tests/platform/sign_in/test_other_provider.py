"""A provider that is set up in other ways: addresses as names, no refresh tokens, the secret in the body."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from tests.platform.sign_in.hub import Member, text
from tests.platform.sign_in.sites import Site, running_site

CLAIM = "https://example.org/groups"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(
        tmp_path_factory.mktemp("other"),
        client={"token_endpoint_auth_method": "client_secret_post", "grant_types": ["authorization_code"]},
        # A person whom the provider does not confirm at once is overdue at once.
        arguments=("--InstitutionAuthenticator.confirm_within=0",),
        client_auth="client_secret_post",
        username_claim="email",
        groups_claim=CLAIM,
    ) as running:
        claims: dict[str, Any] = {"email": "grace@example.org", CLAIM: ["roman-admins"]}
        running.provider.add("grace", **claims)
        yield running


def _somebody(site: Site, login: str, **claims: Any) -> Member:
    person = site.newcomer(login, email=f"{login}@example.org", **claims)
    person.name = f"{login}@example.org"
    return person


def test_an_address_becomes_the_name_and_everybody_whom_the_provider_knows_may_sign_in(site: Site) -> None:
    ada = _somebody(site, "ada")
    assert ada.sign_in().url.path == "/hub/home"
    assert ada.api("GET", "/user").json()["name"] == "ada@example.org"


def test_an_address_that_the_provider_has_not_verified_is_refused(site: Site) -> None:
    page = _somebody(site, "squatter", email_verified=False).sign_in()
    assert page.status_code == 403
    assert "Example University has not verified your e-mail address. Verify it there" in text(page)


@pytest.mark.parametrize(
    ("given", "groups"),
    [
        (["a", "b"], ["a", "b"]),
        ("staff", ["staff"]),
        (None, []),
        ([], []),
        ({"a": 1}, []),
        (["a", None, ""], ["a"]),
    ],
)
def test_groups_are_read_from_a_claim_of_any_name_whatever_it_holds(
    site: Site, given: object, groups: list[str]
) -> None:
    person = _somebody(site, "somebody", **{CLAIM: given})
    person.sign_in()
    assert sorted(person.api("GET", "/user").json()["groups"]) == groups


def test_a_token_ends_when_its_owner_is_not_confirmed_any_more(site: Site) -> None:
    subject = site.provider.add("lise", email="lise@example.org")
    lise = site.signed_in("lise", "lise@example.org")
    authorization = {"Authorization": f"token {lise.token()}"}
    start = f"{site.hub.url}/hub/api/users/lise@example.org/servers"
    assert lise.web.post(f"{start}/one", json={}, headers=authorization).status_code in (201, 202)

    site.provider.remove(subject)
    refused = lise.web.post(f"{start}/two", json={}, headers=authorization)
    assert refused.status_code == 403
    assert refused.json()["message"] == "auth has expired for lise@example.org, login again"


def test_a_provider_that_moves_to_another_issuer_keeps_its_people(site: Site) -> None:
    for login in ("marie", "stranger"):
        _somebody(site, login).sign_in()
    site.hub.stop()
    site.provider.stop()
    with sqlite3.connect(site.hub.folder / "hub.sqlite") as database:
        database.execute(
            "UPDATE users SET user_info = replace(user_info, ?, ?) WHERE name = 'stranger@example.org'",
            (site.provider.issuer, "https://unknown.example.org"),
        )
    before, site.provider.port = site.provider.issuer, 0
    site.provider.start()
    assert site.provider.issuer != before
    site.hub.settings(**{**site.hub.given, "issuer": site.provider.issuer, "replaces": [before]})
    site.hub.start()

    site.provider.remove("subject-of-marie")
    site.provider.add("marie", subject="a new one", email="marie@example.org")
    assert site.member("marie").sign_in().url.path == "/hub/home"
    assert "The user name stranger@example.org is taken" in text(site.member("stranger").sign_in())

    # From now on the name is this account's, and of no other of the same issuer.
    site.provider.remove("a new one")
    site.provider.add("marie", subject="another", email="marie@example.org")
    assert "The user name marie@example.org is taken" in text(site.member("marie").sign_in())
