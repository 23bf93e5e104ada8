"""Planted systems in processes of their own: the report shows what was planted."""

import importlib.util
import json

import pytest
import spacy
import typer
from spacy.tokens import Doc, DocBin, Span
from typer.testing import CliRunner

from ner_components.cli.compare import compare_cli, read_systems, run_all
from ner_components.cli.compare_report import print_report
from ner_components.corpora.mapping import LabelMapping
from ner_components.evaluation.compare import (
    About,
    Question,
    compare_pairs,
    evaluate_runs,
    make_documents,
    make_report,
    map_run,
)
from ner_components.evaluation.compare_figures import describe_gold, describe_system
from ner_components.evaluation.costs import Costs
from ner_components.evaluation.decision import Limits
from ner_components.evaluation.feeder import Source
from ner_components.evaluation.run_jobs import Settings, System, make_key, make_sources
from ner_components.evaluation.run_thresholds import choose_threshold
from ner_components.evaluation.runs import Run, run_system
from ner_components.schema import EntitySchema

CANARY = "Zyxwolf"
COUNT = 20  # documents, each with one PERSON and one ORG

# Finds "Ann..." as PERSON and "Acme..." as ORG, and errs as it is told. What it was asked
# is counted in a file.
CODE = """
import os, time
from collections import namedtuple
from pathlib import Path
from spacy.language import Language
from ner_components.entities import Candidate, Rules, annotate, resolve
from ner_components.schema import EntitySchema

Usage = namedtuple(
    "Usage", "requests prompt_tokens completion_tokens cached_tokens cost unknown"
)
SCHEMA = EntitySchema.from_labels(["PERSON", "ORG", "<b>|`x"])


class Planted:
    def __init__(self, nlp, error, log, threshold):
        self.cfg = {"threshold": threshold, "spans_key": "ner"}
        self.error, self.log, self.n = error, log, 0
        self.handler = None
        if error == "costly":
            self.usage = Usage(5, 50, 50, 0, 1.0, 0)

    def set_error_handler(self, handler):
        self.handler = handler

    def get_error_handler(self):
        return self.handler

    def __call__(self, doc):
        if self.log:
            with open(self.log, "a") as file:
                file.write("x")
        number = int(doc[2].text[1:]) if len(doc) > 2 else 0
        if self.error == "kill" and number == 7:
            os.kill(os.getpid(), 9)
        if self.error == "fail" and number in (0, 5, 15):
            raise KeyError(doc.text)
        if self.error == "slow":
            time.sleep(0.005)
        if self.error == "costly":
            step = Usage(1, 100, 10, 0, 0.5, 0)
            self.usage = Usage(*(a + b for a, b in zip(self.usage, step)))
        self.write(doc, number)
        return doc

    def write(self, doc, number):
        found = []
        for token in doc:
            label = {"Ann": "PERSON", "Acme": "ORG"}.get(token.text)
            if label is None:
                continue
            start, end, score = token.idx, token.idx + len(token), 0.9
            if self.error == "swap" and number % 2 == 0:
                label = {"PERSON": "ORG", "ORG": "PERSON"}[label]
            if self.error == "shift" and label == "ORG" and number % 4 == 0:
                end = token.nbor(1).idx + len(token.nbor(1))
            if self.error == "scores":
                score = 0.99 if number % 2 else 0.95
            found.append(Candidate(start, end, label, score))
        extra = doc[3]
        if self.error == "invent" and number % 5 == 0:
            found.append(Candidate(extra.idx, extra.idx + len(extra), "ORG", 0.9))
        if self.error == "scores":
            # Overconfident: wrong ones with 0.9.
            found.append(Candidate(extra.idx, extra.idx + len(extra), "ORG", 0.9))
        if self.error == "schema" and number < 4:
            found.append(Candidate(extra.idx, extra.idx + len(extra), "NO<i>", 0.9))
        rules = Rules(threshold=self.cfg["threshold"])
        annotate(doc, resolve(doc, found, SCHEMA, rules), rules)

    def pipe(self, stream, batch_size=8):
        for i, doc in enumerate(stream):
            if self.error == "drop" and doc[2].text in ("n13", "n18"):
                continue
            if self.error == "break" and doc[2].text == "n14":
                raise RuntimeError(doc.text)
            try:
                yield self(doc)
            except Exception as e:
                self.handler("ner", self, [doc], e)

    def to_disk(self, path, exclude=()):
        pass

    def from_disk(self, path, exclude=()):
        return self


@Language.factory(
    "planted_ner",
    assigns=["doc.ents"],
    default_config={"error": "", "log": "", "threshold": 0.0},
)
def make_planted(nlp, name, error, log, threshold):
    return Planted(nlp, error, log, threshold)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("compare")


@pytest.fixture(scope="module")
def code(folder):
    path = folder / "planted.py"
    path.write_text(CODE, encoding="utf8")
    spec = importlib.util.spec_from_file_location("planted_systems", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return path


@pytest.fixture(scope="module")
def gold(folder):
    """Gold tokens are cut otherwise than the tokenizer's: "Ann met" is one."""
    vocab = spacy.blank("en").vocab
    docs = []
    for i in range(COUNT):
        words = ["Ann", "met", f"n{i}", CANARY, "of", "Acme", "today"]
        data = {"id": f"d{i}", "tags": ["even"] if i % 2 == 0 else [], "genre": "news"}
        doc = Doc(vocab, words=words, user_data=data)
        doc.ents = [Span(doc, 0, 1, label="PERSON"), Span(doc, 5, 6, label="ORG")]
        docs.append(doc)
    DocBin(docs=docs, store_user_data=True).to_disk(folder / "gold.spacy")
    return docs


