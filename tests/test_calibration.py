"""Scores that mean what they say: the temperature, its callback, and the marginal score
against the mean softmax score on a real corpus."""

import gzip
import json
import os
import time
from pathlib import Path

import numpy
import pytest
import spacy
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.util import fix_random_seed
from thinc.api import Adam, warmup_linear

from ner_components.encoder.calibration import (
    BIASES,
    calibrate,
    fit_outside_bias,
    fit_temperature,
    make_calibrate,
    score_spans,
)
from ner_components.encoder.tokens import taggable

DATA = Path(
    os.environ.get(
        "NER_DATA", Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    )
)
CNN = {
    "@architectures": "ner_components.TokenClassifier.v1",
    "tok2vec": {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "width": 64,
        "depth": 2,
        "embed_size": 500,
        "window_size": 1,
        "maxout_pieces": 3,
        "subword_features": True,
        "pretrained_vectors": None,
    },
}


def _read(nlp, dataset, split, most):
    file = DATA / dataset / f"{split}.jsonl.gz"
    if not file.is_file():
        pytest.skip(f"{dataset} is not in NER_DATA")
    examples = []
    with gzip.open(file, "rt", encoding="utf8") as lines:
        for _, line in zip(range(most), lines, strict=False):
            row = json.loads(line)
            reference = Doc(nlp.vocab, words=row["tokens"])
            ents = [spacy.tokens.Span(reference, *ent) for ent in row["ents"]]
            reference.set_ents(ents, default="outside")
            predicted = Doc(nlp.vocab, words=row["tokens"])
            examples.append(Example(predicted, reference))
    return examples


def _train(nlp, examples, steps, rate, warmup=0, size=16):
    fix_random_seed(1)
    rng = numpy.random.default_rng(1)
    optimizer = nlp.initialize(lambda: examples)
    schedule = warmup_linear(rate, warmup, steps) if warmup else rate
    optimizer = Adam(schedule, L2=0.01, L2_is_weight_decay=True, grad_clip=1.0)
    order = []
    for _ in range(steps):
        if len(order) < size:
            order = [*order, *rng.permutation(len(examples)).tolist()]
        chosen, order = order[:size], order[size:]
        nlp.update([examples[i] for i in chosen], sgd=optimizer, drop=0.1)
        optimizer.step_schedules()


def _log_loss(p, right):
    p = numpy.clip(p, 1e-6, 1 - 1e-6)
    return float(-numpy.log(numpy.where(right, p, 1 - p)).mean())


def _ece(p, right, bins=15):
    """Expected calibration error over bins of equal mass."""
    order = numpy.argsort(p, kind="stable")
    gaps = [
        abs(p[part].mean() - right[part].mean()) * len(part)
        for part in numpy.array_split(order, bins)
    ]
    return float(sum(gaps) / len(p))


def _auroc(p, right):
    """Mann and Whitney's statistic; ties count half."""
    _, inverse, counts = numpy.unique(p, return_inverse=True, return_counts=True)
    ranks = (numpy.cumsum(counts) - (counts - 1) / 2)[inverse]
    n, wrong = right.sum(), (~right).sum()
    return float((ranks[right].sum() - n * (n + 1) / 2) / (n * wrong))


def _mean_softmax(ner, docs, scores, temperature):
    """Mean probability of the tags of each predicted span, in the order of `decode`."""
    result = []
    columns = ner.tag_set.columns
    for doc, x in zip(docs, scores, strict=True):
        x = x[taggable(doc)]
        p = numpy.exp((x - x.max(axis=1, keepdims=True)) / temperature)
        p /= p.sum(axis=1, keepdims=True)
        for start, end, label, _ in ner.tag_set.decode([x])[0]:
            tags = ["I"] * (end - start)
            tags[0], tags[-1] = "B", "L"
            if end - start == 1:
                tags = ["U"]
            rows = range(start, end)
            result.append(
                numpy.mean(
                    [p[i, columns[tag][label]] for i, tag in zip(rows, tags, strict=True)]
                )
            )
    return numpy.asarray(result)


