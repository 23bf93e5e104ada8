"""`ner_components.Transformer.v1` and `ner_components.HFTokenClassifier.v1`: transformers'
models as thinc layers from documents to one row per token.

The text of a document goes to the model's own fast tokenizer as it is, and word pieces
are matched to tokens by characters: a token's pieces are those that share a character
with it, so no tokenisation can shift a row. Long documents become windows between
sentences, or such as see context on both sides; windows are sorted by length and cut into
batches by padded size. Weights are saved as safetensors with strict keys, never pickled.
"""

import inspect
from contextlib import contextmanager
from threading import Lock
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple, cast

import numpy
import srsly
from spacy.attrs import IDX, LENGTH
from spacy.tokens import Doc
from thinc.api import ArgsKwargs, Model, PyTorchShim, torch2xp, xp2torch
from thinc.util import get_torch_default_device

from ..errors import Errors
from ..precision import Graphs, Precision, Predictor, make_precision, reduce_encoder
from ..pretrained import Pretrained, make_embedded, position_limit
from ..threads import use_one_thread_after_fork
from ..types import Floats1d, Floats2d, Ints1d
from ..windows import Window, make_batches, make_windows, sentence_starts

try:
    import torch
    import transformers
    from safetensors.torch import load, save
    from tokenizers import Tokenizer
except ImportError as e:
    raise ImportError(Errors.N050.format(package=e.name)) from e

POOLING = ("first", "mean")


use_one_thread_after_fork()


def build_transformer(
    window: int = 256,
    context: int = 32,
    max_batch_items: int = 512,
    pooling: str = "first",
    precision: str = "float32",
    backend: Optional[str] = None,
    mixed_precision: bool = False,
    freeze_embeddings: bool = False,
) -> Model[List[Doc], List[Floats2d]]:
    """Build token vectors from any encoder that transformers' AutoModel can load. Its
    weights are named in `[initialize.components.NAME.pretrained]`.

    window (int): Most word pieces that the model sees at once, special tokens included;
        no more than the model's own limit is used.
    context (int): Least number of neighbouring pieces on each side of every piece, where
        a window can't end with a sentence.
    max_batch_items (int): Most pieces in one forward pass, padding counted in.
        256 to 1,024 are fastest on a CPU; a GPU wants 16,384 or more.
    pooling (str): A token takes the vector of its "first" piece, or the "mean" of all.
    precision (str): What it predicts in: "float32", "bfloat16" or "int8". It learns, and
        is saved, in float32.
    backend (Optional[str]): What computes it: "torch", "onnxruntime" (always for "int8",
        possible for "float32"), or the precision's own.
    mixed_precision (bool): Learn with bfloat16 products where that is safe: faster where
        the processor has them, much slower where not.
    freeze_embeddings (bool): Leave the vectors of word pieces as they are: half of a
        small encoder's weights, which then need no gradient and no optimizer.
    RETURNS (Model[List[Doc], List[Floats2d]]): Token vectors, (tokens, width).
    RAISES (ValueError): A setting is out of range.
    """
    shim = TransformerShim("AutoModel", make_precision(precision, backend))
    shim.mixed_precision = mixed_precision
    shim.freeze_embeddings = freeze_embeddings
    return _build("transformer", shim, window, context, max_batch_items, pooling)


def build_hf_token_classifier(
    name: str,
    revision: Optional[str] = None,
    scheme: str = "auto",
    window: int = 256,
    context: int = 32,
    max_batch_items: int = 512,
    precision: str = "float32",
    backend: Optional[str] = None,
) -> Model[List[Doc], List[Floats2d]]:
    """Build tag scores from a checkpoint that is fine-tuned for token classification
    already. It is loaded at first use or at `initialize`; once saved in a pipeline it is
    never looked for again.

    name (str): Hub id or local folder of an AutoModelForTokenClassification.
    revision (Optional[str]): Commit or tag on the hub. Without one, loading warns.
    scheme (str): How its tags are to be read: "auto", "BILUO", "IOB2", "IOB1", "plain".
    window, context, max_batch_items, precision, backend: see `build_transformer`.
    RETURNS (Model[List[Doc], List[Floats2d]]): Tag scores (logits) at each token's first
        piece, (tokens, tags).
    RAISES (ValueError): A setting is out of range.
    """
    shim = TransformerShim(
        "AutoModelForTokenClassification", make_precision(precision, backend)
    )
    shim.pretrained = Pretrained(name, revision)
    model = _build("hf_token_classifier", shim, window, context, max_batch_items, "first")
    model.attrs["scheme"] = scheme
    return model