def planted(error="", **config):
    nlp = spacy.blank("en")
    nlp.add_pipe("planted_ner", name="ner", config={"error": error, **config})
    return nlp


def run(gold, error="", **config):
    return run_system(planted(error, **config), make_sources(gold), name=error or "good")


def describe(gold, one, **kwargs):
    question = Question(**kwargs)
    (evaluation,) = evaluate_runs(gold, [one], question)
    return describe_system(one, evaluation, question)


def errors(**counts):
    names = ("correct", "wrong_label", "wrong_boundary", "both_wrong", "missed", "spurious")
    return {name: counts.get(name, 0) for name in names}


# 20 documents with 2 entities: 40 gold. swap: 10 documents with both labels wrong. shift:
# the ORG of 5 documents. invent: 4 more. Failing documents lose 2 entities each.
PLANTED = {
    "": (1.0, {"correct": 40}),
    "swap": (20 / 40, {"correct": 20, "wrong_label": 20}),
    "shift": (35 / 40, {"correct": 35, "wrong_boundary": 5}),
    "invent": (2 * 40 / 84, {"correct": 40, "spurious": 4}),
    "fail": (2 * 34 / 74, {"correct": 34, "missed": 6}),
    "drop": (2 * 36 / 76, {"correct": 36, "missed": 4}),
    "break": (2 * 38 / 78, {"correct": 38, "missed": 2}),
}


@pytest.mark.parametrize("error", PLANTED)
def test_f1_and_error_classes_are_those_planted(code, gold, error):
    entry = describe(gold, run(gold, error))
    f1, counts = PLANTED[error]
    assert entry["evaluation"]["micro"]["f"] == pytest.approx(f1, abs=1e-12)
    assert entry["evaluation"]["errors"] == errors(**counts)
    assert entry["intervals"]["micro_f"]["value"] == pytest.approx(f1, abs=1e-12)


@pytest.mark.parametrize(
    ("error", "failures"),
    [
        # The first alone, as a warm-up; the sixth alone; the sixteenth in the stream.
        ("fail", [(0, "KeyError"), (5, "KeyError"), (15, "KeyError")]),
        ("drop", [(13, "Dropped"), (18, "Dropped")]),
        ("break", [(14, "RuntimeError")]),
    ],
)
def test_documents_that_fail_are_listed_and_the_others_go_on(code, gold, error, failures):
    one = run(gold, error)
    entry = describe(gold, one)
    expected = [{"document": i, "error": e, "id": f"d{i}"} for i, e in failures]
    assert entry["failures"] == expected
    assert [doc.text for doc in one.docs] == [doc.text for doc in gold]
    assert CANARY not in json.dumps(entry)


