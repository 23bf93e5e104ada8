"""Prompts out of jinja2 templates: ours, or a user's."""

from pathlib import Path
from typing import Any, Dict, Optional, Sequence

from ..errors import Errors
from ..schema import EntitySchema
from .examples import Shown, read_text

TEMPLATES = Path(__file__).parent / "templates"
LANGUAGES = ("en", "de")


def read_template(template: Optional[str], language: str) -> str:
    """Find the text of a template.

    template (Optional[str]): A path, or the template itself (with "{{" or "{%"), or
        `None` for ours.
    language (str): The language of ours.
    RETURNS (str): The text.
    RAISES (ValueError): The file can't be read.
    """
    if template is None:
        return (TEMPLATES / f"ner.{language}.jinja2").read_text(encoding="utf8")
    if "{{" in template or "{%" in template:
        return template
    return read_text(template, "template")


class Written(str):
    """A user message and the system message that goes before it.

    system (str): Empty for none.
    """

    system: str

    def __new__(cls, user: str, system: str) -> "Written":
        written = super().__new__(cls, user)
        written.system = system
        return written

    def __repr__(self) -> str:
        return f"Written({len(self)} characters)"


class Writer:
    """Writes prompts with a template.

    A template with the blocks "system" and "user" gives both messages; any other gives
    the user message alone. It sees `text`, `tag` (a name for the tags around the text,
    which the text itself doesn't have), `labels` (with name, description, aliases),
    `guidelines`, `examples` (with text and answer), `found` (`None`, or what a first pass
    found as JSON), `errors` and `previous` (of an answer that broke the rules).

    template (str): The text of the template. It runs in jinja2's sandbox.
    RAISES (ValueError): It is no jinja2 template.
    """

    def __init__(self, template: str) -> None:
        try:
            from jinja2 import StrictUndefined, TemplateError
            from jinja2.sandbox import SandboxedEnvironment
        except ImportError as e:
            message = Errors.N170.format(package="jinja2", extra="llm")
            raise ImportError(message) from e
        environment = SandboxedEnvironment(
            undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        try:
            self._template = environment.from_string(template)
        except TemplateError as e:
            line = getattr(e, "lineno", None)
            problem = f"line {line}: {e}" if line else str(e)
            raise ValueError(Errors.N173.format(problem=problem)) from e

    def write(
        self,
        text: str,
        schema: EntitySchema,
        *,
        guidelines: str = "",
        examples: Sequence[Shown] = (),
        found: Optional[str] = None,
        errors: Sequence[str] = (),
        previous: str = "",
    ) -> Written:
        """Write a prompt.

        text (str): The text to search.
        schema (EntitySchema): The labels.
        guidelines, examples, found, errors, previous: see the class.
        RETURNS (Written): The messages.
        RAISES (ValueError): The template fails. Its message could hold text, so only the
            error's type is named.
        """
        values = {
            "text": text,
            "tag": make_tag(text),
            "labels": list(schema),
            "guidelines": guidelines.strip(),
            "examples": list(examples),
            "found": found,
            "errors": list(errors),
            "previous": previous,
        }
        try:
            return self._render(values)
        except Exception as e:
            problem = type(e).__name__
        raise ValueError(Errors.N173.format(problem=problem))

    def _render(self, values: Dict[str, Any]) -> Written:
        blocks = self._template.blocks
        if "user" not in blocks:
            return Written(self._template.render(values).strip("\n"), "")
        context = self._template.new_context(values)
        parts = {key: "".join(blocks[key](context)).strip("\n") for key in blocks}
        return Written(parts["user"], parts.get("system", ""))


def make_tag(text: str) -> str:
    """RETURNS (str): A name for the tags around a text that doesn't stand in it as a tag,
    so that the text can't end itself."""
    lowered, tag, i = text.lower(), "text", 1
    while f"<{tag}" in lowered or f"</{tag}" in lowered:
        i += 1
        tag = f"text-{i}"
    return tag