def _words_pipe(n, factor, seed=0):
    """A pipe whose scores are `factor` times what they ought to be: each word is an
    entity with the probability that its scores gave before they were multiplied."""
    nlp = spacy.blank("en")
    ner = nlp.add_pipe("ner_encoder", name="ner", config={"model": CNN})
    rng = numpy.random.default_rng(seed)
    examples, scores = [], []
    for _ in range(n):
        words = ["word"] * 8
        predicted, reference = Doc(nlp.vocab, words), Doc(nlp.vocab, words)
        x = rng.normal(1.0, 2.0, size=8)
        truth = rng.random(8) < 1 / (1 + numpy.exp(-x))
        ents = [spacy.tokens.Span(reference, i, i + 1, "X") for i in truth.nonzero()[0]]
        reference.set_ents(ents, default="outside")
        examples.append(Example(predicted, reference))
        logits = numpy.full((8, 5), -1e4)
        logits[:, 0] = 0.0
        logits[:, 4] = factor * x  # O, B-X, I-X, L-X, U-X
        scores.append(logits)
    nlp.initialize(lambda: examples)
    assert ner.tag_set.tags == ("O", "B-X", "I-X", "L-X", "U-X")
    ner.tag_scores = lambda docs: scores[: len(docs)]
    return nlp, ner, examples


@pytest.fixture(scope="module")
def tweets():
    """A CNN that has seen 800 sentences too often, and held-out sentences in halves."""
    nlp = spacy.blank("en")
    nlp.add_pipe("ner_encoder", name="ner", config={"model": CNN})
    _train(nlp, _read(nlp, "wnut17", "train", 800), 250, 0.003)
    held_out = _read(nlp, "wnut17", "dev", 1000)
    return nlp, held_out[0::2], held_out[1::2]


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_true_temperature_is_found(factor):
    _, ner, examples = _words_pipe(400, factor)
    assert fit_temperature(ner, examples) == pytest.approx(factor, rel=0.2)


def test_fitting_changes_neither_the_pipe_nor_the_documents():
    _, ner, examples = _words_pipe(20, 3.0)
    ner.temperature = 2.0
    fit_temperature(ner, examples)
    assert ner.temperature == 2.0
    assert not any(eg.predicted.ents for eg in examples)


def test_the_outside_bias_finds_what_is_held_back():
    """Entities stand 1 below "outside", everything else 5: any bias between is perfect."""
    _, ner, examples = _words_pipe(30, 1.0)
    scores = []
    for eg in examples:
        x = numpy.zeros((8, 5)) - 1e4
        x[:, 0] = 0.0
        x[:, 4] = [-1.0 if token.ent_type_ else -5.0 for token in eg.reference]
        scores.append(x)
    ner.tag_scores = lambda docs: [x.copy() for x in scores[: len(docs)]]
    assert not len(score_spans(ner, examples, scores, 1.0)[0])
    assert 1.0 < fit_outside_bias(ner, examples, scores) <= 3.0
    calibrate(ner, examples)
    right = score_spans(ner, examples, scores, 1.0)[1]
    assert right.all()
    assert len(right) == sum(len(eg.reference.ents) for eg in examples)
    # Scores that need none, and gold that says nothing.
    even = [numpy.where(x == -1.0, 5.0, x) for x in scores]
    assert abs(fit_outside_bias(ner, examples, even)) <= 1.0
    bare = [Example(eg.predicted, eg.reference.copy()) for eg in examples]
    for eg in bare:
        eg.reference.set_ents([], default="missing")
    assert fit_outside_bias(ner, bare, scores) == 0.0


