"""Pages of answers: where the next one is, as RFC 8288 says it in a header."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import Request, Response


def link_next(request: Request, response: Response, **changed: str | int | None) -> None:
    """Name the next page in a Link header: this address with other values of some queries; None for no page."""
    if None in changed.values():
        return
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in changed]
    query = urlencode([*kept, *changed.items()])
    response.headers["Link"] = f'<{request.scope["path"].encode().decode("ascii", "ignore")}?{query}>; rel="next"'
