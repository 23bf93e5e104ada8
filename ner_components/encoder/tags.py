"""Tags and spans: which tag sequences are legal, the best one, and how sure it is.

Everything is decoded as BILUO. A checkpoint with other tags (IOB2, IOBES, BMES) has the
same segmentations: its scores are read as BILUO scores by choosing columns (the I- column
of IOB2 serves as I- and L-, its B- column as B- and U-). Plain labels and IOB1 have no
tag that must start an entity, so every sequence is legal and the best tag is taken at
each token.

The legal sequences of BILUO need one state for "outside" and one for "inside x" per
label x. Viterbi: Rabiner, "A tutorial on hidden Markov models and selected applications
in speech recognition", 1989, III.B; forward-backward, scaled: III.A and V.A. The score of
a span is its marginal under the constrained distribution: Culotta and McCallum,
"Confidence estimation for information extraction", 2004, section 3.
"""

import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy

from ..errors import Errors
from ..types import Floats2d, Floats3d, Ints1d
from ..windows import make_batches

SCHEMES = ("auto", "BILUO", "IOB2", "IOB1", "plain")
# A long sequence is cut where "outside" beats every other tag by this much (natural log,
# 4.5e-5 in probability), at one place at most in each stretch of so many tokens.
SURE = 10.0
STRETCH = 256

_PREFIXED = re.compile(r"^([BIELMSU])[-_](.+)$", re.DOTALL)


class TagSpan(NamedTuple):
    """An entity over positions of a tag sequence.

    start (int), end (int): First position, one past the last.
    label (int): Number of the label in `TagSet.labels`.
    score (float): Marginal probability, 0 to 1.
    """

    start: int
    end: int
    label: int
    score: float