def test_documents_are_timed_alone_and_as_a_stream(code, gold):
    one = run(gold)
    # 20: one warms up, 10 alone (half), 9 as a stream with 7 gold tokens each.
    assert one.latency_ms["documents"] == 10
    assert one.throughput["documents"] == 9
    seconds = one.throughput["seconds"]
    assert one.throughput["words_per_second"] == pytest.approx(63 / seconds)
    assert one.seconds_per_thousand == pytest.approx(1000 * seconds / 9)
    assert one.latency_ms["p50"] <= one.latency_ms["p95"] <= one.latency_ms["p99"]
    assert one.warmup_seconds > 0
    assert one.peak_memory_mb > 10


@pytest.mark.parametrize(("count", "alone", "stream"), [(1, 0, 0), (2, 1, 0), (3, 1, 1)])
def test_few_documents(code, gold, count, alone, stream):
    one = run(gold[:count])
    assert (one.latency_ms or {"documents": 0})["documents"] == alone
    assert (one.throughput or {"documents": 0})["documents"] == stream
    assert len(one.docs) == count


def test_slow_is_slower(code, gold):
    fast, slow = run(gold), run(gold, "slow")
    assert slow.latency_ms["p50"] > fast.latency_ms["p50"]
    assert slow.seconds_per_thousand > fast.seconds_per_thousand


def test_every_document_is_run_once(code, gold, tmp_path):
    log = tmp_path / "log"
    run(gold, log=str(log))
    assert len(log.read_text()) == COUNT


def test_usage_is_of_the_run_and_priced(code, gold):
    one = run(gold, "costly")
    entry = describe(gold, one)
    # What the pipe had counted before is not this run's.
    assert entry["usage"] == {
        "requests": 20,
        "prompt_tokens": 2000,
        "completion_tokens": 200,
        "cached_tokens": 0,
        "cost": 10.0,
    }
    assert entry["per_thousand_documents"] == {"tokens": 110_000, "cost": 500.0}
    hour = describe(gold, one, hourly_price=36.0)["per_thousand_documents"]["cost"]
    assert hour == pytest.approx(500 + 0.01 * one.seconds_per_thousand)


@pytest.mark.parametrize(
    ("usage", "factory", "tokens", "cost"),
    [
        (None, "ner", None, 0.0),
        (None, "llm", None, None),
        ({"requests": 2, "cost": 0.0}, "ner_llm", 5000, None),  # no prices
        ({"requests": 2, "cost": 0.1, "unknown": 1}, "ner_llm", None, None),
        ({"requests": 0, "cost": 0.0}, "ner_llm", None, None),  # all from a cache
        ({"requests": 2, "cost": 0.1}, "ner_llm", 5000, 5.0),
    ],
)
def test_what_is_not_known_has_no_price(code, gold, usage, factory, tokens, cost):
    one = run(gold)
    if usage is not None:
        usage = {"prompt_tokens": 90, "completion_tokens": 10, "cached_tokens": 0, **usage}
    one.usage, one.factories = usage, {"ner": factory}
    found = describe(gold, one)["per_thousand_documents"]
    assert found == {"tokens": tokens, "cost": cost}


def test_schema_errors(code, gold):
    one = run(gold, "schema")
    entry = describe(gold, one)
    # 4 candidates of an unknown label beside the 40 right ones.
    assert entry["evaluation"]["schema_error_rate"] == 4 / 44
    assert entry["intervals"]["schema_error_rate"]["value"] == 4 / 44
    shown = make_documents(gold, [one])[3]["systems"]["schema"]
    assert shown["rejected"] == [[11, 18, "NO<i>", "unknown_label"]]
    assert "schema_error_rate" in describe(gold, run(gold))["intervals"]


def test_the_cost_of_mistakes_and_its_interval(code, gold):
    costs = Costs(default={"missed": 2, "spurious": 1})
    found = describe(gold, run(gold, "fail"), costs=costs)["cost_of_mistakes"]
    # 3 of 20 documents cost 4 each: mean 0.6, standard deviation 4 * sqrt(.15 * .85).
    assert found["total"] == 12
    assert found["per_thousand_documents"] == 600
    middle = (found["low"] + found["high"]) / 2
    assert found["low"] == 0.0 or middle == pytest.approx(600)
    spread = 4000 * (0.15 * 0.85 / 19) ** 0.5
    assert 1.9 * spread < found["high"] - 600 < 3.5 * spread


