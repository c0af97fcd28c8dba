"""HTTP as a model's server is called by: bounded bodies, no redirect, no answer to another call."""

import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from r2i.core.errors import EndpointError
from r2i.endpoint.chat import BadBodyError

if TYPE_CHECKING:
    from httpx2 import Response as OpenResponse

POOL_SIZE = 16  # calls in flight that share a pool of connections
ERROR_BYTES = 2**16  # of an error that are read


@dataclass(frozen=True)
class Response:
    """A response whose body has come: of an error, its beginning."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Pool:
    """Connections that POOL_SIZE calls share. `busy`: calls in flight."""

    def __init__(self, tls: ssl.SSLContext, use_proxies: bool) -> None:
        """Raises EndpointError where a proxy variable of the environment is of no use."""
        import httpx2

        self.busy = 0
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=POOL_SIZE)
        try:
            # the caller limits the time of a whole call
            self.client = httpx2.AsyncClient(limits=limits, verify=tls, trust_env=use_proxies, timeout=None)
        except (ValueError, ImportError, OSError, httpx2.InvalidURL) as error:
            raise EndpointError(
                f"the proxy that the environment names can't be used: {error}",
                "see HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY",
            ) from error

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], max_bytes: int) -> Response:
        """POST `body`; the response with at most `max_bytes` of its body, unpacked.

        Raises BadBodyError where there are more, and what httpx2 raises where the connection breaks.
        """
        self.busy += 1
        try:
            await self._drop_unasked(url)
            async with self.client.stream("POST", url, content=body, headers=dict(headers)) as response:
                is_error = response.status_code >= 300
                try:
                    data = await _read_body(response, ERROR_BYTES if is_error else max_bytes, cut=is_error)
                except BadBodyError:
                    if not is_error:
                        raise
                    data = b""
                return Response(response.status_code, response.headers, data)
        finally:
            self.busy -= 1

    async def _drop_unasked(self, url: str) -> None:
        """Close idle connections on which more has come than was asked for: the next call would take it for its reply.

        HTTP/1.1 knows a response by its place alone, and the client keeps what follows one.
        """
        import httpx2

        transport: Any = self.client._transport_for_url(httpx2.URL(url))
        for connection in getattr(getattr(transport, "_pool", None), "connections", ()):
            if connection.is_idle() and _unread(connection):
                await connection.aclose()


def _unread(connection: Any) -> bytes:
    """Bytes that a connection has received and not read: of h11, whichever proxies are around it."""
    while connection is not None and not hasattr(connection, "_h11_state"):
        connection = getattr(connection, "_connection", None)
    return b"" if connection is None else connection._h11_state.trailing_data[0]


async def _read_body(response: "OpenResponse", max_bytes: int, cut: bool) -> bytes:
    """At most `max_bytes` of the unpacked body. Raises BadBodyError where there are more and `cut` is false."""
    unpack = _unpacker(response.headers.get("content-encoding", ""))
    parts, size = [], 0
    async for chunk in response.aiter_raw():
        try:
            part = unpack(chunk, max_bytes + 1 - size)
        except zlib.error as error:
            raise BadBodyError("a body that is not packed as its header says") from error
        parts.append(part)
        size += len(part)
        if size > max_bytes:
            if cut:
                break
            raise BadBodyError(f"a body of over {max_bytes} bytes")
    return b"".join(parts)[:max_bytes]


def _unpacker(encoding: str) -> Any:
    """A function of a chunk and the bytes that it may unpack to. Raises BadBodyError for an unknown encoding."""
    if encoding.strip().lower() in ("", "identity"):
        return lambda chunk, _: chunk
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        raise BadBodyError(f"a body packed by {encoding[:40]!r}, which was not asked for")
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress  # either header


def call_url(base_url: str) -> str:
    """The address of chat completions under `base_url`. Raises EndpointError where it is no address."""
    import httpx2

    try:
        url = httpx2.URL(f"{base_url.rstrip('/')}/chat/completions")
        port = url.port
    except (httpx2.InvalidURL, ValueError, TypeError) as error:
        raise EndpointError(f"base_url {base_url!r} is no address ({error})", "e.g. http://host:8000/v1") from error
    if url.userinfo:
        raise EndpointError("base_url holds a user name or a password", "give the key by api_key_env")
    if url.scheme not in ("http", "https") or not url.host or not (port is None or 0 < port < 65536):
        raise EndpointError(f"base_url {base_url!r} is no address of a server", "e.g. http://host:8000/v1")
    return str(url)


def same_host(url: str, response: Response) -> str | None:
    """Where a redirect leads, if that is on the host, port and scheme of `url`; else None."""
    import httpx2

    try:
        old, new = httpx2.URL(url), httpx2.URL(url).join(response.headers.get("location", ""))
    except (httpx2.InvalidURL, ValueError):
        return None
    is_same = (old.scheme, old.host, old.port) == (new.scheme, new.host, new.port)
    return str(new) if is_same and new != old else None