class TagSet:
    """The tags of a model, in the order of its scores, read as BILUO.

    tags (Sequence[str]): Tag names: "O", and labels plain or with a prefix.
    scheme (str): One of `SCHEMES`; "auto" reads it from the prefixes (B- and I- alone
        are taken for IOB2, not for IOB1).
    RAISES (ValueError): The tags are none that can be read.
    """

    def __init__(self, tags: Sequence[str], scheme: str = "auto") -> None:
        self.tags = tuple(tags)
        self._columns = {tag: i for i, tag in enumerate(self.tags)}
        names = [tag for tag in self.tags if tag not in ("O", "o")]
        if len(names) != len(self.tags) - 1 or not names:
            raise ValueError(Errors.N057.format(tags=list(self.tags)))
        self.outside = next(i for i, tag in enumerate(self.tags) if tag in ("O", "o"))
        parsed = [_PREFIXED.match(name) for name in names]
        plain = not all(parsed) or {m[1] for m in parsed if m} == {"I"}
        self.scheme = (
            ("plain" if plain else _scheme(parsed)) if scheme == "auto" else scheme
        )
        if all(parsed):
            found = [m[2] for m in parsed if m]
            self._tag_of = {(m[1], m[2]): self._columns[m[0]] for m in parsed if m}
        else:
            found = names
            self._tag_of = {("I", name): self._columns[name] for name in names}
        self.labels: Tuple[str, ...] = tuple(dict.fromkeys(found))
        order = {"B": "BI", "I": "IM", "L": "LEI", "U": "USBI"}
        if self.scheme in ("plain", "IOB1"):
            order = {"B": "IB", "I": "IB", "L": "IB", "U": "IB"}
        # Column of each label's tag by BILUO prefix, -1 where the model has none.
        self.columns: Dict[str, Ints1d] = {
            prefix: numpy.asarray([self._find(x, label) for label in self.labels])
            for prefix, x in order.items()
        }

    @classmethod
    def from_labels(cls, labels: Sequence[str]) -> "TagSet":
        """RETURNS (TagSet): "O", then B-, I-, L- and U- of each label."""
        tags = [f"{prefix}-{label}" for label in labels for prefix in "BILU"]
        return cls(["O", *tags], "BILUO")

    def encode(self, spans: Sequence[Tuple[int, int, str]], length: int) -> Ints1d:
        """Turn spans into the numbers of the tags that mark them.

        spans (Sequence[Tuple[int, int, str]]): Start, end, label; free of overlap.
        length (int): Length of the sequence.
        RETURNS (Ints1d): Column of the right tag at each position.
        RAISES (ValueError): A label that the tag set does not have.
        """
        tags = numpy.full(length, self.outside, dtype="int64")
        before: Dict[int, str] = {}
        for start, end, label in sorted(spans):
            if label not in self.labels:
                raise ValueError(Errors.N057.format(tags=list(self.tags)))
            x = self.labels.index(label)
            tags[start:end] = self.columns["I"][x]
            if end - start == 1:
                tags[start] = self.columns["U"][x]
            else:
                tags[start] = self.columns["B"][x]
                tags[end - 1] = self.columns["L"][x]
            if self.scheme == "IOB1" and before.get(start) == label:
                tags[start] = self._tag_of.get(("B", label), tags[start])
            before[end] = label
        return tags

    def decode(
        self, scores: Sequence[Floats2d], temperature: float = 1.0
    ) -> List[List[TagSpan]]:
        """Find the entities of the best legal tag sequence, and how probable each is.

        scores (Sequence[Floats2d]): Tag scores (logits) of each sequence,
            (tokens, tags).
        temperature (float): What the scores are divided by before they are turned into
            probabilities. It changes the spans' scores, never the spans.
        RETURNS (List[List[TagSpan]]): Spans of each sequence, in order.
        """
        if self.scheme in ("plain", "IOB1"):
            return [self._decode_free(x, temperature) for x in scores]
        spans: List[List[TagSpan]] = [[] for _ in scores]
        pieces = [
            (i, start, end) for i, x in enumerate(scores) for start, end in self._pieces(x)
        ]
        lengths = [end - start for _, start, end in pieces]
        for batch in make_batches(lengths, 32 * STRETCH):
            chosen = [pieces[i] for i in batch]
            potentials = _Potentials(
                self, [scores[i][start:end] for i, start, end in chosen], temperature
            )
            for (i, offset, _), found in zip(chosen, potentials.spans(), strict=True):
                spans[i].extend(
                    TagSpan(s.start + offset, s.end + offset, s.label, s.score)
                    for s in found
                )
        return [sorted(x) for x in spans]

    def _find(self, prefixes: str, label: str) -> int:
        for prefix in prefixes:
            if (prefix, label) in self._tag_of:
                return self._tag_of[prefix, label]
        return -1

    def _pieces(self, scores: Floats2d) -> List[Tuple[int, int]]:
        """Cut a long sequence where it is surely outside: the recursions take a step per
        token, and only many short sequences can take their steps together."""
        length = len(scores)
        if length <= 2 * STRETCH:
            return [(0, length)] if length else []
        others = numpy.delete(scores, self.outside, axis=1).max(axis=1)
        margin = scores[:, self.outside] - others
        cuts = [0]
        for start in range(STRETCH, length - STRETCH // 2, STRETCH):
            i = start + int(margin[start : start + STRETCH // 2].argmax())
            if margin[i] >= SURE:
                cuts.append(i)
        return list(zip(cuts, [*cuts[1:], length], strict=True))

    def _decode_free(self, scores: Floats2d, temperature: float) -> List[TagSpan]:
        """Every sequence is legal: tags are independent, and so are span borders."""
        if not len(scores):
            return []
        best = scores.argmax(axis=1)
        p = _softmax(scores / temperature)
        label_of = numpy.full(len(self.tags), -1)
        begins = numpy.zeros(len(self.tags), dtype=bool)
        for (prefix, label), column in self._tag_of.items():
            label_of[column] = self.labels.index(label)
            begins[column] = prefix == "B"
        found = label_of[best]
        fresh = numpy.ones(len(best), dtype=bool)
        fresh[1:] = (found[1:] != found[:-1]) | begins[best[1:]]
        starts = numpy.flatnonzero(fresh)
        ends = [*starts[1:], len(best)]
        pairs = zip(starts.tolist(), ends, strict=True)
        return [
            TagSpan(i, int(j), int(found[i]), self._free_score(p, i, int(j), int(found[i])))
            for i, j in pairs
            if found[i] >= 0
        ]

    def _free_score(self, p: Floats2d, start: int, end: int, label: int) -> float:
        name = self.labels[label]
        begin = self._tag_of.get(("B", name), -1)
        inside = self._tag_of.get(("I", name), begin)
        p_begin = p[:, begin] if begin >= 0 and begin != inside else numpy.zeros(len(p))
        before = p[start - 1, inside] + p_begin[start - 1] if start else 0.0
        after = p[end, inside] if end < len(p) else 0.0
        first = p_begin[start] + p[start, inside] * (1.0 - before)
        rest = float(numpy.prod(p[start + 1 : end, inside]))
        return _clip(float(first) * rest * (1.0 - float(after)))


class _Potentials:
    """A padded batch of BILUO probabilities, each token's tags summing to at most 1.

    o (Floats2d): (batch, time). b, i, l, u (Floats3d): (batch, time, labels). A padded
    position is surely outside, which also forces every entity to end before it.
    """

    def __init__(
        self, tags: TagSet, scores: Sequence[Floats2d], temperature: float
    ) -> None:
        self.lengths = [len(x) for x in scores]
        time, width = max(self.lengths), len(tags.tags)
        padded = numpy.full((len(scores), time, width + 1), -numpy.inf)
        padded[:, :, tags.outside] = 0.0
        for row, x in enumerate(scores):
            padded[row, : len(x), :width] = x
        # The last column has probability 0: a tag that the model does not have (-1).
        p = _softmax(padded / temperature)
        self.o = p[:, :, tags.outside]
        self.b, self.i, self.l, self.u = (p[:, :, tags.columns[x]] for x in "BILU")

    def spans(self) -> List[List[TagSpan]]:
        """RETURNS (List[List[TagSpan]]): The best sequence's spans, with marginals."""
        found = self._viterbi()
        out_before, out_after, norms = self._forward_backward()
        with numpy.errstate(divide="ignore"):
            log_b, log_i, log_l, log_u = (
                numpy.log(x) for x in (self.b, self.i, self.l, self.u)
            )
        log_norm = numpy.log(norms)
        result: List[List[TagSpan]] = [[] for _ in self.lengths]
        for row, start, end, x in found:
            if end - start == 1:
                inner = log_u[row, start, x]
            else:
                inner = log_b[row, start, x] + log_l[row, end - 1, x]
                inner += log_i[row, start + 1 : end - 1, x].sum()
            inner -= log_norm[row, start:end].sum()
            score = out_before[row, start] * numpy.exp(inner) * out_after[row, end - 1]
            result[row].append(TagSpan(start, end, x, _clip(float(score))))
        return result

    def _viterbi(self) -> List[Tuple[int, int, int, int]]:
        batch, time, labels = self.b.shape
        with numpy.errstate(divide="ignore"):
            o, b, i, last, u = (
                numpy.log(x) for x in (self.o, self.b, self.i, self.l, self.u)
            )
        stay = numpy.concatenate([o[:, :, None], u], axis=2)
        best_stay = stay.argmax(axis=2)  # 0 is O, 1 + x is U-x
        stay_score = stay.max(axis=2)
        rows = numpy.arange(batch)
        out = numpy.zeros(batch)
        inside = numpy.full((batch, labels), -numpy.inf)
        ended = numpy.empty((time, batch), dtype="int64")  # -1: not an L-
        continued = numpy.empty((time, batch, labels), dtype=bool)
        for t in range(time):
            ending = inside + last[:, t]
            x = ending.argmax(axis=1)
            end_score, staying = ending[rows, x], out + stay_score[:, t]
            ended[t] = numpy.where(end_score > staying, x, -1)
            beginning, going_on = out[:, None] + b[:, t], inside + i[:, t]
            continued[t] = going_on > beginning
            inside = numpy.maximum(beginning, going_on)
            out = numpy.maximum(end_score, staying)
        return self._backtrace(best_stay, ended, continued)

    def _backtrace(
        self, best_stay: Floats2d, ended: Ints1d, continued: Floats3d
    ) -> List[Tuple[int, int, int, int]]:
        batch, time = best_stay.shape
        rows = numpy.arange(batch)
        state = numpy.full(batch, -1)  # -1 outside, else the label inside
        starts: List[Tuple[Any, int]] = []
        ends: List[Tuple[Any, int, Any]] = []
        for t in range(time - 1, -1, -1):
            outside = state < 0
            closing = outside & (ended[t] >= 0)
            unit = outside & ~closing & (best_stay[:, t] > 0)
            going_on = ~outside & continued[t, rows, state]
            opening = ~outside & ~going_on
            label = numpy.where(closing, ended[t], best_stay[:, t] - 1)
            ends.extend((r, t + 1, label[r]) for r in numpy.flatnonzero(closing | unit))
            starts.extend((r, t) for r in numpy.flatnonzero(opening | unit))
            state = numpy.where(closing, ended[t], numpy.where(opening, -1, state))
        # Both lists run backwards in time, and a row's spans never overlap.
        starts.sort()
        ends.sort()
        return [
            (int(r), int(start), int(end), int(label))
            for (r, start), (_, end, label) in zip(starts, ends, strict=True)
        ]

    def _forward_backward(self) -> Tuple[Floats2d, Floats2d, Floats2d]:
        """RETURNS (Tuple[Floats2d, Floats2d, Floats2d]): Scaled forward mass of being
        outside before each position, scaled backward mass of being outside after it,
        and the factor each position was scaled by; all (batch, time)."""
        batch, time, labels = self.b.shape
        stay = self.o + self.u.sum(axis=2)
        norms = numpy.empty((batch, time))
        before, after = numpy.empty((batch, time)), numpy.empty((batch, time))
        out, inside = numpy.ones(batch), numpy.zeros((batch, labels))
        for t in range(time):
            before[:, t] = out
            ending = (inside * self.l[:, t]).sum(axis=1)
            inside = out[:, None] * self.b[:, t] + inside * self.i[:, t]
            out = out * stay[:, t] + ending
            norms[:, t] = norm = out + inside.sum(axis=1)
            out = out / norm
            inside /= norm[:, None]
        # Every sequence ends outside; what ends inside is not legal and has no mass.
        beta_out, beta_in = 1.0 / out, numpy.zeros((batch, labels))
        for t in range(time - 1, -1, -1):
            after[:, t] = beta_out
            beginning = (beta_in * self.b[:, t]).sum(axis=1)
            norm = norms[:, t]
            beta_in = (beta_in * self.i[:, t] + beta_out[:, None] * self.l[:, t]) / norm[
                :, None
            ]
            beta_out = (beta_out * stay[:, t] + beginning) / norm
        return before, after, norms


def _scheme(parsed: Sequence[Optional["re.Match[str]"]]) -> str:
    prefixes = {m[1] for m in parsed if m}
    return "IOB2" if prefixes <= {"B", "I"} else "BILUO"


def _softmax(scores: Floats3d) -> Floats3d:
    shifted = numpy.exp(scores - scores.max(axis=-1, keepdims=True), dtype="float64")
    return shifted / shifted.sum(axis=-1, keepdims=True)


def _clip(score: float) -> float:
    # Rounding may carry a marginal a hair outside its range.
    return min(max(score, 0.0), 1.0)
