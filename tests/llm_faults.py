"""A local server of the OpenAI chat protocol that makes every mistake we know of.

    with FaultServer(answer=lambda body: "...") as server:
        server.script([status(429, headers={"Retry-After": "0"}), reset(), None])

Requests take the items of the script in order, and are answered by `answer` where an item is
None and after the last. An item is a `Reply`, or a function of the request's body that
returns one, or None.
"""

import json
import socket
import struct
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from types import MappingProxyType
from typing import Any, NamedTuple

PROMPT_TOKENS, COMPLETION_TOKENS = 11, 7
USAGE = {
    "prompt_tokens": PROMPT_TOKENS,
    "completion_tokens": COMPLETION_TOKENS,
    "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
}


class Request(NamedTuple):
    """A request as it came: `body` read as JSON, `headers` by name in any case."""

    path: str
    headers: Any
    body: dict
    text: str


class Reply(NamedTuple):
    """What goes back. `fault` is "", "reset", "hang" or "truncate"; `delay` in seconds."""

    status: int = 200
    body: str = ""
    headers: Any = MappingProxyType({})
    fault: str = ""
    delay: float = 0.0


# Envelopes


def completion(content: Any, *, finish_reason: Any = "stop", **more: Any) -> dict:
    """RETURNS: the body of a good reply; `more` goes over it."""
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return {"object": "chat.completion", "choices": [choice], "usage": USAGE, **more}


def reply(body: Any, **settings: Any) -> Reply:
    """RETURNS: a reply with a body of JSON."""
    return Reply(body=json.dumps(body), **settings)


# Faults


def status(code: int, error: Any = None, **settings: Any) -> Reply:
    """RETURNS: an error in OpenAI's form."""
    error = error or {"message": "no", "type": "some_error", "code": "some_code"}
    return reply({"error": error}, status=code, **settings)


def rate_limited(retry_after: str) -> Reply:
    return status(429, headers={"Retry-After": retry_after})


def html_502() -> Reply:
    return Reply(
        502, "<html><body>Bad gateway</body></html>", {"Content-Type": "text/html"}
    )


def string_error(code: int, text: str = "went wrong") -> Reply:
    return reply({"error": text}, status=code)


def error_in_200(error: Any = "went wrong") -> Reply:
    return reply({"error": error})


def invalid_json() -> Reply:
    return Reply(body='{"choices": [')


def reset() -> Reply:
    return Reply(fault="reset")


def hang() -> Reply:
    return Reply(fault="hang")


def truncated(content: str = "half of it") -> Reply:
    return Reply(body=json.dumps(completion(content)), fault="truncate")


def null_content() -> Reply:
    return reply(completion(None))


def refusal(text: str = "I can't help with that.") -> Reply:
    body = completion(None)
    body["choices"][0]["message"]["refusal"] = text
    return reply(body)


def content_filter(content: Any = "") -> Reply:
    return reply(completion(content, finish_reason="content_filter"))


def no_choices() -> Reply:
    return reply(completion("", choices=[]))


def wrong_types() -> list[Reply]:
    """RETURNS: replies whose parts have types that the protocol doesn't know."""
    bodies: list[Any] = [
        completion("", choices="none"),
        completion("", choices=[7]),
        completion("", choices=[{"message": "hello", "finish_reason": "stop"}]),
        completion({"text": "hello"}),
        completion(["hello"]),
        completion(42),
    ]
    return [reply(body) for body in bodies]


def no_usage(content: str, usage: Any = None) -> Reply:
    return reply(completion(content, usage=usage))


def redirect(location: str, code: int = 307) -> Reply:
    return Reply(code, "", {"Location": location})


def slow(content: str, delay: float) -> Reply:
    return reply(completion(content), delay=delay)


class FaultServer:
    """A server on a free port of this machine, in threads of this process.

    answer: Function of a request's body. A str becomes the content of a good reply, a dict
        its whole body, a `Reply` goes out as it is.
    delay: Seconds before every reply.
    requests: What came, in order. `most_in_flight`: at once.
    """

    def __init__(self, answer: Any = lambda body: "{}", *, delay: float = 0.0) -> None:
        self.answer = answer
        self.delay = delay
        self.requests: list[Request] = []
        self.connections = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.lock = Lock()
        self.closing = Event()
        self._script: deque[Any] = deque()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.faults = self
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def bodies(self) -> list[dict]:
        return [request.body for request in self.requests]

    def script(self, items: list[Any]) -> None:
        """Set what the next requests get, instead of what was set before."""
        with self.lock:
            self._script = deque(items)

    def next_reply(self, body: dict) -> Reply:
        with self.lock:
            item = self._script.popleft() if self._script else None
        if callable(item):
            item = item(body)
        if item is None:
            item = self.answer(body)
        if isinstance(item, Reply):
            return item
        return reply(item if isinstance(item, dict) else completion(item))

    def __enter__(self) -> "FaultServer":
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    faults: FaultServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        with self.server.faults.lock:
            self.server.faults.connections += 1

    def do_POST(self) -> None:
        faults = self.server.faults
        text = self.rfile.read(int(self.headers["Content-Length"])).decode("utf8")
        request = Request(self.path, self.headers, json.loads(text), text)
        with faults.lock:
            faults.requests.append(request)
            faults.in_flight += 1
            faults.most_in_flight = max(faults.most_in_flight, faults.in_flight)
        try:
            answer = faults.next_reply(request.body)
            time.sleep(faults.delay + answer.delay)
        finally:
            with faults.lock:
                faults.in_flight -= 1
        self._send(answer)

    def _send(self, answer: Reply) -> None:
        if answer.fault == "hang":
            self.server.faults.closing.wait(30)
        if answer.fault in ("hang", "reset"):
            self._reset()
            return
        content = answer.body.encode("utf8")
        sent = content[: len(content) // 2] if answer.fault == "truncate" else content
        headers = {"Content-Type": "application/json", "Content-Length": len(content)}
        lines = [f"HTTP/1.1 {answer.status} Said"]
        lines += [f"{k}: {v}" for k, v in {**headers, **answer.headers}.items()]
        head = "\r\n".join(lines) + "\r\n\r\n"
        # In one piece: small pieces would wait for each other.
        self.wfile.write(head.encode("latin1") + sent)
        self.close_connection = answer.fault == "truncate"

    def _reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        # The last reference to the socket sends the reset.
        self.rfile.close()
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""
