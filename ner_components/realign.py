"""`ner_realign`: keeps the group of entities valid after a pipe that retokenises."""

from spacy.language import Language
from spacy.tokens import Doc

from .entities import realign


@Language.factory("ner_realign", assigns=["doc.spans"], requires=["doc.spans"])
def make_ner_realign(nlp: Language, name: str) -> "NerRealign":
    """Make the component. Add it right after `merge_entities` or another retokeniser:
    `nlp.add_pipe("merge_entities"); nlp.add_pipe("ner_realign")`.

    nlp (Language): The pipeline.
    name (str): The component's name.
    RETURNS (NerRealign): The component.
    """
    return NerRealign(name)


class NerRealign:
    """Rebuilds the groups that `ner_components` wrote from their character offsets."""

    def __init__(self, name: str = "ner_realign") -> None:
        self.name = name

    def __call__(self, doc: Doc) -> Doc:
        realign(doc)
        return doc
