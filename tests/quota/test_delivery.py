"""Notices leave the hub once by each channel: through a real mail server, and to a real receiver of a webhook."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler
from hubquota.models.delivery import DeliverySettings
from hubquota.models.letters import ADMINS
from hubquota.services.delivery import Delivering, Preferences
from hubquota.services.notices import Notices
from hubquota.services.settingsfile import SettingsFileError, load_settings
from sqlalchemy import Engine

from tests.quota.support import Clock
from tests.support.ports import free_port

SECRET = "a secret of the tests"


class Letterbox(MessageHandler):
    """Keeps the mail that a real SMTP server takes in. Turns down some recipients, or everything."""

    def __init__(self) -> None:
        super().__init__()
        self.mail: list[Message] = []
        self.answer = ""

    def handle_message(self, message: Message) -> None:
        """Keep a mail."""
        self.mail.append(message)

    async def handle_RCPT(  # noqa: N802 - the server's own name for it
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Take a recipient, or turn them down."""
        if address.startswith("gone"):
            return "550 5.1.1 There is nobody of that name"
        if self.answer:
            return self.answer
        envelope.rcpt_tos.append(address)
        return "250 OK"


@pytest.fixture
def letterbox() -> Iterator[Letterbox]:
    box = Letterbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    box.port = controller.port  # type: ignore[attr-defined]
    try:
        yield box
    finally:
        controller.stop()


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        #: When set, the receiver waits for it before it answers.
        self.gate: threading.Event | None = None
        self.waiting = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((dict(self.headers), body))
        if self.server.gate is not None:
            self.server.waiting.set()
            self.server.gate.wait(10)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def settings(letterbox: Letterbox, receiver: Receiver, tmp_path: Path) -> DeliverySettings:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    file = tmp_path / "notices.yaml"
    file.write_text(
        f"admins: [root]\n"
        f"mail: {{host: 127.0.0.1, port: {letterbox.port}, security: none, sender: hub@example.org}}\n"  # type: ignore[attr-defined]
        f"webhook: {{url: 'http://127.0.0.1:{receiver.server_port}/in', secret_file: {secret}}}\n"
        "attempts: 3\n"
    )
    return load_settings(file, DeliverySettings)


@pytest.fixture
def notices(engine: Engine, clock: Clock) -> Notices:
    return Notices(engine, clock)


@pytest.fixture
def preferences(engine: Engine, clock: Clock) -> Preferences:
    found = Preferences(engine, clock)
    found.set_address("ada", "ada@example.org")
    return found


@pytest.fixture
def delivering(engine: Engine, settings: DeliverySettings, clock: Clock, preferences: Preferences) -> Delivering:
    return Delivering(engine, settings, clock)


def tell(notices: Notices, person: str = "ada", key: str = "down-1", **other: Any) -> int:
    told = {"kind": "maintenance", "subject": "Tomorrow – early", "text": "The hub is down.", **other}
    assert notices.tell(person, key=key, **told)
    return notices.notices(person)[0].id


def test_a_notice_goes_out_once_by_each_channel(
    delivering: Delivering, notices: Notices, letterbox: Letterbox, receiver: Receiver
) -> None:
    number = tell(notices)
    assert delivering.deliver().sent == 2
    assert delivering.deliver().sent == 0
    (mail,) = letterbox.mail
    (posted,) = receiver.got
    assert (mail["To"], mail["From"], mail["Auto-Submitted"]) == (
        "ada@example.org",
        "hub@example.org",
        "auto-generated",
    )
    assert "The hub is down." in str(mail.get_payload(decode=True) or mail.get_payload())
    headers, body = posted
    content = json.loads(body)
    assert (content["person"], content["subject"], content["text"]) == (
        "ada",
        "Tomorrow – early",
        "The hub is down.",
    )
    signed = f"{headers['X-Hubquota-Timestamp']}.".encode() + body
    assert (
        headers["X-Hubquota-Signature"]
        == f"sha256={hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()}"
    )
    assert mail["Message-ID"] == f"<{headers['Idempotency-Key']}@example.org>"
    assert [(one.channel, one.attempts) for one in delivering.deliveries(number)] == [("mail", 1), ("webhook", 1)]


