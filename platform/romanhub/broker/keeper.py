"""Looks after what is in people's scratch: how much it is, and its end.

S3 has no limit for a prefix. So what is in each scratch space is listed at intervals, and keys that are given
out while there is more in one than its size may not write there. What has ended is kept for its account's days of
grace, then moved aside by the purge's own adapter, kept for the days of the quarantine, and deleted.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from hubquota.models.purge import PurgeError, Thing, TouchedError
from hubquota.models.purge_settings import PurgeSettings
from hubquota.models.scratch import Scratch
from hubquota.models.tiers import Tiers
from hubquota.purge.objects import ObjectPrefixes, Options
from hubquota.services.scratch import ScratchSpaces
from hubquota.services.settingsfile import load_settings

from romanhub.broker.minter import Keys, Minter, StorageUnavailableError
from romanhub.broker.settings import StorageSettings
from romanhub.services.scratchplaces import ScratchBucket

log = logging.getLogger(__name__)

#: The name that the keeper has in the storage's log.
NAME = "romanhub-keeper"

#: How often it looks, in seconds.
INTERVAL = 600.0


class Keeper:
    """Measures scratch, and clears what is past its grace. It blocks: run it in a thread."""

    def __init__(
        self,
        spaces: ScratchSpaces,
        bucket: ScratchBucket,
        minter: Minter,
        storage: StorageSettings,
        *,
        tiers: Callable[[], Tiers],
        purge_file: str | None,
        clock: Callable[[], datetime],
    ) -> None:
        """Look after a bucket.

        Args:
            spaces: the scratch spaces in the ledger.
            bucket: where they are.
            minter: makes keys for the bucket.
            storage: where the storage is.
            tiers: returns what the tiers file says now: for how many days what has ended is kept.
            purge_file: the purge's settings, which say how long the quarantine is; without it nothing is cleared.
            clock: gives the present time, with its zone.
        """
        self._spaces, self._bucket, self._minter, self._storage = spaces, bucket, minter, storage
        self._tiers, self._purge_file, self._clock = tiers, purge_file, clock
        self._kept: tuple[Keys, Any] | None = None

    def look(self) -> None:
        """Look at every scratch space once. What goes wrong with one is logged, and is no other's trouble."""
        found = self._spaces.all_there()
        if not found:
            return
        try:
            client = self._client()
        except StorageUnavailableError as error:
            log.warning("Scratch cannot be looked at: the storage gave no keys: %s", error)
            return
        for one in found:
            try:
                if one.state == "aside":
                    self._clear(one, client)
                elif self._past_grace(one):
                    self._put_aside(one, client)
                else:
                    self._spaces.measured(one.id, self._size(one, client))
            except (BotoCoreError, ClientError, PurgeError, TouchedError, OSError) as error:
                log.warning("The scratch space %s of %s: %s", one.name, one.account, error)

    def _size(self, one: Scratch, client: Any) -> int:
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket.bucket, Prefix=self._bucket.prefix(one)
        )
        return sum(entry["Size"] for page in pages for entry in page.get("Contents", []))

    # The end -----------------------------------------------------------------------------------------

    def _quarantine(self) -> timedelta | None:
        """How long what was moved aside is kept; None where nothing is ever cleared."""
        if self._purge_file is None:
            return None
        return timedelta(days=load_settings(self._purge_file, PurgeSettings).quarantine_days)

    def _past_grace(self, one: Scratch) -> bool:
        if one.ended_at is None or self._purge_file is None:
            return False
        account, tiers = self._spaces.account(one.account), self._tiers()
        tier = None if account is None else tiers.tiers.get(tiers.largest(account.tiers))
        # Of a tier that the file no longer has, nothing says how long; so nothing is taken.
        return tier is not None and self._clock() >= one.ended_at + timedelta(days=tier.grace_days)

    def _put_aside(self, one: Scratch, client: Any) -> None:
        # Whatever the last keys of its people were, they have ended by now: the grace is longer than their life.
        if not self._spaces.put_aside(one.id):
            return
        self._move(one, self._adapter(client))

    def _move(self, one: Scratch, adapter: ObjectPrefixes) -> None:
        thing = self._thing(one)
        seen = adapter.look(thing)
        if seen is not None:
            adapter.quarantine(thing, seen.fingerprint)
            log.info("The scratch space %s of %s was moved aside: %d B.", one.name, one.account, seen.bytes)

    def _clear(self, one: Scratch, client: Any) -> None:
        adapter, quarantine = self._adapter(client), self._quarantine()
        # Where it was interrupted, the rest is moved first.
        self._move(one, adapter)
        if quarantine is None or one.aside_at is None or self._clock() < one.aside_at + quarantine:
            return
        adapter.delete(self._thing(one), lambda _: None)
        self._spaces.cleared(one.id)
        log.info("The scratch space %s of %s was deleted.", one.name, one.account)

    def _thing(self, one: Scratch) -> Thing:
        return Thing(one.account, one.kind, self._bucket.prefix(one), mark=f"scratch-{one.id}")

    def _adapter(self, client: Any) -> ObjectPrefixes:
        return ObjectPrefixes(client, Options(bucket=self._bucket.bucket, prefix="scratch/{account}/"))

    def _client(self) -> Any:
        if self._kept is not None and self._kept[0].expiration - self._clock() > timedelta(minutes=10):
            return self._kept[1]
        keys = self._minter.mint(NAME, _policy(self._bucket.bucket))
        client = boto3.client(
            "s3",
            endpoint_url=self._storage.endpoint,
            region_name=self._bucket.region,
            aws_access_key_id=keys.access_key.get_secret_value(),
            aws_secret_access_key=keys.secret_key.get_secret_value(),
            aws_session_token=keys.session_token.get_secret_value(),
            config=Config(s3={"addressing_style": "path" if self._storage.endpoint else "auto"}),
        )
        self._kept = keys, client
        return client


def _policy(bucket: str) -> str:
    actions = [
        "s3:GetObject",
        "s3:PutObject",
        "s3:DeleteObject",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
    ]
    statements = [
        {"Effect": "Allow", "Action": actions, "Resource": f"arn:aws:s3:::{bucket}/*"},
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}"},
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