def test_documents_of_the_error_browser(code, gold):
    documents = make_documents(gold, [run(gold, "invent"), run(gold, "fail")])
    first = documents[0]
    assert first["id"] == "d0"
    assert first["tags"] == ["even"]
    assert first["genre"] == "news"
    assert first["gold"] == [[0, 3, "PERSON"], [22, 26, "ORG"]]
    assert first["systems"]["invent"] == {
        "ents": [[0, 3, "PERSON", 0.9], [11, 18, "ORG", 0.9], [22, 26, "ORG", 0.9]],
        "failed": None,
        "outcomes": [["correct", 0, 0], ["spurious", None, 1], ["correct", 1, 2]],
        "rejected": [],
    }
    assert first["systems"]["fail"] == {
        "ents": [],
        "failed": "KeyError",
        "outcomes": [["missed", 0, None], ["missed", 1, None]],
        "rejected": [],
    }


def test_tokens_without_annotation_have_no_outcome(code, gold):
    doc = gold[0].copy()
    doc.set_ents([doc[0:1]], missing=[doc[3:4], doc[4:5]], default="outside")
    doc.set_ents([Span(doc, 0, 1, label="PERSON")], missing=[doc[3:4]], default="outside")
    one = run([doc], "invent")
    shown = make_documents([doc], [one])[0]["systems"]["invent"]
    assert len(shown["ents"]) == 3
    assert shown["outcomes"] == [["correct", 0, 0], ["spurious", None, 2]]
    assert describe([doc], one)["evaluation"]["unannotated_predictions"] == 1


def test_a_mapping_keeps_scores_and_counts_what_it_lacks(code, gold):
    one = run(gold)
    labels = {"PERSON": "PER", "DATE": None}
    map_run(one, LabelMapping(source="a", target="b", labels=labels), "a-b.json")
    assert one.mapping == {"file": "a-b.json", "unmapped": {"ORG": 20}}
    ents = make_documents(gold, [one])[0]["systems"]["good"]["ents"]
    assert ents == [[0, 3, "PER", 0.9], [22, 26, "ORG", 0.9]]
    dropped = {"PERSON": None, "ORG": "ORG"}
    map_run(one, LabelMapping(source="a", target="b", labels=dropped), "b.json")
    assert one.has_scores
    assert describe(gold, one)["evaluation"]["per_label"]["ORG"]["f"] == 1.0


def test_pairs_are_compared_with_holm(code, gold):
    runs = [run(gold), run(gold, "swap"), run(gold, "invent")]
    question = Question(resamples=200)
    rows = compare_pairs(runs, evaluate_runs(gold, runs, question), question)
    assert [(x["first"], x["second"]) for x in rows] == [
        ("good", "swap"),
        ("good", "invent"),
        ("swap", "invent"),
    ]
    assert rows[0]["difference"]["value"] == pytest.approx(0.5)
    least = min(x["p"] for x in rows)
    assert min(x["p_corrected"] for x in rows) == pytest.approx(min(1, 3 * least))


def test_the_report(code, gold):
    runs = [run(gold, "swap"), run(gold), run(gold, "costly")]
    limits = Limits(max_cost=100)
    about = About({"name": "gold.spacy"}, {"seed": 0}, 1, [{"name": "gone"}])
    question = Question(limits=limits, resamples=200)
    report = make_report(gold, runs, question=question, about=about)
    assert list(report) == [
        "format",
        "created",
        "versions",
        "machine",
        "gold",
        "command",
        "systems",
        "failed_systems",
        "comparisons",
        "decision",
    ]
    assert [x["name"] for x in report["systems"]] == ["swap", "good", "costly"]
    assert report["gold"] == {"name": "gold.spacy", **describe_gold(gold)}
    assert report["failed_systems"] == [{"name": "gone"}]
    assert report["machine"]["threads"] == 1
    # As good as "good", but 500 a thousand documents are more than 100.
    assert report["decision"]["chosen"] == "good"
    assert list(report["decision"]["excluded"]) == ["costly"]
    text = json.dumps(report, allow_nan=False)
    assert CANARY not in text
    assert json.loads(text) == report


