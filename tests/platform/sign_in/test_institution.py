"""Sign-in through an institution's provider, as the people who sign in notice it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, unquote

import httpx
import pytest

from tests.platform.sign_in.hub import Member, text
from tests.platform.sign_in.sites import ASK, Site


def test_the_button_names_the_institution(site: Site) -> None:
    page = site.member("ada").web.get("/hub/login")
    assert "Sign in with Example University" in text(page)


def test_sign_in_ends_at_the_hub_as_the_right_user_with_their_name_and_groups(site: Site) -> None:
    ada = site.newcomer("ada", name="Ada Lovelace", groups=["roman-users", "staff"])
    page = ada.sign_in()
    assert str(page.url) == f"{site.hub.url}/hub/home"
    user = ada.api("GET", "/user").json()
    assert (user["name"], user["admin"]) == ("ada", False)
    assert user["user_info"]["display_name"] == "Ada Lovelace"
    assert sorted(user["groups"]) == ["roman-users", "staff"]
    assert ada.start_server().status_code in (201, 202)
    assert ada.web.get("/user/ada/lab").text == "/user/ada/lab"


def test_members_of_an_administrators_group_are_administrators_as_long_as_they_are_members(site: Site) -> None:
    kay = site.newcomer("kay", groups=["roman-admins"])
    kay.sign_in()
    assert kay.api("GET", "/user").json()["admin"] is True
    assert kay.web.get("/hub/admin").status_code == 200

    site.provider.add("kay", groups=["roman-users"])
    again = site.signed_in("kay")
    assert again.api("GET", "/user").json()["admin"] is False
    assert again.web.get("/hub/admin").status_code == 403


def test_somebody_outside_the_groups_reads_who_may_and_how_to_ask(site: Site) -> None:
    eve = site.newcomer("eve", groups=["visitors"])
    page = eve.sign_in()
    assert page.status_code == 403
    assert (
        "You have signed in at Example University, but this platform is for members of roman-users or "
        f"roman-admins only. {ASK}"
    ) in text(page)
    assert "sign out of Example University to use another account" in text(page)
    assert not eve.is_signed_in
    assert site.user("eve") is None


def test_somebody_who_cancels_at_the_institution_is_not_signed_in(site: Site) -> None:
    ada = site.newcomer("ada")
    page = ada.fill_in(ada.go_to_provider(), cancel="yes")
    assert page.status_code == 400
    assert "The person cancelled the sign-in" in text(page)
    assert not ada.is_signed_in


def test_a_sign_in_counts_only_in_the_browser_that_started_it(site: Site) -> None:
    ada, mallory = site.newcomer("ada"), site.newcomer("mallory")
    address = ada.stop_short_of_the_hub()

    # A link that signs the one who follows it in as somebody else.
    page = mallory.web.get(address)
    assert page.status_code == 400
    assert "This sign-in was not started in this browser" in text(page)

    # The same, with a sign-in of the browser's own under way: its state, the other's code.
    own = mallory.stop_short_of_the_hub()
    page = mallory.web.get(address.copy_set_param("state", own.params["state"]))
    assert page.status_code == 502
    assert "Example University did not complete the sign-in" in text(page)
    assert not mallory.is_signed_in

    assert ada.web.get(address).url.path == "/hub/home"


def test_the_hub_asks_with_a_proof_key_and_for_no_more_than_it_needs(site: Site) -> None:
    ada = site.member("ada")
    ada.web.follow_redirects = False
    address = ada.go_to_provider().headers["location"]
    asked = {key: value[0] for key, value in parse_qs(address.partition("?")[2]).items()}
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["code_challenge"]) == 43
    assert asked["scope"] == "openid profile email"
    assert asked["redirect_uri"] == site.hub.callback


def test_a_hub_that_starts_again_knows_everybody(site: Site) -> None:
    ada = site.newcomer("ada")
    ada.sign_in()
    site.hub.stop()
    site.hub.start()
    assert ada.is_signed_in
    assert site.signed_in("ada").api("GET", "/user").json()["name"] == "ada"


# User names


def test_accounts_whose_names_differ_in_their_letters_case_are_two_people(site: Site) -> None:
    site.newcomer("rosalind", subject="1920").sign_in()
    second = site.newcomer("Rosalind", subject="2020")
    page = second.sign_in()
    assert page.status_code == 403
    assert "The user name rosalind is taken on this platform, by an account that is not the one" in text(page)
    assert ASK in text(page)
    assert not second.is_signed_in
    assert site.signed_in("rosalind").is_signed_in


def test_a_letter_that_becomes_another_in_small_letters_is_refused(site: Site) -> None:
    # The Kelvin sign, U+212A, is `k` in small letters.
    page = site.newcomer("kelvin-sign", preferred_username="\u212aay").sign_in()
    assert page.status_code == 403
    assert "a user name here starts with a letter or digit and has up to 100 letters without accents" in text(page)


@pytest.mark.parametrize(
    "name", ["müller", "a/b", "..", "-x", "a b", "a\nb", "<b>x", "%2e%2e", "x" * 101, "{ada}"]
)
def test_a_name_that_cannot_be_used_is_refused_in_words(site: Site, name: str) -> None:
    page = site.newcomer("odd", preferred_username=name).sign_in()
    assert page.status_code == 403
    assert "Your user name at Example University is" in text(page)
    assert "which this platform cannot use" in text(page)
    assert "<b>" not in page.text.partition("<main")[2]


def test_an_account_without_the_claim_is_told_what_is_missing(site: Site) -> None:
    page = site.newcomer("nameless", preferred_username=None).sign_in()
    assert page.status_code == 403
    assert "Example University did not say your user name (the claim 'preferred_username')" in text(page)


@pytest.mark.parametrize("name", ["Maeve.O'Brien+Roman@Example.org", "0000-0002-1825-0097"])
def test_names_with_special_characters_work_throughout(site: Site, name: str) -> None:
    person = site.newcomer(f"login-{name[0]}", preferred_username=name)
    assert person.sign_in().url.path == "/hub/home"
    person.name = person.api("GET", "/user").json()["name"]
    assert person.name == name.lower()
    assert person.start_server().status_code in (201, 202)
    server = person.web.get(person.api("GET", "/user").json()["servers"][""]["url"])
    assert unquote(server.text) == f"/user/{person.name}/"


def test_somebody_who_is_renamed_at_the_institution_keeps_their_user_name(site: Site) -> None:
    site.newcomer("maria.salomea", subject="curie").sign_in()
    site.provider.add("maria.curie", subject="curie")
    renamed = site.signed_in("maria.curie")
    assert renamed.api("GET", "/user").json()["name"] == "maria.salomea"
    assert site.user("maria.curie") is None


def test_a_name_that_the_institution_gives_to_somebody_else_stays_its_owners(site: Site) -> None:
    left = site.provider.add("smith", subject="smith-who-left")
    site.signed_in("smith")
    site.provider.remove(left)
    successor = site.newcomer("smith", subject="smith-who-came")
    assert successor.sign_in().status_code == 403

    # Until an administrator, who knows who they are, lets it go.
    assert site.signed_in("grace").api("DELETE", "/users/smith").status_code == 204
    assert site.signed_in("smith").is_signed_in


def test_of_two_accounts_with_one_name_that_come_at_the_same_moment_one_gets_it(site: Site) -> None:
    people = [site.newcomer(f"twin-{number}", preferred_username="gemini") for number in range(4)]
    addresses = [person.stop_short_of_the_hub() for person in people]
    with ThreadPoolExecutor(len(people)) as threads:
        pages = list(threads.map(lambda pair: pair[0].web.get(pair[1]), zip(people, addresses, strict=True)))
    assert sorted(page.status_code for page in pages) == [200, 403, 403, 403]
    assert sum(person.is_signed_in for person in people) == 1


def test_a_name_that_was_used_before_is_not_opened_to_whoever_has_it_there(site: Site) -> None:
    grace = site.signed_in("grace")
    assert grace.api("POST", "/users", json={"usernames": ["entered", "used"]}).status_code == 201
    assert grace.api("POST", "/users", json={"usernames": ["boss"], "admin": True}).status_code == 201
    token = grace.api("POST", "/users/used/tokens", json={"note": "a test"}).json()["token"]
    answer = httpx.get(f"{site.hub.url}/hub/api/user", headers={"Authorization": f"token {token}"})
    # The token says nothing, as the provider never confirmed its owner; but somebody has used the name.
    assert answer.status_code == 403

    assert site.newcomer("entered").sign_in().url.path == "/hub/home"
    assert "The user name used is taken" in text(site.newcomer("used").sign_in())
    assert "The user name boss is taken" in text(site.newcomer("boss").sign_in())


# Staying signed in


def _start(member: Member, server: str) -> str:
    """Start a server without waiting for it: the hub asks the provider about the person first."""
    answer = member.api("POST", f"/users/{member.name}/servers/{server}", json={})
    return "started" if answer.status_code in (201, 202) else str(answer.json()["message"])


def _access_token(site: Site, name: str) -> str:
    """The provider's token that the hub keeps for somebody; administrators may see it."""
    grace = site.signed_in("grace")
    token = grace.token("admin:auth_state", "read:users")
    user = grace.web.get(f"/hub/api/users/{name}", headers={"Authorization": f"token {token}"}).json()
    return str(user["auth_state"]["access_token"])


