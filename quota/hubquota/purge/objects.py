"""Scratch prefixes in a bucket, by anything that speaks S3. It needs ``hubquota[s3]``.

A bucket cannot rename, so the quarantine is a prefix of its own: every object is copied there, what is where it
was is compared once more with what was seen, and only then removed. A list of what was seen is kept beside the
copies, so that an interrupted move is gone on with or undone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from hubquota.models.ledger import AccountKind
from hubquota.models.purge import PurgeError, Seen, Thing, TouchedError
from hubquota.purge.adapter import Entries, import_string
from hubquota.purge.archive import Entry, Progress, Sink

#: How many objects one request may delete.
_BATCH = 1000

#: The object's own metadata that says which restoration wrote it.
_RESTORED = "hubquota-restored"

_KEPT = "headers"


class Options(BaseModel):
    """The adapter's keys in the settings file. Keys to the bucket come from the environment, as boto3 reads it."""

    model_config = ConfigDict(extra="forbid")

    bucket: str = Field(min_length=1, description="The bucket.")
    prefix: str = Field(description="What the keys of an account begin with, such as scratch/{account}/.")
    quarantine: str = Field(
        default=".purge-quarantine/", description="What the keys begin with of what was moved aside."
    )
    endpoint: str | None = Field(default=None, description="The server's address; Amazon's if not given.")
    region: str | None = Field(default=None, description="The region.")
    kinds: tuple[Literal["user", "project"], ...] = Field(
        default=("user", "project"), description="Whose prefixes there are: those of users, of projects."
    )
    folder_of: str | None = Field(
        default=None,
        description="module:function that returns what stands for {account}; the account's name if not given.",
    )

    @field_validator("prefix")
    @classmethod
    def _is_a_folder(cls, prefix: str) -> str:
        if prefix.count("{account}") != 1 or not prefix.endswith("/") or "{account}/" not in prefix:
            # Otherwise the prefix of one account would begin that of another: ada, adam.
            raise ValueError("has to have {account} in it, followed by a slash, and to end with a slash")
        return prefix

    @field_validator("quarantine")
    @classmethod
    def _ends(cls, prefix: str) -> str:
        if not prefix.endswith("/") or len(prefix) < 2:
            raise ValueError("has to end with a slash")
        return prefix


@dataclass(frozen=True, slots=True)
class _Object:
    key: str
    size: int
    etag: str
    changed: datetime


def make(**options: Any) -> ObjectPrefixes:
    """Return the adapter for some options."""
    checked = Options.model_validate(options)
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise PurgeError("The adapter object-prefix needs boto3: install hubquota[s3].") from error
    client = boto3.client(
        "s3",
        endpoint_url=checked.endpoint,
        region_name=checked.region,
        config=Config(s3={"addressing_style": "path" if checked.endpoint else "auto"}),
    )
    naming = None if checked.folder_of is None else import_string(checked.folder_of)
    return ObjectPrefixes(client, checked, naming)


