"""Few-shot examples: read from a file or training data, and chosen for a text."""

import json
import re
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from spacy.training import Example

from ..errors import Errors

SELECTIONS = ("first", "similar")
# Most training examples that are kept to choose from, and saved with the pipeline.
MAX_POOL = 2000


class Shown(NamedTuple):
    """An example as a prompt shows it.

    text (str): Its text.
    answer (str): The right answer, as JSON.
    """

    text: str
    answer: str

    def __repr__(self) -> str:
        return f"Shown({len(self.text)} characters)"


def read_text(path: str, what: str) -> str:
    """Read a text file.

    path (str): The file.
    what (str): What it is for, in the message.
    RETURNS (str): Its text.
    RAISES (ValueError): It can't be read.
    """
    try:
        return Path(path).read_text(encoding="utf8")
    except (OSError, UnicodeDecodeError) as e:
        problem = getattr(e, "strerror", None) or type(e).__name__
    raise ValueError(Errors.N172.format(what=what, path=path, problem=problem))


def write_answer(rows: Iterable[Tuple[str, str, int]]) -> str:
    """RETURNS (str): An answer with these texts, labels and occurrences, as JSON."""
    items = [{"text": t, "label": label, "occurrence": n} for t, label, n in rows]
    return json.dumps({"entities": items}, ensure_ascii=False)


def make_shown(text: str, spans: Iterable[Tuple[int, int, str]]) -> Shown:
    """Make an example.

    text (str): Its text.
    spans (Iterable[Tuple[int, int, str]]): First character, one past the last, label.
    RETURNS (Shown): The example, its entities in text order.
    """
    rows = []
    for start, end, label in sorted(spans):
        places = find_places(text, text[start:end])
        number = places.index(start) + 1 if start in places else 1
        rows.append((text[start:end], label, number))
    return Shown(text, write_answer(rows))


def find_places(text: str, words: str) -> List[int]:
    """RETURNS (List[int]): Where words stand in a text, not inside of longer words."""
    before = r"(?<!\w)" if words[:1].isalnum() else ""
    after = r"(?!\w)" if words[-1:].isalnum() else ""
    pattern = f"{before}{re.escape(words)}{after}"
    return [x.start() for x in re.finditer(pattern, text)]


def read_examples(path: str) -> List[Shown]:
    """Read examples from a JSON or JSONL file.

    path (str): The file: rows with "text" and "entities", a list of [start, end, label],
        of {"start", "end", "label"} or of {"text", "label"}, which stand for the first
        place of the text, then the second, and so on.
    RETURNS (List[Shown]): The examples.
    RAISES (ValueError): The file can't be read, or a row is not such a row.
    """
    rows = list(_read_rows(path))
    shown = [_shown_of(row) for row in rows]
    for i, example in enumerate(shown, start=1):
        if example is None:
            problem = f"row {i} is no example"
            raise ValueError(Errors.N174.format(path=path, problem=problem))
    if not shown:
        raise ValueError(Errors.N174.format(path=path, problem="it has none"))
    return [x for x in shown if x is not None]


def gold_examples(examples: Iterable[Example]) -> List[Shown]:
    """RETURNS (List[Shown]): The first 2,000 annotated documents with entities."""
    found: List[Shown] = []
    for example in examples:
        doc = example.reference
        if doc.ents and len(found) < MAX_POOL:
            spans = [(x.start_char, x.end_char, x.label_) for x in doc.ents]
            found.append(make_shown(doc.text, spans))
    return found


def _read_rows(path: str) -> Iterable[Any]:
    text = read_text(path, "examples")
    try:
        if Path(path).suffix == ".jsonl":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        rows = json.loads(text)
        return rows if isinstance(rows, list) else [rows]
    except json.JSONDecodeError as e:
        # Raised out here: this error carries the whole file.
        problem = f"line {e.lineno}, column {e.colno}: {e.msg}"
    raise ValueError(Errors.N174.format(path=path, problem=problem))


def _shown_of(row: Any) -> Optional[Shown]:
    try:
        text = row["text"]
        return make_shown(text, _spans_of(text, row["entities"]))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return None


def _spans_of(text: str, entities: List[Any]) -> List[Tuple[int, int, str]]:
    spans: List[Tuple[int, int, str]] = []
    used: Dict[str, int] = {}
    for entity in entities:
        if not isinstance(entity, dict):
            start, end, label = entity[:3]
        elif "start" in entity:
            start, end, label = entity["start"], entity["end"], entity["label"]
        else:
            words, label = entity["text"], entity["label"]
            start = find_places(text, words)[used.get(words, 0)]
            end = start + len(words)
            used[words] = used.get(words, 0) + 1
        if not (isinstance(label, str) and 0 <= start < end <= len(text)):
            raise ValueError
        spans.append((start, end, label))
    return spans


class Chooser:
    """Chooses examples for a text.

    "first" takes the first ones. "similar" takes those whose text is nearest by the cosine
    of TF-IDF vectors over the 2- to 4-character stretches of words (so that it works in
    any script), the nearest last, next to the text; ties go to the earlier ones. It is
    computed here, by scikit-learn, and always gives the same.

    pool (Sequence[Shown]): The examples to choose from.
    count (int): How many.
    selection (str): "first" or "similar".
    RAISES (ImportError): scikit-learn is missing where it is needed.
    """

    def __init__(self, pool: Sequence[Shown], count: int, selection: str) -> None:
        self.pool = list(pool)
        self.count = min(count, len(self.pool))
        self.selection = selection
        if selection == "similar" and self.count < len(self.pool):
            self._fit()

    def choose(self, text: str) -> List[Shown]:
        """RETURNS (List[Shown]): The examples to show with a text."""
        if self.selection == "first" or self.count == len(self.pool):
            return self.pool[: self.count]
        closeness = (self._vectors @ self._vectorizer.transform([text]).T).toarray()[:, 0]
        order = sorted(range(len(self.pool)), key=lambda i: (-closeness[i], i))
        return [self.pool[i] for i in reversed(order[: self.count])]

    def longest(self) -> List[Shown]:
        """RETURNS (List[Shown]): The examples that take most room."""
        by_size = sorted(self.pool, key=lambda x: -len(x.text) - len(x.answer))
        return (self.pool if self.selection == "first" else by_size)[: self.count]

    def _fit(self) -> None:
        try:
            from sklearn.feature_extraction.text import TfidfVectorizer
        except ImportError as e:
            message = Errors.N170.format(package="scikit-learn", extra="eval")
            raise ImportError(message) from e
        self._vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4))
        self._vectors = self._vectorizer.fit_transform([x.text for x in self.pool])
