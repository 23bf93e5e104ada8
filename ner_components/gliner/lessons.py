"""Annotated documents -> what a GLiNER model is taught: gold spans by words, the labels of
each prompt, target arrays.

Label sampling: Zaratiana et al., "GLiNER: Generalist Model for Named Entity Recognition
using Bidirectional Transformer", 2024, on training: labels without an entity are sampled
into the prompt, labels are shuffled, labels are dropped at random.
"""

import random
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Sequence, Tuple

import numpy
from spacy.attrs import ENT_IOB, IDX, LENGTH
from spacy.tokens import Doc
from spacy.training import Example

from ..types import Floats3d, Ints1d, Ints2d
from .inputs import Words
from .windows import WordWindow, counts_here

# Target of a span or word from which nothing must be learned.
IGNORED = -1.0
# Where a document of a mixed corpus names the labels that it was annotated for.
KNOWN_LABELS = "ner_labels"


class Training(NamedTuple):
    """How `ner_gliner` is taught.

    max_labels (int): Most labels in a training prompt.
    complete (float): Share of windows whose prompt has all labels, 0 to 1, as prompts have
        when the pipe is used. The other prompts are samples.
    negatives (float): In a sample, share of labels without an entity, 0 to below 1.
    dropped (float): In a sample, share of labels with an entity that are left out.
    alpha (float): Weight of what is an entity, 0 to 1, against what is none (Lin et al.,
        "Focal Loss for Dense Object Detection", 2017); -1 weighs both the same.
    gamma (float): Exponent that takes weight from spans the model is right about; 0 takes
        none.
    freeze_encoder (bool): Whether to train the head alone.
    mixed_precision (bool): Whether the forward pass computes in bfloat16 where that is
        safe. Weights, gradients of weights and the loss stay in float32.
    """

    max_labels: int = 25
    complete: float = 0.5
    negatives: float = 0.5
    dropped: float = 0.1
    alpha: float = 0.75
    gamma: float = 0.0
    freeze_encoder: bool = False
    mixed_precision: bool = False

    def problem(self) -> Tuple[str, str]:
        """RETURNS (Tuple[str, str]): First setting that is out of range and what it may
        be; two empty strings if there is none."""
        share = "a number from 0.0 to 1.0"
        checks: List[Tuple[str, bool, str]] = [
            ("max_labels", self.max_labels >= 1, "a whole number of at least 1"),
            ("complete", 0.0 <= self.complete <= 1.0, share),
            ("negatives", 0.0 <= self.negatives < 1.0, "a number from 0.0 to below 1.0"),
            ("dropped", 0.0 <= self.dropped <= 1.0, share),
            ("alpha", self.alpha == -1 or 0.0 <= self.alpha <= 1.0, f"-1 or {share}"),
            ("gamma", self.gamma >= 0.0, "a number of at least 0.0"),
        ]
        wrong = [(name, allowed) for name, right, allowed in checks if not right]
        return wrong[0] if wrong else ("", "")


# The settings' names and defaults, as a config section has them.
DEFAULT_TRAINING: Dict[str, Any] = Training()._asdict()


class Gold(NamedTuple):
    """Annotation of a document, in characters.

    ents (Ints2d): First character, one past the last, and number of the label of each
        entity.
    missing (Ints2d): First character and one past the last of each token without
        annotation.
    known (Tuple[int, ...]): Numbers of the labels that it was annotated for.
    """

    ents: Ints2d
    missing: Ints2d
    known: Tuple[int, ...]


class Lesson(NamedTuple):
    """What a GLiNER model is taught in one update.

    docs (List[Doc]): The documents.
    gold (List[Gold]): Their annotation.
    labels (List[str]): The labels, for error messages.
    prompts (List[str]): The words that stand for each label.
    training (Training): The settings.
    """

    docs: List[Doc]
    gold: List[Gold]
    labels: List[str]
    prompts: List[str]
    training: Training


class Answers(NamedTuple):
    """Annotation of a document, in words.

    first (Ints1d), last (Ints1d): First word of each entity and one past its last.
    labels (Ints1d): Number of its label.
    unknown (Ints1d): For each word, whether nothing must be learned from it.
    cut (Ints1d): Number of each entity that doesn't lie on borders of words.
    """

    first: Ints1d
    last: Ints1d
    labels: Ints1d
    unknown: Ints1d
    cut: Ints1d


def text_of(example: Example) -> Doc:
    """RETURNS (Doc): What the pipe will see; the reference where its text differs, since
    its annotation counts its own characters."""
    same = example.predicted.text == example.reference.text
    return example.predicted if same else example.reference


def make_gold(reference: Doc, number_of: Callable[[str], int], count: int) -> Gold:
    """Read the annotation of a document.

    reference (Doc): The document. `user_data["ner_labels"]` names the labels that it was
        annotated for; without that it is all of them.
    number_of (Callable[[str], int]): Number of a label, by the data's word for it.
    count (int): Number of labels.
    RETURNS (Gold): The annotation.
    """
    ents = [(e.start_char, e.end_char, number_of(e.label_)) for e in reference.ents]
    tokens = reference.to_array([ENT_IOB, IDX, LENGTH]).astype("int64").reshape(-1, 3)
    start, size = tokens[tokens[:, 0] == 0, 1:].T
    names: Iterable[str] = reference.user_data.get(KNOWN_LABELS) or ()
    known = {number_of(name) for name in names} or set(range(count))
    known.update(label for _, _, label in ents)
    return Gold(
        numpy.asarray(ents, dtype="int64").reshape(-1, 3),
        numpy.stack([start, start + size], axis=1),
        tuple(sorted(known)),
    )