def test_a_failure_is_tried_again_later_under_the_same_name_and_not_for_ever(
    delivering: Delivering, notices: Notices, receiver: Receiver, clock: Clock
) -> None:
    receiver.status = 503
    number = tell(notices, "bob")  # of whom no address is known
    assert delivering.deliver().failed == 1
    assert delivering.deliver().failed == 0
    clock.turn(60)
    assert delivering.deliver().failed == 1
    clock.turn(239)
    assert delivering.deliver().failed == 0
    clock.turn(1)
    assert delivering.deliver().given_up == 1
    clock.turn(86_400)
    assert delivering.deliver().sent == 0
    (dead,) = delivering.given_up()
    assert (dead.notice, dead.person, dead.channel, dead.attempts) == (number, "bob", "webhook", 3)
    assert dead.last_error == "The webhook answered 503 Service Unavailable."
    assert len({headers["Idempotency-Key"] for headers, _ in receiver.got}) == 1

    receiver.status = 200
    assert delivering.try_again([dead.id]) == 1
    assert delivering.deliver().sent == 1
    assert delivering.given_up() == []


def test_an_address_that_is_refused_for_good_is_not_tried_again(
    delivering: Delivering, preferences: Preferences, notices: Notices, letterbox: Letterbox
) -> None:
    preferences.set_address("eve", "gone@example.org")
    tell(notices, "eve")
    tell(notices, "ada")
    done = delivering.deliver()
    assert (done.given_up, done.sent) == (1, 3)  # ada's mail goes over the same connection
    assert "550 5.1.1" in (delivering.given_up()[0].last_error or "")
    assert [mail["To"] for mail in letterbox.mail] == ["ada@example.org"]


def test_a_mail_server_that_is_full_gets_it_later(
    delivering: Delivering, notices: Notices, letterbox: Letterbox, clock: Clock
) -> None:
    letterbox.answer = "452 4.3.1 The disk is full"
    tell(notices)
    assert delivering.deliver().failed == 1
    letterbox.answer = ""
    clock.turn(60)
    assert delivering.deliver().sent == 1
    assert len(letterbox.mail) == 1


def test_a_channel_that_does_not_work_holds_nobody_up_for_long(
    engine: Engine, settings: DeliverySettings, clock: Clock, notices: Notices, receiver: Receiver
) -> None:
    nowhere = settings.model_copy(update={"webhook": None, "mail": settings.mail})
    assert nowhere.mail is not None
    dead = nowhere.model_copy(update={"mail": nowhere.mail.model_copy(update={"port": free_port()})})
    delivering = Delivering(engine, dead, clock, address_of=lambda person: f"{person}@example.org")
    for number in range(10):
        tell(notices, key=f"down-{number}")
    assert delivering.deliver().failed == 3
    # Those that were not tried are as they were: they go out as soon as it works.
    working = Delivering(engine, nowhere, clock, address_of=lambda person: f"{person}@example.org")
    assert working.deliver().sent == 7


def test_of_many_deliverers_at_once_one_sends(
    engine: Engine, settings: DeliverySettings, clock: Clock, notices: Notices, receiver: Receiver
) -> None:
    for number in range(8):
        tell(notices, "bob", key=f"down-{number}")
    together = threading.Barrier(4)

    def deliver(_: int) -> int:
        mine = Delivering(engine, settings, clock)
        together.wait()
        return mine.deliver().sent

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(deliver, range(4))) == 8
    keys = [headers["Idempotency-Key"] for headers, _ in receiver.got]
    assert len(keys) == len(set(keys)) == 8