def _build(
    name: str,
    shim: "TransformerShim",
    window: int,
    context: int,
    max_batch_items: int,
    pooling: str,
) -> Model[List[Doc], List[Floats2d]]:
    # Room for at least one piece between the contexts and two special tokens.
    least = 2 * context + 3
    if context < 0 or window < least:
        raise ValueError(Errors.N058.format(window=window, least=least, context=context))
    if pooling not in POOLING:
        raise ValueError(
            Errors.N020.format(
                name="...model.tok2vec",
                setting="pooling",
                value=pooling,
                allowed=", ".join(POOLING),
            )
        )
    attrs = {
        "window": window,
        "context": context,
        "max_batch_items": max_batch_items,
        "pooling": pooling,
    }
    return Model(
        name,
        forward,
        init=init,
        dims={"nO": None},
        attrs=attrs,
        shims=[shim],
    )


def init(model: Model, X: Any = None, Y: Any = None) -> None:
    """Load the pretrained weights, if that was not done before."""
    shim = _shim_of(model)
    shim.load()
    model.set_dim("nO", shim.width)


def forward(
    model: Model, docs: List[Doc], is_train: bool
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Doc]]]:
    """Run the encoder over documents.

    docs (List[Doc]): The documents, of any length.
    is_train (bool): Whether gradients are wanted.
    RETURNS (Tuple[List[Floats2d], Callable]): Rows of each document, and backprop.
    """
    shim, ops = _shim_of(model), cast(Any, model.ops)
    shim.load()
    model.set_dim("nO", shim.width)
    lengths = [len(doc) for doc in docs]
    output = ops.alloc2f(sum(lengths), shim.width)
    steps: List[Tuple[Ints1d, torch.Tensor, Callable]] = []
    for batch in _make_plan(model, shim, docs):
        rows, backprop_rows = shim(batch.to_torch(shim), is_train)
        targets = ops.asarray1i(batch.targets)
        output[targets] += torch2xp(rows)
        if is_train:
            steps.append((targets, rows, backprop_rows))

    def backprop(d_rows: List[Floats2d]) -> List[Doc]:
        d_output = ops.flatten(d_rows)
        for targets, rows, backprop_rows in steps:
            grads = xp2torch(d_output[targets], device=rows.device)
            backprop_rows(ArgsKwargs(args=((rows,),), kwargs={"grad_tensors": (grads,)}))
        return []

    return ops.unflatten(output, ops.asarray1i(lengths)), backprop


def _shim_of(model: Model) -> "TransformerShim":
    return cast(TransformerShim, model.shims[0])


class _Batch(NamedTuple):
    """One forward pass.

    pieces (List[Ints1d]): Piece ids of each window, special tokens included.
    rows (Ints1d): Places in the padded batch, row * time + position, of the pieces that
        are wanted.
    segments (Ints1d): For each of them, the number of its token among the targets.
    weights (Floats1d): For each of them, its share in the token's vector.
    targets (Ints1d): Rows of the output, one for each token.
    """

    pieces: List[Ints1d]
    rows: Ints1d
    segments: Ints1d
    weights: Floats1d
    targets: Ints1d

    def to_torch(self, shim: "TransformerShim") -> ArgsKwargs:
        time = max(len(x) for x in self.pieces)
        ids = numpy.full((len(self.pieces), time), shim.pad_id, dtype="int64")
        mask = numpy.zeros_like(ids)
        for row, x in enumerate(self.pieces):
            ids[row, : len(x)] = x
            mask[row, : len(x)] = 1
        arrays = (ids, mask, self.rows, self.segments, self.weights)
        tensors = tuple(torch.from_numpy(x).to(shim.device) for x in arrays)
        return ArgsKwargs(args=(*tensors, len(self.targets)), kwargs={})


class _Encoded(NamedTuple):
    """A document as word pieces.

    ids (Ints1d): Piece ids, without special tokens.
    starts (Ints1d): Where in the text each piece begins.
    first, last (Ints1d): For each token, its first piece and one past its last.
    """

    ids: Ints1d
    starts: Ints1d
    first: Ints1d
    last: Ints1d