def find_answers(words: Words, gold: Gold) -> Answers:
    """Find the words of entities. Words of an entity that cuts a word, and of tokens
    without annotation, are unknown: they are no example of anything.

    words (Words): The document's words.
    gold (Gold): Its annotation.
    RETURNS (Answers): The annotation in words.
    """
    count = len(words.starts)
    starts, ends, labels = gold.ents.T
    first = numpy.searchsorted(words.starts, starts)
    last = numpy.searchsorted(words.ends, ends)
    whole = (first < count) & (last < count)
    whole[whole] &= words.starts[first[whole]] == starts[whole]
    whole[whole] &= words.ends[last[whole]] == ends[whole]
    unknown = numpy.zeros(count, dtype=bool)
    for start, end in (*gold.missing.tolist(), *gold.ents[~whole, :2].tolist()):
        # The words that share a character with the stretch.
        a = numpy.searchsorted(words.ends, start, side="right")
        b = numpy.searchsorted(words.starts, end, side="left")
        unknown[a:b] = True
    cut = numpy.flatnonzero(~whole)
    return Answers(first[whole], last[whole] + 1, labels[whole], unknown, cut)


def choose_labels(present: Sequence[int], known: Sequence[int], t: Training) -> List[int]:
    """Choose the labels of a prompt, in the order of the prompt. Draws come from Python's
    generator, which `spacy train` seeds.

    present (Sequence[int]): Labels that have an entity in the window.
    known (Sequence[int]): Labels that the document was annotated for.
    t (Training): The settings.
    RETURNS (List[int]): At least one and at most `max_labels` labels.
    """
    there = sorted(set(present))
    absent = sorted(set(known) - set(present))
    random.shuffle(there)
    random.shuffle(absent)
    if random.random() >= t.complete:
        there = [x for x in there if random.random() >= t.dropped]
        wanted = round(len(there) * t.negatives / (1.0 - t.negatives))
        if not there:
            wanted = random.randint(1, t.max_labels)
        absent = absent[:wanted]
    chosen = (there + absent or sorted(set(present)))[: t.max_labels]
    random.shuffle(chosen)
    return chosen


def span_targets(
    answers: Answers, window: WordWindow, chosen: Sequence[int], max_width: int
) -> Floats3d:
    """Make the targets of a span model.

    answers (Answers): The document's entities.
    window (WordWindow): The window.
    chosen (Sequence[int]): The labels of the prompt, in order.
    max_width (int): Most words of an entity.
    RETURNS (Floats3d): 1 where a span is an entity, 0 where it is none, -1 where nothing
        must be learned, (words, widths, labels).
    """
    size = window.end - window.start
    first = numpy.arange(window.start, window.end)[:, None]
    last = first + numpy.arange(1, max_width + 1)
    within = last <= window.end
    ends = numpy.minimum(last, window.end)
    unknown = numpy.concatenate([[0], numpy.cumsum(answers.unknown)])
    open_ = within & counts_here(window, first, ends) & (unknown[ends] == unknown[first])
    targets = numpy.zeros((size, max_width, len(chosen)), dtype="float32")
    for a, b, column in _inside(answers, window, chosen):
        if b - a <= max_width:
            targets[a, b - a - 1, column] = 1.0
    targets[~open_] = IGNORED
    return targets


def token_targets(
    answers: Answers, window: WordWindow, chosen: Sequence[int], max_width: int
) -> Floats3d:
    """Make the targets of a token model; see `span_targets`.

    RETURNS (Floats3d): Targets for "an entity begins here", "ends here", "is here",
        (words, labels, 3).
    """
    targets = numpy.zeros((window.end - window.start, len(chosen), 3), dtype="float32")
    for a, b, column in _inside(answers, window, chosen):
        targets[a, column, 0] = targets[b - 1, column, 1] = 1.0
        targets[a:b, column, 2] = 1.0
    # What is seen in part is no example of a beginning or an end.
    partly = (answers.first < window.start) & (answers.last > window.start)
    partly |= (answers.first < window.end) & (answers.last > window.end)
    for a, b in zip(answers.first[partly], answers.last[partly], strict=True):
        targets[max(a - window.start, 0) : b - window.start] = IGNORED
    targets[answers.unknown[window.start : window.end]] = IGNORED
    return targets


def present_labels(answers: Answers, window: WordWindow) -> List[int]:
    """RETURNS (List[int]): Labels of the entities that lie in a window."""
    here = (answers.first >= window.start) & (answers.last <= window.end)
    return sorted(set(answers.labels[here].tolist()))


def pad_targets(rows: List[Floats3d]) -> Floats3d:
    """RETURNS (Floats4d): The targets of a batch in one array, padded with -1."""
    shape = numpy.max([x.shape for x in rows], axis=0)
    targets = numpy.full((len(rows), *shape), IGNORED, dtype="float32")
    for i, x in enumerate(rows):
        targets[i, : x.shape[0], : x.shape[1], : x.shape[2]] = x
    return targets


def _inside(
    answers: Answers, window: WordWindow, chosen: Sequence[int]
) -> Iterable[Tuple[int, int, int]]:
    """YIELDS (Tuple[int, int, int]): First word in the window, one past the last, and
    column of each entity in it whose label was chosen."""
    columns = {label: i for i, label in enumerate(chosen)}
    rows = zip(
        answers.first.tolist(), answers.last.tolist(), answers.labels.tolist(), strict=True
    )
    for first, last, label in rows:
        if first >= window.start and last <= window.end and label in columns:
            yield first - window.start, last - window.start, columns[label]
