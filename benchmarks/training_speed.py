"""A training step of `ner_encoder` beside a plain torch loop with the same model, batches
and padding.

    python benchmarks/training_speed.py [--steps 20] [--rounds 5] [--output FILE]

Steps of all systems take turns in one process with one thread; medians of CPU seconds.
"""

import json
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import spacy
import torch
import typer
from encoder_data import backbone_folder, read_split
from encoder_systems import make_examples
from spacy.training import Example
from thinc.api import Adam, Optimizer
from transformers import AutoModelForTokenClassification

from ner_components.encoder.transformer import _make_plan
from ner_components.optimizer import make_fused_adam
from ner_components.precision import FEATURES, processor_flags

SENTENCES = 32  # of a step
DATASET = "wnut17"
# Settings of the model block, by what the row is called.
OURS: dict[str, dict[str, Any]] = {
    "ner_encoder": {},
    "ner_encoder, freeze_embeddings": {"freeze_embeddings": True},
    "ner_encoder, mixed_precision": {"mixed_precision": True},
    "ner_encoder, both": {"freeze_embeddings": True, "mixed_precision": True},
}
THINC = "ner_encoder, Adam.v1"
PLAIN = "torch loop"
Step = Callable[[list[Example]], None]


def make_ours(
    settings: dict[str, Any],
    examples: list[Example],
    make_optimizer: Callable[..., Optimizer] = make_fused_adam,
) -> Step:
    """RETURNS (Callable): one update by spaCy."""
    nlp = spacy.blank("en")
    tok2vec = {"@architectures": "ner_components.Transformer.v1", **settings}
    model = {"@architectures": "ner_components.TokenClassifier.v1", "tok2vec": tok2vec}
    nlp.add_pipe("ner_encoder", name="ner", config={"model": model})
    optimizer = make_optimizer(
        1e-5, grad_clip=1.0, L2=0.01, L2_is_weight_decay=True, use_averages=False
    )
    nlp.initialize(lambda: examples, sgd=optimizer)

    def step(batch: list[Example]) -> None:
        nlp.update(batch, sgd=optimizer, drop=0.0)

    return step


def make_plain(nlp: Any, examples: list[Example], fused: bool) -> Step:
    """RETURNS (Callable): one update as a plain loop makes it, on the windows that ours
    cuts a batch into."""
    ner = nlp.get_pipe("ner")
    shim = ner.model.get_ref("tok2vec").shims[0]
    hf = AutoModelForTokenClassification.from_pretrained(
        backbone_folder(), num_labels=len(ner.tag_set.tags)
    ).train()
    optimizer = torch.optim.AdamW(hf.parameters(), lr=1e-5, weight_decay=0.01, fused=fused)

    def step(batch: list[Example]) -> None:
        docs = [eg.predicted for eg in batch]
        gold = torch.cat([torch.from_numpy(ner._gold_tags(eg)) for eg in batch])
        for part in _make_plan(ner.model.get_ref("tok2vec"), shim, docs):
            ids, mask, rows, *_ = part.to_torch(shim).args
            logits = hf(input_ids=ids, attention_mask=mask).logits.flatten(0, 1)[rows]
            loss = torch.nn.functional.cross_entropy(logits, gold[part.targets])
            loss.backward()
        torch.nn.utils.clip_grad_norm_(hf.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def main(
    steps: Annotated[int, typer.Option(help="In a round")] = 10,
    rounds: Annotated[int, typer.Option()] = 5,
    output: Annotated[Path | None, typer.Option(help="Where the JSON goes")] = None,
) -> None:
    """Measure, print a table."""
    torch.set_num_threads(1)
    nlp = spacy.blank("en")
    sentences = sorted(read_split(DATASET, "train"), key=lambda x: len(x.tokens))
    # Batches of like length, from short to long, as a batcher by length would make them.
    stride = len(sentences) // (steps * SENTENCES)
    examples = make_examples(nlp, sentences[:: max(1, stride)][: steps * SENTENCES])
    batches = [examples[i : i + SENTENCES] for i in range(0, steps * SENTENCES, SENTENCES)]
    systems = {name: make_ours(x, examples) for name, x in OURS.items()}
    systems[THINC] = make_ours({}, examples, Adam)
    nlp.add_pipe("ner_encoder", name="ner")
    nlp.initialize(lambda: examples)
    systems[PLAIN] = make_plain(nlp, examples, fused=False)
    systems[f"{PLAIN}, fused AdamW"] = make_plain(nlp, examples, fused=True)
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for number in range(rounds + 1):
        for name, step in systems.items():
            start = time.process_time()
            for batch in batches:
                step(batch)
            if number:
                seconds[name].append((time.process_time() - start) / len(batches))
    report = {
        "dataset": DATASET,
        "sentences": SENTENCES,
        "steps": steps,
        "rounds": rounds,
        "processor": platform.processor() or platform.machine(),
        "bfloat16": bool(processor_flags() & set(FEATURES["bfloat16"])),
        "versions": {x: version(x) for x in ("torch", "spacy", "thinc", "transformers")},
        "seconds_per_step": seconds,
    }
    print("| system | s / step | of the torch loop |\n|---|---:|---:|")
    for name, values in seconds.items():
        share = median(a / b for a, b in zip(values, seconds[PLAIN], strict=True))
        print(f"| {name} | {median(values):.3f} | {share:.2f} |")
    if output is not None:
        output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
