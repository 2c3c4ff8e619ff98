"""The hub scopes that the portal asks for, beyond the access to itself. Each opens no more than it says.

Access to the portal lets a person read what is their own. A hub declares the other ones as custom scopes
(`JupyterHub.custom_scopes`), gives them to people by roles, and lists them in the service's
`oauth_client_allowed_scopes`, so that a browser's session can hold them. A notebook's token holds none of
them: what runs in a server can read its owner's balance, and cannot ask for or decide anything.
"""

from __future__ import annotations

#: Ask for allocations and take requests back, for oneself and for projects that one leads; keep their members,
#: cap them, put them on hold; ask for what a purge took; say which notices one is sent, and where.
REQUEST = "custom:romanhub:allocations:request"
#: Read every account, every request, the whole journal and the plans of purges.
READ = "custom:romanhub:allocations:read"
#: Decide requests and plans of purges, and grant, change, suspend and correct allocations, override limits. It
#: includes reading.
ADMIN = "custom:romanhub:allocations:admin"

#: Do with one's own entries of the community's catalogue, or as a curator with others', what readers see: publish,
#: review, withdraw; give stars. Without it a token can make drafts, which nobody else sees.
PUBLISH = "custom:romanhub:community:publish"

#: What `JupyterHub.custom_scopes` is to be set to.
CUSTOM_SCOPES: dict[str, dict[str, str | list[str]]] = {
    REQUEST: {"description": "Ask for allocations of your own account and of the projects that you lead."},
    PUBLISH: {"description": "Publish and change your entries of the community's catalogue, and give stars."},
    READ: {"description": "Read every account, request and line of the journal."},
    ADMIN: {
        "description": "Decide requests, and grant and change allocations.",
        "subscopes": [READ, REQUEST],
    },
}