def test_hostile_labels_stay_data(capsys, code, gold):
    hostile = "\x1b[31m<script>|`\u2028"
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": hostile, "pattern": "Acme"}])
    one = run_system(nlp, make_sources(gold), name="hostile")
    labels = {"PERSON": "PERSON"}
    map_run(one, LabelMapping(source="a", target="b", labels=labels), "m.json")
    report = make_report(gold, [one], question=Question(resamples=50))
    assert report["systems"][0]["mapping"]["unmapped"] == {hostile: COUNT}
    assert report["systems"][0]["evaluation"]["errors"]["wrong_label"] == COUNT
    print_report(report)
    assert "\x1b[31m<" not in capsys.readouterr().out


def test_a_threshold_is_chosen_among_the_scores_of_dev(code, gold):
    # Right with 0.95 or 0.99, invented with 0.9: 20 of 60 entities are wrong.
    nlp = planted("scores")
    found = choose_threshold(nlp, gold)
    assert found == {"value": 0.95, "dev_f": 1.0, "dev_f_before": 2 * 40 / 100}
    assert nlp.get_pipe("ner").cfg["threshold"] == 0.95
    # Never lower than it is; of equally good ones the lowest.
    assert choose_threshold(planted("scores", threshold=0.97), gold)["value"] == 0.97
    assert choose_threshold(planted(), gold)["value"] == 0.0


def test_labels_with_a_threshold_of_their_own_stay(code, gold):
    nlp = planted("scores")
    labels = ["PERSON", {"name": "ORG", "threshold": 0.5}]
    nlp.get_pipe("ner").schema = EntitySchema.from_labels(labels)
    # The invented ones are ORG: no threshold moves them, and the lowest is taken.
    assert choose_threshold(nlp, gold) == {"value": 0.0, "dev_f": 0.8, "dev_f_before": 0.8}


def test_progress_counts_every_document(code, gold):
    told = []
    nlp = planted("fail")
    run_system(nlp, make_sources(gold), progress=told.append)
    assert told == sorted(told)
    assert told[-1] == COUNT


def test_a_threshold_by_costs(code, gold):
    # A missed entity costs 1, an invented one 100 times less: not worth 0 missed.
    cheap = Costs(default={"missed": 1, "spurious": 0})
    assert choose_threshold(planted("scores"), gold, costs=cheap)["value"] == 0.0
    dear = Costs(default={"missed": 1, "spurious": 1})
    assert choose_threshold(planted("scores"), gold, costs=dear)["value"] == 0.95


def test_no_threshold_without_a_setting_or_scores(code, gold):
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "ORG", "pattern": "Acme"}])
    assert choose_threshold(nlp, gold) is None


def test_a_run_survives_the_disk(code, gold, tmp_path):
    one = run(gold, "invent")
    one.to_disk(tmp_path / "x")
    same = Run.from_disk(tmp_path / "x", gold[0].vocab)
    assert make_documents(gold, [one]) == make_documents(gold, [same])
    assert {**vars(one), "docs": 0} == {**vars(same), "docs": 0}
    assert CANARY not in (tmp_path / "x" / "run.json").read_text()
    (tmp_path / "x" / "predictions.spacy").write_bytes(b"broken")
    with pytest.raises(ValueError, match="Can't read the run of 'x'"):
        Run.from_disk(tmp_path / "x", gold[0].vocab)


def test_a_run_of_other_documents_is_refused(code, gold):
    one = run(gold)
    with pytest.raises(ValueError, match="has 20 documents and the gold data 19"):
        evaluate_runs(gold[:19], [one], Question())


@pytest.mark.parametrize("text", ["", " ", "\n\n", "שלום Ann", "👩‍👩‍👧 Ann\u2028Ann"])
def test_odd_texts_keep_their_place(text):
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "ORG", "pattern": "Ann"}])
    one = run_system(nlp, [Source(text, None, 1)] * 4)
    assert [doc.text for doc in one.docs] == [text] * 4
    assert one.failures == []


def test_a_text_that_the_pipeline_refuses_has_failed(gold):
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.max_length = 20
    nlp.tokenizer = Refusing(nlp.tokenizer)
    one = run_system(nlp, [Source("x" * n, None, 1) for n in (30, 5, 30, 5, 30)])
    assert [(x["document"], x["error"]) for x in one.failures] == [
        (0, "ValueError"),
        (2, "ValueError"),
        (4, "ValueError"),
    ]
    assert [len(doc.text) for doc in one.docs] == [30, 5, 30, 5, 30]


