"""`ner_components.GLiNER.v1` and `ner_components.GLiNERFromEncoder.v1`: GLiNER models of
the gliner library as thinc layers, from documents and labels to scored spans.

The library's modules compute the scores; words, windows, batches and decoding are ours:
windows of all documents are sorted by length and cut into batches by padded size, one
forward pass each, and the spans of a batch are decoded in arrays.

GLiNER: Zaratiana et al., "GLiNER: Generalist Model for Named Entity Recognition using
Bidirectional Transformer", 2023.
"""

from threading import Lock
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple, Union, cast

import numpy
import srsly
from spacy.tokens import Doc
from thinc.api import Model, PyTorchShim
from thinc.util import get_torch_default_device

from ..errors import Errors
from ..precision import Graphs, Precision, Predictor, make_precision
from ..pretrained import Pretrained
from ..threads import use_one_thread_after_fork
from ..windows import make_batches, sentence_starts
from .candidates import MAX_PER_WORD, Found, Query, Spans, join_spans, merge_spans
from .inputs import Batch, Frontend, Group, Words
from .learning import Losses, learn
from .lessons import Lesson
from .loader import Checkpoint, Fresh, from_message, to_message
from .reduced import reduce_gliner
from .scores import pick_spans, span_scores
from .windows import WordWindow, counts_here, make_word_windows

try:
    import torch
    from tokenizers import Tokenizer
except ImportError as e:
    raise ImportError(Errors.N130.format(package=e.name, extra="gliner")) from e

DEFAULT_NAME = "urchade/gliner_small-v2.1"
DTYPES = ("float32", "bfloat16", "float16")

use_one_thread_after_fork()


def build_gliner(
    name: str = DEFAULT_NAME,
    revision: Optional[str] = None,
    device: Optional[str] = None,
    dtype: str = "float32",
    window: int = 64,
    max_batch_items: int = 512,
    precision: str = "float32",
    backend: Optional[str] = None,
) -> Model[Query, List[Found]]:
    """Build a GLiNER layer from a checkpoint: span, token or bi-encoder. It is loaded at
    first use or at `initialize`; once saved in a pipeline it is never looked for again.

    name (str): Hub id or local folder.
    revision (Optional[str]): Commit or tag on the hub. Without one, loading warns.
    device (Optional[str]): "cpu", "cuda", "cuda:1" ...; spaCy's own by default.
    dtype (str): What its weights are kept in: "float32", "bfloat16" or "float16". Any
        but the first is what it computes in, whatever `precision` says.
    window (int): Most words wanted in a window, filled with whole sentences: about what
        the model was trained on. A longer sentence stays whole as far as the model can
        take it; windows overlap by more than the longest entity.
    max_batch_items (int): Most word pieces in one forward pass, prompt and padding
        counted in. 256 to 1,024 are fastest on a CPU; a GPU wants 16,384 or more.
    RETURNS (Model[Query, List[Found]]): Scored spans of each document.
    RAISES (ValueError): A setting is out of range.
    """
    shim = GLiNERShim(
        Checkpoint(name, revision), device, dtype, make_precision(precision, backend)
    )
    return _build(shim, window, max_batch_items)


def build_gliner_from_encoder(
    name: Optional[str] = None,
    revision: Optional[str] = None,
    device: Optional[str] = None,
    dtype: str = "float32",
    window: int = 64,
    max_batch_items: int = 512,
    hidden_size: int = 256,
    max_width: int = 12,
    max_len: int = 384,
    rnn_layers: int = 0,
    dropout: float = 0.4,
    label_vector: str = "marker",
    seed: int = 0,
    precision: str = "float32",
    backend: Optional[str] = None,
) -> Model[Query, List[Found]]:
    """Build a fresh GLiNER span model on a plain encoder, to be trained: its head is
    random and finds nothing.

    name (Optional[str]): Hub id or local folder of the encoder; the embedded one by
        default.
    revision, device, dtype, window, max_batch_items, precision, backend: see
        `build_gliner`.
    hidden_size (int): Length of the vectors that spans and labels are compared by.
    max_width (int): Most words of an entity.
    max_len (int): Most words of a window.
    rnn_layers (int): LSTM layers over the words.
    dropout (float): Dropout of the head in training, 0 to 1.
    label_vector (str): What stands for a label: the new token before it, "marker", as in
        published models, or the "first" piece of the label itself, whose vector differs
        from label to label from the beginning, so that types are learned sooner.
    seed (int): What the random weights are drawn from.
    RETURNS (Model[Query, List[Found]]): Scored spans of each document.
    RAISES (ValueError): A setting is out of range.
    """
    allowed = "marker, first"
    _check("label_vector", label_vector, label_vector in ("marker", "first"), allowed)
    options = {
        "hidden_size": hidden_size,
        "max_width": max_width,
        "max_len": max_len,
        "num_rnn_layers": rnn_layers,
        "dropout": dropout,
        "embed_ent_token": label_vector == "marker",
    }
    encoder = None if name is None else Pretrained(name, revision)
    fresh = Fresh(encoder, options, seed)
    shim = GLiNERShim(fresh, device, dtype, make_precision(precision, backend))
    return _build(shim, window, max_batch_items)


