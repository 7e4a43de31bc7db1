"""The names that a single user's studio answers to, so that no other site may ask it things.

A site whose name is made to lead to 127.0.0.1 (DNS rebinding) passes for the same site in its
visitor's browser, and may read all that it asks for; the browser still tells that name.
"""

import socket
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.settings import LOOPBACK, Settings
from app.ui.routes import path_of, refusal

SHOWN: Final = 80
"""The most characters of a name that a refusal repeats."""


@dataclass(frozen=True)
class Hosts:
    """The names of a studio.

    Attributes:
        settings: How the studio runs.
    """

    settings: Settings

    @cached_property
    def names(self) -> frozenset[str]:
        """This machine's names, a Space's, and those that the settings list."""
        machine = socket.gethostname().lower().removesuffix(".local")
        given = (self.settings.space_host, self.settings.server_name, *self.settings.hosts)
        return LOOPBACK | {machine, f"{machine}.local"} | {name.lower() for name in given if name}

    def stranger(self, host: str, origin: str | None) -> str:
        """Return the name by which a request is a stranger's; "" where it is none.

        Rebinding needs a name, so a Host that is an address is allowed, as is a request without
        one. A page at another address may not ask: its Origin is the Host itself, or a name here.
        """
        asked = _name(f"//{host}")
        if asked and asked not in self.names and not _is_address(asked):
            return asked
        if origin is None or (page := _name(origin)) == asked or page in self.names:
            return ""
        return page or origin


@dataclass(frozen=True, eq=False)
class AllowedHosts:
    """Middleware that answers a request to another name, or of another site's page, with 403."""

    app: ASGIApp
    hosts: Hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        name = self.hosts.stranger(headers.get("host", ""), headers.get("origin"))
        words = (
            f"This studio is one person's, and doesn't answer to the name {name[:SHOWN]!r}. "
            "Whoever runs it can list the name in PLEIN_AIR_HOSTS."
        )
        refused = refusal(path_of(scope), words, 403) if name else self.app
        await refused(scope, receive, send)


def _name(address: str) -> str:
    """Return the lower-case name or address of a host in `address`; "" where it names none."""
    try:
        return (urlsplit(address).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
