"""GLiNER models in and out: a hub id, a folder, a fresh one, the bytes of a pipeline.

Weights are read from safetensors only. A saved pipeline holds weights, config and
tokenizers, so it needs neither the network nor the place they came from.
"""

import json
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple

from ..errors import Errors
from ..pretrained import Pretrained, make_embedded

try:
    import torch
    from gliner import GLiNER
    from huggingface_hub import snapshot_download
    from safetensors import safe_open
    from safetensors.torch import load, save
    from transformers import AutoConfig, AutoModel, AutoTokenizer, logging
except ImportError as e:
    raise ImportError(Errors.N130.format(package=e.name, extra="gliner")) from e

WEIGHTS = "model.safetensors"
CONFIG = "gliner_config.json"
# What a checkpoint needs of its repository. Pickles are not even downloaded.
PATTERNS = ["*.json", "*.safetensors", "*.model", "*.txt", "README.md"]
KINDS = (
    "UniEncoderSpanGLiNER",
    "UniEncoderTokenGLiNER",
    "BiEncoderSpanGLiNER",
    "BiEncoderTokenGLiNER",
)
# Tokenizers of a model: the attribute of gliner's processor, and the name in a saved one.
TOKENIZERS = {"transformer_tokenizer": "tokenizer", "labels_tokenizer": "labels_tokenizer"}

Loaded = Tuple[Any, Dict[str, Any]]


class Checkpoint(Pretrained):
    """A GLiNER model by name: hub id or local folder, and revision."""

    def load(self) -> Loaded:
        """Load it with the gliner library.

        RETURNS (Tuple[GLiNER, Dict[str, Any]]): The model, and where it came from, in
            the form of meta.json's "sources".
        RAISES (ValueError): It can't be had, is no GLiNER, or one of another kind.
        """
        self.verify()
        folder, commit = find_files(self.name, self.revision)
        for file, error in ((CONFIG, Errors.N132), (WEIGHTS, Errors.N133)):
            if not (folder / file).is_file():
                raise ValueError(error.format(folder=folder, file=file, source=self.name))
        config = json.loads((folder / CONFIG).read_text(encoding="utf8"))
        try:
            check_kind(config, self.name)
            refuse_remote_code(config, self.name)
            gliner = GLiNER.from_pretrained(str(folder))
        except OSError as e:
            # What a folder lacks is asked for by the names in its config.
            asked = [config.get("model_name"), config.get("labels_encoder")]
            looked_for = ", ".join(str(x) for x in (folder, *asked) if x)
            raise ValueError(_not_found(self.name, e, looked_for)) from e
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            # An alias of a shared tensor is named in the metadata.
            known = {*file.keys(), *(file.metadata() or {})}
        missing = sorted(set(gliner.model.state_dict()) - known)
        if missing:
            raise ValueError(Errors.N134.format(source=self.name, missing=missing))
        return gliner, self.source(commit, "the model block")


def find_files(
    name: str, revision: Optional[str], pickles: bool = False
) -> Tuple[Path, Optional[str]]:
    """Find the files of a model, on this machine or on the hub.

    name (str): Local folder or hub id.
    revision (Optional[str]): Commit or tag on the hub.
    pickles (bool): Whether pickled weights are wanted too.
    RETURNS (Tuple[Path, Optional[str]]): Their folder, and the commit they are of.
    RAISES (ValueError): There is no such folder or id, or it can't be reached.
    """
    if Path(name).is_dir():
        return Path(name), None
    patterns = [*PATTERNS, "*.bin"] if pickles else PATTERNS
    try:
        found = snapshot_download(name, revision=revision, allow_patterns=patterns)
    except (OSError, ValueError) as e:
        at = f" at revision {revision}" if revision else ""
        looked_for = f"a folder {name}, and {name}{at} on the hub"
        raise ValueError(_not_found(name, e, looked_for)) from e
    return Path(found), Path(found).name


def _not_found(name: str, error: Exception, looked_for: str) -> str:
    problem = type(error).__name__
    return Errors.N131.format(source=name, problem=problem, looked_for=looked_for)


# Of a probability of 0.01, about what an entity's span has among all spans.
PRIOR_LOGIT = -4.6


class Fresh:
    """A new GLiNER on a plain encoder: the encoder's weights, a random span head.

    encoder (Optional[Pretrained]): The encoder; the embedded one by default.
    options (Dict[str, Any]): Fields of gliner's config.
    seed (int): What the random weights are drawn from.
    """

    def __init__(
        self, encoder: Optional[Pretrained], options: Dict[str, Any], seed: int
    ) -> None:
        self.encoder = encoder
        self.options = options
        self.seed = seed

    def load(self) -> Loaded:
        """Build it; see `Checkpoint.load`."""
        encoder = self.encoder or make_embedded()
        encoder.verify()
        options: Dict[str, Any] = {"revision": encoder.revision or "main"}
        if encoder.is_folder:
            options = {"local_files_only": True}
        try:
            tokenizer = AutoTokenizer.from_pretrained(encoder.name, **options)
            backbone = AutoModel.from_pretrained(
                encoder.name, torch_dtype="float32", **options
            )
        except (OSError, ValueError) as e:
            problem = type(e).__name__
            where = "the model block"
            raise ValueError(
                Errors.N055.format(source=encoder.name, problem=problem, where=where)
            ) from e
        config = {
            **self.options,
            "model_name": encoder.record or encoder.name,
            "encoder_config": backbone.config.to_dict(),
        }
        source = encoder.source(getattr(backbone.config, "_commit_hash", None), "the model")
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            return _build_fresh(config, tokenizer, backbone), source