def _build(
    shim: "GLiNERShim", window: int, max_batch_items: int
) -> Model[Query, List[Found]]:
    _check("dtype", shim.dtype, shim.dtype in DTYPES, ", ".join(DTYPES))
    _check("window", window, window > 0, "a whole number of at least 1")
    attrs = {"window": window, "max_batch_items": max_batch_items, "dropout_rate": 0.0}
    return Model("gliner", forward, init=init, attrs=attrs, shims=[shim])


def _check(setting: str, value: Any, right: bool, allowed: str) -> None:
    if not right:
        where = "...model"
        raise ValueError(
            Errors.N020.format(name=where, setting=setting, value=value, allowed=allowed)
        )


def init(model: Model, X: Any = None, Y: Any = None) -> None:
    """Load the weights, if that was not done before."""
    _shim_of(model).load()


def forward(
    model: Model, query: Union[Query, Lesson], is_train: bool
) -> Tuple[Any, Callable[[Any], Any]]:
    """Find spans in documents, or learn from annotated ones.

    query (Union[Query, Lesson]): Documents, prompts, floor; in training documents,
        annotation, prompts.
    is_train (bool): Whether to learn.
    RETURNS (Tuple[Union[List[Found], Losses], Callable]): Spans of each document and no
        backprop; in training losses, and what takes their gradient to the weights.
    """
    shim = _shim_of(model)
    shim.load()
    if isinstance(query, Lesson):
        return _learn(model, shim, query)
    groups = shim.frontend.make_groups(query.labels, query.prompts)
    words, windows = _make_plan(model, shim, query, groups)
    parts, capped = [], numpy.zeros(len(query.docs), dtype="int64")
    for group in groups:
        for chosen in shim.make_batches(model, windows, group):
            rows = [windows[i] for i in chosen]
            part, counts = _read_batch(shim, rows, group, query)
            parts.append(part)
            numpy.add.at(capped, [row.doc for row in rows], counts)
    spans, left_out = merge_spans(join_spans(parts))
    numpy.add.at(capped, left_out, 1)

    def backprop(d_found: List[Found]) -> Query:
        raise NotImplementedError

    return _found(words, spans, capped), backprop


def _learn(
    model: Model, shim: "GLiNERShim", lesson: Lesson
) -> Tuple[Losses, Callable[[Any], None]]:
    """Learn from the same windows that prediction makes."""
    query = Query(lesson.docs, lesson.labels, lesson.prompts, 0.0)
    groups = shim.frontend.make_groups(query.labels, query.prompts)
    _, rows = _make_plan(model, shim, query, groups)
    most, drop = model.attrs["max_batch_items"], model.attrs["dropout_rate"]
    return learn(shim, rows, groups, lesson, most, drop)


class _Row(NamedTuple):
    """A window of a document.

    doc (int): Number of the document.
    words (Words): Its words.
    window (WordWindow): The window.
    pieces (int): Word pieces in it.
    """

    doc: int
    words: Words
    window: WordWindow
    pieces: int


