"""Sentences as readers find them, and the documents made of them."""

from itertools import groupby
from typing import Any, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from spacy.language import Language
from spacy.tokens import Doc, Span

from .offsets import Entity
from .tags import TagSpan

Annotated = Tuple[Doc, List[Entity]]


class Sentence(NamedTuple):
    """A sentence of a token corpus.

    words (Sequence[str]): Its tokens.
    spans (Sequence[TagSpan]): Entities: start, end (exclusive) in tokens, and label.
    id (Optional[str]): The document it is from.
    lang (Optional[str]): Its language, where the source names one.
    """

    words: Sequence[str]
    spans: Sequence[TagSpan]
    id: Optional[str] = None
    lang: Optional[str] = None

    def to_doc(self, nlp: Language) -> Doc:
        """RETURNS (Doc): The sentence with its entities set; id and language in
        `user_data`."""
        doc = Doc(nlp.vocab, words=list(self.words))
        doc.set_ents([Span(doc, start, end, label) for start, end, label in self.spans])
        describe(doc, id=self.id, lang=self.lang)
        return doc


def describe(doc: Doc, **data: Any) -> None:
    """Put what is known about a document in its `user_data`: id, lang.

    doc (Doc): The document, modified in place.
    data (Any): The values; `None` is not stored.
    """
    doc.user_data.update({key: value for key, value in data.items() if value is not None})


def join_documents(docs: Iterable[Annotated]) -> Iterator[Annotated]:
    """Join neighbours with one id into one document, whose sentences they become.

    docs (Iterable[Annotated]): Documents, and the entities that could not be set. One
        without an id stays alone.
    YIELDS (Annotated): The documents. Entities move with their text; what is not
        annotated stays so; `user_data` is that of the first sentence.
    """
    for _, group in groupby(enumerate(docs), key=_source):
        yield _join([pair for _, pair in group])


def _source(item: Tuple[int, Annotated]) -> Tuple[Any, Any]:
    number, (doc, _) = item
    source = doc.user_data.get("id")
    return source, number if source is None else None


def _join(pairs: Sequence[Annotated]) -> Annotated:
    if len(pairs) == 1:
        return pairs[0]
    # spaCy's type stub lacks `exclude`.
    doc = Doc.from_docs([x for x, _ in pairs], exclude=["user_data"])  # type: ignore[call-arg]
    assert doc is not None  # it is for an empty list only
    starts, cut = set(), []
    token = 0
    for part, left_out in pairs:
        starts.update({token, *(token + x.i for x in part if x.i and x.is_sent_start)})
        offset = doc[token].idx if len(part) else len(doc.text)
        cut += [Entity(a + offset, b + offset, label) for a, b, label in left_out]
        token += len(part)
    for word in doc:
        word.is_sent_start = word.i in starts
    doc.user_data.update(pairs[0][0].user_data)
    return doc, cut