def _build_fresh(config: Dict[str, Any], tokenizer: Any, backbone: Any) -> Any:
    gliner = _construct(config, tokenizer=tokenizer)
    gliner.model.token_rep_layer.bert_layer.model = backbone
    # As the library's own from_config does, which would ask for the weights by name.
    tokenizer.add_tokens(gliner._get_special_tokens(), special_tokens=True)
    with _quiet():
        gliner.resize_embeddings()
    _init_head(gliner.model)
    return gliner


def _init_head(model: Any) -> None:
    """Draw the weights of a span head so that it learns from the first step: activations
    keep their size from layer to layer (He et al., "Delving deep into rectifiers", 2015;
    torch's default shrinks them sixfold in each), and every span begins as improbable as
    an entity is (Lin et al., "Focal loss for dense object detection", 2017, section 4.1).
    """
    spans, labels = model.span_rep_layer, model.prompt_rep_layer
    for module in (spans, labels, getattr(model.token_rep_layer, "projection", None)):
        for linear in () if module is None else module.modules():
            if isinstance(linear, torch.nn.Linear):
                torch.nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
                torch.nn.init.zeros_(linear.bias)
    ends = [spans.span_rep_layer.out_project[-1], labels[-1]]
    size = ends[0].out_features
    direction = torch.nn.functional.normalize(torch.randn(size), dim=0)
    for linear, sign in zip(ends, (-1.0, 1.0), strict=True):
        # The scores, products of the two, are spread by less than 1 around the logit.
        torch.nn.init.normal_(linear.weight, std=linear.in_features**-0.5 * size**-0.25)
        with torch.no_grad():
            linear.bias.copy_(sign * abs(PRIOR_LOGIT) ** 0.5 * direction)


@contextmanager
def _quiet() -> Iterator[None]:
    """transformers explains at length how it makes the rows of new tokens."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def _construct(values: Dict[str, Any], **tokenizers: Any) -> Any:
    """RETURNS (GLiNER): A model of the right class, with random weights. (The public
    constructor can't: it fails to turn itself into that class.)"""
    model_class = GLiNER._get_gliner_class(GLiNER._config_from_dict(dict(values)))
    # The class's own config: the general one leaves a label encoder's as a plain dict.
    fields = {key: value for key, value in values.items() if key != "model_type"}
    config = model_class.config_class(**fields)
    return model_class(config, backbone_from_pretrained=False, **tokenizers)


def check_kind(config: Dict[str, Any], source: str) -> None:
    """Refuse models that do more, or other, than find entities of given labels.

    config (Dict[str, Any]): The model's gliner_config.json.
    source (str): The model's name, for the error message.
    RAISES (ValueError): It is of another kind.
    """
    kind = GLiNER._get_gliner_class(GLiNER._config_from_dict(config)).__name__
    if kind not in KINDS:
        raise ValueError(Errors.N135.format(source=source, kind=kind))


def refuse_remote_code(config: Dict[str, Any], source: str) -> None:
    """Refuse encoders that bring code of their own: the library would run it.

    config (Dict[str, Any]): The model's gliner_config.json.
    source (str): The model's name, for the error message.
    RAISES (ValueError): The config of an encoder names code.
    """
    for name, encoder in (
        ("model_name", "encoder_config"),
        ("labels_encoder", "labels_encoder_config"),
    ):
        found = config.get(encoder)
        if found is None and config.get(name):
            found = AutoConfig.from_pretrained(config[name]).to_dict()
        if found and found.get("auto_map"):
            raise ValueError(Errors.N141.format(source=source))


def to_message(gliner: Any) -> Dict[str, Any]:
    """Put a model into plain values.

    gliner (GLiNER): The model.
    RETURNS (Dict[str, Any]): "weights" (safetensors), "config", and "tokenizers": the
        files of each.
    """
    tensors: Dict[str, Any] = {}
    seen = set()
    for key, value in gliner.model.state_dict().items():
        value = value.detach().cpu().contiguous()
        # safetensors refuses tensors that share memory.
        tensors[key] = value.clone() if value.data_ptr() in seen else value
        seen.add(value.data_ptr())
    processor = gliner.data_processor
    return {
        "weights": save(tensors),
        "config": _plain_config(gliner.config),
        "tokenizers": {
            name: _tokenizer_files(getattr(processor, attribute))
            for attribute, name in TOKENIZERS.items()
            if getattr(processor, attribute, None) is not None
        },
    }


def from_message(message: Dict[str, Any]) -> Any:
    """Restore what `to_message` made.

    message (Dict[str, Any]): The values.
    RETURNS (GLiNER): The model.
    RAISES (ValueError): A weight is missing or unexpected.
    """
    tokenizers = {k: _make_tokenizer(v) for k, v in message["tokenizers"].items()}
    gliner = _construct(message["config"], **tokenizers)
    tensors = load(message["weights"])
    first = next(iter(tensors.values()))
    gliner.model.to(first.dtype)
    keys = gliner.model.load_state_dict(tensors, strict=False)
    if keys.missing_keys or keys.unexpected_keys:
        raise ValueError(
            Errors.N056.format(missing=keys.missing_keys, unexpected=keys.unexpected_keys)
        )
    return gliner


def _plain_config(config: Any) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): A copy without the folders it was read from, which have
    no meaning in a saved pipeline."""
    values = json.loads(json.dumps(config.to_dict(), default=str))
    for found in (values, values["encoder_config"], values.get("labels_encoder_config")):
        if found:
            found.pop("_name_or_path", None)
    for key in ("model_name", "labels_encoder"):
        if values.get(key) and Path(values[key]).is_absolute():
            values[key] = Path(values[key]).name
    return values


def _tokenizer_files(tokenizer: Any) -> Dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {x.name: x.read_bytes() for x in sorted(Path(folder).iterdir())}


def _make_tokenizer(files: Dict[str, bytes]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
