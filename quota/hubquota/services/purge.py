"""The purge: plans, an administrator's word on them, carrying them out, and bringing things back."""

from __future__ import annotations

from hubquota.services.purge_plans import Draft, Found, Plans
from hubquota.services.purge_register import PurgeRegister
from hubquota.services.purge_steps import Step, Steps

__all__ = ["Draft", "Found", "Purge", "PurgeRegister", "Step"]


class Purge(Plans, Steps):
    """The purge of one platform."""