def _make_plan(model: Model, shim: "TransformerShim", docs: List[Doc]) -> List[_Batch]:
    """Cut documents into windows of pieces, and the windows into batches."""
    room = min(model.attrs["window"], shim.max_length) - len(shim.prefix) - len(shim.suffix)
    context = min(model.attrs["context"], (room - 1) // 2)
    encoded = shim.encode(docs)
    windows: List[Tuple[_Encoded, int, Window]] = []
    offset = 0
    for doc, x in zip(docs, encoded, strict=True):
        stops = _find_stops(doc, x) if len(x.ids) > room else []
        made = make_windows(len(x.ids), room, context, stops)
        windows.extend((x, offset, w) for w in made)
        offset += len(doc)
    sizes = [w.end - w.start for _, _, w in windows]
    # Special tokens are part of the padded size.
    extra = len(shim.prefix) + len(shim.suffix)
    return [
        _make_batch(shim, [windows[i] for i in chosen], model.attrs["pooling"])
        for chosen in make_batches(
            [x + extra for x in sizes], model.attrs["max_batch_items"]
        )
    ]


def _find_stops(doc: Doc, x: _Encoded) -> List[int]:
    """RETURNS (List[int]): Pieces that begin a sentence."""
    return numpy.searchsorted(x.starts, sentence_starts(doc)).tolist()


def _make_batch(
    shim: "TransformerShim", windows: List[Tuple[_Encoded, int, Window]], pooling: str
) -> _Batch:
    pieces = [
        numpy.concatenate([shim.prefix, x.ids[w.start : w.end], shim.suffix])
        for x, _, w in windows
    ]
    time = max(len(x) for x in pieces)
    rows, tokens, weights = [], [], []
    for row, (x, offset, w) in enumerate(windows):
        token, piece, weight = _pairs(x, w, pooling)
        rows.append(piece - w.start + len(shim.prefix) + row * time)
        tokens.append(token + offset)
        weights.append(weight)
    targets, segments = numpy.unique(numpy.concatenate(tokens), return_inverse=True)
    return _Batch(
        pieces, numpy.concatenate(rows), segments, numpy.concatenate(weights), targets
    )


def _pairs(x: _Encoded, w: Window, pooling: str) -> Tuple[Ints1d, Ints1d, Floats1d]:
    """Pair tokens with those of their pieces that a window answers for.

    RETURNS (Tuple[Ints1d, Ints1d, Floats1d]): Token, piece and weight of each pair.
    """
    last = numpy.minimum(x.last, x.first + 1) if pooling == "first" else x.last
    first = numpy.maximum(x.first, w.core_start)
    counts = numpy.maximum(numpy.minimum(last, w.core_end) - first, 0)
    token = numpy.repeat(numpy.arange(len(counts)), counts)
    within = numpy.arange(len(token)) - numpy.repeat(numpy.cumsum(counts) - counts, counts)
    weights = (1.0 / numpy.maximum(last - x.first, 1))[token].astype("float32")
    return token, first[token] + within, weights


class TransformerShim(PyTorchShim):
    """Holds a transformers model and its tokenizer for a thinc layer.

    Unlike thinc's own shim it stays in evaluation mode but for training steps, so that
    threads can share it, and it saves itself without pickle.

    auto (str): Which of transformers' auto classes loads it.
    precision (Precision): What it predicts in.
    """

    def __init__(self, auto: str, precision: Precision) -> None:
        super().__init__(None)
        self.auto = auto
        self.predictor = Predictor(precision)
        self.mixed_precision = False
        self.freeze_embeddings = False
        self.pretrained: Optional[Pretrained] = None
        self.source: Optional[Dict[str, Any]] = None
        self.tokenizer: Any = None
        self.settings: Dict[str, Any] = {}
        self.lock = Lock()

    @property
    def width(self) -> int:
        """RETURNS (int): Length of an output row."""
        config = self._model.hf.config
        return config.num_labels if self.is_classifier else config.hidden_size

    @property
    def is_classifier(self) -> bool:
        return self.auto == "AutoModelForTokenClassification"

    @property
    def tags(self) -> List[str]:
        """RETURNS (List[str]): The checkpoint's own tags, in the order of its scores."""
        names = self._model.hf.config.id2label
        return [names[i] for i in range(len(names))]

    @property
    def prefix(self) -> Ints1d:
        return numpy.asarray(self.settings["prefix"], dtype="int64")

    @property
    def suffix(self) -> Ints1d:
        return numpy.asarray(self.settings["suffix"], dtype="int64")

    @property
    def pad_id(self) -> int:
        return self.settings["pad_id"]

    @property
    def max_length(self) -> int:
        return self.settings["max_length"]

    def encode(self, docs: List[Doc]) -> List[_Encoded]:
        """Tokenize documents into word pieces.

        docs (List[Doc]): The documents.
        RETURNS (List[_Encoded]): Their pieces and how tokens share them.
        """
        texts = [doc.text for doc in docs]
        encodings = self.tokenizer.encode_batch(texts, add_special_tokens=False)
        return [_align(doc, x) for doc, x in zip(docs, encodings, strict=True)]

    def load(self) -> bool:
        """Load the named weights unless there are some.

        RETURNS (bool): Whether weights were loaded now.
        """
        if self._model is not None:
            return False
        with self.lock:
            if self._model is not None:
                return False
            self._load(self.pretrained or make_embedded())
            return True

    def unload(self) -> None:
        """Forget the weights: the next `load` starts from the pretrained ones."""
        self._model = None
        self.predictor.forget()

    def predict(self, inputs: ArgsKwargs) -> Any:
        with torch.inference_mode():
            return self._make_predictor()(*inputs.args)

    def begin_update(self, inputs: ArgsKwargs) -> Any:
        self.predictor.forget()
        result = super().begin_update(inputs)
        self._model.eval()
        return result

    def _make_predictor(self) -> Any:
        """RETURNS (Rows): What predicts: the weights as they are, or in less."""
        if self.predictor.precision.is_plain:
            return self._model
        return self.predictor.get(self._reduce)

    def _reduce(self, graphs: Graphs) -> Tuple[Any, Graphs]:
        precision, graph = self.predictor.precision, graphs.get("encoder")
        hf = reduce_encoder(self._model.hf, precision, graph)
        made = {"encoder": hf.graph} if precision.backend == "onnxruntime" else {}
        return Rows(hf).eval(), made

    def to_bytes(self) -> bytes:
        if self._model is None:
            return srsly.msgpack_dumps({"weights": None})
        if self.predictor.precision.backend == "onnxruntime":
            self._make_predictor()  # whoever loads the pipeline need not make its graphs
        tensors = {
            k: v.detach().contiguous() for k, v in self._model.hf.state_dict().items()
        }
        config = self._model.hf.config.to_dict()
        # The folder or hub id it came from has no meaning in a saved pipeline.
        config.pop("_name_or_path", None)
        message = {
            "weights": save(tensors),
            "config": config,
            "tokenizer": self.tokenizer.to_str(),
            "settings": self.settings,
            "source": self.source,
            "predictor": self.predictor.to_message(),
        }
        return srsly.msgpack_dumps(message)

    def from_bytes(self, bytes_data: bytes) -> "TransformerShim":
        message = srsly.msgpack_loads(bytes_data)
        if message["weights"] is None:
            return self
        values = dict(message["config"])
        config = transformers.AutoConfig.for_model(values.pop("model_type"), **values)
        model = _empty_model(self.auto, config)
        keys = model.load_state_dict(load(message["weights"]), strict=False)
        if keys.missing_keys or keys.unexpected_keys:
            raise ValueError(
                Errors.N056.format(
                    missing=keys.missing_keys, unexpected=keys.unexpected_keys
                )
            )
        self.settings, self.source = message["settings"], message["source"]
        self.tokenizer = Tokenizer.from_str(message["tokenizer"])
        self._set_tokenizer_options()
        self._set_model(model)
        self.predictor.from_message(message.get("predictor", {}))
        return self

    def _load(self, pretrained: Pretrained) -> None:
        where = "the model block" if self.is_classifier else "[initialize.components]"
        pretrained.verify()
        # Without a revision transformers asks for "main", and says which commit that was.
        options: Dict[str, Any] = {"revision": pretrained.revision or "main"}
        if pretrained.is_folder:
            options = {"local_files_only": True}
        try:
            config = transformers.AutoConfig.from_pretrained(pretrained.name, **options)
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                pretrained.name, **options
            )
            model_class = _model_class(self.auto, config)
            with _quiet():
                model, info = model_class.from_pretrained(
                    pretrained.name,
                    config=config,
                    output_loading_info=True,
                    torch_dtype="float32",
                    **_no_pooler(model_class),
                    **options,
                )
        except (OSError, ValueError) as e:
            problem = type(e).__name__
            raise ValueError(
                Errors.N055.format(source=pretrained.name, problem=problem, where=where)
            ) from e
        missing = sorted(info["missing_keys"])
        if missing:
            remedy = "Choose a complete checkpoint."
            if self.is_classifier:
                remedy = (
                    "It is not fine-tuned for token classification: train a "
                    "ner_components.TokenClassifier.v1 on it instead."
                )
            raise ValueError(
                Errors.N054.format(source=pretrained.name, missing=missing, remedy=remedy)
            )
        if not tokenizer.is_fast:
            raise ValueError(Errors.N053.format(source=pretrained.name))
        self.settings = _tokenizer_settings(tokenizer, config)
        self.tokenizer = tokenizer.backend_tokenizer
        self._set_tokenizer_options()
        commit = getattr(config, "_commit_hash", None)
        self.source = pretrained.source(commit, where)
        self._set_model(model)

    def _set_tokenizer_options(self) -> None:
        # Windows and padding are ours, and text that looks like a special token is text.
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.tokenizer.encode_special_tokens = True

    def _set_model(self, model: Any) -> None:
        model.get_input_embeddings().requires_grad_(not self.freeze_embeddings)
        rows = Rows(model, self.mixed_precision)
        self._model = rows.to(get_torch_default_device()).eval()
        self.predictor.forget()

    def __getstate__(self) -> Dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "lock"}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.lock = Lock()


