"""What can go wrong with a request. No message holds document text, an answer or a key."""

from typing import Optional

from .protocol import Usage


class LLMError(Exception):
    """A prompt has no answer.

    LLMError
    |- ServerRefused   the server says no, and would again: wrong key, model, request
    |- ServerFailed    no usable reply: every try failed, or the time for them was up
    |- AnswerMissing   a reply, but no answer in it (or in the cache that is replayed)
    `- CacheFailed     the file of answers can't be used

    `BudgetReached`, which ends a run, is none of them.

    message (str): What is wrong, then what to do.
    status (Optional[int]): The HTTP status, if the server gave one.
    code (Optional[str]), type (Optional[str]): The server's short words for its error.
    kind (Optional[str]): Ours, e.g. "timeout", "refusal", "content_filter", "not_cached".
    usage (Usage): What it took nevertheless.
    """

    def __init__(
        self,
        message: str,
        *,
        status: Optional[int] = None,
        code: Optional[str] = None,
        type: Optional[str] = None,
        kind: Optional[str] = None,
        usage: Optional[Usage] = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.type = type
        self.kind = kind
        self.usage = usage or Usage()


class ServerRefused(LLMError):
    """The server refused the request; the same request would be refused again."""


class ServerFailed(LLMError):
    """No try brought a usable reply."""


class AnswerMissing(LLMError):
    """The reply holds no answer, or a replayed cache lacks it."""


class CacheFailed(LLMError):
    """The file of answers can't be used."""