class ObjectPrefixes:
    """Takes what is under a prefix away, and brings it back."""

    last = False

    def __init__(self, client: Any, options: Options, folder_of: Callable[[str], str] | None = None) -> None:
        """Use a bucket by a client of boto3; see `Options`."""
        self._client, self._options, self._folder_of = client, options, folder_of or str

    def find(self, account: str, kind: AccountKind) -> Iterable[str]:
        """Yield the account's prefix, if there is anything under it."""
        if kind not in self._options.kinds:
            return
        part = self._folder_of(account)
        if not part or "/" in part:
            raise PurgeError(f"'{part}' cannot stand for {account} in a prefix.")
        prefix = self._options.prefix.replace("{account}", part)
        if prefix.startswith(self._options.quarantine) or self._options.quarantine.startswith(prefix):
            raise PurgeError(f"{account}'s prefix and the quarantine are in each other.")
        with _told():
            if next(self._list(prefix), None) is not None:
                yield prefix

    def look(self, thing: Thing) -> Seen | None:
        """Return what is under a prefix; None where there is nothing."""
        with _told():
            found = list(self._list(thing.name))
        if not found:
            return None
        facts = [(one.key, one.size, one.etag, one.changed.isoformat()) for one in found]
        newest = max(one.changed for one in found)
        return Seen(sum(one.size for one in found), len(found), newest, _digest(facts))

    def archive(self, thing: Thing, sink: Sink) -> None:
        """Write what is under a prefix into an archive."""
        with _told():
            for one in self._list(thing.name):
                answer = self._client.get_object(Bucket=self._options.bucket, Key=one.key)
                if answer["ETag"] != one.etag or answer["ContentLength"] != one.size:
                    raise TouchedError(f"{one.key} has changed while it was read")
                headers = {"type": answer.get("ContentType", ""), "metadata": answer.get("Metadata", {})}
                entry = Entry(
                    path=one.key.removeprefix(thing.name).encode(),
                    type="file",
                    size=one.size,
                    mtime_ns=int(one.changed.timestamp()) * 10**9,
                    extra={_KEPT: json.dumps(headers).encode()},
                )
                with closing(answer["Body"]) as body:
                    sink.add(entry, body)

    def quarantine(self, thing: Thing, fingerprint: str) -> str:
        """Copy everything into the quarantine, and remove it where it was if it is what was seen."""
        with _told():
            wanted = self._listing(thing)
            if wanted is None:
                seen = self.look(thing)
                if seen is None or seen.fingerprint != fingerprint:
                    raise TouchedError(f"{thing.name} has changed since the plan was made")
                wanted = {one.key.removeprefix(thing.name): [one.size, one.etag] for one in self._list(thing.name)}
                listing = json.dumps(wanted).encode()
                self._client.put_object(Bucket=self._options.bucket, Key=self._listing_key(thing), Body=listing)
            aside = {one.key.removeprefix(self._aside(thing)): one for one in self._list(self._aside(thing))}
            for part, (size, _) in wanted.items():
                if part not in aside or aside[part].size != size:
                    self._copy(thing.name + part, self._aside(thing) + part, f"{thing.name}{part} has gone")
            here = {one.key.removeprefix(thing.name): [one.size, one.etag] for one in self._list(thing.name)}
            if any(wanted.get(part) != facts for part, facts in here.items()):
                raise TouchedError(f"{thing.name} has changed since the plan was made")
            self._delete([thing.name + part for part in here])
            found = self.look_aside(thing)
        assert found is not None
        return found

    def look_aside(self, thing: Thing) -> str | None:
        """Return the fingerprint of what was moved aside; None where there is nothing."""
        with _told():
            found = [(one.key, one.size, one.etag) for one in self._list(self._aside(thing))]
        return _digest(found) if found else None

    def give_back(self, thing: Thing) -> str | None:
        """Copy everything back to where it was; what is in its way stays, and it goes beside that."""
        with _told():
            wanted = self._listing(thing)
            if wanted is None:
                return None
            place = thing.name
            here = {one.key: [one.size, one.etag] for one in self._list(thing.name)}
            aside = list(self._list(self._aside(thing)))
            for one in aside:
                part = one.key.removeprefix(self._aside(thing))
                target = thing.name + part
                if here.get(target) in (wanted.get(part), [one.size, one.etag]):
                    continue  # it was never removed, or an earlier attempt has brought it back
                if target in here:
                    target = place = f"{thing.name}restored-{thing.mark}/{part}"
                self._copy(one.key, target, f"{one.key} has gone")
            self._delete([one.key for one in aside])
            self._delete([self._listing_key(thing)])
        return place.rpartition("/")[0] + "/"

    def delete(self, thing: Thing, progress: Progress) -> None:
        """Delete what was moved aside."""
        with _told():
            found = list(self._list(self._aside(thing)))
            for start in range(0, len(found), _BATCH):
                batch = found[start : start + _BATCH]
                self._delete([one.key for one in batch])
                progress(sum(one.size for one in batch))
            self._delete([self._listing_key(thing)])

    def restore(self, thing: Thing, entries: Entries) -> str:
        """Write everything back to where it was; what is in its way stays, and it goes beside that."""
        place = thing.name
        with _told():
            for entry, content in entries:
                assert content is not None
                headers = json.loads(entry.extra[_KEPT])
                target = thing.name + entry.path.decode()
                written_by = self._written_by(target)
                if written_by == thing.mark:
                    continue
                if written_by is not None:
                    place = f"{thing.name}restored-{thing.mark}/"
                    target = place + entry.path.decode()
                extra = {"Metadata": headers["metadata"] | {_RESTORED: thing.mark}}
                if headers["type"]:
                    extra["ContentType"] = headers["type"]
                self._client.upload_fileobj(content, self._options.bucket, target, ExtraArgs=extra)
        return place

    def finish(self, thing: Thing) -> None:
        """Clear away what an interrupted deletion left in the quarantine."""
        self.delete(thing, lambda _: None)

    # Parts -------------------------------------------------------------------------------------------

    def _aside(self, thing: Thing) -> str:
        return f"{self._options.quarantine}{thing.mark}/"

    def _listing_key(self, thing: Thing) -> str:
        return f"{self._options.quarantine}{thing.mark}.json"

    def _listing(self, thing: Thing) -> dict[str, list[Any]] | None:
        from botocore.exceptions import ClientError

        try:
            answer = self._client.get_object(Bucket=self._options.bucket, Key=self._listing_key(thing))
        except ClientError as error:
            if _is_missing(error):
                return None
            raise
        found: dict[str, list[Any]] = json.loads(answer["Body"].read())
        return found

    def _written_by(self, key: str) -> str | None:
        """Return which restoration wrote an object, "" if none did; None where there is no such object."""
        from botocore.exceptions import ClientError

        try:
            answer = self._client.head_object(Bucket=self._options.bucket, Key=key)
        except ClientError as error:
            if _is_missing(error):
                return None
            raise
        return str(answer.get("Metadata", {}).get(_RESTORED, ""))

    def _list(self, prefix: str) -> Iterator[_Object]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._options.bucket, Prefix=prefix)
        for page in pages:
            for one in page.get("Contents", []):
                yield _Object(one["Key"], one["Size"], one["ETag"], one["LastModified"])

    def _copy(self, source: str, target: str, missing: str) -> None:
        from botocore.exceptions import ClientError

        try:
            # The managed copy also copies what is larger than one request may copy.
            self._client.copy({"Bucket": self._options.bucket, "Key": source}, self._options.bucket, target)
        except ClientError as error:
            if _is_missing(error):
                raise TouchedError(missing) from error
            raise

    def _delete(self, keys: list[str]) -> None:
        for start in range(0, len(keys), _BATCH):
            objects = [{"Key": key} for key in keys[start : start + _BATCH]]
            answer = self._client.delete_objects(
                Bucket=self._options.bucket, Delete={"Objects": objects, "Quiet": True}
            )
            if errors := answer.get("Errors"):
                raise PurgeError(f"{errors[0]['Key']} cannot be deleted: {errors[0].get('Message')}")


@contextmanager
def _told() -> Iterator[None]:
    """Turn what boto3 raises into errors that a run knows."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, Boto3Error) as error:
        raise PurgeError(f"The bucket cannot be used: {error}") from error


def _is_missing(error: Any) -> bool:
    response: Mapping[str, Any] = error.response
    return str(response.get("Error", {}).get("Code")) in ("404", "NoSuchKey", "NotFound")


def _digest(facts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(sorted(facts)).encode()).hexdigest()
