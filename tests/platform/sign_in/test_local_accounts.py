"""Accounts of one machine, through the sign-in form of a real hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from romanhub.sign_in.local_accounts import first_password, has_password

from tests.platform.sign_in.hub import Hub, text
from tests.support.person import Person

GOOD = "a long password"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = Hub(tmp_path_factory.mktemp("local")).start()
    yield hub
    hub.stop()


@pytest.fixture(scope="module")
def passwords(hub: Hub) -> Path:
    return hub.folder / "passwords.dbm"


@pytest.fixture(scope="module")
def admin(hub: Hub, passwords: Path) -> Person:
    """The administrator, with the password that is printed at the first start."""
    password = first_password(passwords, "admin")
    assert password
    person = Person(hub.url, "admin", password)
    assert _is_in(person.sign_in())
    return person


def _is_in(page: httpx.Response) -> bool:
    return page.status_code == 200 and page.url.path == "/hub/home"


def _refusal(page: httpx.Response) -> str:
    """What the form says above its fields."""
    assert page.status_code == 403, page.text
    return page.text.partition('<p class="login_error">')[2].partition("</p>")[0].replace("&#39;", "'")


def test_the_first_sign_in_chooses_the_password_and_the_second_needs_it(hub: Hub) -> None:
    assert _is_in(Person(hub.url, "ada", GOOD).sign_in())
    assert _is_in(Person(hub.url, "ada", GOOD).sign_in())
    assert _refusal(Person(hub.url, "ada", "another password").sign_in()) == "Invalid username or password"
    assert _refusal(Person(hub.url, "ada", "").sign_in()) == "Invalid username or password"


def test_a_name_is_the_same_in_capital_letters(hub: Hub) -> None:
    grace = Person(hub.url, "Grace", GOOD)
    assert _is_in(grace.sign_in())
    assert grace.api("GET", "/user").json()["name"] == "grace"
    assert _refusal(Person(hub.url, "GRACE", "another password").sign_in()) == "Invalid username or password"


def test_a_password_may_have_any_characters_and_72_bytes_count(hub: Hub) -> None:
    password = "Zoë's ★ \U0001f52d " + "x" * 56
    assert len(password.encode()) == 72
    assert _is_in(Person(hub.url, "zoe", password).sign_in())
    assert _refusal(Person(hub.url, "zoe", password[:-1] + "y").sign_in()) == "Invalid username or password"


@pytest.mark.parametrize(
    ("password", "says"),
    [
        ("123456789", "at least 10 characters long"),
        ("", "at least 10 characters long"),
        ("x" * 73, "A password has at most 72 bytes. Choose a shorter one."),
        ("ë" * 37, "A password has at most 72 bytes. Choose a shorter one."),
    ],
)
def test_a_password_that_will_not_do_is_refused_and_leaves_the_name_free(
    hub: Hub, passwords: Path, password: str, says: str
) -> None:
    assert says in _refusal(Person(hub.url, "emmy", password).sign_in())
    assert not has_password(passwords, "emmy")


@pytest.mark.parametrize(
    "name",
    ["", "1ada", "-ada", "ada b", "ada.b", "a/b", "../ada", "a@b.org", "zoë", "ada$", "a" * 32, "%61", "<b>"],
)
def test_a_name_that_will_not_do_is_refused_in_words(hub: Hub, passwords: Path, name: str) -> None:
    assert _refusal(Person(hub.url, name, GOOD).sign_in()) == (
        "A user name starts with a letter and has up to 31 small letters, digits, - and _."
    )
    assert not has_password(passwords, name)


def test_the_administrators_account_is_not_the_first_comers(hub: Hub, admin: Person) -> None:
    # Its password is there; and without one, the account waits for one to be made.
    assert _refusal(Person(hub.url, "admin", GOOD).sign_in()) == "Invalid username or password"
    assert admin.api("GET", "/user").json()["admin"] is True


def test_an_administrator_without_a_password_waits_for_one_to_be_made(
    hub: Hub, passwords: Path, admin: Person
) -> None:
    created = admin.api("POST", "/users", json={"usernames": ["boss"], "admin": True})
    assert created.status_code == 201, created.text
    refused = _refusal(Person(hub.url, "Boss", GOOD).sign_in())
    assert refused.endswith("To make a new one: romanhub password boss")
    password = first_password(passwords, "boss", again=True)
    assert password
    assert _is_in(Person(hub.url, "boss", password).sign_in())


def test_a_password_is_made_once_and_anew_only_when_asked(hub: Hub, passwords: Path, admin: Person) -> None:
    assert first_password(passwords, "admin") is None
    fresh = first_password(passwords, "admin", again=True)
    assert fresh
    assert _refusal(Person(hub.url, "admin", admin.password).sign_in()) == "Invalid username or password"
    admin.password = fresh
    assert _is_in(admin.sign_in())


def test_passwords_are_kept_hashed_where_only_the_platform_reads(hub: Hub, passwords: Path) -> None:
    Person(hub.url, "vera", "do not find me here").sign_in()
    kept = [file for file in passwords.parent.iterdir() if file.name.startswith(passwords.name)]
    assert kept
    for file in kept:
        assert b"do not find me here" not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("password", "says"),
    [
        ("short", "at least 10 characters long"),
        ("x" * 73, "A password has at most 72 bytes. Choose a shorter one."),
        ("the next password", "Your password has been changed successfully"),
    ],
)
def test_a_password_is_changed_under_the_same_rules(hub: Hub, password: str, says: str) -> None:
    lise = Person(hub.url, "lise", GOOD)
    lise.sign_in()
    assert "New Password" in text(lise.web.get("/hub/auth/change-password"))
    form = {"password": password, "_xsrf": lise.xsrf["X-XSRFToken"]}
    assert says in text(lise.web.post("/hub/auth/change-password", data=form))
    changed = "changed" in says
    assert _is_in(Person(hub.url, "lise", password if changed else GOOD).sign_in())


def test_a_form_that_has_expired_says_so(hub: Hub) -> None:
    page = httpx.post(
        f"{hub.url}/hub/login", data={"username": "ada", "password": GOOD}, headers={"Sec-Fetch-Mode": "navigate"}
    )
    assert _refusal(page) == "Login form invalid or expired. Try again."


def test_a_form_without_its_fields_is_refused(hub: Hub, passwords: Path) -> None:
    person = Person(hub.url, "nobody", "")
    person.web.get("/hub/login")
    xsrf = person.web.cookies.get("_xsrf", path="/hub/")
    assert person.web.post("/hub/login", data={"username": "nobody", "_xsrf": xsrf}).status_code == 403
    assert not has_password(passwords, "nobody")
