"""A GLiNER model's output -> scores of spans -> the spans worth looking at, without a
loop over spans."""

from typing import Any, Dict, List, NamedTuple, Tuple

from ..types import Floats1d, Ints1d

try:
    import torch
except ImportError as e:
    from ..errors import Errors

    raise ImportError(Errors.N130.format(package=e.name, extra="gliner")) from e


class Picked(NamedTuple):
    """Spans of a batch, as columns, and what was left out.

    rows (Ints1d): Number of the window.
    first (Ints1d), last (Ints1d): First word in the window and one past the last.
    labels (Ints1d): Number of the label.
    scores (Floats1d): The score, 0 to 1.
    left_out (List[int]): For each window, the spans at or above the floor beyond those.
    """

    rows: Ints1d
    first: Ints1d
    last: Ints1d
    labels: Ints1d
    scores: Floats1d
    left_out: List[int]


def span_scores(model: Any, config: Any, inputs: Dict[str, Any], floor: float) -> Any:
    """Run a model and bring its output into one form.

    model (torch.nn.Module): A span, token or bi-encoder model's module.
    config (GLiNERConfig): The model's config.
    inputs (Dict[str, torch.Tensor]): What its torch module reads, spans left out.
    floor (float): Least score that is of interest.
    RETURNS (torch.Tensor): Score of each span, (windows, words, widths, labels); -1 where
        there is no such span.
    """
    lengths = inputs["text_lengths"][:, 0]
    words = int(lengths.max())
    if config.span_mode == "token_level":
        output = model(**inputs, threshold=floor)
        if output.span_logits is not None:
            return _explicit_scores(output, words)
        return _token_scores(output.logits.sigmoid(), lengths, floor)
    width = config.max_width
    if config.span_mode == "markerV0":
        return _marker_scores(model, inputs, width)
    span_idx, real = span_grid(lengths, width)
    output = model(**inputs, span_idx=span_idx, span_mask=real)
    real = real.view(len(lengths), words, width, 1)
    return output.logits.sigmoid().masked_fill(~real, -1.0)


def pick_spans(scores: Any, floor: float, most: int) -> Picked:
    """Find the spans at or above a floor: the best few of those that begin with the same
    word.

    scores (torch.Tensor): What `span_scores` returned.
    floor (float): Least score, 0 to 1.
    most (int): Most spans that begin with the same word.
    RETURNS (Picked): The spans.
    """
    windows, words, widths, labels = scores.shape
    flat = scores.reshape(windows, words, widths * labels)
    passed = flat >= floor
    counts = passed.sum(-1)
    left_out = (counts - counts.clamp(max=most)).sum(-1)
    if bool(left_out.any()):
        best = flat.topk(min(most, flat.shape[-1]), dim=-1).indices
        passed &= torch.zeros_like(passed).scatter_(-1, best, True)
    row, first, place = (x.cpu().numpy() for x in passed.nonzero(as_tuple=True))
    found = flat[passed].cpu().numpy()
    last, label = first + place // labels + 1, place % labels
    return Picked(row, first, last, label, found, left_out.tolist())


def _marker_scores(model: Any, inputs: Dict[str, Any], widths: int) -> Any:
    """Score the spans of a marker head exactly, in another order of computing. The head
    is MLP([start; end]) . label for every span: its first layer is a sum of a part for
    the start and a part for the end, each computed once for a word, and where labels are
    fewer than dimensions its last layer is applied to the labels instead of the spans.

    model (UniEncoderSpanModel): The model, or a bi-encoder's.
    inputs (Dict[str, torch.Tensor]): What it reads.
    widths (int): Most words of a span.
    RETURNS (torch.Tensor): (windows, words, widths, labels).
    """
    found = model.get_representations(**inputs)
    lengths = inputs["text_lengths"]
    starts, ends = marker_ends(model, found.words_embedding, lengths)
    last = model.span_rep_layer.span_rep_layer.out_project[3]
    prompts = found.prompts_embedding
    if "labels_embeds" in inputs and not hasattr(model, "cross_fuser"):
        prompts = prompts[:1]  # a bi-encoder's labels are the same for every window
    labels = model.prompt_rep_layer(prompts)
    few = labels.shape[1] < last.out_features
    weights = (labels @ last.weight if few else labels).transpose(1, 2)
    if len(weights) == 1:
        weights = weights[0]  # one product of matrices instead of one for each window
    bias = (labels @ last.bias)[:, None]
    words = starts.shape[1]
    places = torch.arange(words, device=starts.device)
    scores = starts.new_full((*starts.shape[:2], widths, labels.shape[1]), -1.0)
    for width in range(min(widths, words)):
        hidden = (starts[:, : words - width] + ends[:, width:]).relu_()
        logits = (hidden if few else hidden @ last.weight.T) @ weights + bias
        real = (places[width:] < lengths)[..., None]
        column = logits.sigmoid_().masked_fill_(~real, -1.0)
        scores[:, : words - width, width] = column
    return scores