def test_a_change_of_groups_reaches_somebody_who_is_signed_in(site: Site) -> None:
    site.newcomer("hedy", groups=["roman-users"])
    hedy = site.signed_in("hedy")
    site.provider.add("hedy", groups=["roman-users", "large-machines"])
    assert _start(hedy, "one") == "started"
    assert "large-machines" in hedy.api("GET", "/user").json()["groups"]


def test_somebody_who_leaves_the_groups_is_signed_out(site: Site) -> None:
    site.newcomer("emmy", groups=["roman-users"])
    emmy = site.signed_in("emmy")
    authorization = {"Authorization": f"token {emmy.token()}"}
    site.provider.add("emmy", groups=["visitors"])
    assert _start(emmy, "one") == "auth has expired for emmy, login again"
    assert "this platform is for members of" in text(emmy.sign_in_again())
    start = f"{site.hub.url}/hub/api/users/emmy/servers/by-token"
    assert httpx.post(start, json={}, headers=authorization).status_code == 403
    # And a return to them is a return to everything.
    site.provider.add("emmy", groups=["roman-users"])
    assert httpx.post(start, json={}, headers=authorization).status_code in (201, 202)


def test_requests_at_the_same_moment_use_a_refresh_token_once(site: Site) -> None:
    site.newcomer("lise")
    lise = site.signed_in("lise")
    for turn in ("first", "second"):
        site.provider.expire(_access_token(site, "lise"))
        with ThreadPoolExecutor(3) as threads:
            started = list(threads.map(_start, [lise] * 3, [f"{turn}-{number}" for number in "123"]))
        # Had one been used twice, the provider would have ended all of them, and the next start be refused.
        assert started == ["started"] * 3
    assert _start(lise, "last") == "started"


