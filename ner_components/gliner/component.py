"""`ner_gliner`: entities of any labels, found by a GLiNER model, in the `ner` slot."""

import warnings
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from thinc.api import Config, Model, set_dropout_rate

from ..calibration import judge, keep_entities
from ..entities import DEFAULT_SPANS_KEY, Candidate
from ..errors import Errors, Warnings
from ..evaluation.scorer import ner_score
from ..pipe import NerPipe, logger
from ..schema import EntitySchema, LabelConfig
from ..types import Floats1d
from ..windows import make_batches
from .calibration import FIT_FLOOR, Scale, fit_scale
from .candidates import MAX_PER_WORD, NOTHING, Found, Query
from .lessons import DEFAULT_TRAINING, Lesson, Training, make_gold, text_of
from .prompts import PROMPTS, make_prompts
from .survey import find_labels, find_unlearnable

DEFAULT_MODEL = """
[model]
@architectures = "ner_components.GLiNER.v1"
name = "urchade/gliner_small-v2.1"
revision = null
device = null
dtype = "float32"
window = 64
max_batch_items = 512
precision = "float32"
backend = null
"""

DEFAULT_GLINER_MODEL = Config().from_str(DEFAULT_MODEL)["model"]

# Documents are handed to the model in batches of at most this many tokens, padded: a
# bound on memory. Ours cuts them into smaller batches of its own.
MAX_BATCH_TOKENS = 16384

# A span that the model holds more likely than not is a candidate whatever the threshold:
# a higher one rejects it, and the rejection is counted.
MOST_FLOOR = 0.5

# gliner-spacy's default model, licensed CC BY-NC 4.0.
NON_COMMERCIAL = "urchade/gliner_base"


