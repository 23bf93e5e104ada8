"""`ner_encoder`: a fine-tuned encoder that tags tokens, in the `ner` slot."""

import warnings
from collections import Counter
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Config, Model

from ..entities import DEFAULT_SPANS_KEY, Candidate
from ..errors import Errors, Warnings
from ..evaluation.scorer import ner_score
from ..pipe import NerPipe, logger
from ..pretrained import Pretrained
from ..schema import EntitySchema, LabelConfig
from ..types import Floats2d, Ints1d
from ..windows import make_batches
from .calibration import calibrate
from .tags import TagSet
from .tokens import taggable

DEFAULT_MODEL = """
[model]
@architectures = "ner_components.TokenClassifier.v1"

[model.tok2vec]
@architectures = "ner_components.Transformer.v1"
window = 256
context = 32
max_batch_items = 512
pooling = "first"
precision = "float32"
backend = null
mixed_precision = false
freeze_embeddings = false
"""

DEFAULT_ENCODER_MODEL = Config().from_str(DEFAULT_MODEL)["model"]

# Documents are handed to the model in batches of at most this many tokens, padded: a
# bound on memory for any tok2vec. Ours cuts them into smaller batches of its own.
MAX_BATCH_TOKENS = 16384


@Language.factory(
    "ner_encoder",
    assigns=["doc.ents", "doc.spans", "token.ent_iob", "token.ent_type"],
    default_config={
        "model": DEFAULT_ENCODER_MODEL,
        "labels": None,
        "schema": None,
        "threshold": 0.0,
        "alignment_mode": "strict",
        "overlap": "score",
        "preset_ents": "keep",
        "spans_key": DEFAULT_SPANS_KEY,
        "max_rejections": 100,
        "buffer_size": 512,
        "scorer": {"@scorers": "ner_components.ner_scorer.v1"},
    },
    default_score_weights={
        "ents_f": 1.0,
        "ents_p": 0.0,
        "ents_r": 0.0,
        "ents_macro_f": 0.0,
        "ents_per_type": None,
        "ner_schema_error_rate": None,
    },
)
def make_ner_encoder(
    nlp: Language,
    name: str,
    model: Model[List[Doc], List[Floats2d]],
    labels: Optional[List[LabelConfig]],
    schema: Optional[str],
    threshold: float,
    alignment_mode: str,
    overlap: str,
    preset_ents: str,
    spans_key: Optional[str],
    max_rejections: int,
    buffer_size: int,
    scorer: Optional[Callable],
) -> "NerEncoder":
    """Make the component; see `NerEncoder`."""
    ner = NerEncoder(
        nlp.vocab,
        model,
        name,
        labels=labels,
        schema=schema,
        threshold=threshold,
        alignment_mode=alignment_mode,
        overlap=overlap,
        preset_ents=preset_ents,
        spans_key=spans_key,
        max_rejections=max_rejections,
        buffer_size=buffer_size,
        scorer=scorer,
    )
    # A fine-tuned checkpoint is loaded at first use, and named in the meta then.
    ner.meta = nlp.meta
    return ner