def test_unannotated_gold_is_neither_right_nor_wrong():
    nlp, ner, examples = _words_pipe(200, 3.0)
    fitted = fit_temperature(ner, examples)
    scores = ner.tag_scores([eg.predicted for eg in examples])
    p, right = score_spans(ner, examples, scores, 1.0)
    # Every second document loses its annotation altogether, the rest their fifth word.
    bare = []
    for i, eg in enumerate(examples):
        reference = Doc(nlp.vocab, [t.text for t in eg.reference])
        if i % 2 == 0:
            ents = [x for x in eg.reference.ents if x.start != 4]
            reference.set_ents(ents, missing=[reference[4:5]], default="outside")
        bare.append(Example(eg.predicted, reference))
    p_bare, right_bare = score_spans(ner, bare, scores, 1.0)
    kept = [
        i % 2 == 0 and candidate.start_char != 4 * len("word ")
        for i, found in enumerate(ner.decode([eg.predicted for eg in examples], scores))
        for candidate in found
    ]
    assert 0 < len(p_bare) < len(p)
    assert p_bare.tolist() == p[kept].tolist()
    assert right_bare.tolist() == right[kept].tolist()
    assert fit_temperature(ner, bare) == pytest.approx(fitted, rel=0.3)


def test_without_any_annotation_the_temperature_is_1():
    nlp, ner, examples = _words_pipe(10, 3.0)
    bare = [Example(eg.predicted, nlp.make_doc(eg.reference.text)) for eg in examples]
    assert fit_temperature(ner, bare) == 1.0


def test_an_alias_in_the_gold_data_counts_as_its_label():
    nlp = spacy.blank("en")
    labels = [{"name": "PERSON", "aliases": ["PER"]}]
    ner = nlp.add_pipe("ner_encoder", name="ner", config={"model": CNN, "labels": labels})
    predicted, reference = nlp.make_doc("Ann left"), nlp.make_doc("Ann left")
    reference.ents = [spacy.tokens.Span(reference, 0, 1, "PER")]
    example = Example(predicted, reference)
    nlp.initialize(lambda: [example])
    scores = numpy.asarray([[0, 0, 0, 0, 5.0], [5.0, 0, 0, 0, 0]])
    p, right = score_spans(ner, [example], [scores], 1.0)
    assert len(p) == 1
    assert right.tolist() == [True]


def test_the_fitted_temperature_helps_on_held_out_text(tweets):
    nlp, fit_half, held_out = tweets
    ner = nlp.get_pipe("ner")
    temperature = fit_temperature(ner, fit_half)
    scores = ner.tag_scores([eg.predicted for eg in held_out])
    p, right = score_spans(ner, held_out, scores, 1.0)
    q, right_q = score_spans(ner, held_out, scores, temperature)
    assert len(p) > 50
    assert 0 < right.sum() < len(p)
    assert right.tolist() == right_q.tolist()  # the spans are the same
    assert temperature > 1.1  # it has been trained until it is too sure
    assert _log_loss(q, right) < _log_loss(p, right) - 0.02
    assert _ece(q, right) < _ece(p, right)


def test_the_callback_calibrates_what_is_saved(tweets, tmp_path):
    nlp, fit_half, _ = tweets
    ner = nlp.get_pipe("ner")
    DocBin(docs=[eg.reference for eg in fit_half]).to_disk(tmp_path / "dev.spacy")
    config = {
        "training": {
            "before_to_disk": {
                "@callbacks": "ner_components.calibrate.v1",
                "path": str(tmp_path / "dev.spacy"),
            }
        }
    }
    callback = spacy.util.registry.resolve(config)["training"]["before_to_disk"]
    before = [x.score for x in ner.predict([fit_half[0].predicted])[0]]
    assert callback(nlp) is nlp
    fitted, bias = ner.temperature, ner.outside_bias
    assert fitted > 1.1
    assert bias in BIASES
    assert nlp.pipe_names == ["ner"]  # what was disabled meanwhile is back
    nlp.to_disk(tmp_path / "model")
    from_bytes = spacy.blank("en")
    from_bytes.add_pipe("ner_encoder", name="ner", config={"model": CNN})
    from_bytes.from_bytes(nlp.to_bytes())
    for loaded in (spacy.load(tmp_path / "model"), from_bytes):
        assert loaded.get_pipe("ner").temperature == fitted
        assert loaded.get_pipe("ner").outside_bias == bias
    # A limit takes the first documents only.
    make_calibrate(tmp_path / "dev.spacy", limit=1)(nlp)
    assert ner.temperature != fitted
    ner.temperature, ner.outside_bias = 1.0, 0.0
    after = [x.score for x in ner.predict([fit_half[0].predicted])[0]]
    assert after == before


