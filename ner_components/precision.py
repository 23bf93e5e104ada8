"""Prediction in less than float32: a copy of an encoder that computes in bfloat16, or as
an ONNX graph, in float32 or with 8-bit products. Weights that are trained and saved stay
float32, so a precision is a setting: it can be changed when a pipeline is loaded.
"""

import copy
import os
import warnings
from pathlib import Path
from threading import Lock
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from .errors import Errors, Warnings

try:
    import torch
except ImportError as e:
    raise ImportError(Errors.N050.format(package=e.name)) from e

PRECISIONS = ("float32", "bfloat16", "int8")
# For each precision what it can be computed by; the first where nothing is said.
BACKENDS = {
    "float32": ("torch", "onnxruntime"),
    "bfloat16": ("torch",),
    "int8": ("onnxruntime",),
}
# For each precision the features of a processor, any of which makes it fast.
FEATURES = {
    "bfloat16": ("avx512_bf16", "amx_bf16"),
    "int8": ("avx512_vnni", "avx_vnni"),
}
CPUINFO = Path("/proc/cpuinfo")
# ONNX graphs of one precision, by the part of the model that each computes.
Graphs = Dict[str, bytes]


class Precision(NamedTuple):
    """What a model predicts in.

    name (str): One of `PRECISIONS`.
    backend (str): "torch" or "onnxruntime".
    """

    name: str
    backend: str

    @property
    def is_plain(self) -> bool:
        """RETURNS (bool): Whether the weights are computed with as they are."""
        return self == PLAIN


PLAIN = Precision("float32", "torch")


def make_precision(precision: str, backend: Optional[str] = None) -> Precision:
    """Check the settings of a model block.

    precision (str): One of `PRECISIONS`.
    backend (Optional[str]): What computes it; see `BACKENDS`.
    RETURNS (Precision): The settings, complete.
    RAISES (ValueError): One is unknown, or they don't go together.
    """
    for setting, value, allowed in (
        ("precision", precision, PRECISIONS),
        ("backend", backend, (None, *BACKENDS.get(precision, ()))),
    ):
        if value not in allowed:
            values = ", ".join("null" if x is None else f'"{x}"' for x in allowed)
            raise ValueError(
                Errors.N020.format(
                    name="...model", setting=setting, value=value, allowed=values
                )
            )
    return Precision(precision, backend or BACKENDS[precision][0])


class Predictor:
    """What predicts in place of a model that is not plain: made when it is first needed,
    kept until the weights change, and saved as its graphs.

    precision (Precision): What it computes in.
    """

    def __init__(self, precision: Precision) -> None:
        self.precision = precision
        self.module: Any = None
        self.graphs: Graphs = {}
        self.lock = Lock()

    def get(self, make: Callable[[Graphs], Tuple[Any, Graphs]]) -> Any:
        """Make it, unless that is done.

        make (Callable[[Graphs], Tuple[Any, Graphs]]): Makes it and its graphs, of those
            that there are from an earlier time.
        RETURNS (torch.nn.Module): It.
        """
        if self.module is None:
            with self.lock:
                if self.module is None:
                    self.module, self.graphs = make(self.graphs)
        return self.module

    def forget(self) -> None:
        """The weights are other ones now."""
        self.module, self.graphs = None, {}

    def to_message(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): What `from_message` reads."""
        return {"precision": list(self.precision), "graphs": self.graphs}

    def from_message(self, message: Dict[str, Any]) -> None:
        """Take the graphs of a saved pipeline; those of another precision are of no use."""
        fits = message.get("precision") == list(self.precision)
        self.graphs = message["graphs"] if fits else {}

    def __getstate__(self) -> Dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "lock"}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.lock = Lock()


def reduce_encoder(encoder: Any, precision: Precision, graph: Optional[bytes]) -> Any:
    """Make what predicts in an encoder's place.

    encoder (PreTrainedModel): A transformers model.
    precision (Precision): What it is to compute in.
    graph (Optional[bytes]): Its ONNX graph, where there is one from an earlier time.
    RETURNS (torch.nn.Module): Takes `input_ids` and `attention_mask`, (windows, time).
        The first of what it returns is the encoder's first output, in float32.
    RAISES (ImportError): A package is not installed.
    RAISES (ValueError): The encoder is on a GPU, or can't be written as a graph.
    """
    warn_of_processor(precision)
    if precision.backend == "torch":
        return Bfloat16Encoder(encoder)
    if next(encoder.parameters()).device.type != "cpu":
        raise ValueError(Errors.N060.format(precision=precision.name))
    if graph is None:
        graph = make_graph(_FirstOutput(encoder), make_samples(encoder), precision)
    return OnnxEncoder(graph, encoder.config)


def make_graph(module: Any, samples: List[Any], precision: Precision) -> bytes:
    """Write a torch module as an ONNX graph.

    module (torch.nn.Module): The module, on the processor.
    samples (List[torch.Tensor]): Such input as it is given, (windows, time, ...).
    precision (Precision): What the graph is to compute in.
    RETURNS (bytes): The graph.
    RAISES (ImportError): A package is not installed.
    RAISES (ValueError): torch can't write it.
    """
    from .onnx_graph import export, quantize_rows

    graph = export(module, samples)
    return quantize_rows(graph, samples) if precision.name == "int8" else graph


def make_samples(encoder: Any) -> List[Any]:
    """RETURNS (List[torch.Tensor]): Input for an encoder: pieces drawn at random, always
    the same, and a mask without padding. Which channels of its activations are large
    hardly depends on the text."""
    generator = torch.Generator().manual_seed(0)
    size = (64, 32)
    ids = torch.randint(encoder.config.vocab_size, size, generator=generator)
    return [ids, torch.ones(size, dtype=torch.int64)]


def bfloat16_linear(module: Any) -> Any:
    """RETURNS (torch.nn.Module): A copy whose linear layers multiply in bfloat16. All
    else stays as it is and is shared."""
    made = copy.deepcopy(module, {id(x): x for x in module.parameters()})
    if isinstance(made, torch.nn.Linear):
        return Bfloat16Linear(made)
    for parent in list(made.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.Linear):
                setattr(parent, name, Bfloat16Linear(child))
    return made


class Bfloat16Encoder(torch.nn.Module):
    """An encoder that computes in bfloat16, but for what is added up from layer to layer.
    Attention stays float32 too where it isn't torch's own, which adds up in float32.

    encoder (PreTrainedModel): A transformers model, left as it is.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = bfloat16_linear(encoder)
        self.config = encoder.config
        self.device = next(encoder.parameters()).device.type
        attention = getattr(encoder.config, "_attn_implementation", None)
        self.has_torch_attention = attention == "sdpa"

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """RETURNS (ModelOutput): What the encoder returns."""
        enabled = self.has_torch_attention
        with torch.autocast(self.device, torch.bfloat16, enabled=enabled):
            return self.encoder(*inputs, **options)


