"""Entities by characters onto a tokenised document."""

from typing import Iterator, List, NamedTuple, Sequence

from spacy.tokens import Doc, Span


class Entity(NamedTuple):
    """An annotated entity: characters of the text, exclusive end, and label."""

    start_char: int
    end_char: int
    label: str


def set_entities(doc: Doc, entities: Sequence[Entity]) -> List[Entity]:
    """Annotate a document. The tokens of an entity that does not lie on their borders are
    marked as missing, so that nothing is trained or scored as "no entity" there.

    doc (Doc): The document, modified in place.
    entities (Sequence[Entity]): Its entities, free of overlap.
    RETURNS (List[Entity]): The entities that could not be set.
    RAISES (ValueError): Two entities share a token.
    """
    spans: List[Span] = []
    cut: List[Entity] = []
    for entity in entities:
        span = doc.char_span(entity.start_char, entity.end_char, label=entity.label)
        if span is None:
            cut.append(entity)
        else:
            spans.append(span)
    taken = {i for span in spans for i in range(span.start, span.end)}
    unsure = {i for entity in cut for i in _touched(doc, entity)} - taken
    doc.set_ents(spans, missing=[doc[i : i + 1] for i in sorted(unsure)])
    return cut


def _touched(doc: Doc, entity: Entity) -> Iterator[int]:
    span = doc.char_span(entity.start_char, entity.end_char, alignment_mode="expand")
    return iter(()) if span is None else iter(range(span.start, span.end))
