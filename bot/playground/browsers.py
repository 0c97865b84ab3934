"""What a browser says about where a request comes from, for both sides of the playground."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp import web


def is_of_another_page(request: web.Request, hosts: Collection[str]) -> bool:
    """Whether a page that is not served by one of `hosts` sent it; following a link to us is nobody's deed.

    Programs say nothing about it and are let through: they need a token like everybody.
    """
    origin = request.headers.get("Origin")
    if origin is not None and not _is_own(origin, hosts):
        return True
    if request.headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none"):
        return False
    follows = request.headers.get("Sec-Fetch-Mode") == "navigate" and request.method in ("GET", "HEAD")
    return not follows or request.headers.get("Sec-Fetch-Dest") != "document"


def _is_own(origin: str, hosts: Collection[str]) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme == "http" and parts.netloc in hosts