def test_the_callback_runs_the_pipes_before_it(tmp_path):
    """A listener needs its upstream's vectors, and nothing that comes after."""
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec", config={"model": CNN["tok2vec"]})
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 64}
    model = {"@architectures": "ner_components.TokenClassifier.v1", "tok2vec": listener}
    ner = nlp.add_pipe("ner_encoder", name="ner", config={"model": model})
    seen = []
    nlp.add_pipe("sentencizer", last=True)
    examples = []
    for text in ("Ann left", "Bob came", "nobody spoke"):
        reference = nlp.make_doc(text)
        ents = [] if text.startswith("n") else [spacy.tokens.Span(reference, 0, 1, "X")]
        reference.set_ents(ents, default="outside")
        examples.append(Example(nlp.make_doc(text), reference))
    nlp.initialize(lambda: examples)
    DocBin(docs=[eg.reference for eg in examples]).to_disk(tmp_path / "dev.spacy")
    tag_scores = ner.tag_scores
    ner.tag_scores = lambda docs: seen.extend(docs) or tag_scores(docs)
    make_calibrate(tmp_path / "dev.spacy")(nlp)
    assert [doc.text for doc in seen] == ["Ann left", "Bob came", "nobody spoke"]
    assert all(doc.tensor.shape == (2, 64) for doc in seen)
    assert not any(doc.has_annotation("SENT_START") for doc in seen)
    assert nlp.pipe_names == ["tok2vec", "ner", "sentencizer"]


@pytest.mark.slow
def test_bc5cdr_scores_rank_and_are_calibrated():
    """The embedded encoder, one epoch of bc5cdr. The temperature is fitted on one half
    of dev, everything is measured on the other."""
    nlp = spacy.blank("en")
    ner = nlp.add_pipe("ner_encoder", name="ner")
    train = _read(nlp, "bc5cdr", "train", 10_000)
    dev = _read(nlp, "bc5cdr", "dev", 10_000)
    steps = -(-len(train) // 16)
    started = time.perf_counter()
    _train(nlp, train, steps, 2e-4, warmup=steps // 10)
    minutes = (time.perf_counter() - started) / 60
    fit_half, held_out = dev[0::2], dev[1::2]
    temperature = fit_temperature(ner, fit_half)
    docs = [eg.predicted for eg in held_out]
    scores = ner.tag_scores(docs)
    raw, right = score_spans(ner, held_out, scores, 1.0)
    p, _ = score_spans(ner, held_out, scores, temperature)
    gold = sum(len(eg.reference.ents) for eg in held_out)
    f1 = 2 * right.sum() / (gold + len(right))
    marginal, ece = _auroc(p, right), _ece(p, right)
    mean = _auroc(_mean_softmax(ner, docs, scores, 1.0), right)
    mean_scaled = _auroc(_mean_softmax(ner, docs, scores, temperature), right)
    print(
        f"\nbc5cdr: {len(train)} sentences, {steps} steps, {minutes:.1f} min; "
        f"{len(p)} spans, F1 {100 * f1:.2f}; temperature {temperature:.3f}; "
        f"ECE {ece:.4f} (uncalibrated {_ece(raw, right):.4f}); AUROC marginal "
        f"{marginal:.4f} (uncalibrated {_auroc(raw, right):.4f}), mean softmax "
        f"{mean:.4f} (at the temperature {mean_scaled:.4f})"
    )
    calibrate(ner, fit_half)
    p_both, right_both = score_spans(ner, held_out, scores, ner.temperature)
    ece_both = _ece(p_both, right_both)
    f1_both = 2 * right_both.sum() / (gold + len(right_both))
    print(
        f"with the outside bias {ner.outside_bias}: F1 {100 * f1_both:.2f}; temperature "
        f"{ner.temperature:.3f}; ECE {ece_both:.4f}; AUROC {_auroc(p_both, right_both):.4f}"
    )
    assert f1 > 0.7
    assert marginal >= mean - 0.005
    assert marginal >= mean_scaled - 0.005
    assert ece <= 0.03
    assert ece_both <= 0.03