def test_what_a_deliverer_that_died_had_claimed_is_sent_by_another(
    engine: Engine, settings: DeliverySettings, clock: Clock, notices: Notices, receiver: Receiver
) -> None:
    tell(notices, "bob")
    receiver.gate = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(Delivering(engine, settings, clock).deliver)
        assert receiver.waiting.wait(10)
        # As long as the first one may still be at it, nobody else tries.
        assert Delivering(engine, settings, clock).deliver().sent == 0
        receiver.gate.set()
        assert slow.result().sent == 1
    tell(notices, "bob", key="down-2")

    class DiesError(Exception):
        pass

    class Channel:
        name = "webhook"
        timeout = 10.0

        def send(self, *_: Any) -> None:
            raise DiesError

        def close(self) -> None:
            pass

    with pytest.raises(DiesError):
        Delivering(engine, settings, clock, channels=[Channel()]).deliver()  # type: ignore[list-item]
    assert Delivering(engine, settings, clock).deliver().sent == 0
    clock.turn(600)
    assert Delivering(engine, settings, clock).deliver().sent == 1


def test_people_choose_about_what_is_optional_only(
    delivering: Delivering, preferences: Preferences, notices: Notices, receiver: Receiver, letterbox: Letterbox
) -> None:
    preferences.opt_out("ada", "allocation-granted")
    assert preferences.opted_out("ada") == {"allocation-granted"}
    with pytest.raises(ValueError, match="allocation-revoked are always sent"):
        preferences.opt_out("ada", "allocation-revoked")
    tell(notices, key="a", kind="allocation-granted", optional=True)
    # One that is not optional goes out whatever its kind.
    tell(notices, key="b", kind="allocation-granted")
    assert delivering.deliver().sent == 2
    assert len(notices.notices("ada")) == 2
    preferences.opt_out("ada", "allocation-granted", out=False)
    tell(notices, key="c", kind="allocation-granted", optional=True)
    assert delivering.deliver().sent == 2


def test_what_is_for_the_administrators_goes_to_each_of_them(
    delivering: Delivering, preferences: Preferences, notices: Notices, receiver: Receiver, letterbox: Letterbox
) -> None:
    preferences.set_address("root", "root@example.org")
    tell(notices, ADMINS)
    assert delivering.deliver().sent == 2
    assert [mail["To"] for mail in letterbox.mail] == ["root@example.org"]
    assert len(notices.notices("root")) == 1


def test_a_channel_that_is_set_up_late_sends_no_old_news(
    delivering: Delivering, notices: Notices, clock: Clock
) -> None:
    tell(notices)
    clock.now += timedelta(days=8)
    tell(notices, key="down-2")
    assert delivering.deliver().sent == 2
    assert len(notices.notices("ada")) == 2


def test_while_addresses_cannot_be_found_out_a_notice_waits(
    engine: Engine, settings: DeliverySettings, clock: Clock, notices: Notices, letterbox: Letterbox
) -> None:
    known: dict[str, str] = {}

    def address_of(person: str) -> str | None:
        if not known:
            raise OSError("the hub does not answer")
        return known.get(person)

    delivering = Delivering(engine, settings, clock, address_of=address_of)
    tell(notices)
    assert delivering.deliver().routed == 0
    known["ada"] = "ada@example.org"
    assert delivering.deliver().sent == 2
    assert len(letterbox.mail) == 1


@pytest.mark.parametrize("address", ["ada", "ada@", "@x", "a b@x", "ada@x\nBcc: eve@x", "a@x, b@x"])
def test_what_is_no_address_is_turned_down(preferences: Preferences, address: str) -> None:
    with pytest.raises(ValueError, match="not a mail address"):
        preferences.set_address("ada", address)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mail: {host: x}", "mail.sender: field required"),
        ("mail: {host: x, sender: a@b, user: me}", "user and password_file go together"),
        ("mail: {host: x, sender: a@b, user: me, password_file: p, security: none}", "open connection"),
        ("webhook: {url: 'file:///etc/passwd', secret_file: x}", "webhook.url"),
        ("post: {}", "post: extra inputs are not permitted"),
        ("attempts: 0", "attempts"),
        ("a: [", "is not YAML"),
    ],
)
def test_settings_with_mistakes_are_turned_down(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "notices.yaml"
    file.write_text(text)
    with pytest.raises(SettingsFileError, match=said):
        load_settings(file, DeliverySettings)