@Language.factory(
    "ner_gliner",
    assigns=["doc.ents", "doc.spans", "token.ent_iob", "token.ent_type"],
    default_config={
        "model": DEFAULT_GLINER_MODEL,
        "labels": None,
        "schema": None,
        "threshold": 0.5,
        "prompt": "alias",
        "training": DEFAULT_TRAINING,
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
def make_ner_gliner(
    nlp: Language,
    name: str,
    model: Model[Query, List[Found]],
    labels: Optional[List[LabelConfig]],
    schema: Optional[str],
    threshold: float,
    prompt: str,
    training: Dict[str, Any],
    alignment_mode: str,
    overlap: str,
    preset_ents: str,
    spans_key: Optional[str],
    max_rejections: int,
    buffer_size: int,
    scorer: Optional[Callable],
) -> "NerGliner":
    """Make the component; see `NerGliner`."""
    ner = NerGliner(
        nlp.vocab,
        model,
        name,
        labels=labels,
        schema=schema,
        threshold=threshold,
        prompt=prompt,
        training=training,
        alignment_mode=alignment_mode,
        overlap=overlap,
        preset_ents=preset_ents,
        spans_key=spans_key,
        max_rejections=max_rejections,
        buffer_size=buffer_size,
        scorer=scorer,
    )
    # The model is loaded at first use, and named in the meta then.
    ner.meta = nlp.meta
    return ner


@Language.factory(
    "ner_gliner_spacy",
    assigns=["doc.ents", "doc.spans", "token.ent_iob", "token.ent_type"],
    default_config={
        # gliner-spacy's keys and defaults.
        "gliner_model": NON_COMMERCIAL,
        "chunk_size": 250,
        "labels": ["person", "organization", "school"],
        "style": "ent",
        "threshold": 0.5,
        "map_location": "cpu",
        "load_onnx_model": False,
        "onnx_model_file": "model.onnx",
        "scorer": {"@scorers": "ner_components.ner_scorer.v1"},
    },
)
def make_ner_gliner_spacy(
    nlp: Language,
    name: str,
    gliner_model: str,
    chunk_size: int,
    labels: List[LabelConfig],
    style: str,
    threshold: float,
    map_location: str,
    load_onnx_model: bool,
    onnx_model_file: str,
    scorer: Optional[Callable],
) -> "NerGliner":
    """Make a `ner_gliner` out of a config block of `gliner_spacy`: only the factory's name
    changes.

    nlp (Language): The pipeline.
    name (str): The component's name.
    gliner_model (str): Hub id or local folder.
    chunk_size (int), style (str): see `ner_components.GlinerSpacy.v1`. As there, "span"
        keeps nested entities, and the group is called "sc".
    labels (List[Union[str, Dict[str, Any]]]): What the model is shown, as it is.
    threshold (float): Least score, 0 to 1.
    map_location (str): The device.
    load_onnx_model (bool): Must be False.
    onnx_model_file (str): Not used, as in gliner-spacy without ONNX.
    scorer (Optional[Callable]): The scoring method.
    RETURNS (NerGliner): The component.
    RAISES (ValueError): An ONNX model is asked for, or a setting is out of range.
    """
    from .peer import build_gliner_spacy

    if load_onnx_model:
        raise ValueError(Errors.N139.format(name=name))
    if gliner_model == NON_COMMERCIAL:
        warnings.warn(Warnings.W131.format(name=name))
    model = build_gliner_spacy(
        gliner_model, device=map_location, chunk_size=chunk_size, style=style
    )
    ner = NerGliner(
        nlp.vocab,
        model,
        name,
        labels=labels,
        threshold=threshold,
        prompt="name",
        spans_key="sc" if style == "span" else DEFAULT_SPANS_KEY,
        scorer=scorer,
    )
    ner.meta = nlp.meta
    return ner


class NerGliner(NerPipe):
    """Named entity recognition with labels given in words, by a GLiNER model.

    vocab (Vocab): The shared vocabulary.
    model (Model[Query, List[Found]]): Scored spans of documents.
    name (str): The component's name.
    prompt (str): What the model is shown for a label: "alias" is the first alias, or
        without one the name in lower case with underscores as blanks; "name" the name as
        it is; "description" the description. What comes out is the name.
    training (Optional[Dict[str, Any]]): How it is taught, see
        `ner_components.gliner.lessons.Training`.
    labels, schema, threshold, alignment_mode, overlap, preset_ents, spans_key,
        max_rejections, buffer_size, scorer: see `ner_components.pipe.NerPipe`.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[Query, List[Found]],
        name: str = "ner",
        *,
        labels: Optional[List[LabelConfig]] = None,
        schema: Optional[str] = None,
        threshold: float = 0.5,
        prompt: str = "alias",
        training: Optional[Dict[str, Any]] = None,
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
        self.scale = Scale()
        self.cfg["prompt"] = prompt
        if prompt not in PROMPTS:
            self._refuse("prompt", ", ".join(f'"{x}"' for x in PROMPTS))
        self.cfg["training"] = {**DEFAULT_TRAINING, **(training or {})}
        self._check_training()

    # Prediction

    def predict(self, docs: Iterable[Doc]) -> List[List[Candidate]]:
        """Find the entities of documents, changing nothing.

        docs (Iterable[Doc]): The documents.
        RETURNS (List[List[Candidate]]): Candidates of each document: every span that
            scores at or above the floor, overlaps and all.
        RAISES (ValueError): The pipe has no labels, or the model can't be had.
        """
        docs = list(docs)
        found = self._find(docs, self.scale.invert(self.floor))
        self._record_source()
        self._report_capped(sum(x.capped for x in found))
        return [self._candidates(x, self.scale) for x in found]

    def _find(self, docs: List[Doc], floor: float) -> List[Found]:
        """RETURNS (List[Found]): Spans of each document, with the model's own scores."""
        labels, prompts = list(self.labels), self.prompts
        result = [NOTHING] * len(docs)
        full = [i for i, doc in enumerate(docs) if len(doc)]
        for batch in make_batches([len(docs[i]) for i in full], MAX_BATCH_TOKENS):
            chosen = [full[i] for i in batch]
            query = Query([docs[i] for i in chosen], labels, prompts, floor)
            for i, found in zip(chosen, self.model.predict(query), strict=True):
                result[i] = found
        return result

    @property
    def prompts(self) -> List[str]:
        """RETURNS (List[str]): What the model is shown for each label, in their order.
        RAISES (ValueError): The pipe has no labels, or two have the same prompt.
        """
        return make_prompts(self.schema, self.cfg["prompt"])

    @property
    def floor(self) -> float:
        """RETURNS (float): Least score of a candidate: the lowest threshold of all, and
        never more than 0.5."""
        default = self.cfg["threshold"]
        thresholds = [self.schema.threshold(label, default) for label in self.labels]
        return min([MOST_FLOOR, *thresholds])

    def _candidates(self, found: Found, scale: Scale) -> List[Candidate]:
        names = self.labels
        rows = zip(
            found.starts.tolist(),
            found.ends.tolist(),
            found.labels.tolist(),
            scale.apply(found.scores).tolist(),
            strict=True,
        )
        return [Candidate(start, end, names[i], score) for start, end, i, score in rows]

    def _report_capped(self, count: int) -> None:
        if not count:
            return
        if not self.stats.capped:
            logger.warning(
                Warnings.W130.format(name=self.name, count=count, most=MAX_PER_WORD)
            )
        self.stats.add_capped(count)

    # Life cycle

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Optional[Language] = None,
        labels: Optional[List[str]] = None,
    ) -> None:
        """Load the model, and check that it can take the labels and learn the entities.
        Weights that are there are kept: a second training goes on from the first.

        get_examples (Callable[[], Iterable[Example]]): Returns the training examples, if
            there are any; labels come from them where neither the config nor `labels` has
            any.
        nlp (Optional[Language]): The pipeline; the model's name, licence and commit go to
            its meta.
        labels (Optional[List[str]]): Labels, as `label_data` gives them.
        RAISES (ValueError): No labels, the model can't be had, a label is too long, or the
            schema lacks one of the data's.
        """
        found = find_labels(get_examples())
        if not self._has_labels:
            where = f"the pipe {self.name!r}"
            self._schema = EntitySchema.from_labels(labels or sorted(found), where=where)
        self._check_known([*(labels or []), *sorted(found)])
        self.model.initialize()
        # A label that is too long is found out now, not at the first document.
        self.model.predict(Query([], list(self.labels), self.prompts, self.floor))
        if found:
            self.scale = Scale()
            self._report_unlearnable(get_examples())
        if nlp is not None:
            self.meta = nlp.meta
        self._record_source()

    # Calibration

    @property
    def can_calibrate(self) -> bool:
        """RETURNS (bool): True."""
        return True

    def calibrate(self, examples: Sequence[Example]) -> Dict[str, float]:
        """Fit temperature and bias of the scores, on the spans of at least 0.1 that would
        be entities at that threshold. Thresholds hold for the new scores, so that others
        are entities afterwards.

        examples (Sequence[Example]): Held-out documents with gold entities, as the pipe
            gets them.
        RETURNS (Dict[str, float]): Both, by name, and where the threshold of before is now.
        """
        before = self.scale.invert(self.cfg["threshold"])
        # A span below its label's own threshold says as much about the scores.
        bare = [x.model_copy(update={"threshold": None}) for x in self.schema]
        schema = EntitySchema(bare)
        docs = [eg.predicted for eg in examples]
        found = [self._candidates(x, Scale()) for x in self._find(docs, FIT_FLOOR)]
        self._record_source()
        kept = keep_entities(self, docs, found, FIT_FLOOR, schema)
        scores, right = judge(examples, kept, schema)
        hits, count = int(right.sum()), len(right)
        self.scale = fit_scale(scores, right) if 0 < hits < count else Scale()
        if not 0 < hits < count:
            counts = {"right": hits, "wrong": count - hits, "floor": FIT_FLOOR}
            logger.warning(Warnings.W136.format(name=self.name, **counts))
        threshold = float(self.scale.apply(numpy.asarray([before]))[0])
        fitted = {**self.scale._asdict(), "threshold of before": threshold}
        logger.info("%s: %s from %d spans", self.name, fitted, count)
        return fitted

    # Training

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Any = None,
        losses: Optional[Dict[str, float]] = None,
    ) -> Dict[str, float]:
        """Learn from a batch of annotated documents: from the same windows and words that
        prediction makes, with sampled prompts. Tokens without annotation are left out.

        examples (Iterable[Example]): The batch.
        drop (float): Dropout of the head, 0 to 1; the encoder keeps its own.
        sgd (Optional[Optimizer]): The optimizer; without one (or with False, which
            `nlp.update` hands on) gradients are collected.
        losses (Optional[Dict[str, float]]): Losses so far, changed in place.
        RETURNS (Dict[str, float]): The losses, by pipe.
        RAISES (ValueError): The model can't be trained, or a label is not known.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        validate_examples(examples, "NerGliner.update")
        if "dropout_rate" not in self.model.attrs:
            raise ValueError(Errors.N138.format(name=self.name))
        lesson = self.make_lesson(examples)
        if not lesson.docs:
            return losses
        # A scale belongs to the weights it was fitted for.
        self.scale = Scale()
        set_dropout_rate(self.model, drop)
        # The model takes lessons in training, and gives what they cost.
        output, backprop = self.model.begin_update(lesson)
        loss, d_output = self.get_loss(examples, output)
        backprop(d_output)
        if sgd not in (None, False):
            self.finish_update(sgd)
        losses[self.name] += loss
        return losses

    def get_loss(self, examples: Iterable[Example], scores: Any) -> Tuple[float, Floats1d]:
        """Compute the mean loss of a window: the library's loss, summed over its spans and
        labels.

        examples (Iterable[Example]): Not used; the model has compared them.
        scores (Losses): What the model gave in training.
        RETURNS (Tuple[float, Floats1d]): The loss, and its gradient for each forward pass.
        """
        share = 1.0 / max(scores.windows, 1)
        gradient = numpy.full(len(scores.sums), share, dtype="float32")
        return float(scores.sums.sum() * share), gradient

    def make_lesson(self, examples: Iterable[Example]) -> Lesson:
        """Prepare a batch for the model.

        examples (Iterable[Example]): The batch.
        RETURNS (Lesson): Its documents that have tokens, and their annotation.
        RAISES (ValueError): A label of theirs is not known.
        """
        full = [eg for eg in examples if len(eg.predicted)]
        gold = [make_gold(x.reference, self._number, len(self.labels)) for x in full]
        docs = [text_of(eg) for eg in full]
        training = Training(**self.cfg["training"])
        return Lesson(docs, gold, list(self.labels), self.prompts, training)

    def _number(self, label: str) -> int:
        """RETURNS (int): Number of a label, by the data's word for it."""
        self._check_known([label])
        name = self.schema.resolve(label)
        return self.labels.index(str(name))

    def _report_unlearnable(self, examples: Iterable[Example]) -> None:
        shim = self._shim
        if "dropout_rate" not in self.model.attrs:
            return
        most = shim.max_width
        wide, cut = find_unlearnable(examples, shim.read_words, most)
        places = [str(x) for x in (*wide, *cut)]
        if not places:
            return
        where = "; ".join(places[:10]) + ("; ..." if len(places) > 10 else "")
        counts = {"count": len(places), "wide": len(wide), "cut": len(cut)}
        warnings.warn(
            Warnings.W135.format(name=self.name, most=most, where=where, **counts)
        )

    def _check_training(self) -> None:
        settings = self.cfg["training"]
        for setting in settings:
            if setting not in DEFAULT_TRAINING:
                self._refuse_training(setting, ", ".join(DEFAULT_TRAINING))
        setting, allowed = Training(**settings).problem()
        if setting:
            self._refuse_training(setting, allowed)

    def _refuse_training(self, setting: str, allowed: str) -> None:
        value = self.cfg["training"][setting]
        setting = f"training.{setting}"
        raise ValueError(
            Errors.N020.format(
                name=self.name, setting=setting, value=value, allowed=allowed
            )
        )

    def get_state(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): Schema, calibration, and where the model came from. A
        model that was never used is loaded now: once saved, it is not looked for again."""
        self.model.initialize()
        self._record_source()
        source = None if self._shim is None else self._shim.source
        scale = {"temperature": self.scale.temperature, "score_bias": self.scale.bias}
        return {**super().get_state(), **scale, "source": source}

    def set_state(self, state: Dict[str, Any]) -> None:
        """Restore what `get_state` made; see `NerPipe.set_state`."""
        super().set_state(state)
        # Saved before there was a scale: nothing fitted.
        self.scale = Scale(state.get("temperature", 1.0), state.get("score_bias", 0.0))
