"""Requests to a server over HTTP: sent, tried again, given up."""

import asyncio
import json
import random
import re
import ssl
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Union

from ..errors import Errors
from .budget import Budget
from .failures import LLMError, ServerFailed, ServerRefused
from .replies import ErrorNames, is_error, name_error, read_json

# Seconds: the first wait is at most this long, each further one twice as long.
BACKOFF = 0.5
MOST_BACKOFF = 30.0
MOST_REDIRECTS = 3
REDIRECTS = (301, 302, 303, 307, 308)
RETRIED = (408, 409, 425, 429)
HOST = re.compile(r"[A-Za-z0-9.:\[\]-]{1,253}")


class Trouble(NamedTuple):
    """Why a try brought no reply.

    problem (str): In a word or two.
    names (ErrorNames): What the server calls it, `status` being that of HTTP.
    retry (bool): Whether the same request may succeed later.
    wait (float): Seconds that the server asks to wait.
    host (Optional[str]): Where it redirects to.
    """

    problem: str
    names: ErrorNames = ErrorNames()
    retry: bool = False
    wait: float = 0.0
    host: Optional[str] = None


Outcome = Union[Dict[str, Any], Trouble]


class Call:
    """A request and the tries it had. Time counts from the first of them.

    max_retries (int): Most tries after the first.
    max_total_time (float): Seconds for all of them.
    """

    def __init__(self, max_retries: int, max_total_time: float) -> None:
        self.left = max_retries + 1
        self.tries = 0
        self.total = max_total_time
        self._end: Optional[float] = None

    def start(self) -> None:
        """Note a try."""
        if self._end is None:
            self._end = time.monotonic() + self.total
        self.left -= 1
        self.tries += 1

    @property
    def remaining(self) -> float:
        """RETURNS (float): Seconds that are left."""
        return self.total if self._end is None else self._end - time.monotonic()


class Exchange:
    """A connection pool of one event loop, in which it is made.

    url (str): Where requests are posted.
    timeout (float): Seconds for a try.
    budget (Budget): Is asked before each request.
    RAISES (ImportError): httpx is not installed.
    """

    def __init__(self, url: str, timeout: float, budget: Budget) -> None:
        httpx = import_httpx()
        self.url = httpx.URL(url)
        self.timeout = timeout
        self.budget = budget
        self._tls = _make_tls(self.url)
        # A client for each request in flight: httpcore looks at all connections of a pool,
        # for each of them, whenever a request begins or ends.
        self._clients: List[Any] = []
        self._idle: List[Any] = []

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            await client.aclose()

    @contextmanager
    def _client(self) -> Iterator[Any]:
        client = self._idle.pop() if self._idle else self._make_client()
        try:
            yield client
        finally:
            self._idle.append(client)

    def _make_client(self) -> Any:
        # Time is kept here, for a try as a whole.
        client = import_httpx().AsyncClient(
            timeout=None, follow_redirects=False, verify=self._tls
        )
        self._clients.append(client)
        return client

    async def ask(
        self, call: Call, body: Dict[str, Any], key: Optional[str], *, most_500: int = 0
    ) -> Outcome:
        """Send a request until there is a reply, or no try is left.

        call (Call): Counts the tries.
        body (Dict[str, Any]): What is asked.
        key (Optional[str]): The API key.
        most_500 (int): Give up after so many replies of status 500; 0 for no such limit.
        RETURNS (Outcome): The reply's JSON object, or why there is none.
        RAISES (BudgetReached): A limit of the run is reached.
        """
        # A document's surrogates are no text that a server could read.
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        failures = 0
        with self._client() as client:
            while True:
                call.start()
                outcome = _conceal(await self._try(client, call, content, headers), key)
                if not isinstance(outcome, Trouble):
                    return outcome
                failures += outcome.names.status == 500
                given_up = 0 < most_500 <= failures
                if not outcome.retry or call.left < 1 or given_up:
                    return outcome
                wait = max(_backoff(call.tries), outcome.wait)
                if wait >= call.remaining:
                    return outcome
                await asyncio.sleep(wait)

    async def _try(
        self, client: Any, call: Call, content: bytes, headers: Dict[str, str]
    ) -> Outcome:
        import httpx

        try:
            async with asyncio.timeout(min(self.timeout, call.remaining)):
                return await self._post(client, content, headers)
        except TimeoutError:
            return Trouble("timeout", retry=True)
        except (httpx.TransportError, httpx.DecodingError) as e:
            return Trouble(type(e).__name__, retry=True)
        except httpx.HTTPError as e:
            return Trouble(type(e).__name__)

    async def _post(self, client: Any, content: bytes, headers: Dict[str, str]) -> Outcome:
        url = self.url
        for _ in range(MOST_REDIRECTS + 1):
            self.budget.take()
            response = await client.post(url, content=content, headers=headers)
            status = response.status_code
            if status not in REDIRECTS:
                return read_reply(status, response.content, response.headers)
            target = _join(url, response.headers.get("location", ""))
            if target is None or _origin(target) != _origin(url):
                host = "" if target is None else target.netloc.decode("ascii", "replace")
                host = host.rpartition("@")[2]
                return _redirected(status, host if HOST.fullmatch(host) else "another host")
            url = target
        return _redirected(status, "itself, again and again")


