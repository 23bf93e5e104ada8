"""The benchmark over corpora: its splits, and that its report says what the runs found."""

import gzip
import json

import corpora_train
import pytest
import spacy
import srsly
from corpora_report import write_report
from corpora_train import CORPORA, Corpus, hold_out, is_there, read_split
from spacy.tokens import Doc


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A corpus of ten documents of two sentences, the test set of wnut17's place."""
    monkeypatch.setenv("NER_DATA", str(tmp_path))
    monkeypatch.setattr(corpora_train, "ROOT", tmp_path)
    (tmp_path / "wnut17").mkdir()
    rows = [
        {
            "tokens": ["Ann", "saw", "Rome"],
            "ents": [[0, 1, "PER"], [2, 3, "LOC"]],
            "doc": f"d{i // 2}",
        }
        for i in range(20)
    ]
    for split in ("train", "test"):
        lines = "".join(json.dumps(x) + "\n" for x in rows)
        (tmp_path / "wnut17" / f"{split}.jsonl.gz").write_bytes(
            gzip.compress(lines.encode())
        )
    return tmp_path


def test_held_out_documents_stay_whole():
    vocab = spacy.blank("en").vocab
    docs = [Doc(vocab, words=["a"], user_data={"id": i // 4}) for i in range(40)]
    rest, held_out = hold_out(docs)
    assert [doc.user_data["id"] for doc in held_out] == [9] * 4
    assert [doc.user_data["id"] for doc in rest] == [i // 4 for i in range(36)]
    # Sentences that name no document are one each, and one at least is held out.
    rest, held_out = hold_out([Doc(vocab, words=["a"]) for _ in range(3)])
    assert (len(rest), len(held_out)) == (2, 1)


def test_without_a_dev_set_the_end_of_train_serves(data):
    corpus = Corpus("wnut17")
    assert is_there(corpus)
    assert not is_there(Corpus("btc"))
    assert [len(read_split(corpus, x)) for x in ("train", "dev", "test")] == [18, 2, 20]


def test_the_report_has_the_mean_over_the_seeds(data):
    assert "wnut17" in [x.name for x in CORPORA]
    output = data / "runs"
    (output / "wnut17").mkdir(parents=True)
    right = [[[0, 1, "PER", 0.9], [2, 3, "LOC", 0.9]]] * 20
    half = [[[0, 1, "PER", 0.9], [2, 3, "PER", 0.9]]] * 20
    for seed, found in enumerate((right, half), 1):
        path = output / "wnut17" / f"seed{seed}.json.gz"
        srsly.write_gzip_json(path, {"epochs": 1, "test": found})
    write_report(output)
    report = srsly.read_json(output / "report.json")
    assert list(report) == ["wnut17"]
    found = report["wnut17"]
    assert found["micro_f"]["seeds"] == [1.0, 0.5]
    assert found["micro_f"]["value"] == 0.75
    assert found["micro_f"]["documents"] == 10
    # PER: 20 right of 40 found, all 20 of gold: F1 2/3; LOC: none.
    assert found["macro_f"]["value"] == pytest.approx((1 + 1 / 3) / 2)
    assert found["label_f"] == {"LOC": 0.5, "PER": pytest.approx((1 + 2 / 3) / 2)}
    assert (found["words"], found["entities"]) == (60, 40)
