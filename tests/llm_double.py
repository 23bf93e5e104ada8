"""A model in this process whose answers a test writes."""

import json
import re
from concurrent.futures import Future
from typing import Iterable

from ner_components.llm.protocol import Answer, Usage

TEXT = re.compile(r"<(text[-\d]*)>\n(.*)\n</\1>", re.S)


def text_of(prompt):
    """RETURNS: the text that a prompt of ours asks about."""
    return TEXT.findall(prompt)[-1][1]


def say(*items, **kwargs):
    """RETURNS: an answer with items, each a dict, or "text|label" or "text|label|2"."""
    rows = []
    for item in items:
        if isinstance(item, str):
            text, label, *number = item.split("|")
            item = {"text": text, "label": label, "occurrence": int(*number or [1])}
        rows.append(item)
    answer = json.dumps({"entities": rows}, ensure_ascii=False)
    return Answer(answer, **{"finish_reason": "stop", "usage": Usage(1, 10, 5), **kwargs})


def find(text, words, label):
    """RETURNS: "text|label|number" for every place where the words stand in a text."""
    return [f"{words}|{label}|{i + 1}" for i in range(text.count(words))]


class Double:
    """Answers with what `respond` returns for a prompt: an answer, an exception, or a
    future that the test ends itself.

    prompts, texts, futures (list): What was asked, about which text, and the futures.
    """

    def __init__(self, respond, *, concurrency=4, context_length=None, max_tokens=None):
        self.respond = respond
        self.concurrency = concurrency
        self.context_length = context_length
        self.max_tokens = max_tokens
        self.prompts, self.texts, self.futures = [], [], []

    def submit(self, prompt):
        self.prompts.append(prompt)
        self.texts.append(text_of(prompt) if TEXT.search(prompt) else "")
        answer = self.respond(prompt)
        future = answer if isinstance(answer, Future) else Future()
        self.futures.append(future)
        if isinstance(answer, Exception):
            future.set_exception(answer)
        elif not isinstance(answer, Future):
            future.set_result(answer)
        return future

    def __call__(self, prompts: Iterable[Iterable[str]]) -> Iterable[Iterable[Answer]]:
        for some in prompts:
            yield [self.submit(x).result() for x in some]


def in_chain(error, words):
    """RETURNS: whether words are in an error or in anything that it was raised from."""
    while error is not None:
        if words in f"{error!s} {error!r}":
            return True
        error = error.__cause__ or error.__context__
    return False
