"""Sending webhooks: signed, to public addresses only, by one connection to a checked address.

The host is resolved once, every address it has must be public, and the connection goes to the
address that was checked, so that a name cannot point elsewhere a moment later. Redirects are
not followed. ``WINWARD_WEBHOOK_HOSTS`` names hosts that may be private and speak plain HTTP.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from crm_core.errors import Invalid

SECONDS = 10.0
LONGEST_URL = 2_000
Resolve = Callable[[str, int], Sequence[str]]


class BadTarget(Invalid):
    """The address is none that we send to."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a message goes: the URL's parts and the one address that was checked."""

    host: str
    port: int
    path: str
    address: str
    is_tls: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one attempt: the status, or why there was none."""

    status: int | None
    error: str | None

    @property
    def is_accepted(self) -> bool:
        """Whether the receiver took the message."""
        return self.status is not None and 200 <= self.status < 300


def signature(secret: str, *, timestamp: int, body: bytes) -> str:
    """Return the HMAC-SHA-256 of timestamp and body, in hex."""
    message = str(timestamp).encode() + b"." + body
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def check_url(url: str, *, allowed: frozenset[str]) -> SplitResult:
    """Return the URL's parts. Raises BadTarget unless its form is one that we send to."""
    parts = urlsplit(url) if len(url) <= LONGEST_URL and url.isprintable() else urlsplit("")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    schemes = ("https", "http") if host in allowed or f"{host}:{port}" in allowed else ("https",)
    if host is None or parts.scheme not in schemes or parts.username or parts.fragment:
        raise BadTarget(
            "A webhook goes to an https:// address without user name; hosts in "
            "WINWARD_WEBHOOK_HOSTS may use http://."
        )
    return parts


def resolve(host: str, port: int) -> Sequence[str]:
    """Return every address of a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in found]


def is_public(address: str) -> bool:
    """Return whether an address is one of the open internet, also when wrapped in IPv6."""
    try:
        found = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found.teredo is not None or found in ipaddress.ip_network("64:ff9b::/96"):
            return False
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast and not found.is_reserved


def target(url: str, *, allowed: frozenset[str], resolve: Resolve = resolve) -> Target:
    """Return where a URL leads, its address pinned. Raises BadTarget."""
    parts = check_url(url, allowed=allowed)
    assert parts.hostname is not None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        addresses = resolve(parts.hostname, port)
    except (OSError, UnicodeError) as error:
        raise BadTarget(f"The host {parts.hostname} cannot be resolved.") from error
    trusted = parts.hostname in allowed or f"{parts.hostname}:{parts.port}" in allowed
    if not addresses or not (trusted or all(is_public(each) for each in addresses)):
        raise BadTarget(
            f"The host {parts.hostname} has an address that is not public; name it in "
            "WINWARD_WEBHOOK_HOSTS if it is yours."
        )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.hostname, port, path, addresses[0], parts.scheme == "https")


class _Pinned(http.client.HTTPConnection):
    """A connection to the address that was checked, whatever the name says by now."""

    def __init__(self, goal: Target) -> None:
        super().__init__(goal.host, goal.port, timeout=SECONDS)
        self._goal = goal

    def connect(self) -> None:
        """Open the connection."""
        plain = socket.create_connection((self._goal.address, self._goal.port), SECONDS)
        context = ssl.create_default_context() if self._goal.is_tls else None
        self.sock = (
            context.wrap_socket(plain, server_hostname=self._goal.host) if context else plain
        )


def post(goal: Target, body: bytes, *, headers: dict[str, str]) -> Answer:
    """Send a message once; anything that goes wrong is in the answer."""
    connection = _Pinned(goal)
    try:
        connection.request("POST", goal.path, body=body, headers=headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return Answer(None, f"{type(error).__name__}: {error}"[:500])
    finally:
        connection.close()
    return Answer(status, None if 200 <= status < 300 else f"the receiver answered {status}")


def allowed_hosts(setting: str) -> frozenset[str]:
    """Return the hosts of the setting: names or name:port, separated by commas."""
    return frozenset(part.strip().lower() for part in setting.split(",") if part.strip())
