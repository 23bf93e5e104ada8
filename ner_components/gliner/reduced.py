"""A GLiNER model that predicts in less than float32: its encoder, and what the span head
computes for each word. What it computes for each span, and an LSTM, stay as they are."""

import copy
from typing import Any, Tuple

from ..errors import Errors
from ..precision import (
    Graphs,
    OnnxModule,
    Precision,
    bfloat16_linear,
    make_graph,
    make_samples,
    reduce_encoder,
)
from .scores import MarkerEnds

try:
    import torch
except ImportError as e:
    raise ImportError(Errors.N130.format(package=e.name, extra="gliner")) from e


def reduce_gliner(model: Any, precision: Precision, graphs: Graphs) -> Tuple[Any, Graphs]:
    """Make what predicts in a model's place.

    model (torch.nn.Module): The torch module of a GLiNER, left as it is.
    precision (Precision): What it is to compute in.
    graphs (Graphs): ONNX graphs from an earlier time, if there are any.
    RETURNS (Tuple[torch.nn.Module, Graphs]): The module, and its graphs.
    RAISES: See `ner_components.precision.reduce_encoder`.
    """
    # Weights are shared: only what is replaced is made anew.
    reduced = copy.deepcopy(model, {id(x): x for x in model.parameters()})
    layer = reduced.token_rep_layer
    has_projection = hasattr(layer, "projection")
    head = None
    if reduced.config.span_mode == "markerV0":
        head = MarkerEnds(reduced.span_rep_layer.span_rep_layer)
    encoder = layer.bert_layer.model
    if precision.backend == "torch":
        layer.bert_layer.model = reduce_encoder(encoder, precision, None)
        if has_projection:
            layer.projection = bfloat16_linear(layer.projection)
        if head is not None:
            reduced.marker_ends = _Bfloat16Ends(head)
        return reduced, {}
    if layer.bert_layer.config.fuse_layers:
        kind, problem = type(model).__name__, "fuse_layers"
        raise ValueError(Errors.N062.format(kind=kind, problem=problem))
    layer.bert_layer.model = reduce_encoder(encoder, precision, graphs.get("encoder"))
    made: Graphs = {"encoder": layer.bert_layer.model.graph}
    parts = {"projection": layer.projection} if has_projection else {}
    if head is not None:
        parts["ends"] = head
    if parts.keys() <= graphs.keys():
        made |= {part: graphs[part] for part in parts}
    else:
        # Each part is shown what the one before it makes of samples.
        with torch.no_grad():
            rows = encoder(*make_samples(encoder))[0]
            for part, module in parts.items():
                made[part] = make_graph(module, [rows], precision)
                rows = module(rows)
    if has_projection:
        layer.projection = OnnxModule(made["projection"])
    if head is not None:
        reduced.marker_ends = OnnxModule(made["ends"])
    return reduced, made


class _Bfloat16Ends(torch.nn.Module):
    """`MarkerEnds` in bfloat16; what goes in and out is float32.

    ends (MarkerEnds): Left as it is.
    """

    def __init__(self, ends: MarkerEnds) -> None:
        super().__init__()
        self.ends = copy.deepcopy(ends).to(torch.bfloat16)

    def forward(self, words: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        starts, ends = self.ends(words.bfloat16())
        return starts.float(), ends.float()
