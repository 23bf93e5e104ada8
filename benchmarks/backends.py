"""Which runtime computes an encoder fastest on the processor, and how exactly: torch, ONNX
Runtime and OpenVINO, in float32, bfloat16 and 8 bits.

    pip install openvino nncf
    python benchmarks/backends.py [--words 1500] [--rounds 5] [--output FILE]

The forward pass of the embedded encoder alone, one thread, on the word pieces of wnut17's
sentences, as they are and joined, in batches as `nlp.pipe` makes them; systems take turns.
The error is the root of the mean square of what a system's vectors differ by from torch's
in float32, as a share of theirs. OpenVINO's rows are left out where it is not installed.
Importing `openvino` and `nncf` reports that to their makers, unless `opt_in_out --opt_out`
was run before.
"""

import json
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer
from encoder_data import backbone_folder
from speed_encoder import ROW_PIECES, make_rows, pad, take_words
from speed_measure import (
    compare,
    describe_error,
    describe_machine,
    interleave,
    version_of,
)
from transformers import AutoModel, AutoTokenizer
from wasabi import msg

from ner_components.onnx_graph import export, quantize_rows
from ner_components.precision import (
    _FirstOutput,
    make_precision,
    make_samples,
    reduce_encoder,
)
from ner_components.windows import make_batches

PLAIN = "torch float32"
# Ours: the settings of a model block.
OURS = {
    "torch bfloat16": ("bfloat16", "torch"),
    "onnxruntime float32": ("float32", "onnxruntime"),
    "onnxruntime int8": ("int8", "onnxruntime"),
}
GROUPS = (32, 64)  # values of an activation that share a scale in OpenVINO's 8 bits
MAX_ITEMS = 512  # as the model blocks' default
Batch = dict[str, torch.Tensor]
Forward = Callable[[Batch], torch.Tensor]


def make_texts(words: int) -> dict[str, list[Batch]]:
    """RETURNS (dict): batches of pieces and masks, (windows, time), by the texts' name."""
    tokenizer = AutoTokenizer.from_pretrained(backbone_folder())
    sentences = take_words("wnut17", words)
    texts = {"sentences": sentences, f"rows of {ROW_PIECES}": [" ".join(sentences)]}
    return {name: cut(make_rows(tokenizer, x)) for name, x in texts.items()}


def cut(rows: list[list[int]]) -> list[Batch]:
    chosen = make_batches([len(x) for x in rows], MAX_ITEMS)
    return [pad([rows[i] for i in batch]) for batch in chosen]


def make_forward(model: Any) -> Forward:
    """RETURNS (Callable): the first output of a torch module."""

    def forward(batch: Batch) -> torch.Tensor:
        with torch.inference_mode():
            return model(**batch)[0]

    return forward


def make_openvino(graph: Any, precision: str, **settings: Any) -> Forward:
    """RETURNS (Callable): the output of a graph that OpenVINO computes."""
    import openvino

    options = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
    options |= {"INFERENCE_PRECISION_HINT": precision, **settings}
    request = openvino.compile_model(graph, "CPU", options).create_infer_request()

    def forward(batch: Batch) -> torch.Tensor:
        arrays = [x.numpy() for x in batch.values()]
        return torch.from_numpy(request.infer(arrays, share_inputs=True)[0])

    return forward


def make_systems(sample: list[Batch]) -> tuple[dict[str, Forward], dict[str, str]]:
    """RETURNS (tuple): the systems, and why others can't be had."""
    encoder = AutoModel.from_pretrained(backbone_folder(), add_pooling_layer=False).eval()
    systems = {PLAIN: make_forward(encoder)}
    for name, settings in OURS.items():
        reduced = reduce_encoder(encoder, make_precision(*settings), None)
        systems[name] = make_forward(reduced)
    try:
        systems |= make_openvino_systems(encoder, sample)
    except Exception as e:
        return systems, {"openvino": describe_error(e)}
    return systems, {}


def make_openvino_systems(encoder: Any, sample: list[Batch]) -> dict[str, Forward]:
    """RETURNS (dict): OpenVINO's systems: a graph as it is, in 8 bits as ours are, and in
    8 bits by its own tools, with scales of the activation at hand or of a sample."""
    import nncf
    import openvino

    samples = make_samples(encoder)
    exported = export(_FirstOutput(encoder), samples)

    def read(graph: bytes) -> Any:
        return openvino.Core().read_model(graph)

    systems = {
        "openvino float32": make_openvino(read(exported), "f32"),
        "openvino bfloat16": make_openvino(read(exported), "bf16"),
        "openvino int8, our graph": make_openvino(
            read(quantize_rows(exported, samples)), "f32"
        ),
    }
    for size in GROUPS:
        mode = nncf.CompressWeightsMode.INT8_SYM
        systems[f"openvino int8, groups of {size}"] = make_openvino(
            nncf.compress_weights(read(exported), mode=mode),
            "f32",
            DYNAMIC_QUANTIZATION_GROUP_SIZE=size,
        )
    data = nncf.Dataset([[x.numpy() for x in batch.values()] for batch in sample])
    fixed = nncf.quantize(
        read(exported),
        data,
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(sample),
    )
    systems["openvino int8, scales of a sample"] = make_openvino(fixed, "f32")
    return systems


def error(
    found: list[torch.Tensor], wanted: list[torch.Tensor], sets: list[Batch]
) -> float:
    """RETURNS (float): see above; padding does not count."""
    kept = [batch["attention_mask"].bool() for batch in sets]
    pairs = list(zip(found, wanted, kept, strict=True))
    difference = sum(float(((x - y)[mask] ** 2).sum()) for x, y, mask in pairs)
    return (difference / sum(float((y[mask] ** 2).sum()) for _, y, mask in pairs)) ** 0.5


def run(forward: Forward, sets: list[Batch]) -> list[torch.Tensor]:
    return [forward(batch) for batch in sets]


def measure(systems: dict[str, Forward], sets: list[Batch], rounds: int) -> list[dict]:
    """RETURNS (list[dict]): a row for each system."""
    runs = {name: partial(run, f, sets) for name, f in systems.items()}
    found = {name: run() for name, run in runs.items()}  # the warm-up
    timed = interleave(runs, rounds)
    seconds = {name: [x["cpu"] for x in values] for name, values in timed.items()}
    plain = seconds[PLAIN]
    return [
        {
            "system": name,
            "seconds": median(values),
            "speed": compare(plain, values),
            "error": error(found[name], found[PLAIN], sets),
        }
        for name, values in seconds.items()
    ]


def main(
    words: Annotated[int, typer.Option()] = 1500,
    rounds: Annotated[int, typer.Option()] = 5,
    output: Annotated[Path | None, typer.Option(help="Where the JSON goes")] = None,
) -> None:
    """Measure, print a table."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    texts = make_texts(words)
    systems, left_out = make_systems(texts["sentences"])
    rows = [
        {"texts": name, **row}
        for name, sets in texts.items()
        for row in measure(systems, sets, rounds)
    ]
    machine = describe_machine(1)
    machine["versions"] |= {x: version_of(x) for x in ("openvino", "nncf")}
    report = {"machine": machine, "rounds": rounds, "rows": rows, "left_out": left_out}
    if output is not None:
        output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf8")
    table = [
        (x["texts"], x["system"], f"{x['speed']['median']:.2f}", f"{x['error']:.4f}")
        for x in rows
    ]
    msg.table(table, header=("texts", "system", "speed", "error"), divider=True)
    for name, reason in left_out.items():
        msg.warn(f"{name} is left out: {reason}")


if __name__ == "__main__":
    typer.run(main)
