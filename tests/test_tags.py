"""Decoding against brute force over every tag sequence."""

import itertools

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_components.encoder import tags as tags_module
from ner_components.encoder.tags import TagSet


def _legal_biluo(names):
    inside = None
    for tag in names:
        prefix, _, label = tag.partition("-")
        if prefix in "OBU" and inside is not None:
            return False
        if prefix in "IL" and inside != label:
            return False
        inside = label if prefix in "BI" else None
    return inside is None


def _legal_iob2(names):
    before = "O"
    for tag in names:
        if tag.startswith("I-") and before[2:] != tag[2:]:
            return False
        before = tag
    return True


def _spans(names):
    """Spans of a legal BILUO, IOBES or IOB2 sequence, by hand."""
    spans, start = set(), None
    for i, tag in enumerate([*names, "O"]):
        prefix, label = tag[0], tag[2:]
        if start is not None and prefix in "OBUS":
            spans.add((start, i, names[start][2:]))
            start = None
        if prefix in "BUS":
            start = i
        if prefix in "LEUS" and start is not None:
            spans.add((start, i + 1, label))
            start = None
    return spans


def _brute_force(tag_names, scores, legal):
    """RETURNS: spans of the best legal sequence, and each span's marginal."""
    best, total = (-numpy.inf, None), 0.0
    mass = {}
    for path in itertools.product(range(len(tag_names)), repeat=len(scores)):
        names = [tag_names[i] for i in path]
        if not legal(names):
            continue
        score = sum(scores[t][i] for t, i in enumerate(path))
        if score > best[0]:
            best = (score, _spans(names))
        total += numpy.exp(score)
        for span in _spans(names):
            mass[span] = mass.get(span, 0.0) + numpy.exp(score)
    return {span: mass[span] / total for span in best[1]}


LABELS = ["A", "B"]
SETS = {
    "BILUO": (TagSet.from_labels(LABELS).tags, _legal_biluo),
    "IOB2": (("B-A", "I-A", "O", "I-B", "B-B"), _legal_iob2),
    "IOBES": (
        ("O", "S-A", "E-A", "B-A", "I-A", "B-B", "I-B", "E-B", "S-B"),
        lambda names: _legal_biluo(
            [x.replace("S-", "U-").replace("E-", "L-") for x in names]
        ),
    ),
}


