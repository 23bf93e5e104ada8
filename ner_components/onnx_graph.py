"""A torch module as an ONNX graph, and its matrix products in 8 bits.

An activation is scaled by the greatest value of its own row, so that what a batch holds
beside it changes nothing; a weight by the greatest of its output column. (Dynamic
quantisation as ONNX Runtime's own tool writes it takes one scale for a whole batch.)
"""

import io
import warnings
from typing import Any, Dict, List, NamedTuple, Set

import numpy

from .errors import Errors
from .types import Ints1d

try:
    import onnx
    import onnxruntime
    import torch
    from onnx import helper, numpy_helper
except ImportError as e:
    raise ImportError(Errors.N061.format(package=e.name)) from e

OPSET = 17
# A narrow product (a classifier's few columns) gains nothing and decides everything.
LEAST_WIDTH = 64
# A channel that is so many times the median one outlies; at most so many do.
OUTLYING, MOST_OUTLIERS = 3.0, 16
# What GELU returns, exact or approximated, is at least this: nearly all of its range is
# above zero.
GELU_LEAST = -0.1701
CONSTANTS = {
    "ner_middle": numpy.uint8(128),
    "ner_zero": numpy.uint8(0),
    "ner_one": numpy.float32(1.0),
    "ner_signed_step": numpy.float32(1 / 127),
    "ner_unsigned_step": numpy.float32(1 / 255),
    "ner_least": numpy.float32(1e-9),
}


def export(module: Any, samples: List[Any]) -> bytes:
    """Write a module as a graph whose first two dimensions can be of any length.

    module (torch.nn.Module): The module, on the processor.
    samples (List[torch.Tensor]): What it might be given, (windows, time, ...).
    RETURNS (bytes): The graph.
    RAISES (ValueError): torch can't write it.
    """
    inputs = [f"input_{i}" for i in range(len(samples))]
    buffer = io.BytesIO()
    try:
        # The exporter warns of what it traces, and of its successor, which wants a
        # compiler of ONNX functions as one more package.
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(),
                tuple(samples),
                buffer,  # type: ignore[arg-type]
                input_names=inputs,
                dynamic_axes={name: {0: "windows", 1: "time"} for name in inputs},
                opset_version=OPSET,
                dynamo=False,
            )
    except Exception as e:
        kind, problem = type(module).__name__, type(e).__name__
        raise ValueError(Errors.N062.format(kind=kind, problem=problem)) from e
    return buffer.getvalue()


def quantize_rows(graph: bytes, samples: List[Any]) -> bytes:
    """Compute the products of a graph with constant matrices in 8 bits.

    A few channels of an encoder's activations are many times as large as the others and
    would set the scale for all (Dettmers et al., "LLM.int8()", 2022): their part of a
    product is computed in float32 and added.

    graph (bytes): What `export` made.
    samples (List[torch.Tensor]): Inputs that show which channels those are.
    RETURNS (bytes): The same, with `MatMulInteger` in place of those `MatMul`.
    """
    model = onnx.load_from_string(graph)
    weights = {x.name: x for x in model.graph.initializer}
    chosen = [x for x in model.graph.node if x.op_type == "MatMul" and _is_wide(x, weights)]
    rewritten = _Rewritten(_survey(model, {x.input[0] for x in chosen}, samples))
    outputs = {x.output[0] for x in chosen}
    for node in model.graph.node:
        if node.output[0] in outputs:
            rewritten.replace(node, numpy_helper.to_array(weights[node.input[1]]))
        else:
            rewritten.nodes.append(node)
    used = {name for node in rewritten.nodes for name in node.input}
    kept = [x for x in model.graph.initializer if x.name in used]
    for key, x in {**rewritten.arrays, **CONSTANTS}.items():
        array = numpy.asarray(x)
        array = array.astype("float32") if array.dtype == "float64" else array
        kept.append(numpy_helper.from_array(array, key))
    for field, values in (("initializer", kept), ("node", rewritten.nodes)):
        model.graph.ClearField(field)
        getattr(model.graph, field).extend(values)
    return model.SerializeToString()


def _is_wide(node: Any, weights: Dict[str, Any]) -> bool:
    weight = weights.get(node.input[1])
    return weight is not None and len(weight.dims) == 2 and min(weight.dims) >= LEAST_WIDTH


class _Channels(NamedTuple):
    """What is known of a value of the graph.

    outliers (Ints1d): Its outlying channels.
    is_gelu (bool): Whether it is bounded below as GELU's output is.
    """

    outliers: Ints1d
    is_gelu: bool


