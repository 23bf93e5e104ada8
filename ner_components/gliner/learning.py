"""A GLiNER model's training step: windows with sampled prompts in, losses with their
gradient out. The loss is the gliner library's own.

Zaratiana et al., "GLiNER: Generalist Model for Named Entity Recognition using
Bidirectional Transformer", 2024.
"""

from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Tuple

import numpy

from ..errors import Errors
from ..types import Floats1d, Floats3d, Ints1d
from ..windows import make_batches
from .inputs import Group, Words
from .lessons import (
    Lesson,
    choose_labels,
    find_answers,
    pad_targets,
    present_labels,
    span_targets,
    token_targets,
)
from .scores import marker_ends, span_grid
from .windows import WordWindow

try:
    import torch
except ImportError as e:
    raise ImportError(Errors.N130.format(package=e.name, extra="gliner")) from e


class Losses(NamedTuple):
    """What an update cost.

    sums (Floats1d): Loss of each forward pass, summed over its spans and labels.
    windows (int): Windows in all of them.
    """

    sums: Floats1d
    windows: int


class Task(NamedTuple):
    """A window to learn from.

    words (Words): The words of its document.
    window (WordWindow): The window.
    chosen (List[int]): Labels of its prompt, in order.
    head (Ints1d): Word pieces of the prompt.
    targets (Floats3d): What is right.
    """

    words: Words
    window: WordWindow
    chosen: List[int]
    head: Ints1d
    targets: Floats3d


def learn(
    shim: Any, rows: List[Any], groups: List[Group], lesson: Lesson, most: int, drop: float
) -> Tuple[Losses, Callable[[Floats1d], None]]:
    """Run a model over a lesson.

    shim (GLiNERShim): The model.
    rows (List[_Row]): Windows of the lesson's documents.
    groups (List[Group]): The prompts of prediction; none in training is longer.
    lesson (Lesson): The annotation.
    most (int): Most word pieces in one forward pass.
    drop (float): Dropout of the head, 0 to 1.
    RETURNS (Tuple[Losses, Callable]): The losses, and what takes a gradient for each of
        them to the weights.
    RAISES (ValueError): The model can't be trained.
    """
    check_trainable(shim)
    room = max(len(group.ids) for group in groups)
    tasks = make_tasks(shim, rows, lesson, room)
    set_training(shim.gliner, drop, lesson.training.freeze_encoder)
    losses = [
        batch_loss(shim, [tasks[i] for i in chosen], lesson)
        for chosen in make_task_batches(shim, tasks, most)
    ]
    shim.gliner.model.eval()

    def backprop(d_sums: Floats1d) -> None:
        if losses:
            grads = [x.new_tensor(float(d)) for x, d in zip(losses, d_sums, strict=True)]
            torch.autograd.backward(losses, grads)

    sums = numpy.asarray([x.item() for x in losses], dtype="float64")
    return Losses(sums, len(tasks)), backprop


def check_trainable(shim: Any) -> None:
    """RAISES (ValueError): The model has another precision than float32, or is a token
    model that scores spans too."""
    if shim.dtype != "float32":
        raise ValueError(Errors.N145.format(dtype=shim.dtype))
    if getattr(shim.gliner.config, "represent_spans", False):
        raise ValueError(Errors.N146)


def make_tasks(shim: Any, rows: List[Any], lesson: Lesson, room: int) -> List[Task]:
    """Choose a prompt for every window that there is something to learn from.

    room (int): Most word pieces of a prompt, separator included.
    RETURNS (List[Task]): The windows to learn from.
    """
    frontend, config = shim.frontend, shim.gliner.config
    is_token = config.span_mode == "token_level"
    make_targets = token_targets if is_token else span_targets
    pieces = [] if frontend.is_bi_encoder else frontend.prompt_pieces(lesson.prompts)
    answers = {row.doc: find_answers(row.words, lesson.gold[row.doc]) for row in rows}
    tasks = []
    for row in rows:
        x, w = answers[row.doc], row.window
        if x.unknown[w.start : w.end].all():
            continue
        known = lesson.gold[row.doc].known
        chosen = choose_labels(present_labels(x, w), known, lesson.training)
        head = frontend.join_prompt([pieces[i] for i in chosen] if pieces else [])
        while len(chosen) > 1 and len(head) > room:
            chosen.pop()
            head = frontend.join_prompt([pieces[i] for i in chosen])
        targets = make_targets(x, w, chosen, config.max_width)
        tasks.append(Task(row.words, w, chosen, head, targets))
    return tasks


def make_task_batches(shim: Any, tasks: List[Task], most: int) -> Iterator[Ints1d]:
    """YIELDS (Ints1d): Tasks of each forward pass, by like length."""
    extra = len(shim.frontend.prefix) + len(shim.frontend.suffix)
    sizes = [
        int(x.words.borders[x.window.end] - x.words.borders[x.window.start])
        + len(x.head)
        + extra
        for x in tasks
    ]
    # That span head takes the mean over padding too: a window must not have any.
    yield from make_batches(
        sizes, 0 if shim.gliner.config.span_mode == "markerV1" else most
    )


