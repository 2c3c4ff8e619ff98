"""The ways by which a notice leaves the hub: mail and a webhook. Each sends one notice at a time."""

from __future__ import annotations

import hashlib
import hmac
import json
import smtplib
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Protocol

import httpx

from hubquota.models.delivery import ChannelName, MailSettings, WebhookSettings
from hubquota.models.notices import Notice

#: How many waits for an answer one delivery may consist of: a connection, a sign-in, a mail's parts.
ANSWERS = 16


class UndeliveredError(Exception):
    """A notice could not be sent. `final` if another try would fail in the same way."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class Channel(Protocol):
    """A way by which notices go out. It may keep a connection open until it is closed."""

    name: ChannelName
    #: Seconds that one answer may take.
    timeout: float

    def send(self, notice: Notice, address: str | None) -> None:
        """Send a notice.

        Args:
            notice: the notice.
            address: the person's mail address, where there is one and the channel is mail.

        Raises:
            UndeliveredError: it could not be sent, or nobody said that it was.
        """
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


def identity(notice: Notice) -> str:
    """Return what names a notice to its receivers: the same at every try, and of no other notice."""
    text = json.dumps([notice.person, notice.key, int(notice.made_at.timestamp())])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Mail:
    """Hands notices to a mail server."""

    name: ChannelName = "mail"

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings
        self.timeout = settings.timeout_seconds
        self._server: smtplib.SMTP | None = None

    def send(self, notice: Notice, address: str | None) -> None:
        """Send a notice; see `Channel`."""
        if address is None:
            raise UndeliveredError("The person has no mail address any more.", final=True)
        try:
            message = self._message(notice, address)
        except ValueError as error:
            raise UndeliveredError(f"The address {address!r} is not one: {error}", final=True) from error
        try:
            server = self._connected()
            server.send_message(message)
        except UndeliveredError:
            self.close()
            raise
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            self._reset()
            raise UndeliveredError(f"{code} {_text(text)}", final=500 <= code < 600) from error
        except (smtplib.SMTPException, OSError, ValueError) as error:
            self.close()
            raise UndeliveredError(self._trouble(error)) from error

    def close(self) -> None:
        """Take leave of the server."""
        server, self._server = self._server, None
        if server is not None:
            with suppress(smtplib.SMTPException, OSError):
                server.quit()

    def _message(self, notice: Notice, address: str) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._settings.sender
        message["To"] = address
        message["Subject"] = notice.subject
        message["Date"] = format_datetime(notice.made_at)
        # The same at every try: a receiver that gets it twice can tell.
        message["Message-ID"] = f"<{identity(notice)}@{self._settings.sender.partition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(notice.text)
        if len(message["To"].addresses) != 1:
            raise ValueError("it is not one address")
        return message

    def _connected(self) -> smtplib.SMTP:
        if self._server is None:
            settings = self._settings
            context = ssl.create_default_context(cafile=settings.ca_file)
            if settings.security == "tls":
                server: smtplib.SMTP = smtplib.SMTP_SSL(
                    settings.host, settings.port, timeout=self.timeout, context=context
                )
            else:
                server = smtplib.SMTP(settings.host, settings.port, timeout=self.timeout)
            # Kept before it is ready, so that it is closed if it never is.
            self._server = server
            if settings.security == "starttls":
                server.starttls(context=context)
            if settings.user is not None and settings.password_file is not None:
                server.login(settings.user, _password(settings.password_file))
        return self._server

    def _trouble(self, error: Exception) -> str:
        """Return a sentence for whoever runs the platform: what went wrong, and which setting it may be."""
        settings = self._settings
        server = f"mail server {settings.host}:{settings.port}"
        match error:
            case ssl.SSLCertVerificationError():
                return (
                    f"The certificate of the {server} is not trusted: {error.verify_message}. Check host, or name "
                    "the certificates to trust as ca_file."
                )
            case ssl.SSLError() if settings.security == "tls":
                return (
                    f"The {server} does not speak TLS from the start ({error.reason or error}). Check port, or "
                    "set security to starttls."
                )
            case smtplib.SMTPAuthenticationError():
                return (
                    f"The {server} did not let '{settings.user}' sign in: {error.smtp_code} "
                    f"{_text(error.smtp_error)}. Check user and password_file."
                )
            case smtplib.SMTPNotSupportedError() if "STARTTLS" in str(error):
                return f"The {server} has no STARTTLS. Check port, or set security to tls."
            case smtplib.SMTPNotSupportedError():
                return f"The {server} does not take what the settings ask for: {error}"
        return f"The {server}: {error}"

    def _reset(self) -> None:
        try:
            if self._server is not None:
                self._server.rset()
        except (smtplib.SMTPException, OSError):
            self.close()


class Webhook:
    """Posts notices as JSON, signed.

    The header `X-Hubquota-Signature` is `sha256=` and the HMAC-SHA256, in hexadecimal digits, of the header
    `X-Hubquota-Timestamp` (seconds since 1970), a dot, and the body. `Idempotency-Key` is the same at every try.
    """

    name: ChannelName = "webhook"

    def __init__(self, settings: WebhookSettings) -> None:
        self._settings = settings
        self.timeout = settings.timeout_seconds
        self._client: httpx.Client | None = None

    def send(self, notice: Notice, address: str | None) -> None:
        """Send a notice; see `Channel`."""
        body = json.dumps(
            {
                "id": identity(notice),
                "person": notice.person,
                "kind": notice.kind,
                "subject": notice.subject,
                "text": notice.text,
                "optional": notice.optional,
                "made_at": notice.made_at.isoformat(),
            },
            ensure_ascii=False,
        ).encode()
        stamp = str(int(datetime.now(UTC).timestamp()))
        try:
            secret = Path(self._settings.secret_file).read_bytes().strip()
        except OSError as error:
            raise UndeliveredError(f"The webhook's secret cannot be read: {error}") from error
        if not secret:
            raise UndeliveredError("The webhook's secret is empty.")
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": identity(notice),
            "X-Hubquota-Timestamp": stamp,
            "X-Hubquota-Signature": f"sha256={sign(secret, stamp, body)}",
        }
        if self._client is None:
            # A receiver that moved is for the operator to know; what is signed goes nowhere else.
            self._client = httpx.Client(timeout=self.timeout, follow_redirects=False)
        try:
            # Only the answer's head is read: a body of any length changes nothing.
            with self._client.stream("POST", self._settings.url, content=body, headers=headers) as answer:
                if not answer.is_success:
                    raise UndeliveredError(f"The webhook answered {answer.status_code} {answer.reason_phrase}.")
        except httpx.HTTPError as error:
            raise UndeliveredError(f"The webhook: {str(error) or type(error).__name__}") from error

    def close(self) -> None:
        """Close what is open."""
        client, self._client = self._client, None
        if client is not None:
            client.close()


def sign(secret: bytes, stamp: str, body: bytes) -> str:
    """Return the signature of what is posted, in hexadecimal digits."""
    return hmac.new(secret, f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()


def _password(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UndeliveredError(f"The mail server's password cannot be read from {file}: {why}.") from error


def _text(answer: bytes | str) -> str:
    return answer.decode(errors="replace") if isinstance(answer, bytes) else answer
