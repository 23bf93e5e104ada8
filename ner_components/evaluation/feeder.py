"""Documents through a pipeline, one by one or as a stream, whatever goes wrong."""

from contextlib import suppress
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    cast,
)

import numpy
from spacy.language import Language
from spacy.tokens import Doc

from ..entities import MARK, realign

INDEX = "ner_compare_index"
DROPPED, CHANGED = "Dropped", "TextChanged"
MOST_BREAKS = 3  # streams in a row that end before a document is out

Progress = Callable[[int], None]


class Source(NamedTuple):
    """What a system is given of a document of the gold data.

    text (str): The text.
    id (Any): Of the source document, `None` for none.
    words (int): Tokens of the gold data, for words per second: the same for each system.
    """

    text: str
    id: Any
    words: int


class Feeder:
    """Gives documents to a pipeline and keeps what comes back, whatever goes wrong.

    nlp (Language): The pipeline.
    sources (Sequence[Source]): The documents.
    progress (Callable[[int], None]): Is told how many documents are done.
    """

    def __init__(
        self,
        nlp: Language,
        sources: Sequence[Source],
        progress: Progress = lambda done: None,
    ) -> None:
        self.nlp, self.sources, self.progress = nlp, sources, progress
        self.docs: Dict[int, Doc] = {}
        self.errors: Dict[int, str] = {}
        self.done: Set[int] = set()
        self._set_handlers()

    @property
    def failures(self) -> List[Dict[str, Any]]:
        """RETURNS (List[Dict[str, Any]]): Number and error of documents, in order."""
        return [{"document": i, "error": self.errors[i]} for i in sorted(self.errors)]

    def run_one(self, i: int) -> None:
        """Run a document alone."""
        try:
            self._keep(self.nlp(self._make(i)), i)
        except Exception as e:
            self._fail(i, e)
        self.progress(len(self.done))

    def run_stream(self, numbers: Sequence[int], batch_size: Optional[int] = None) -> None:
        """Run documents through `nlp.pipe`. Where a pipe ends the stream by an exception,
        the documents that were in it have failed, and a new one takes those behind."""
        todo = iter(numbers)
        breaks = 0
        while True:
            inside: Dict[int, None] = {}
            before = len(self.docs)
            try:
                for doc in self.nlp.pipe(self._feed(todo, inside), batch_size=batch_size):
                    i = doc.user_data.get(INDEX)
                    if i in inside:
                        del inside[i]
                        self._keep(doc, i)
                    self.progress(len(self.done))
            except Exception as e:
                breaks = breaks + 1 if len(self.docs) == before else 0
                for i in [*inside, *(todo if breaks >= MOST_BREAKS else ())]:
                    self._fail(i, e)
                continue
            for i in [*inside, *todo]:
                self.errors.setdefault(i, DROPPED)
            return

    def finish(self, spans_key: Optional[str]) -> List[Doc]:
        """RETURNS (List[Doc]): Every document, in order, with its entities and our group
        and nothing else; without entities where it failed."""
        docs = []
        for i, source in enumerate(self.sources):
            if i in self.errors or i not in self.docs:
                self.errors.setdefault(i, DROPPED)
                words = [source.text] if source.text else []
                docs.append(Doc(self.nlp.vocab, words=words, spaces=[False] * len(words)))
            else:
                docs.append(_strip(self.docs[i], spans_key))
        return docs

    def _set_handlers(self) -> None:
        handler: Any = self._note
        self.nlp.default_error_handler = handler
        for _, pipe in self.nlp.pipeline:
            # Not nlp.set_error_handler: spaCy's own ner and parser have a place for none,
            # and raise then.
            with suppress(AttributeError):
                cast(Any, pipe).set_error_handler(handler)

    def _make(self, i: int) -> Doc:
        source = self.sources[i]
        doc = self.nlp.make_doc(source.text)
        doc.user_data[INDEX] = i
        if source.id is not None:
            doc.user_data["id"] = source.id
        return doc

    def _feed(self, todo: Iterator[int], inside: Dict[int, None]) -> Iterator[Doc]:
        for i in todo:
            try:
                doc = self._make(i)
            except Exception as e:
                self._fail(i, e)
                continue
            inside[i] = None
            yield doc

    def _keep(self, doc: Doc, i: int) -> None:
        if doc.text != self.sources[i].text:
            self.errors.setdefault(i, CHANGED)
        doc.tensor = numpy.zeros((0,), dtype="f")
        self.docs[i] = doc
        self.done.add(i)

    def _note(self, name: str, pipe: Any, docs: Sequence[Doc], error: Exception) -> None:
        for doc in docs:
            i = doc.user_data.get(INDEX)
            if i is not None:
                self._fail(i, error)

    def _fail(self, i: int, error: Exception) -> None:
        # spaCy wraps a KeyError in advice about initialize().
        cause = error.__cause__
        kind = type(cause if isinstance(cause, KeyError) else error)
        self.errors.setdefault(i, kind.__name__)
        self.done.add(i)


def _strip(doc: Doc, spans_key: Optional[str]) -> Doc:
    doc.user_data = {}
    for key in list(doc.spans):
        if key != spans_key or MARK not in doc.spans[key].attrs:
            del doc.spans[key]
    realign(doc)
    return doc
