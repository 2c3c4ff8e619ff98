"""The purge's adapter for the community's catalogue on one machine: `type: romanhub.local.purging:community`."""

from __future__ import annotations

from hubquota.models.purge import PurgeError

from romanhub.community.purging import CommunityOfPerson, of_settings
from romanhub.community.settings import CommunitySettings
from romanhub.local.settings import COMMUNITY_BUCKET, REGION, Settings


def community() -> CommunityOfPerson:
    """Return the adapter for the platform whose folder of state `ROMANHUB_STATE` names.

    Raises
    ------
    PurgeError
        The platform was never started there.
    """
    try:
        settings = Settings.load()
    except FileNotFoundError as error:
        raise PurgeError(f"ROMANHUB_STATE names no platform that was ever started: {error}") from None
    return of_settings(
        CommunitySettings.model_validate(
            {
                "database_url": settings.community_url,
                "bucket": COMMUNITY_BUCKET,
                "endpoint": settings.archive_endpoint,
                "region": REGION,
                "access_key": "community",
                "secret_key": settings.secrets.archive_community,
            }
        )
    )