def set_training(gliner: Any, drop: float, freeze_encoder: bool) -> None:
    """Set a model into training mode.

    gliner (GLiNER): The model.
    drop (float): Dropout of everything but the encoders, which keep their own.
    freeze_encoder (bool): Whether the encoders stay as they are.
    """
    gliner.model.train()
    layer = gliner.model.token_rep_layer
    encoders = [getattr(layer, name, None) for name in ("bert_layer", "labels_encoder")]
    kept = {id(m) for x in encoders if x is not None for m in x.modules()}
    for module in gliner.model.modules():
        if id(module) not in kept and isinstance(module, torch.nn.Dropout):
            module.p = drop
    for encoder in filter(None, encoders):
        encoder.train(not freeze_encoder)
        for p in encoder.parameters():
            p.requires_grad_(not freeze_encoder)
            # A gradient of zeros would still move weights that have momentum.
            p.grad = None if freeze_encoder else p.grad


def batch_loss(shim: Any, tasks: List[Task], lesson: Lesson) -> Any:
    """Compute the library's loss of one forward pass.

    shim (GLiNERShim): The model.
    tasks (List[Task]): The windows.
    lesson (Lesson): Prompts and settings.
    RETURNS (torch.Tensor): The loss, summed over spans and labels.
    """
    model, device = shim.gliner.model, shim.device
    batch = shim.frontend.pad([(x.words, x.window) for x in tasks], [x.head for x in tasks])
    inputs = shim.to_torch(batch)
    if shim.frontend.is_bi_encoder:
        inputs.update(_label_inputs(shim, tasks, lesson.prompts))
    targets = torch.from_numpy(pad_targets([x.targets for x in tasks])).to(device)
    kind = torch.device(device).type
    with torch.autocast(kind, torch.bfloat16, enabled=lesson.training.mixed_precision):
        if shim.gliner.config.span_mode == "token_level":
            output = model(**inputs)
            logits, prompts = output.logits, output.prompts_embedding_mask
            learned = targets[:, :, 0, 0] >= 0
        else:
            logits, prompts = span_logits(shim.gliner, inputs)
            learned = (targets[..., 0] >= 0).flatten(1)
    return model.loss(
        logits.float().contiguous(),
        targets.clamp(min=0.0),
        prompts,
        learned,
        alpha=lesson.training.alpha,
        gamma=lesson.training.gamma,
        reduction="sum",
    )


def span_logits(gliner: Any, inputs: Dict[str, Any]) -> Tuple[Any, Any]:
    """Score all spans, with a gradient.

    gliner (GLiNER): A span model.
    inputs (Dict[str, torch.Tensor]): What its torch module reads, spans left out.
    RETURNS (Tuple[torch.Tensor, torch.Tensor]): Scores (logits), (windows, words, widths,
        labels), and which labels are real, (windows, labels).
    """
    model, config = gliner.model, gliner.config
    if type(model).__name__ == "UniEncoderSpanModel" and config.span_mode == "markerV0":
        return _marker_logits(model, inputs, config.max_width)
    span_idx, real = span_grid(inputs["text_lengths"][:, 0], config.max_width)
    output = model(**inputs, span_idx=span_idx, span_mask=real)
    return output.logits, output.prompts_embedding_mask


def _marker_logits(model: Any, inputs: Dict[str, Any], widths: int) -> Tuple[Any, Any]:
    """The library's markerV0 head in a form that is equal but for rounding. The layer that
    joins a span's two ends is linear, so each end is projected once a word, not once a
    span; the last layer is applied to the few labels instead of the many spans."""
    rep = model.get_representations(**inputs)
    start, end = marker_ends(model, rep.words_embedding, inputs["text_lengths"])
    _, relu, dropout, last = model.span_rep_layer.span_rep_layer.out_project
    end = torch.nn.functional.pad(end, (0, 0, 0, widths - 1)).unfold(1, widths, 1)
    hidden = dropout(relu(start.unsqueeze(2) + end.transpose(2, 3)))
    labels = model.prompt_rep_layer(rep.prompts_embedding)
    scores = torch.einsum("blkh,bch->blkc", hidden, labels @ last.weight)
    return scores + (labels @ last.bias)[:, None, None], rep.prompts_embedding_mask


def _label_inputs(shim: Any, tasks: List[Task], prompts: List[str]) -> Dict[str, Any]:
    """RETURNS (Dict[str, torch.Tensor]): What a bi-encoder reads of the labels: each one
    once, and which of them belong to each window."""
    used = sorted({i for x in tasks for i in x.chosen})
    encoded = shim.gliner.data_processor.labels_tokenizer(
        [prompts[i] for i in used], return_tensors="pt", padding=True, truncation=True
    )
    width = max(len(x.chosen) for x in tasks)
    places = torch.zeros(len(tasks), width, dtype=torch.long)
    real = torch.zeros(len(tasks), width, dtype=torch.bool)
    for row, x in enumerate(tasks):
        places[row, : len(x.chosen)] = torch.tensor([used.index(i) for i in x.chosen])
        real[row, : len(x.chosen)] = True
    found = {
        "labels_input_ids": encoded["input_ids"],
        "labels_attention_mask": encoded["attention_mask"],
        "labels_gather_indices": places,
        "prompts_embedding_mask": real,
    }
    return {k: v.to(shim.device) for k, v in found.items()}
