"""One look at the training data: labels, and gold entities that can't be learned."""

from typing import Callable, Iterable, List, NamedTuple, Set, Tuple

import numpy
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import minibatch

from .inputs import Words
from .lessons import Gold, find_answers, text_of

# Documents whose words are looked at together.
BATCH = 256


class Place(NamedTuple):
    """Where a gold entity is: its text is never shown.

    document (int): Number of the document.
    start (int), end (int): First character and one past the last.
    label (str): The data's label.
    """

    document: int
    start: int
    end: int
    label: str

    def __str__(self) -> str:
        return f"{self.label} at {self.start}-{self.end} of document {self.document}"


def find_labels(examples: Iterable[Example]) -> Set[str]:
    """RETURNS (Set[str]): The data's labels."""
    return {ent.label_ for eg in examples for ent in eg.reference.ents}


def find_unlearnable(
    examples: Iterable[Example],
    read_words: Callable[[List[Doc]], List[Words]],
    max_width: int,
) -> Tuple[List[Place], List[Place]]:
    """Find gold entities that a model can't learn.

    examples (Iterable[Example]): The training data.
    read_words (Callable[[List[Doc]], List[Words]]): The model's words of documents.
    max_width (int): Most words of an entity.
    RETURNS (Tuple[List[Place], List[Place]]): Entities of more words than that, and
        entities that begin or end inside a word.
    """
    wide: List[Place] = []
    cut: List[Place] = []
    annotated = ((i, eg) for i, eg in enumerate(examples) if eg.reference.ents)
    for batch in minibatch(annotated, BATCH):
        all_words = read_words([text_of(eg) for _, eg in batch])
        for (number, eg), words in zip(batch, all_words, strict=True):
            ents = eg.reference.ents
            answers = find_answers(words, _number_ents(eg.reference))
            widths = answers.last - answers.first
            for i in answers.labels[widths > max_width].tolist():
                wide.append(_place(number, ents[i]))
            cut.extend(_place(number, ents[i]) for i in answers.cut.tolist())
    return wide, cut


def _number_ents(doc: Doc) -> Gold:
    """RETURNS (Gold): Entities with their place among all as label, to find them again."""
    rows = [(e.start_char, e.end_char, i) for i, e in enumerate(doc.ents)]
    none = numpy.zeros((0, 2), dtype="int64")
    return Gold(numpy.asarray(rows, dtype="int64").reshape(-1, 3), none, ())


def _place(document: int, ent: Span) -> Place:
    return Place(document, ent.start_char, ent.end_char, ent.label_)