def test_spacys_own_recogniser(gold):
    nlp = spacy.blank("en")
    nlp.add_pipe("ner").add_label("ORG")
    nlp.initialize()
    one = run_system(nlp, make_sources(gold))
    assert one.failures == []
    assert one.factories == {"ner": "ner"}
    entry = describe(gold, one)
    assert entry["scores"] is False
    assert entry["evaluation"]["schema_error_rate"] is None
    assert entry["per_thousand_documents"] == {"tokens": None, "cost": 0.0}


def test_merged_tokens_and_groups_of_others(gold):
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("span_ruler", config={"annotate_ents": True})
    ruler.add_patterns([{"label": "PERSON", "pattern": "Ann met"}])
    nlp.add_pipe("merge_entities")
    one = run_system(nlp, make_sources(gold))
    assert describe(gold, one)["evaluation"]["errors"]["wrong_boundary"] == COUNT


class Refusing:
    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def __call__(self, text):
        if len(text) > 20:
            raise ValueError(text)
        return self.tokenizer(text)


# Names


@pytest.mark.parametrize(
    "name", ["../up", "a/b", ".", "..", ".x", "x.", "", "a b", "<script>", "nul", "x" * 65]
)
def test_a_name_that_is_no_safe_folder_is_refused(name):
    with pytest.raises(ValueError, match="can't be the name of a system|is no system"):
        read_systems([f"{name}=p"], [])


@pytest.mark.parametrize("argument", ["name", "name=", "=pipeline"])
def test_an_argument_that_names_no_pipeline(argument):
    with pytest.raises(ValueError, match="is no system"):
        read_systems([argument], [])


def test_systems_and_their_mappings():
    mapping = "ontonotes-conll2003"
    assert read_systems(["a=p", "b=en_x=1"], [f"b={mapping}"]) == [
        System("a", "p"),
        System("b", "en_x=1", mapping),
    ]
    assert read_systems(["a=p"], [mapping]) == [System("a", "p", mapping)]
    with pytest.raises(ValueError, match="'A' is given twice"):
        read_systems(["a=p", "A=q"], [])
    with pytest.raises(ValueError, match="names no system of these: a"):
        read_systems(["a=p"], ["z=file.json"])


def test_what_makes_a_run_another_one(code, gold, folder):
    path = folder / "keyed"
    planted().to_disk(path)
    system, sources = System("a", str(path)), make_sources(gold)
    key = make_key(system, sources, Settings())
    assert key == make_key(System("other", str(path)), sources, Settings())
    assert key != make_key(system, sources[1:], Settings())
    assert key != make_key(system, sources, Settings(threads=1))
    assert key != make_key(system, sources, Settings(dev=gold))
    # Without dev, costs and mapping have no part in what is predicted.
    assert key == make_key(System("a", str(path), "x"), sources, Settings(costs={}))
    config = path / "config.cfg"
    config.write_text(config.read_text().replace("threshold = 0.0", "threshold = 0.5"))
    assert key != make_key(system, sources, Settings())


# Processes


@pytest.fixture(scope="module")
def compared(code, gold, folder):
    """Systems run as the command does it, some of them not to be had."""
    names = {"scores": "scores", "broken": "", "killed": "kill"}
    for name, error in names.items():
        planted(error, log=str(folder / f"{name}.log")).to_disk(folder / name)
    (folder / "broken" / "config.cfg").write_text("[nlp]\nlang = null\n")
    systems = [System(x, str(folder / x)) for x in ("scores", "gone", "broken", "killed")]
    DocBin(docs=gold[:10], store_user_data=True).to_disk(folder / "dev.spacy")
    settings = Settings(code=code, dev=gold[:10], dev_name="dev.spacy", threads=1)
    output = folder / "out"
    return systems, settings, output, run_all(systems, gold, settings, output)


def test_the_others_go_on_where_one_cannot_load_or_dies(compared, gold):
    _, _, _, (runs, failed) = compared
    assert [x.name for x in runs] == ["scores"]
    assert [(x["name"], x["source"]) for x in failed] == [
        ("gone", "gone"),
        ("broken", "broken"),
        ("killed", "killed"),
    ]
    assert [x["error"] for x in failed] == ["NotFound", "ValueError", "SIGKILL"]


