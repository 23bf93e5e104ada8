"""From a server's reply to an answer: what it says, what it took, how sure it was."""

import codecs
import json
import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, TypeGuard

from ..errors import Errors
from .budget import Budget
from .failures import AnswerMissing
from .protocol import Answer, Usage

IDENTIFIER = re.compile(r"[A-Za-z0-9_.-]{1,64}")
FINISH_REASON = re.compile(r"[a-z_]{1,32}")
# No server counts further, and a float holds it exactly.
MOST_TOKENS = 2**53


class ErrorNames(NamedTuple):
    """A server's short words for an error. Its message is left alone: it can echo the
    document.
    """

    status: Optional[int] = None
    code: Optional[str] = None
    type: Optional[str] = None

    def describe(self) -> str:
        """RETURNS (str): Such as ", invalid_request_error, context_length_exceeded"."""
        names = dict.fromkeys(x for x in (self.type, self.code) if x is not None)
        return "".join(f", {x}" for x in names)


def read_json(content: bytes) -> Any:
    """RETURNS (Any): The value, `None` where it can't be read."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def name_error(envelope: Any) -> ErrorNames:
    """Find what a reply calls its error.

    envelope (Any): The reply's body, of any form.
    RETURNS (ErrorNames): Identifiers only; `status` if the body gives an HTTP status.
    """
    error = envelope.get("error") if isinstance(envelope, dict) else None
    if not isinstance(error, dict):
        return ErrorNames()
    numbers: Tuple[Any, ...] = (error.get("code"), error.get("status"))
    status = next((x for x in numbers if _is_count(x) and 400 <= x < 600), None)
    return ErrorNames(
        status, _identifier(error.get("code")), _identifier(error.get("type"))
    )


def is_error(envelope: Dict[str, Any]) -> bool:
    """RETURNS (bool): Whether a reply is an error, whatever its status says."""
    return bool(envelope.get("error")) and not envelope.get("choices")


def read_usage(envelope: Dict[str, Any], budget: Budget) -> Usage:
    """RETURNS (Usage): What the server says the answer took, with its cost."""
    usage = envelope.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not (_is_count(prompt) and _is_count(completion)):
        return Usage(requests=1, unknown=1)
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    cached = min(cached, prompt) if _is_count(cached) else 0
    cost = budget.price(prompt, completion, cached)
    return Usage(1, prompt, completion, cached, cost)


def read_answer(envelope: Dict[str, Any], usage: Usage) -> Answer:
    """Read a reply of the chat protocol.

    envelope (Dict[str, Any]): The reply's body.
    usage (Usage): What it took.
    RETURNS (Answer): The answer of its first choice.
    RAISES (AnswerMissing): It has none.
    """
    choices = envelope.get("choices")
    if not isinstance(choices, list) or not all(isinstance(x, dict) for x in choices):
        raise _missing("wrong_type", usage)
    if not choices:
        raise _missing("no_choices", usage)
    message, reason = choices[0].get("message"), choices[0].get("finish_reason")
    if not isinstance(message, dict):
        raise _missing("wrong_type", usage)
    if message.get("refusal"):
        raise _missing("refusal", usage)
    if reason == "content_filter":
        raise _missing("content_filter", usage)
    content = message.get("content")
    if not isinstance(content, str):
        raise _missing("null_content" if content is None else "wrong_type", usage)
    known = isinstance(reason, str) and FINISH_REASON.fullmatch(reason)
    logprobs = read_logprobs(choices[0].get("logprobs"), content)
    finish = reason if known else None
    return Answer(content, finish_reason=finish, usage=usage, logprobs=logprobs)


def read_logprobs(logprobs: Any, content: str) -> Optional[List[Tuple[str, float]]]:
    """RETURNS (Optional[List[Tuple[str, float]]]): Tokens that joined give the content,
    with their log probabilities; `None` where there are no such. The bytes of a character
    that is cut into tokens go to its last.
    """
    items = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(items, list) or not all(_is_logprob(x) for x in items):
        return None
    tokens = [x["token"] for x in items]
    if "".join(tokens) != content:
        tokens = _decode([x.get("bytes") for x in items])
    if "".join(tokens) != content:
        return None
    return [(token, float(x["logprob"])) for token, x in zip(tokens, items, strict=True)]


def _decode(pieces: List[Any]) -> List[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    try:
        return [decoder.decode(bytes(x)) for x in pieces]
    except (TypeError, ValueError):
        return [""] * len(pieces)


def _is_logprob(item: Any) -> bool:
    if not isinstance(item, dict) or not isinstance(item.get("token"), str):
        return False
    number: Any = item.get("logprob")
    # Neither infinite nor no number.
    return type(number) in (int, float) and abs(number) < 1e30


def _is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < MOST_TOKENS


def _identifier(value: Any) -> Optional[str]:
    if isinstance(value, str) and IDENTIFIER.fullmatch(value):
        return value
    return None


def _missing(kind: str, usage: Usage) -> AnswerMissing:
    return AnswerMissing(Errors.N158.format(kind=kind), kind=kind, usage=usage)