def marker_ends(model: Any, words_embedding: Any, lengths: Any) -> Tuple[Any, Any]:
    """Apply the first layer of a marker head to each word once. It is linear in [start;
    end], so a span's value is the sum of its first word's part and its last word's.

    model (UniEncoderSpanModel): The model, or a bi-encoder's.
    words_embedding (torch.Tensor): Shape (windows, words, hidden).
    lengths (torch.Tensor): Words in each window, (windows, 1): a context encoder must not
        look at padding, as it does in the library.
    RETURNS (Tuple[torch.Tensor, torch.Tensor]): The part of each word as the first of a
        span, and as the last, (windows, words, inner); 0 for padding.
    """
    real = torch.arange(words_embedding.shape[1], device=lengths.device) < lengths
    words = model.span_rep_layer.context_encoder(words_embedding, real)
    # A model in reduced precision brings its own.
    project = getattr(model, "marker_ends", None) or MarkerEnds(
        model.span_rep_layer.span_rep_layer
    )
    # Of real words only: windows of as many pieces differ in words.
    found = project(words[real][None])
    starts, ends = (
        x.new_zeros(*real.shape, x.shape[-1]).index_put((real,), x[0]) for x in found
    )
    return starts, ends


class MarkerEnds(torch.nn.Module):
    """What `marker_ends` computes from the words.

    head (SpanMarkerV0): The library's span layer.
    """

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.head = head

    def forward(self, words: Any) -> Tuple[Any, Any]:
        """See `marker_ends`."""
        first = self.head.out_project[0]
        for_start, for_end = first.weight.chunk(2, dim=1)
        starts = torch.nn.functional.linear(
            self.head.project_start(words).relu(), for_start
        )
        ends = self.head.project_end(words).relu()
        return starts, torch.nn.functional.linear(ends, for_end, first.bias)


def span_grid(lengths: Any, widths: int) -> Tuple[Any, Any]:
    """List all spans, in the order of their first word and then of their width.

    lengths (torch.Tensor): Words in each window.
    widths (int): Most words of a span.
    RETURNS (Tuple[torch.Tensor, torch.Tensor]): First and last word of each span,
        (windows, words * widths, 2), and whether it lies in the window.
    """
    words = int(lengths.max())
    first = torch.arange(words, device=lengths.device).repeat_interleave(widths)
    width = torch.arange(widths, device=lengths.device).repeat(words)
    span_idx = torch.stack([first, first + width], dim=-1)
    real = span_idx[None, :, 1] < lengths[:, None]
    return span_idx[None].expand(len(lengths), -1, -1), real


def _token_scores(p: Any, lengths: Any, floor: float) -> Any:
    """Score the spans of a token model: the least of the start's, the end's and every
    inside score, as the library does. Wider and wider, while any can reach the floor.

    p (torch.Tensor): Start, end and inside scores, (windows, words, labels, 3).
    lengths (torch.Tensor): Words in each window.
    floor (float): Least score that is of interest.
    RETURNS (torch.Tensor): (windows, words, widths, labels).
    """
    words = p.shape[1]
    start, end, inside = p.unbind(-1)
    within = start.clone()
    columns = []
    for width in range(words):
        # What begins with a word, and everything up to `width` words behind it.
        within = torch.minimum(within[:, : words - width], inside[:, width:])
        column = start.new_full(start.shape, -1.0)
        column[:, : words - width] = torch.minimum(within, end[:, width:])
        last = torch.arange(words, device=p.device) + width
        column.masked_fill_((last >= lengths[:, None])[..., None], -1.0)
        columns.append(column)
        if not bool((within >= floor).any()):
            break
    return torch.stack(columns, dim=2)


def _explicit_scores(output: Any, words: int) -> Any:
    """RETURNS (torch.Tensor): Scores of the spans that a token model chose itself."""
    p = output.span_logits.sigmoid()
    row, place = output.span_mask.bool().nonzero(as_tuple=True)
    first, last = output.span_idx[row, place].unbind(-1)
    widths = int((last - first).max()) + 1 if len(row) else 1
    scores = p.new_full((p.shape[0], words, widths, p.shape[-1]), -1.0)
    scores[row, first, last - first] = p[row, place]
    return scores
