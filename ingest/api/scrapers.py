"""Who may read ``/metrics``: this host, configured networks, and requests with the token."""

import ipaddress
from collections.abc import Iterable

from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from evermuse.env import Network

# A proxy adds at least one of these. The peer's address is then the proxy's, even if that is this host.
PROXY_HEADERS = (
    "HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_PORT",
    "HTTP_X_FORWARDED_SERVER", "HTTP_X_REAL_IP", "HTTP_X_CLIENT_IP", "HTTP_VIA", "HTTP_TRUE_CLIENT_IP",
    "HTTP_CF_CONNECTING_IP", "HTTP_X_ORIGINAL_FORWARDED_FOR",
)  # fmt: skip
BEARER = "Bearer "


def may_scrape(request: HttpRequest) -> bool:
    """Whether this request may read the metrics.

    For a request through a proxy, the address that the proxy added last must be in EVERMUSE_METRICS_NETWORKS: the client can
    choose the other addresses.
    """
    if _knows_token(request):
        return True
    networks = settings.EVERMUSE_METRICS_NETWORKS
    peer = request.META.get("REMOTE_ADDR", "")
    if not any(name in request.META for name in PROXY_HEADERS):
        return (_is_this_host(request) and not settings.EVERMUSE_METRICS_TOKEN) or _is_in(peer, networks)
    named = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
    return (is_local(peer) or _is_in(peer, networks)) and _is_in(named or peer, networks)


def _is_this_host(request: HttpRequest) -> bool:
    """Whether the request seems to come from this host. A proxy on this host that adds nothing looks the same, so a token rules
    this out.
    """
    return is_local(request.META.get("REMOTE_ADDR", "")) and _names_this_host(request)


def _names_this_host(request: HttpRequest) -> bool:
    """Whether the Host header names a loopback address. Otherwise a web page under a name that resolves to one asks (DNS
    rebinding), or a proxy that adds no header of its own.
    """
    host = request.META.get("HTTP_HOST", "localhost").rsplit("]", 1)
    name = f"{host[0]}]" if len(host) == 2 else host[0].partition(":")[0]
    return name.lower().rstrip(".") == "localhost" or is_local(name.strip("[]"))


def is_local(address: str) -> bool:
    """Whether an address is a loopback address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _is_in(address: str, networks: Iterable[Network]) -> bool:
    try:
        client = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(client in network for network in networks)


def _knows_token(request: HttpRequest) -> bool:
    sent = request.META.get("HTTP_AUTHORIZATION", "")
    token = settings.EVERMUSE_METRICS_TOKEN
    return bool(token) and sent.startswith(BEARER) and constant_time_compare(sent.removeprefix(BEARER).strip(), token)