class NerEncoder(NerPipe):
    """Named entity recognition by tagging tokens with a fine-tuned encoder.

    vocab (Vocab): The shared vocabulary.
    model (Model[List[Doc], List[Floats2d]]): Tag scores of documents, (tokens, tags).
    name (str): The component's name.
    labels, schema, threshold, alignment_mode, overlap, preset_ents, spans_key,
        max_rejections, buffer_size, scorer: see `ner_components.pipe.NerPipe`.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[List[Doc], List[Floats2d]],
        name: str = "ner",
        *,
        labels: Optional[List[LabelConfig]] = None,
        schema: Optional[str] = None,
        threshold: float = 0.0,
        alignment_mode: str = "strict",
        overlap: str = "score",
        preset_ents: str = "keep",
        spans_key: Optional[str] = DEFAULT_SPANS_KEY,
        max_rejections: int = 100,
        buffer_size: int = 512,
        scorer: Optional[Callable] = ner_score,
    ) -> None:
        super().__init__(
            vocab,
            model,
            name,
            labels=labels,
            schema=schema,
            threshold=threshold,
            alignment_mode=alignment_mode,
            overlap=overlap,
            preset_ents=preset_ents,
            spans_key=spans_key,
            max_rejections=max_rejections,
            buffer_size=buffer_size,
            scorer=scorer,
        )
        self.temperature = 1.0
        self.outside_bias = 0.0
        self._tag_set: Optional[TagSet] = None

    # Prediction

    def predict(self, docs: Iterable[Doc]) -> List[List[Candidate]]:
        """Find the entities of documents, changing nothing.

        docs (Iterable[Doc]): The documents.
        RETURNS (List[List[Candidate]]): Candidates of each document, with the marginal
            probability of their tags as score.
        """
        docs = list(docs)
        return self.decode(docs, self.tag_scores(docs))

    def tag_scores(self, docs: Sequence[Doc]) -> List[Floats2d]:
        """Run the model: the one seam between tokens and tag scores.

        docs (Sequence[Doc]): The documents.
        RETURNS (List[Floats2d]): Scores (logits) of each document, (tokens, tags), in
            the order of `tag_set.tags`.
        RAISES (ValueError): The pipe is not initialized, or its upstream is missing.
        """
        width = len(self.tag_set.tags)
        self._check_upstream(docs)
        scores = [numpy.zeros((0, width), dtype="float32")] * len(docs)
        full = [i for i, doc in enumerate(docs) if len(doc)]
        for batch in make_batches([len(docs[i]) for i in full], MAX_BATCH_TOKENS):
            chosen = [full[i] for i in batch]
            found = self.model.predict([docs[i] for i in chosen])
            for i, x in zip(chosen, found, strict=True):
                scores[i] = self.model.ops.to_numpy(x)
        return scores

    def decode(
        self, docs: Sequence[Doc], scores: Sequence[Floats2d]
    ) -> List[List[Candidate]]:
        """Turn tag scores into candidates.

        docs (Sequence[Doc]): The documents.
        scores (Sequence[Floats2d]): What `tag_scores` returned for them.
        RETURNS (List[List[Candidate]]): Candidates of each document, in order.
        """
        kept = [taggable(doc) for doc in docs]
        chosen = [x[i] for x, i in zip(scores, kept, strict=True)]
        if self.outside_bias:
            for x in chosen:  # copies: the index picked rows
                x[:, self.tag_set.outside] -= self.outside_bias
        decoded = self.tag_set.decode(chosen, self.temperature)
        labels = self.tag_set.labels
        result = []
        for doc, tokens, spans in zip(docs, kept, decoded, strict=True):
            candidates = []
            for span in spans:
                first, last = doc[int(tokens[span.start])], doc[int(tokens[span.end - 1])]
                end_char = last.idx + len(last)
                label = labels[span.label]
                candidates.append(Candidate(first.idx, end_char, label, span.score))
            result.append(candidates)
        return result

    @property
    def tag_set(self) -> TagSet:
        """RETURNS (TagSet): The model's tags.
        RAISES (ValueError): The pipe is not initialized.
        """
        if self._tag_set is None:
            if not self._is_checkpoint:
                raise ValueError(Errors.N031.format(name=self.name))
            self._load_checkpoint()
        assert self._tag_set is not None
        return self._tag_set

    @property
    def can_err(self) -> bool:
        """RETURNS (bool): Whether a tag can lead to no label; tags follow the tokens, so
        no other schema error is possible."""
        if self._tag_set is None:
            return False
        return any(self.schema.resolve(x) is None for x in self._tag_set.labels)

    # Training

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Optional[Language] = None,
        labels: Optional[List[str]] = None,
        pretrained: Optional[Pretrained] = None,
    ) -> None:
        """Prepare for training: settle the labels, load the pretrained weights.

        get_examples (Callable[[], Iterable[Example]]): Returns the training examples;
            all of them are read once, to check their labels.
        nlp (Optional[Language]): The pipeline; the weights' name, licence and hash go to
            its meta.
        labels (Optional[List[str]]): Labels, as `label_data` gives them; without them
            and without `labels` or `schema` in the config, the examples' are taken.
        pretrained (Optional[Pretrained]): Weights for `ner_components.Transformer.v1`;
            the embedded encoder by default.
        RAISES (ValueError): No examples, no labels, or a label that the schema lacks.
        """
        survey = _Survey(get_examples())
        if not survey.documents:
            raise ValueError(Errors.N034.format(name=self.name))
        if self._is_checkpoint:
            self._load_checkpoint()
        else:
            self._schema = self._make_schema(labels or [], survey)
            self._tag_set = TagSet.from_labels(self._schema.names)
            output = self.model.get_ref("output_layer")
            output.set_dim("nO", len(self._tag_set.tags), force=True)
            shim = self._shim
            if shim is not None:
                # A second training starts where the first one did.
                shim.unload()
                shim.pretrained = pretrained or shim.pretrained
        self._check_labels(survey)
        self.model.initialize(X=survey.sample)
        self.temperature, self.outside_bias = 1.0, 0.0
        if nlp is not None:
            self.meta = nlp.meta
        self._record_source()

    def get_loss(
        self, examples: Iterable[Example], scores: List[Floats2d]
    ) -> Tuple[float, List[Floats2d]]:
        """Compute the mean cross entropy of the tags. Tokens without annotation and
        tokens that carry no tag don't count.

        examples (Iterable[Example]): The examples.
        scores (List[Floats2d]): The model's scores for them, (tokens, tags).
        RETURNS (Tuple[float, List[Floats2d]]): The loss and its gradient.
        """
        ops: Any = self.model.ops
        gold = numpy.concatenate([self._gold_tags(eg) for eg in examples])
        columns = ops.asarray1i(gold[gold >= 0])
        rows = ops.asarray1i(numpy.flatnonzero(gold >= 0))
        flat = ops.flatten(scores)
        gradient = ops.alloc2f(*flat.shape)
        if not len(rows):
            return 0.0, ops.unflatten(gradient, ops.asarray1i([len(x) for x in scores]))
        p = ops.softmax(flat[rows])
        at = (ops.xp.arange(len(rows)), columns)
        loss = -ops.xp.log(p[at] + 1e-12).mean()
        p[at] -= 1.0
        gradient[rows] = p / len(rows)
        lengths = ops.asarray1i([len(x) for x in scores])
        return float(loss), ops.unflatten(gradient, lengths)

    @property
    def can_calibrate(self) -> bool:
        """RETURNS (bool): True."""
        return True

    def calibrate(self, examples: Sequence[Example]) -> Dict[str, float]:
        """Fit the outside bias, then the temperature; see
        `ner_components.encoder.calibration`.

        examples (Sequence[Example]): Held-out documents with gold entities, as the pipe
            gets them.
        RETURNS (Dict[str, float]): Both, by name.
        """
        return calibrate(self, examples)

    def add_label(self, label: str) -> int:
        """Add a label before `initialize`. Afterwards an encoder's labels are fixed.

        label (str): The label.
        RETURNS (int): 1 if it was added, 0 if it was there.
        RAISES (ValueError): The pipe is initialized.
        """
        if label in self.labels:
            return 0
        if self._tag_set is not None or self._is_checkpoint:
            raise ValueError(Errors.N033.format(label=label, name=self.name))
        if self.labels:
            self._schema = self.schema.with_label(label)
        else:
            self._schema = EntitySchema.from_labels([label], where="add_label")
        return 1

    def _gold_tags(self, example: Example) -> Ints1d:
        """RETURNS (Ints1d): Column of each predicted token's right tag, -1 to ignore it."""
        ents, biluo = example.get_aligned_ents_and_ner()
        tokens = taggable(example.predicted)
        spans = []
        for ent in ents:
            start, end = numpy.searchsorted(tokens, [ent.start, ent.end])
            if start < end:
                spans.append((int(start), int(end), self._tag_label(ent.label_)))
        gold = numpy.full(len(example.predicted), -1, dtype="int64")
        gold[tokens] = self.tag_set.encode(spans, len(tokens))
        gold[[i for i, tag in enumerate(biluo) if tag is None]] = -1
        return gold

    def _tag_label(self, label: str) -> str:
        """RETURNS (str): The tag set's word for a label of the data."""
        self._check_known([label])
        name = self.schema.resolve(label)
        for found in self.tag_set.labels:
            if self.schema.resolve(found) == name:
                return found
        known = ", ".join(self.tag_set.labels)
        raise ValueError(Errors.N038.format(label=label, name=self.name, known=known))

    def _make_schema(self, labels: List[str], survey: "_Survey") -> EntitySchema:
        schema = self.schema if self._has_labels else None
        if schema is None:
            found = labels or sorted(survey.labels)
            return EntitySchema.from_labels(found, where=f"the pipe {self.name!r}")
        self._check_known(labels)
        return schema

    def _check_labels(self, survey: "_Survey") -> None:
        # In order, so that of several unknown labels always the same is named.
        seen = {self.schema.resolve(x) for x in sorted(survey.labels) if self._tag_label(x)}
        unseen = [x for x in self.labels if x not in seen]
        if survey.labels and unseen:
            logger.warning(Warnings.W004.format(name=self.name, labels=", ".join(unseen)))
        if survey.cut:
            most = [f"{label} at {a}-{b} of document {i}" for i, a, b, label in survey.cut]
            where = "; ".join(most[:10]) + ("; ..." if len(most) > 10 else "")
            count = len(survey.cut)
            warnings.warn(Warnings.W002.format(name=self.name, count=count, where=where))

    # Models that bring their own weights

    @property
    def _is_checkpoint(self) -> bool:
        return bool(self._shim is not None and self._shim.is_classifier)

    def _load_checkpoint(self) -> None:
        shim = self._shim
        shim.load()
        tag_set = TagSet(shim.tags, self.model.attrs["scheme"])
        if not self._has_labels:
            self._schema = EntitySchema.from_labels(list(tag_set.labels))
        unknown = [x for x in tag_set.labels if self.schema.resolve(x) is None]
        if unknown:
            labels = ", ".join(unknown)
            logger.warning(Warnings.W003.format(name=self.name, labels=labels))
        self._tag_set = tag_set
        self._record_source()

    def _check_upstream(self, docs: Sequence[Doc]) -> None:
        """A listener without its upstream would see zeros and find nothing, silently."""
        for node in self.model.walk():
            if node.name == "transformer-listener":
                missing = any(len(doc) and doc._.trf_data is None for doc in docs)
            elif node.name == "tok2vec-listener":
                missing = any(len(doc) and not doc.tensor.size for doc in docs)
            else:
                continue
            if missing:
                upstream = node.name.removesuffix("-listener")
                raise ValueError(Errors.N036.format(name=self.name, upstream=upstream))

    # Saved state

    def get_state(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): Schema, tags, calibration, and where the pretrained
        weights came from. A checkpoint that was never used is loaded now: once saved, it
        is not looked for again."""
        if self._is_checkpoint and self._tag_set is None:
            self._load_checkpoint()
        tags = None if self._tag_set is None else list(self._tag_set.tags)
        scheme = None if self._tag_set is None else self._tag_set.scheme
        shim = self._shim
        return {
            **super().get_state(),
            "tags": tags,
            "scheme": scheme,
            "temperature": self.temperature,
            "outside_bias": self.outside_bias,
            "source": None if shim is None else shim.source,
        }

    def set_state(self, state: Dict[str, Any]) -> None:
        """Restore what `get_state` made; see `NerPipe.set_state`."""
        super().set_state(state)
        self.temperature = state["temperature"]
        self.outside_bias = state["outside_bias"]
        if state["tags"] is not None:
            self._tag_set = TagSet(state["tags"], state["scheme"])

    def override_labels(self, schema: EntitySchema) -> None:
        """Labels given at load time: a fine-tuned checkpoint takes another mapping of its
        own labels, a trained head takes changes of anything but the names.

        schema (EntitySchema): The labels that the config now has.
        RAISES (ValueError): The names differ from those the weights were trained with.
        """
        if not self._is_checkpoint and schema.names != self.labels:
            wanted, trained = ", ".join(schema.names), ", ".join(self.labels)
            raise ValueError(
                Errors.N032.format(name=self.name, wanted=wanted, trained=trained)
            )
        super().override_labels(schema)


class _Survey:
    """One pass over the training examples.

    documents (int): How many there are.
    labels (Set[str]): Labels of the gold entities.
    sample (List[Doc]): The first documents that have tokens, to initialize a model with.
    cut (List[Tuple[int, int, int, str]]): Number of the document, first character, one
        past the last, and label of each gold entity that does not lie on token borders.
    """

    def __init__(self, examples: Iterable[Example]) -> None:
        self.documents = 0
        self.sample: List[Doc] = []
        self.cut: List[Tuple[int, int, int, str]] = []
        labels: Counter[str] = Counter()
        for eg in examples:
            if len(eg.predicted) and len(self.sample) < 10:
                self.sample.append(eg.predicted)
            labels.update(ent.label_ for ent in eg.reference.ents)
            self._find_cut(eg)
            self.documents += 1
        self.labels = set(labels)

    def _find_cut(self, eg: Example) -> None:
        if not eg.reference.ents:
            return
        aligned = {(e.start_char, e.end_char) for e in eg.get_aligned_ents_and_ner()[0]}
        for ent in eg.reference.ents:
            if (ent.start_char, ent.end_char) not in aligned:
                where = (self.documents, ent.start_char, ent.end_char, ent.label_)
                self.cut.append(where)
