"""The kinds of findings of `ner check`: how bad, what is wrong, what to do."""

from typing import Dict, Tuple

SEVERITIES = ("info", "warning", "error")
# A text of fewer words may well stand in a corpus twice.
MIN_WORDS = 5

# Code: severity, what is wrong, what to do.
KINDS: Dict[str, Tuple[str, str, str]] = {
    "no_entities": (
        "error",
        "split without any entity",
        "Check that the annotation was read, and with the right format.",
    ),
    "unknown_label": (
        "error",
        "entities with a label that the schema doesn't know",
        "Add the label or an alias to the schema, or map it (`ner convert --mapping`).",
    ),
    "edge_space": (
        "error",
        "entities that begin or end with white space",
        "Trim them: spaCy's own ner can't be trained on them, and ours rejects such spans.",
    ),
    "exact_leak": (
        "error",
        f"sentences of {MIN_WORDS} words or more that stand in the other split too",
        "Remove them from one side: scores on them measure memory.",
    ),
    "near_leak": (
        "warning",
        "sentences that are nearly the same as one of the other split",
        "Look at them and remove them from one side.",
    ),
    "near_unsure": (
        "info",
        "sentences with so many similar ones that not all were compared",
        "They look as if made from a template: expect near leaks among them.",
    ),
    "shared_document": (
        "warning",
        "documents with sentences in both splits",
        "Split by document: names repeat within one.",
    ),
    "cut_entity": (
        "warning",
        "entities that the tokenizer cuts",
        "Change the tokenizer or the annotation: they can be neither learned nor found.",
    ),
    "unannotated": (
        "warning",
        "tokens without annotation",
        "Annotate them or be aware: nothing is learned or scored there.",
    ),
    "empty_document": (
        "warning",
        "documents without a word",
        "Remove them.",
    ),
    "edge_punctuation": (
        "warning",
        "entities that begin or end with a punctuation mark",
        "Look whether the mark belongs to the name.",
    ),
    "odd_character": (
        "warning",
        "entities with an invisible or invalid character",
        "Clean the text: the same name without it is another one to most models.",
    ),
    "crosses_sentence": (
        "warning",
        "entities that go on in the next sentence",
        "Check the sentence boundary and the entity.",
    ),
    "long_entity": (
        "warning",
        "entities that are very long",
        "Check their ends: models with a limit on length can't find them.",
    ),
    "broken_tags": (
        "warning",
        "tags that break their scheme",
        "Correct the source; the reader started or ended an entity at each.",
    ),
    "duplicate": (
        "warning",
        f"further copies of a sentence of {MIN_WORDS} words or more, annotated alike",
        "Keep one of each.",
    ),
    "conflicting_sentence": (
        "warning",
        "sentences that are annotated in more than one way",
        "Decide for one annotation.",
    ),
    "suspect_label": (
        "warning",
        "entities with another label than nearly all of the same name",
        "Look whether the label is an oversight.",
    ),
    "suspect_missed": (
        "warning",
        "places where a name is not annotated that nearly always is",
        "Look whether the entity was overlooked.",
    ),
    "few_examples": (
        "warning",
        "labels with few training examples",
        "Annotate more, or merge the label with another.",
    ),
    "label_not_in_train": (
        "warning",
        "labels without any training example",
        "A trained model can't find them: move documents between the splits.",
    ),
    "alias_label": (
        "info",
        "entities with an alias of a label of the schema",
        "Nothing to do: our engines take the schema's name for it.",
    ),
    "short_leak": (
        "info",
        f"sentences of fewer than {MIN_WORDS} words that stand in the other split too",
        "Mostly headings and formulas.",
    ),
    "short_duplicate": (
        "info",
        f"further copies of a sentence of fewer than {MIN_WORDS} words, annotated alike",
        "Mostly headings and formulas.",
    ),
    "numbered_documents": (
        "info",
        "document ids that are plain numbers in both splits",
        "Whether documents are shared can't be told from them.",
    ),
    "ambiguous_surface": (
        "info",
        "names that are annotated with different labels",
        "Look at them once: some names do have two meanings.",
    ),
    "reader_notes": (
        "info",
        "things that the reader dropped or repaired",
        "See the counts.",
    ),
}