def _align(doc: Doc, encoding: Any) -> _Encoded:
    offsets = numpy.asarray(encoding.offsets, dtype="int64").reshape(-1, 2)
    tokens = doc.to_array([IDX, LENGTH]).astype("int64")
    starts, ends = tokens[:, 0], tokens[:, 0] + tokens[:, 1]
    first = numpy.searchsorted(offsets[:, 1], starts, side="right")
    last = numpy.searchsorted(offsets[:, 0], ends, side="left")
    ids = numpy.asarray(encoding.ids, dtype="int64")
    return _Encoded(ids, offsets[:, 0], first, last)


def _tokenizer_settings(tokenizer: Any, config: Any) -> Dict[str, Any]:
    probe = tokenizer.unk_token_id
    built = tokenizer.build_inputs_with_special_tokens([probe])
    # The probe may be among the special tokens: what is around its middle copy counts.
    at = built.index(probe)
    return {
        "prefix": built[:at],
        "suffix": built[at + 1 :],
        "pad_id": tokenizer.pad_token_id or 0,
        "max_length": int(min(position_limit(config), tokenizer.model_max_length)),
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """transformers reports weights that are not used, such as a head's or a pooler's, as
    a warning; missing weights are checked by us."""
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(level)


def _model_class(auto: str, config: Any) -> Any:
    mapping = transformers.MODEL_MAPPING
    if auto == "AutoModelForTokenClassification":
        mapping = transformers.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING
    found = mapping[type(config)]
    return found[0] if isinstance(found, tuple) else found


def _no_pooler(model_class: Any) -> Dict[str, Any]:
    known = inspect.signature(model_class.__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in known else {}


def _empty_model(auto: str, config: Any) -> Any:
    model_class = _model_class(auto, config)
    return model_class._from_config(config, **_no_pooler(model_class))


class Rows(torch.nn.Module):
    """A transformers model that returns one row per token.

    hf (PreTrainedModel): The model.
    mixed_precision (bool): Whether to learn with bfloat16 products.
    """

    def __init__(self, hf: Any, mixed_precision: bool = False) -> None:
        super().__init__()
        self.hf = hf
        self.mixed_precision = mixed_precision

    def forward(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        rows: torch.Tensor,
        segments: torch.Tensor,
        weights: torch.Tensor,
        size: int,
    ) -> torch.Tensor:
        """Run the model and pool the pieces of each token.

        ids, mask (torch.Tensor): Pieces of the windows, (windows, time).
        rows, segments, weights (torch.Tensor): Place, token and share of each piece
            that is wanted, (pieces,).
        size (int): Number of tokens.
        RETURNS (torch.Tensor): (tokens, width).
        """
        mixed = self.mixed_precision and self.training
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=mixed):
            hidden = self.hf(input_ids=ids, attention_mask=mask, return_dict=True)[0]
        picked = hidden.float().flatten(0, 1)[rows]
        empty = picked.new_zeros((size, picked.shape[1]))
        return empty.index_add(0, segments, picked * weights[:, None])