class Bfloat16Linear(torch.nn.Module):
    """A linear layer that multiplies in bfloat16. What comes out is float32, unless it is
    used in an autocast's context.

    linear (torch.nn.Linear): The layer, left as it is.
    """

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight.detach().bfloat16()
        self.bias = None if linear.bias is None else linear.bias.detach().bfloat16()

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """RETURNS (torch.Tensor): Of the rows, (..., width)."""
        found = torch.nn.functional.linear(rows.bfloat16(), self.weight, self.bias)
        return found if torch.is_autocast_enabled(rows.device.type) else found.float()


class _FirstOutput(torch.nn.Module):
    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]


class OnnxModule(torch.nn.Module):
    """A graph that ONNX Runtime computes, on the processor.

    graph (bytes): What `make_graph` made.
    """

    def __init__(self, graph: bytes) -> None:
        super().__init__()
        self.graph = graph
        self.lock = Lock()
        # By process: the threads of a session don't live on in a forked worker, which would
        # wait for them for ever if it used the session or let it go.
        self._sessions: Dict[int, Any] = {}
        self._session()

    def forward(self, *inputs: torch.Tensor) -> Any:
        """Compute the graph.

        inputs (torch.Tensor): One for each input of the graph, in order.
        RETURNS (Union[torch.Tensor, Tuple[torch.Tensor, ...]]): The output, or all.
        """
        session = self._session()
        names = [x.name for x in session.get_inputs()]
        arrays = [x.contiguous().numpy() for x in inputs]
        found = session.run(None, dict(zip(names, arrays, strict=True)))
        outputs = tuple(torch.from_numpy(x) for x in found)
        return outputs if len(outputs) > 1 else outputs[0]

    def _session(self) -> Any:
        """RETURNS (InferenceSession): This process' own, as many threads as torch has."""
        process = os.getpid()
        if process not in self._sessions:
            with self.lock:
                if process not in self._sessions:
                    self._sessions[process] = _make_session(self.graph)
        return self._sessions[process]

    def __getstate__(self) -> Dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("lock", "_sessions")}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.lock, self._sessions = Lock(), {}


class OnnxEncoder(OnnxModule):
    """An encoder as a graph.

    graph (bytes): What `make_graph` made.
    config (PretrainedConfig): The encoder's.
    """

    def __init__(self, graph: bytes, config: Any) -> None:
        super().__init__(graph)
        self.config = config

    def forward(  # type: ignore[override]
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any
    ) -> Tuple[torch.Tensor]:
        """See `reduce_encoder`."""
        return (super().forward(input_ids, attention_mask.long()),)


def _make_session(graph: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError as e:
        raise ImportError(Errors.N061.format(package=e.name)) from e
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that wait for work by spinning take the time of torch's own.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, ["CPUExecutionProvider"])


def warn_of_processor(precision: Precision) -> None:
    """Warn where the processor lacks what makes a precision fast. Elsewhere than on x86
    under Linux nobody knows."""
    names = FEATURES.get(precision.name, ())
    flags = processor_flags()
    if names and flags and not flags & set(names):
        features = " or ".join(names)
        warnings.warn(Warnings.W060.format(precision=precision.name, features=features))


def processor_flags() -> set[str]:
    """RETURNS (set[str]): What the processor can do, in Linux's words; empty where that
    can't be found out."""
    return set(_read_cpuinfo("flags").split())


def processor_name() -> str:
    """RETURNS (str): The processor's name, "unknown" where that can't be found out."""
    return _read_cpuinfo("model name") or "unknown"


def _read_cpuinfo(key: str) -> str:
    # All cores are alike.
    lines = CPUINFO.read_text(encoding="utf8").splitlines() if CPUINFO.is_file() else []
    found = (line.split(":", 1)[1].strip() for line in lines if line.startswith(key))
    return next(found, "")