def _survey(model: Any, names: Set[str], samples: List[Any]) -> Dict[str, _Channels]:
    """RETURNS (Dict[str, _Channels]): What the samples show of each of the values named."""
    inputs = {x.name: y.numpy() for x, y in zip(model.graph.input, samples, strict=True)}
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    order = sorted(names - set(inputs))
    shown.graph.output.extend(helper.make_empty_tensor_value_info(x) for x in order)
    session = onnxruntime.InferenceSession(
        shown.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    # Asked for no output, a session gives all.
    shown_values = session.run(order, inputs) if order else []
    values = dict(zip(order, shown_values, strict=True)) | inputs
    found = {}
    for name in names:
        rows = values[name].reshape(-1, values[name].shape[-1])
        channels = numpy.abs(rows).max(axis=0)
        largest = numpy.argsort(-channels)[:MOST_OUTLIERS]
        outliers = largest[channels[largest] > OUTLYING * numpy.median(channels)]
        # Values that are small on both sides are none of GELU's.
        is_gelu = bool(rows.min() >= GELU_LEAST and rows.max() >= 1.0)
        found[name] = _Channels(outliers, is_gelu)
    return found


class _Rewritten:
    """Nodes and arrays of the new graph.

    channels (Dict[str, _Channels]): What is known of the values that are multiplied.
    """

    def __init__(self, channels: Dict[str, _Channels]) -> None:
        self.channels = channels
        self.nodes: List[Any] = []
        self.arrays: Dict[str, Any] = {}
        # What was scaled already: query, key and value read the same rows.
        self.scaled: Set[str] = set()

    def replace(self, node: Any, weight: Any) -> None:
        """Write x @ w as (codes of x @ codes of w) * steps of w * step of the row, and
        the outlying channels of x @ theirs of w; GELU's range begins with code 0."""
        x, name = node.input[0], f"ner_{node.output[0]}"
        outliers, is_gelu = self.channels[x]
        few = weight[outliers]
        weight = weight.copy()
        weight[outliers] = 0
        steps = numpy.maximum(numpy.abs(weight).max(axis=0), 1e-9) / 127
        codes = numpy.rint(weight / steps)
        self.arrays[f"{name}_weight"] = codes.astype("int8")
        self.arrays[f"{name}_steps"] = steps.astype("float32")
        if x not in self.scaled:
            self.scaled.add(x)
            self._scale(x, len(weight))
        zero = "ner_zero" if is_gelu else "ner_middle"
        self._add("MatMulInteger", [f"ner_{x}_codes", f"{name}_weight", zero], f"{name}_i")
        self._add("Cast", [f"{name}_i"], f"{name}_f", to=onnx.TensorProto.FLOAT)
        self._add("Mul", [f"{name}_f", f"{name}_steps"], f"{name}_g")
        self._add("Mul", [f"{name}_g", f"ner_{x}_step"], f"{name}_most")
        rest = f"{name}_most"
        if is_gelu:
            # The codes count from the least value, so that much is in every channel.
            self.arrays[f"{name}_shift"] = GELU_LEAST * (codes * steps).sum(axis=0)
            rest = self._add("Add", [rest, f"{name}_shift"], f"{name}_shifted")
        if len(outliers):
            self.arrays[f"{name}_few"] = few
            self._add("MatMul", [f"ner_{x}_few", f"{name}_few"], f"{name}_part")
            rest = self._add("Add", [rest, f"{name}_part"], f"{name}_whole")
        self._add("Identity", [rest], node.output[0])

    def _scale(self, x: str, width: int) -> None:
        """Write the codes of x, the step of each of its rows, and its outliers."""
        outliers, is_gelu = self.channels[x]
        name, kept = f"ner_{x}", x
        if len(outliers):
            mask = numpy.ones(width, dtype="float32")
            mask[outliers] = 0
            self.arrays |= {f"{name}_mask": mask, f"{name}_places": outliers}
            self._add("Gather", [x, f"{name}_places"], f"{name}_few", axis=-1)
            kept = self._add("Mul", [x, f"{name}_mask"], f"{name}_kept")
        if is_gelu:
            self.arrays[f"{name}_least"] = numpy.float32(GELU_LEAST)
            kept = self._add("Sub", [kept, f"{name}_least"], f"{name}_raised")
            size, zero, step = kept, "ner_zero", "ner_unsigned_step"
        else:
            size = self._add("Abs", [kept], f"{name}_abs")
            zero, step = "ner_middle", "ner_signed_step"
        self._add("ReduceMax", [size], f"{name}_max", axes=[-1])
        self._add("Max", [f"{name}_max", "ner_least"], f"{name}_range")
        self._add("Mul", [f"{name}_range", step], f"{name}_step")
        self._add("Div", [kept, f"{name}_step"], f"{name}_divided")
        self._add("QuantizeLinear", [f"{name}_divided", "ner_one", zero], f"{name}_codes")

    def _add(self, kind: str, inputs: List[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output
