"""How a server is asked for JSON: the forms of a request, and which one it takes."""

import hashlib
import json
from collections import OrderedDict
from typing import Any, Dict, List, Tuple

from .protocol import Prompt

# From the strictest down.
MODES = ("json_schema", "json_object_schema", "json_object", "prompt")
# Answers that can mean "not in this form".
STEPS_DOWN = (400, 404, 422, 500, 501)
SCHEMA_NAME = "answer"
SCHEMA_SENTENCE = (
    "\n\nAnswer with one JSON object and nothing else. It must match this JSON schema:\n"
)
# Schemas remembered as accepted; some tasks write one for each document.
MOST_SCHEMAS = 256


def make_body(settings: Dict[str, Any], prompt: Prompt, mode: str) -> Dict[str, Any]:
    """Make the body of a request.

    settings (Dict[str, Any]): Parameters that every request has, "model" among them.
    prompt (Prompt): The messages, and the schema of the answer, if it has one.
    mode (str): One of `MODES`; without a schema it changes nothing.
    RETURNS (Dict[str, Any]): The body, as JSON has it.
    """
    text, schema = str(prompt), prompt.json_schema
    if schema is not None and mode in ("json_object", "prompt"):
        text += SCHEMA_SENTENCE + json.dumps(schema, ensure_ascii=False)
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    messages = [*system, {"role": "user", "content": text}]
    body = {**settings, "messages": messages}
    if schema is not None and mode != "prompt":
        body["response_format"] = _make_format(schema, mode)
    return body


def _make_format(schema: Dict[str, Any], mode: str) -> Dict[str, Any]:
    if mode == "json_schema":
        named = {"name": SCHEMA_NAME, "strict": True, "schema": schema}
        return {"type": "json_schema", "json_schema": named}
    if mode == "json_object_schema":
        # llama.cpp's own.
        return {"type": "json_object", "schema": schema}
    return {"type": "json_object"}


class Ladder:
    """Which form a server takes, found out once.

    output_mode (str): One of `MODES`, which is then the only one, or "auto".
    """

    def __init__(self, output_mode: str) -> None:
        self.modes: Tuple[str, ...] = MODES if output_mode == "auto" else (output_mode,)
        self.rung = 0
        # Nothing is left to find out where there is one form.
        self.proven = len(self.modes) == 1
        self._accepted: OrderedDict[bytes, None] = OrderedDict()

    @property
    def mode(self) -> str:
        """RETURNS (str): The form that requests have now."""
        return self.modes[self.rung]

    def below(self) -> List[int]:
        """RETURNS (List[int]): The rungs under this one."""
        return list(range(self.rung + 1, len(self.modes)))

    def is_suspect(self, prompt: Prompt) -> bool:
        """RETURNS (bool): Whether a refusal can be due to the form: there is a lower one,
        and the server has not accepted the same schema in this form before.
        """
        if prompt.json_schema is None or not self.below():
            return False
        return _digest(prompt.json_schema) not in self._accepted

    def accept(self, rung: int, prompt: Prompt) -> None:
        """Note that a server took a prompt in a form: it is asked in no higher one."""
        self.rung = max(rung, self.rung)
        self.proven = True
        if prompt.json_schema is not None and rung == self.rung:
            self._accepted[_digest(prompt.json_schema)] = None
            if len(self._accepted) > MOST_SCHEMAS:
                self._accepted.popitem(last=False)


def _digest(schema: Dict[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(schema, sort_keys=True).encode("ascii")).digest()