@pytest.mark.parametrize("kind", SETS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_best_sequence_and_marginals_equal_brute_force(kind, data):
    names, legal = SETS[kind]
    length = data.draw(st.integers(1, 4))
    values = st.floats(-6, 6, allow_nan=False)
    scores = numpy.array(
        data.draw(
            st.lists(
                st.lists(values, min_size=len(names), max_size=len(names)),
                min_size=length,
                max_size=length,
            )
        )
    )
    # Break ties, which brute force and Viterbi may break differently.
    scores += numpy.random.default_rng(0).uniform(0, 1e-3, scores.shape)
    tag_set = TagSet(names)
    (found,) = tag_set.decode([scores])
    expected = _brute_force(names, scores, legal)
    assert {(s.start, s.end, tag_set.labels[s.label]) for s in found} == set(expected)
    for s in found:
        key = (s.start, s.end, tag_set.labels[s.label])
        assert s.score == pytest.approx(expected[key], abs=1e-9)


def test_a_batch_decodes_as_each_alone():
    rng = numpy.random.default_rng(1)
    tag_set = TagSet.from_labels(["A", "B", "C"])
    scores = [rng.normal(0, 3, (n, len(tag_set.tags))) for n in (5, 0, 1, 40, 17)]
    together = tag_set.decode(scores)
    alone = [tag_set.decode([x])[0] for x in scores]
    assert [[s[:3] for s in x] for x in together] == [[s[:3] for s in x] for x in alone]
    for a, b in zip(together, alone, strict=True):
        assert [s.score for s in a] == pytest.approx([s.score for s in b], abs=1e-12)


def test_illegal_argmax_is_repaired_by_the_whole_sequence():
    tag_set = TagSet.from_labels(["A"])  # O B I L U
    scores = numpy.array([[0.0, 3, 0, 0, 2.5], [4.0, 0, 1, 1, 0]])
    (found,) = tag_set.decode([scores])
    # argmax says B-A O, which is illegal; U-A O (6.5) beats B-A L-A (4.0).
    assert [s[:3] for s in found] == [(0, 1, 0)]


def test_temperature_changes_scores_not_spans():
    rng = numpy.random.default_rng(2)
    tag_set = TagSet.from_labels(["A", "B"])
    scores = [rng.normal(0, 4, (30, len(tag_set.tags)))]
    cold, hot = tag_set.decode(scores, 0.5)[0], tag_set.decode(scores, 4.0)[0]
    assert [s[:3] for s in cold] == [s[:3] for s in hot]
    assert sum(s.score for s in cold) > sum(s.score for s in hot)


def test_long_sequences_are_cut_only_where_nothing_can_be_lost(monkeypatch):
    rng = numpy.random.default_rng(3)
    tag_set = TagSet.from_labels(["A", "B"])
    scores = rng.normal(0, 2, (5000, len(tag_set.tags)))
    scores[:, 0] += 2
    scores[rng.random(5000) < 0.3, 0] += 14  # surely outside
    cut = tag_set.decode([scores])[0]
    assert len(tag_set._pieces(scores)) > 15
    monkeypatch.setattr(tags_module, "STRETCH", 10**6)
    whole = tag_set.decode([scores])[0]
    assert [s[:3] for s in cut] == [s[:3] for s in whole]
    assert [s.score for s in cut] == pytest.approx([s.score for s in whole], abs=1e-4)


def test_plain_labels_and_iob1_take_the_best_tag_of_each_token():
    plain = TagSet(["O", "PER", "LOC"])
    assert plain.scheme == "plain"
    scores = numpy.log(
        [[0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.9, 0.05, 0.05], [0.1, 0.1, 0.8]]
    )
    (found,) = plain.decode([scores])
    assert [s[:3] for s in found] == [(0, 2, 0), (3, 4, 1)]
    # P(PER PER) and not PER after it; P(LOC) and not LOC before it.
    assert found[0].score == pytest.approx(0.8 * 0.7 * 0.95)
    assert found[1].score == pytest.approx(0.8 * 0.95)
    iob1 = TagSet(["O", "I-A", "B-A"], "IOB1")
    scores = numpy.log([[0.1, 0.8, 0.1], [0.1, 0.2, 0.7], [0.1, 0.8, 0.1]])
    (found,) = iob1.decode([scores])
    assert [s[:3] for s in found] == [(0, 1, 0), (1, 3, 0)]


@pytest.mark.parametrize(
    "names", [SETS["BILUO"][0], SETS["IOB2"][0], SETS["IOBES"][0], ("O", "A", "B")]
)
def test_encode_and_decode_are_inverse(names):
    tag_set = TagSet(names)
    spans = [(0, 1, "A"), (2, 5, "B"), (6, 8, "A")]
    gold = tag_set.encode(spans, 9)
    scores = numpy.full((9, len(names)), -20.0)
    scores[numpy.arange(9), gold] = 20.0
    (found,) = tag_set.decode([scores])
    assert [(s.start, s.end, tag_set.labels[s.label]) for s in found] == spans
    assert all(s.score > 0.999 for s in found)


def test_iob1_encodes_adjacent_entities_of_a_label_apart():
    tag_set = TagSet(["O", "I-A", "B-A"], "IOB1")
    assert tag_set.encode([(0, 2, "A"), (2, 3, "A")], 4).tolist() == [1, 1, 2, 0]


def test_unreadable_tags_are_refused():
    with pytest.raises(ValueError, match='one of them must be "O"'):
        TagSet(["LABEL_0", "LABEL_1"])
    with pytest.raises(ValueError, match="id2label"):
        TagSet(["O"])