def test_a_provider_that_is_down_stops_new_sign_ins_and_nobody_who_is_signed_in(site: Site) -> None:
    site.newcomer("chien-shiung")
    wu = site.signed_in("chien-shiung")
    token = wu.token()
    ada = site.newcomer("ada")
    address = ada.stop_short_of_the_hub()
    site.provider.stop()
    try:
        page = ada.web.get(address)
        assert page.status_code == 503
        assert "Example University does not answer as it should, so nobody can sign in just now." in text(page)
        assert "Traceback" not in page.text
        assert _start(wu, "one") == "started"
        assert wu.web.get("/hub/home").url.path == "/hub/home"
        answer = wu.web.get("/hub/api/user", headers={"Authorization": f"token {token}"})
        assert answer.json()["name"] == "chien-shiung"
    finally:
        site.provider.start()
    assert "Traceback" not in site.hub.output

    # The provider has forgotten its tokens. Those of the hub go on, so that a night's work does; but the browser
    # has to sign in again, and can.
    answer = httpx.post(
        f"{site.hub.url}/hub/api/users/{wu.name}/servers/by-token",
        headers={"Authorization": f"token {token}"},
        json={},
    )
    assert answer.status_code in (201, 202), answer.text
    assert _start(wu, "two") == "auth has expired for chien-shiung, login again"
    assert wu.sign_in_again().url.path == "/hub/home"
    assert _start(wu, "two") == "started"


def test_signing_out_ends_the_session_at_the_institution_too(site: Site) -> None:
    site.newcomer("mary")
    mary = site.signed_in("mary")
    page = mary.web.get("/hub/logout")
    assert "Sign out of Example University?" in page.text
    xsrf = page.text.partition('name="xsrf" value="')[2].partition('"')[0]
    page = mary.web.post(f"{site.provider.issuer}/session/end/confirm", data={"xsrf": xsrf, "logout": "yes"})
    assert str(page.url) == f"{site.hub.url}/hub/login"
    assert not mary.is_signed_in
    assert 'type="password"' in mary.go_to_provider().text