def _make_plan(
    model: Model, shim: "GLiNERShim", query: Query, groups: List[Group]
) -> Tuple[List[Words], List[_Row]]:
    """Cut documents into words, and words into windows that fit behind every prompt."""
    frontend = shim.frontend
    room = frontend.limit - max((len(group.ids) for group in groups), default=0)
    limit = max(shim.max_len, 1)
    overlap = shim.max_width + 1
    # A window shorter than two overlaps would not get on.
    size = min(max(model.attrs["window"], 2 * overlap), limit)
    overlap = min(overlap, size // 2)
    words = frontend.read([doc.text for doc in query.docs], room)
    rows = []
    for i, (doc, x) in enumerate(zip(query.docs, words, strict=True)):
        if len(x.starts) > size or x.borders[-1] > room:
            firsts = numpy.searchsorted(x.starts, sentence_starts(doc))
        else:
            firsts = numpy.zeros(0, dtype="int64")
        sizes = numpy.diff(x.borders)
        for w in make_word_windows(
            sizes, firsts, size, min(overlap, size // 2), limit, room
        ):
            rows.append(_Row(i, x, w, int(x.borders[w.end] - x.borders[w.start])))
    return words, rows


def _read_batch(
    shim: "GLiNERShim", rows: List[_Row], group: Group, query: Query
) -> Tuple[Spans, List[int]]:
    """RETURNS (Tuple[Spans, List[int]]): Spans that the windows answer for, with words
    numbered in their documents, and for each window the number of spans left out."""
    batch = shim.frontend.make_batch([(x.words, x.window) for x in rows], group)
    prompts = query.prompts[group.first : group.last]
    scores = shim.score(batch, prompts, query.floor)
    picked = pick_spans(scores, query.floor, MAX_PER_WORD)
    row, label = picked.rows, picked.labels
    docs = numpy.asarray([x.doc for x in rows], dtype="int64")
    # The window of each span, column by column.
    window = WordWindow(*numpy.asarray([x.window for x in rows], dtype="int64")[row].T)
    first, last = picked.first + window.start, picked.last + window.start
    spans = Spans(docs[row], first, last, label + group.first, picked.scores)
    return spans.take(counts_here(window, first, last)), picked.left_out


def _found(words: List[Words], spans: Spans, capped: Any) -> List[Found]:
    borders = numpy.searchsorted(spans.docs, numpy.arange(len(words) + 1))
    found = []
    for i, x in enumerate(words):
        here = spans.take(slice(borders[i], borders[i + 1]))
        starts, ends = x.starts[here.first], x.ends[here.last - 1]
        found.append(Found(starts, ends, here.labels, here.scores, int(capped[i])))
    return found


def _shim_of(model: Model) -> "GLiNERShim":
    return cast(GLiNERShim, model.shims[0])


class GLiNERShim(PyTorchShim):
    """Holds a model of the gliner library for a thinc layer: `gliner` is the library's
    object, of which the torch module is a part.

    pretrained (Union[Checkpoint, Fresh]): Where the weights come from.
    device (Optional[str]): Where they go; thinc's own device by default.
    dtype (str): What they are turned into.
    precision (Precision): What it predicts in.
    """

    def __init__(
        self, pretrained: Any, device: Optional[str], dtype: str, precision: Precision
    ) -> None:
        super().__init__(None)
        self.pretrained = pretrained
        self.wanted_device = device
        self.dtype = dtype
        self.predictor = Predictor(precision)
        self.gliner: Any = None
        self.source: Optional[Dict[str, Any]] = None
        self.frontend: Frontend = cast(Frontend, None)
        self.lock = Lock()
        self._embeddings: Dict[str, Any] = {}

    @property
    def max_width(self) -> int:
        """RETURNS (int): Most words of an entity."""
        return self.gliner.config.max_width

    @property
    def max_len(self) -> int:
        """RETURNS (int): Most words that the model takes."""
        return self.gliner.config.max_len

    def load(self) -> None:
        """Load the named weights unless there are some."""
        if self._model is None:
            with self.lock:
                if self._model is None:
                    gliner, self.source = self.pretrained.load()
                    self._set_model(gliner)

    def unload(self) -> None:
        """Forget the weights: the next `load` starts from the pretrained ones."""
        self._model = self.gliner = None

    def make_batches(self, model: Model, rows: List[_Row], group: Group) -> Any:
        """YIELDS (Ints1d): Rows of each forward pass, by like length."""
        extra = len(group.ids) + len(self.frontend.prefix) + len(self.frontend.suffix)
        most = model.attrs["max_batch_items"]
        if self._sees_padding:
            most = 0
        yield from make_batches([row.pieces + extra for row in rows], most)

    @property
    def _sees_padding(self) -> bool:
        """RETURNS (bool): Whether the library's span layer looks at padding, so that a
        window must not have any: markerV1 takes the mean over all words, a context encoder
        is given them all. Where the span layer is computed here it is not."""
        config = self.gliner.config
        has_context = getattr(config, "span_encoder_config", None) is not None
        computed_here = config.span_mode in ("markerV0", "token_level")
        return config.span_mode == "markerV1" or (has_context and not computed_here)

    def to_torch(self, batch: Batch) -> Dict[str, Any]:
        """RETURNS (Dict[str, torch.Tensor]): What the torch module reads."""
        arrays = {
            "input_ids": batch.ids,
            "attention_mask": batch.mask,
            "words_mask": batch.words_mask,
            "text_lengths": batch.lengths[:, None],
        }
        return {k: torch.from_numpy(v).to(self.device) for k, v in arrays.items()}

    def finish_update(self, optimizer: Any) -> None:
        super().finish_update(optimizer)
        self._embeddings = {}
        self.predictor.forget()

    def make_predictor(self) -> Any:
        """RETURNS (torch.nn.Module): What predicts: the model as it is, or in less."""
        if self.predictor.precision.is_plain or self.dtype != "float32":
            return self.gliner.model
        return self.predictor.get(self._reduce)

    def _reduce(self, graphs: Graphs) -> Tuple[Any, Graphs]:
        return reduce_gliner(self.gliner.model, self.predictor.precision, graphs)

    def read_words(self, docs: List[Doc]) -> List[Words]:
        """RETURNS (List[Words]): The words of documents, as the model sees them."""
        self.load()
        return self.frontend.read([doc.text for doc in docs], self.frontend.limit)

    def score(self, batch: Batch, prompts: List[str], floor: float) -> Any:
        """Run the model once.

        batch (Batch): The windows.
        prompts (List[str]): The words that stand for each label of the group.
        floor (float): Least score that is of interest.
        RETURNS (torch.Tensor): Score of each span, (windows, words, widths, labels);
            -1 where there is no such span.
        """
        with torch.inference_mode():
            inputs = self.to_torch(batch)
            if self.frontend.is_bi_encoder:
                inputs["labels_embeds"] = self._embed(prompts)
            model = self.make_predictor()
            return span_scores(model, self.gliner.config, inputs, floor).float()

    def _embed(self, prompts: List[str]) -> Any:
        """RETURNS (torch.Tensor): Embeddings of labels, (labels, width), each computed
        once: a bi-encoder's don't depend on the text."""
        new = [x for x in prompts if x not in self._embeddings]
        for x in new:
            encoded = self.gliner.data_processor.labels_tokenizer(
                [x], return_tensors="pt", truncation=True
            ).to(self.device)
            encode = self.gliner.model.token_rep_layer.encode_labels
            self._embeddings[x] = encode(**encoded)[0]
        return torch.stack([self._embeddings[x] for x in prompts])

    def to_bytes(self) -> bytes:
        if self._model is None:
            return srsly.msgpack_dumps({"weights": None})
        if self.predictor.precision.backend == "onnxruntime":
            self.make_predictor()  # whoever loads the pipeline need not make its graphs
        message = {"source": self.source, "predictor": self.predictor.to_message()}
        return srsly.msgpack_dumps({**to_message(self.gliner), **message})

    def from_bytes(self, bytes_data: bytes) -> "GLiNERShim":
        message = srsly.msgpack_loads(bytes_data)
        if message["weights"] is not None:
            self.source = message["source"]
            self._set_model(from_message(message))
            self.predictor.from_message(message.get("predictor", {}))
        return self

    def _set_model(self, gliner: Any) -> None:
        tokenizer = gliner.data_processor.transformer_tokenizer
        if not tokenizer.is_fast:
            raise ValueError(Errors.N053.format(source=self.pretrained.name))
        # A copy: the library pads and truncates with its own.
        copy = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self.frontend = Frontend(gliner, copy)
        device = self.wanted_device or get_torch_default_device()
        gliner.model.to(device=device, dtype=getattr(torch, self.dtype))
        gliner.eval()
        self._embeddings = {}
        self.predictor.forget()
        self.gliner = gliner
        self._model = gliner.model

    def __getstate__(self) -> Dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "lock"}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.lock = Lock()