def test_dev_chooses_the_threshold_in_the_process(compared, gold):
    (one,) = compared[3][0]
    assert one.threshold == {
        "value": 0.95,
        "chosen_on": "dev.spacy",
        "dev_f": 1.0,
        "dev_f_before": 0.8,
    }
    assert describe(gold, one)["evaluation"]["micro"]["f"] == 1.0
    assert one.factories == {"ner": "planted_ner"}
    assert one.source == "scores"
    assert one.load_seconds > 0


def test_what_was_run_is_not_run_again(compared, gold, folder):
    systems, settings, output, (runs, _) = compared
    log = folder / "scores.log"
    assert len(log.read_text()) == 10 + COUNT  # dev and gold
    again, _ = run_all(systems[:1], gold, settings, output)
    assert len(log.read_text()) == 10 + COUNT
    assert make_documents(gold, again) == make_documents(gold, runs)


def test_fresh_runs_again(compared, gold, monkeypatch):
    systems, settings, output, (runs, _) = compared
    asked = []

    def start(system, *args, **kwargs):
        asked.append(system.name)
        return runs[0]

    monkeypatch.setattr("ner_components.evaluation.run_jobs.start_run", start)
    run_all(systems[:1], gold, settings, output, fresh=True)
    run_all(systems[:1], gold[:19], settings, output)
    run_all(systems[:1], gold, settings, output)
    assert asked == ["scores", "scores"]


def test_no_path_and_no_text_in_what_is_kept(compared, folder):
    kept = (compared[2] / "systems" / "scores" / "run.json").read_text()
    assert str(folder) not in kept
    assert CANARY not in kept


def test_nothing_can_be_run(compared, gold, capsys):
    systems, settings, output, _ = compared
    with pytest.raises(ValueError, match="No system could be run"):
        run_all(systems[1:2], gold, settings, output)
    said = " ".join(capsys.readouterr().out.split())
    assert "Can't load the pipeline of 'gone' (NotFound)" in said


def test_the_gold_data_is_described(gold):
    assert describe_gold(gold) == {
        "documents": 20,
        "words": 140,
        "entities": 40,
        "labels": {"ORG": 20, "PERSON": 20},
        "without_annotation": 0,
    }


app = typer.Typer()
app.command()(compare_cli)


def test_the_command(compared, gold, folder):
    for name in ("plots", "report_md", "report_html"):
        pytest.importorskip(f"ner_components.evaluation.{name}")
    systems, settings, output, _ = compared
    # A run of before: nothing is started for it.
    planted("swap").to_disk(folder / "swapped")
    swapped = System("swapped", str(folder / "swapped"))
    one = run(gold, "swap")
    one.name, one.key = "swapped", make_key(swapped, make_sources(gold), settings)
    one.to_disk(output / "systems" / "swapped")
    arguments = [str(folder / "gold.spacy")]
    arguments += [f"{x.name}={x.pipeline}" for x in (systems[0], swapped, systems[1])]
    arguments += ["--output", str(output), "--code", str(settings.code), "--threads", "1"]
    arguments += ["--dev", str(folder / "dev.spacy")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1, result.output  # one system is not there
    assert result.output.count("run before, not run again") == 2
    report = json.loads((output / "report.json").read_text(encoding="utf8"))
    assert report["gold"]["name"] == "gold.spacy"
    assert [x["name"] for x in report["systems"]] == ["scores", "swapped"]
    f1 = [x["evaluation"]["micro"]["f"] for x in report["systems"]]
    assert f1 == [1.0, 0.5]
    assert report["failed_systems"] == [
        {"name": "gone", "source": "gone", "error": "NotFound"}
    ]
    assert report["decision"]["chosen"] == "scores"
    assert "100.00" in result.output
    assert "gone: not run (NotFound)" in result.output
    assert report["decision"]["statement"] in result.output
    for name in ("report.json", "report.md"):
        kept = (output / name).read_text(encoding="utf8")
        assert CANARY not in kept
        assert str(folder) not in kept
    assert CANARY in (output / "report.html").read_text(encoding="utf8")
    assert list((output / "plots").glob("*.png"))


def test_the_command_with_nothing_to_compare(gold, folder):
    arguments = [str(folder / "gold.spacy"), "../x=y", "--output", str(folder / "bad")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "can't be the name of a system" in " ".join(result.output.split())
    assert not (folder / "bad").exists()
