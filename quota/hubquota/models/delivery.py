"""How notices leave the hub: the settings for it, and what has become of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from hubquota.models.fields import Strict, Text

#: By which way a notice goes out.
ChannelName = Literal["mail", "webhook"]
CHANNELS: tuple[ChannelName, ...] = get_args(ChannelName)

Seconds = Annotated[int, Field(ge=1, le=30 * 86_400, strict=True)]
Timeout = Annotated[float, Field(gt=0, le=300)]


class MailSettings(Strict):
    """Where mail is handed over."""

    host: Text = Field(description="The mail server's name.")
    port: Annotated[int, Field(ge=1, le=65_535, strict=True)] = Field(default=587, description="Its port.")
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description="How the connection is made safe: starttls after it is open, tls from the start, or none.",
    )
    ca_file: Text | None = Field(
        default=None, description="Certificates to trust instead of the system's, as a PEM file."
    )
    user: Text | None = Field(default=None, description="The name to sign in with; without it, nobody signs in.")
    password_file: Text | None = Field(default=None, description="A file that holds nothing but the password.")
    sender: Annotated[str, Field(pattern=r"^[^@\s<>]+@[^@\s<>]+$")] = Field(
        description="The address that mail comes from, such as hub@example.org."
    )
    address_claim: Text | None = Field(
        default=None,
        description="The claim of the hub's sign-in that holds a person's address; without it, only addresses "
        "that were noted with `hubquota notices address` are used.",
    )
    timeout_seconds: Timeout = Field(default=10, description="How long one answer of the server may take.")

    @model_validator(mode="after")
    def _secrets_are_safe(self) -> Self:
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password_file go together: give both or neither")
        if self.user is not None and self.security == "none":
            raise ValueError("a password is not sent over an open connection: set security to starttls or tls")
        return self


class WebhookSettings(Strict):
    """Where notices are posted as JSON."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s/]+")] = Field(description="The address to post to.")
    secret_file: Text = Field(
        description="A file with the secret that signs what is posted, by HMAC-SHA256, so that the receiver can "
        "tell who sent it."
    )
    timeout_seconds: Timeout = Field(default=10, description="How long the receiver may take to answer.")


class DeliverySettings(Strict):
    """The whole file of settings for notices."""

    admins: tuple[Text, ...] = Field(
        default=(), description="People who are told of requests to decide about, by their names on the hub."
    )
    mail: MailSettings | None = Field(default=None, description="Mail; without it, none is sent.")
    webhook: WebhookSettings | None = Field(default=None, description="A webhook; without it, none is called.")
    attempts: Annotated[int, Field(ge=1, le=100, strict=True)] = Field(
        default=8, description="How often a delivery is tried before it is given up and listed as failed."
    )
    first_retry_seconds: Seconds = Field(
        default=60,
        description="How long to wait after the first failure; four times as long after each other one.",
    )
    longest_retry_seconds: Seconds = Field(default=6 * 3600, description="The longest such wait.")
    stale_after_days: Annotated[int, Field(ge=1, le=3650, strict=True)] = Field(
        default=7,
        description="A notice that is older than this before anything could send it is shown in the hub only, so "
        "that a channel that is set up later does not send old news.",
    )

    def wait_after(self, attempts: int) -> int:
        """Return how many seconds to wait after so many failures."""
        wait = self.first_retry_seconds
        for _ in range(attempts - 1):
            if wait >= self.longest_retry_seconds:
                break
            wait *= 4
        return min(self.longest_retry_seconds, wait)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notice on its way by one channel."""

    id: int
    notice: int
    person: str
    kind: str
    subject: str
    channel: ChannelName
    attempts: int
    next_try_at: datetime
    sent_at: datetime | None
    given_up_at: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a pass of the deliverer did, in numbers."""

    #: Notices for which it was decided where they go.
    routed: int = 0
    sent: int = 0
    #: Deliveries that failed and will be tried again.
    failed: int = 0
    #: Deliveries that were given up.
    given_up: int = 0
