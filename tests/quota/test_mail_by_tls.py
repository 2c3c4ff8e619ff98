"""Mail over TLS and with a sign-in, handed to a real SMTP server whose certificates this file makes."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hubquota.models.delivery import DeliverySettings, MailSettings
from hubquota.services.delivery import Delivering
from hubquota.services.notices import Notices
from sqlalchemy import Engine

from tests.quota.support import Clock
from tests.quota.test_delivery import Letterbox
from tests.support.ports import free_port

# The server says so of a port that is TLS from the start, too.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

PASSWORD = "the hub's own password"


class Certificate:
    """A certificate that vouches for itself, and its key, as files."""

    def __init__(self, folder: Path, *, name: str = "127.0.0.1", days: int = 1) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "A mail server of the tests")])
        of: x509.GeneralName = x509.DNSName(name)
        if name[0].isdigit():
            of = x509.IPAddress(ipaddress.ip_address(name))
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([of]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        )
        folder.mkdir()
        self.file, secret = folder / "certificate.pem", folder / "key.pem"
        self.file.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.file, secret)


@contextmanager
def mail_server(
    security: str, certificate: Certificate, port: int, *, password: str = PASSWORD
) -> Iterator[Letterbox]:
    """Run a mail server that takes mail only over TLS and from whoever signs in as `hub`."""
    box = Letterbox()

    def allow(server: Any, session: Any, envelope: Any, mechanism: str, data: LoginPassword) -> AuthResult:
        right = (data.login, data.password) == (b"hub", password.encode())
        return AuthResult(success=right, handled=False)

    how: dict[str, Any] = {"authenticator": allow, "auth_required": True}
    if security == "starttls":
        how |= {"tls_context": certificate.context, "require_starttls": True}
    else:
        # The server knows of STARTTLS alone that a connection is safe.
        how |= {"ssl_context": certificate.context, "auth_require_tls": False}
    controller = Controller(box, hostname="127.0.0.1", port=port, **how)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return Certificate(tmp_path / "right")


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    return file


@pytest.fixture(params=["starttls", "tls"])
def mail(request: pytest.FixtureRequest, port: int, certificate: Certificate, password_file: Path) -> MailSettings:
    return MailSettings(
        host="127.0.0.1",
        port=port,
        security=request.param,
        ca_file=str(certificate.file),
        user="hub",
        password_file=str(password_file),
        sender="hub@example.org",
    )


@pytest.fixture
def notices(engine: Engine, clock: Clock) -> Notices:
    found = Notices(engine, clock)
    assert found.tell("ada", key="down-1", kind="maintenance", subject="Tomorrow", text="The hub is down.")
    return found


def deliverer(engine: Engine, clock: Clock, mail: MailSettings) -> Delivering:
    return Delivering(engine, DeliverySettings(mail=mail), clock, address_of=lambda name: f"{name}@example.org")


@pytest.mark.usefixtures("notices")
def test_mail_goes_over_tls_and_is_signed_in(
    engine: Engine, clock: Clock, mail: MailSettings, certificate: Certificate
) -> None:
    with mail_server(mail.security, certificate, mail.port) as box:
        assert deliverer(engine, clock, mail).deliver().sent == 1
        assert deliverer(engine, clock, mail).deliver().sent == 0
    assert [one["To"] for one in box.mail] == ["ada@example.org"]


@pytest.mark.usefixtures("notices")
@pytest.mark.parametrize(
    ("name", "days", "trusted", "told"),
    [
        ("127.0.0.1", 1, False, "self-signed certificate"),
        ("mail.example.org", 1, True, "IP address mismatch"),
        ("127.0.0.1", -1, True, "certificate has expired"),
    ],
)
def test_a_wrong_certificate_is_not_trusted_and_the_mail_goes_out_once_when_it_is_right(
    engine: Engine,
    clock: Clock,
    mail: MailSettings,
    certificate: Certificate,
    tmp_path: Path,
    name: str,
    days: int,
    trusted: bool,
    told: str,
) -> None:
    wrong = Certificate(tmp_path / "wrong", name=name, days=days)
    trusting = mail.model_copy(update={"ca_file": str(wrong.file)}) if trusted else mail
    delivering = deliverer(engine, clock, trusting)
    with mail_server(mail.security, wrong, mail.port) as box:
        assert delivering.deliver().failed == 1
    assert box.mail == []
    (failed,) = delivering.deliveries(1)
    assert (failed.last_error or "").startswith(
        f"The certificate of the mail server 127.0.0.1:{mail.port} is not trusted: "
    ), failed.last_error
    assert told in (failed.last_error or "")
    assert "ca_file" in (failed.last_error or "")
    right_again(engine, clock, mail, certificate)


@pytest.mark.usefixtures("notices")
def test_a_refused_password_is_said_and_the_mail_goes_out_once_when_it_is_right(
    engine: Engine, clock: Clock, mail: MailSettings, certificate: Certificate
) -> None:
    delivering = deliverer(engine, clock, mail)
    with mail_server(mail.security, certificate, mail.port, password="another one") as box:
        assert delivering.deliver().failed == 1
    assert box.mail == []
    error = delivering.deliveries(1)[0].last_error or ""
    assert error.startswith(f"The mail server 127.0.0.1:{mail.port} did not let 'hub' sign in: 535 5.7.8 "), error
    assert "Check user and password_file." in error
    assert PASSWORD not in error
    right_again(engine, clock, mail, certificate)


@pytest.mark.usefixtures("notices")
def test_a_password_that_cannot_be_read_is_said(
    engine: Engine, clock: Clock, mail: MailSettings, certificate: Certificate, password_file: Path
) -> None:
    password_file.unlink()
    delivering = deliverer(engine, clock, mail)
    with mail_server(mail.security, certificate, mail.port):
        assert delivering.deliver().failed == 1
    error = delivering.deliveries(1)[0].last_error or ""
    assert error == f"The mail server's password cannot be read from {password_file}: No such file or directory."
    password_file.write_text(PASSWORD)
    right_again(engine, clock, mail, certificate)


@pytest.mark.usefixtures("notices")
def test_a_server_that_has_no_tls_gets_neither_password_nor_mail(
    engine: Engine, clock: Clock, mail: MailSettings, certificate: Certificate
) -> None:
    box = Letterbox()
    controller = Controller(box, hostname="127.0.0.1", port=mail.port)
    controller.start()
    delivering = deliverer(engine, clock, mail)
    try:
        assert delivering.deliver().failed == 1
    finally:
        controller.stop()
    assert box.mail == []
    error = delivering.deliveries(1)[0].last_error or ""
    wanted = "has no STARTTLS" if mail.security == "starttls" else "does not speak TLS from the start"
    assert wanted in error, error
    assert "security" in error
    right_again(engine, clock, mail, certificate)


def right_again(engine: Engine, clock: Clock, mail: MailSettings, certificate: Certificate) -> None:
    """What failed is sent at its next try, by whoever delivers then, and once."""
    delivering = deliverer(engine, clock, mail)
    with mail_server(mail.security, certificate, mail.port) as box:
        clock.turn(60)
        assert delivering.deliver().sent == 1
        clock.turn(86_400)
        assert delivering.deliver().sent == 0
    assert [(one["To"], one["Subject"]) for one in box.mail] == [("ada@example.org", "Tomorrow")]
    assert delivering.given_up() == []