def read_reply(status: int, content: bytes, headers: Any) -> Outcome:
    """Tell a reply from an error.

    status (int): The HTTP status.
    content (bytes): The body.
    headers (Mapping[str, str]): The headers.
    RETURNS (Outcome): The body as a JSON object, or what is wrong with it.
    """
    envelope = read_json(content)
    names = name_error(envelope)
    # A status in the body of an error says more than the 200 it comes with.
    status = (names.status or 200) if 200 <= status < 300 else status
    names = names._replace(status=status)
    if status >= 400:
        retry = status in RETRIED or 500 <= status != 501
        wait = parse_retry_after(headers.get("retry-after"))
        return Trouble(f"HTTP {status}", names, retry, wait)
    if status != 200:
        return Trouble(f"HTTP {status}", names)
    if not isinstance(envelope, dict):
        return Trouble("no JSON object in the reply", names, retry=True)
    if is_error(envelope):
        return Trouble("an error with HTTP 200", names, retry=True)
    return envelope


def parse_retry_after(value: Optional[str]) -> float:
    """RETURNS (float): Seconds to wait, from a number of them or an HTTP date."""
    if not value:
        return 0.0
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value.strip()):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


def make_error(trouble: Trouble, call: Call, url: str) -> LLMError:
    """RETURNS (LLMError): What is raised where a request failed for good."""
    names = trouble.names
    known: Dict[str, Any] = {"status": names.status, "code": names.code, "type": names.type}
    if trouble.host is not None:
        message = Errors.N157.format(url=url, status=names.status, host=trouble.host)
        return ServerRefused(message, **known, kind="redirect")
    what = trouble.problem + names.describe()
    if not trouble.retry:
        return ServerRefused(Errors.N155.format(url=url, problem=what), **known)
    message = Errors.N156.format(url=url, problem=what, tries=call.tries)
    kind = "timeout" if trouble.problem == "timeout" else None
    return ServerFailed(message, **known, kind=kind)


def import_httpx() -> Any:
    """RETURNS (module): httpx.
    RAISES (ImportError): It is not installed; the message names the extra.
    """
    try:
        import httpx
    except ImportError:
        raise ImportError(Errors.N170.format(package="httpx", extra="llm")) from None
    return httpx


def _make_tls(url: Any) -> ssl.SSLContext:
    if url.scheme == "http":
        # Not used, and trusts nobody: reading the certificates takes 30 ms and more.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return import_httpx().create_ssl_context()


def _conceal(outcome: Outcome, key: Optional[str]) -> Outcome:
    # A server can call an error, or a host, by the key.
    if not isinstance(outcome, Trouble) or key is None:
        return outcome
    code, type_, host = (
        None if x is not None and key.lower() in x.lower() else x
        for x in (outcome.names.code, outcome.names.type, outcome.host)
    )
    host = "another host" if host != outcome.host else host
    return outcome._replace(names=outcome.names._replace(code=code, type=type_), host=host)


def _backoff(tries: int) -> float:
    # Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter
    return random.uniform(0.0, min(MOST_BACKOFF, BACKOFF * 2 ** min(tries - 1, 16)))


def _redirected(status: int, host: str) -> Trouble:
    return Trouble(f"HTTP {status}", ErrorNames(status), host=host)


def _join(url: Any, location: str) -> Any:
    import httpx

    try:
        return url.join(location) if location else None
    except httpx.InvalidURL:
        return None


def _origin(url: Any) -> Any:
    ports = {"http": 80, "https": 443}
    return url.scheme, url.host, url.port or ports.get(url.scheme)
