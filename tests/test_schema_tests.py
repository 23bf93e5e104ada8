"""Schema tests: a good pipeline has no finding, a planted defect always has one."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest
import spacy
from conftest import CNN
from spacy.language import Language
from spacy.tokenizer import Tokenizer
from spacy.tokens import Span
from spacy.training import Example
from spacy.util import compile_suffix_regex, minibatch
from thinc.api import Adam, fix_random_seed
from typer.testing import CliRunner

from ner_components.cli import ner_cli
from ner_components.evaluation.perturbations import perturb
from ner_components.evaluation.schema_examples import read_examples
from ner_components.evaluation.schema_report import (
    FAILED,
    INVARIANCE,
    KINDS,
    PASSED,
    SKIPPED,
    Check,
    Limits,
    SchemaTestReport,
)
from ner_components.evaluation.schema_tests import run_schema_tests
from ner_components.schema import EntitySchema

CANARY = "Zqxwvbanana"

LABELS = [
    {
        "name": "PERSON",
        "aliases": ["PER", "human"],
        "must": ["They hired [[Tim Cook|PERSON]].", "[[Zoë Okafor|PERSON]] isn't here."],
        "must_not": ["The nurse was kind.", 'He called it "a day".'],
    },
    {
        "name": "ORG",
        "aliases": ["company"],
        "must": [
            "Shares of [[Acme Holdings|ORG]] rose.",
            "[[Zork Bank|ORG]] hired nurses.",
        ],
        "must_not": ["The company has not commented.", "An apple a day is enough."],
    },
    {
        "name": "TICKER",
        "aliases": ["ticker", "stock symbol"],
        "threshold": 0.2,
        "must": [
            "I sold my $[[ACMH|TICKER]] today.",
            "The fund bought [[VOZK.DE|TICKER]].",
        ],
        "must_not": ["Come here right now.", "The index gained forty points."],
    },
]
NAMES = {"PERSON": {"one": ["Mia Lang", "Çem Su"], "two": ["Ngozi Eze"]}}
FILLERS = [
    "The weather was mild and the paths were wet.",
    "Nobody had asked for a second cup of tea.",
    "It took a while until the chairs were put away.",
]
SCHEMA = EntitySchema.from_labels(LABELS, version="1")
LIMITS = Limits()


def run(nlp, schema=SCHEMA, **kwargs):
    return run_schema_tests(nlp, schema, names=NAMES, fillers=FILLERS, **kwargs)


def training_texts():
    """YIELDS: every text of the schema tests with the entities it should have."""
    for turn, example in enumerate(read_examples(SCHEMA)):
        known = {example.text: example.entities}
        yield example.text, example.entities
        variants = perturb(
            example.text, example.entities, names=NAMES, fillers=FILLERS, turn=turn
        )
        for variant in sorted(variants, key=lambda x: x.source != example.text):
            known[variant.text] = variant.map(known[variant.source])
            yield variant.text, known[variant.text]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A small encoder that has learned the schema's examples and their variants."""
    fix_random_seed(0)
    folder = tmp_path_factory.mktemp("schema")
    # In a file: spaCy's config would double the dollar sign on its way to the disk.
    schema = folder / "schema.json"
    schema.write_text(json.dumps(SCHEMA.to_dict()))
    nlp = spacy.blank("en")
    nlp.add_pipe("ner_encoder", name="ner", config={"model": CNN, "schema": str(schema)})
    examples = [
        Example.from_dict(nlp.make_doc(text), {"entities": [tuple(x) for x in entities]})
        for text, entities in training_texts()
    ]
    optimizer = Adam(0.01)
    nlp.initialize(lambda: examples, sgd=optimizer)
    for _ in range(20):
        for batch in minibatch(examples, size=32):
            nlp.update(batch, sgd=optimizer, drop=0.0)
    nlp.to_disk(folder / "good")
    return folder / "good"


def edit_state(path, change):
    """Change the saved state of the pipe, as a mistake in training or packaging would."""
    file = path / "ner" / "state.json"
    state = json.loads(file.read_text())
    change(state)
    file.write_text(json.dumps(state))


def label_of(state, name):
    return next(x for x in state["schema"]["labels"] if x["name"] == name)


@pytest.fixture
def nlp(good):
    return spacy.load(good)


@pytest.fixture
def plant(good, tmp_path):
    """A function that loads the good pipeline with a change of its saved state."""

    def load(change):
        spacy.load(good).to_disk(tmp_path / "planted")
        edit_state(tmp_path / "planted", change)
        return spacy.load(tmp_path / "planted")

    return load


@pytest.fixture(scope="module")
def baseline(good):
    return run(spacy.load(good))


# The good pipeline, and changes that do no harm


def test_the_good_pipeline_has_no_finding(baseline):
    assert baseline.findings(LIMITS) == []
    assert baseline.failed == []
    assert {x.kind for x in baseline.checks} == set(KINDS)
    assert baseline.pipeline == "en_pipeline 0.0.0"
    assert baseline.schema_version == "1"


def test_what_is_checked(baseline):
    """By hand: 2 + 2 examples a label; 2 of PERSON's have quotes to change."""
    tally = baseline.tally()
    assert tally["PERSON", "static"] == (4, 4)  # itself, two aliases, the threshold
    assert tally["ORG", "static"] == (3, 3)
    for label in SCHEMA.names:
        assert tally[label, "tokens"] == tally[label, "must"] == (2, 2)
        assert tally[label, "must_not"] == (2, 2)
        assert tally[label, "case"] == (8, 8)
        assert tally[label, "space"] == (20, 20)
        assert tally[label, "position"] == (16, 16)
        assert tally[label, "order"] == (12, 12)
        assert tally[label, "determinism"] == (8, 8)
    assert tally["ORG", "quotes"] == (8, 8)
    assert tally["PERSON", "quotes"] == (6, 6)
    # Zoë as NFD, and in each example Çem as NFD.
    assert tally["PERSON", "unicode"] == (3, 3)
    assert tally["PERSON", "names"] == (6, 6)
    assert baseline.tally_names() == {"one": (4, 4), "two": (2, 2)}
    assert ("ORG", "names") not in tally
    assert baseline.stats["ner"]["failures"] == 0
    assert baseline.stats["ner"]["documents"] > 200


def do_nothing(nlp):
    pass


def set_batch_size(nlp):
    nlp.batch_size = 3


def rename_the_pipe(nlp):
    nlp.rename_pipe("ner", "entities")


def set_spans_key(nlp):
    nlp.get_pipe("ner").cfg["spans_key"] = "found"


def set_buffer_size(nlp):
    nlp.get_pipe("ner").cfg["buffer_size"] = 2


def add_a_sentencizer(nlp):
    nlp.add_pipe("sentencizer", first=True)


@pytest.mark.parametrize(
    "change",
    [
        do_nothing,
        set_batch_size,
        rename_the_pipe,
        set_spans_key,
        set_buffer_size,
        add_a_sentencizer,
    ],
)
def test_a_harmless_change_has_no_finding(nlp, baseline, change):
    change(nlp)
    report = run(nlp)
    assert report.findings(LIMITS) == []
    assert report.findings(LIMITS, baseline) == []
    assert report.unchecked(baseline) == 0
    assert (report.schema_digest, report.labels_digest, report.tokenization_digest) == (
        baseline.schema_digest,
        baseline.labels_digest,
        baseline.tokenization_digest,
    )


# Planted defects: two labels swapped


def swap_tags(first, second):
    other = {first: second, second: first}

    def swap(tag):
        prefix, _, label = tag.partition("-")
        return f"{prefix}-{other.get(label, label)}" if label else tag

    return lambda state: state.update(tags=[swap(x) for x in state["tags"]])


def swap_what_is_known(state):
    """The names stay, all that is known about them changes places."""
    a, b = label_of(state, "PERSON"), label_of(state, "ORG")
    a["name"], b["name"] = "ORG", "PERSON"


@pytest.mark.parametrize(
    "pair", [("PERSON", "ORG"), ("ORG", "TICKER"), ("PERSON", "TICKER")]
)
def test_swapped_tags_are_found(plant, pair):
    report = run(plant(swap_tags(*pair)))
    assert {x.label for x in report.failed if x.kind == "must"} == set(pair)
    assert "must: 0.3333 passed, at least 1.0000 must" in report.findings(LIMITS)


def test_a_swap_behind_the_recogniser_is_found(nlp):
    @Language.component("swap_labels", assigns=["doc.ents"])
    def swap_labels(doc):
        other = {"PERSON": "ORG", "ORG": "PERSON"}
        ents = [Span(doc, x.start, x.end, other.get(x.label_, x.label_)) for x in doc.ents]
        doc.set_ents(ents)
        return doc

    nlp.add_pipe("swap_labels")
    report = run(nlp)
    assert {x.label for x in report.failed if x.kind == "must"} == {"PERSON", "ORG"}
    assert report.findings(LIMITS) == ["must: 0.3333 passed, at least 1.0000 must"]


def test_a_swap_in_the_schema_is_found(plant):
    report = run(plant(swap_what_is_known))
    problems = {(x.variant, x.problem) for x in report.failed}
    assert ("alias PER", "leads to ORG in the pipeline") in problems
    assert ("alias company", "leads to PERSON in the pipeline") in problems
    assert report.findings(LIMITS) == ["static: 3 failed"]


# Planted defects: an alias missing


def drop_alias(name, alias):
    return lambda state: label_of(state, name)["aliases"].remove(alias)


def drop_all_aliases(state):
    del label_of(state, "TICKER")["aliases"]


def move_an_alias(state):
    del label_of(state, "ORG")["aliases"]
    label_of(state, "PERSON")["aliases"].append("company")


def misspell_an_alias(state):
    label_of(state, "ORG")["aliases"] = ["compnay"]


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        (drop_alias("PERSON", "PER"), [("PERSON", "alias PER")]),
        (drop_alias("TICKER", "stock symbol"), [("TICKER", "alias stock symbol")]),
        # "ticker" is TICKER in lower case, which the schema resolves all the same.
        (drop_all_aliases, [("TICKER", "alias stock symbol")]),
        (move_an_alias, [("ORG", "alias company")]),
        (misspell_an_alias, [("ORG", "alias company")]),
    ],
)
def test_a_missing_alias_is_found(plant, change, failed):
    report = run(plant(change))
    assert [(x.label, x.variant) for x in report.failed] == failed
    assert report.findings(LIMITS) == ["static: 1 failed"]


# Planted defects: a wrong threshold


def set_threshold(name, value):
    return lambda state: label_of(state, name).update(threshold=value)


def drop_threshold(state):
    del label_of(state, "TICKER")["threshold"]


@pytest.mark.parametrize(
    ("change", "label", "problem"),
    [
        (drop_threshold, "TICKER", "None in the pipeline, 0.2 in the schema"),
        (
            set_threshold("TICKER", 0.02),
            "TICKER",
            "0.02 in the pipeline, 0.2 in the schema",
        ),
        (set_threshold("TICKER", 0.9), "TICKER", "0.9 in the pipeline, 0.2 in the schema"),
        (set_threshold("ORG", 0.2), "ORG", "0.2 in the pipeline, None in the schema"),
    ],
)
def test_a_wrong_threshold_of_a_label_is_found(plant, change, label, problem):
    report = run(plant(change))
    assert [(x.label, x.variant, x.problem) for x in report.failed] == [
        (label, "threshold", problem)
    ]
    assert report.findings(LIMITS) == ["static: 1 failed"]


def test_a_wrong_threshold_of_the_pipe_is_found(nlp):
    nlp.get_pipe("ner").cfg["threshold"] = 1.0
    report = run(nlp)
    assert {x.label for x in report.failed if x.kind == "must"} == {"PERSON", "ORG"}
    assert report.stats["ner"]["below_threshold"] > 10


def test_a_threshold_too_low_to_matter_is_found_by_the_baseline(nlp, baseline):
    nlp.get_pipe("ner").cfg["threshold"] = 0.001
    report = run(nlp)
    assert report.findings(LIMITS) == []
    assert report.findings(LIMITS, baseline) == ["labels: changed since the baseline"]


# Planted defects: another tokenizer


def split_on_white_space(nlp):
    nlp.tokenizer = Tokenizer(nlp.vocab)


def keep_the_dollar_sign(nlp):
    without = [x for x in nlp.Defaults.prefixes if "$" not in x]
    nlp.tokenizer.prefix_search = spacy.util.compile_prefix_regex(without).search


def keep_the_full_stop(nlp):
    nlp.tokenizer.suffix_search = compile_suffix_regex([r"\)"]).search


def keep_cashtags(nlp):
    nlp.tokenizer.token_match = re.compile(r"\$[A-Z]+$").match


def split_at_full_stops(nlp):
    infixes = [*nlp.Defaults.infixes, r"(?<=[A-Z])\.(?=[A-Z])"]
    nlp.tokenizer.infix_finditer = spacy.util.compile_infix_regex(infixes).finditer


@pytest.mark.parametrize(
    ("change", "cut"),
    [
        (split_on_white_space, {("PERSON", 1), ("TICKER", 1), ("TICKER", 2)}),
        (keep_the_dollar_sign, {("TICKER", 1)}),
        (keep_the_full_stop, {("PERSON", 1), ("TICKER", 2)}),
        (keep_cashtags, {("TICKER", 1)}),
        # The borders are still token borders, but the model has seen other tokens.
        (split_at_full_stops, set()),
    ],
)
def test_another_tokenizer_is_found(nlp, baseline, change, cut):
    change(nlp)
    report = run(nlp)
    assert {(x.label, x.number) for x in report.failed if x.kind == "tokens"} == cut
    assert report.findings(LIMITS)
    assert "tokenization: changed since the baseline" in report.findings(LIMITS, baseline)


# Any pipeline that sets entities

RULED = EntitySchema.from_labels(
    [
        {
            "name": "ORG",
            "aliases": ["company"],
            "must": ["We visited [[Acme|ORG]] and [[Zork|ORG]] on Monday."],
            "must_not": ["The company was closed."],
        },
        {
            "name": "TICKER",
            "must": ["They sold [[ACMH|TICKER]]."],
            "must_not": ["It was late."],
        },
    ]
)


def make_ruled(words):
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler", config={"phrase_matcher_attr": "LOWER"})
    ruler.add_patterns([{"label": label, "pattern": word} for word, label in words])
    return nlp


WORDS = [("Acme", "company"), ("Zork", "company"), ("ACMH", "TICKER")]


def test_a_pipeline_that_knows_no_schema_is_held_to_its_labels():
    report = run(make_ruled(WORDS), RULED)
    assert report.findings(LIMITS) == []
    assert report.stats == {}
    static = [(x.label, x.variant, x.status) for x in report.checks if x.kind == "static"]
    assert static == [
        ("ORG", "label", PASSED),
        ("TICKER", "label", PASSED),
        ("TICKER", "word TICKER", PASSED),
        ("ORG", "word company", PASSED),
    ]


def test_labels_that_the_schema_does_not_know():
    report = run(make_ruled([*WORDS, ("monday", "DATE")]), RULED)
    (failed,) = report.failed
    assert (failed.kind, failed.label, failed.problem) == (
        "static",
        "DATE",
        "not in the schema",
    )
    assert report.findings(LIMITS) == ["static: 1 failed"]


def test_a_label_that_no_pipe_has():
    report = run(make_ruled(WORDS[:2]), RULED)
    assert [(x.kind, x.label, x.problem) for x in report.failed] == [
        ("static", "TICKER", "no pipe has this label"),
        ("must", "TICKER", "TICKER at 10-14 not found"),
    ]


def test_what_must_not_be_found():
    report = run(make_ruled([*WORDS, ("closed", "ORG"), ("late", "ORG")]), RULED)
    (failed,) = report.failed  # in TICKER's example an ORG is nobody's business
    assert (failed.kind, failed.label, failed.number) == ("must_not", "ORG", 1)
    assert failed.problem == "ORG at 16-22 found"
    assert report.findings(LIMITS) == ["must_not: 0.5000 passed, at least 1.0000 must"]
    assert report.findings(Limits(must_not=0.5)) == []


def test_a_span_ruler_counts_where_it_sets_entities():
    nlp = spacy.blank("en")
    config = {"annotate_ents": True, "spans_key": None, "phrase_matcher_attr": "LOWER"}
    ruler = nlp.add_pipe("span_ruler", config=config)
    ruler.add_patterns([{"label": label, "pattern": word} for word, label in WORDS])
    assert run(nlp, RULED).findings(LIMITS) == []


# What varies and must not


def add_filter(nlp, keep):
    """Drop all entities of a document unless `keep(text)`."""
    name = f"filter_{id(nlp)}"  # spaCy keeps the first component of a name

    @Language.component(name, assigns=["doc.ents"])
    def filter_entities(doc):
        if not keep(doc.text):
            doc.set_ents([])
        return doc

    nlp.add_pipe(name)
    return nlp


def variants_of(checks, kind):
    assert {x.kind for x in checks} == {kind}
    return {x.variant for x in checks}


@pytest.mark.parametrize(
    ("kind", "keep", "variants"),
    [
        ("case", lambda text: not text.isupper(), {"upper"}),
        ("quotes", lambda text: "“" not in text, {"in typographic"}),
        ("space", lambda text: "\n" not in text, {"leading", "line break", "trailing"}),
        (
            "position",
            lambda text: len(text) < 100,
            {"at the beginning", "in the middle", "at the end"},
        ),
    ],
)
def test_a_change_that_matters_is_found(kind, keep, variants):
    report = run(add_filter(make_ruled(WORDS), keep), RULED)
    assert variants_of(report.failed, kind) == variants
    assert {x.label for x in report.failed} == {"ORG", "TICKER"}
    assert {x.side for x in report.failed} == {"must"}
    (line,) = report.findings(LIMITS)
    assert line.startswith("invariance: 0.")
    assert report.findings(Limits(invariance=0.5)) == []


def test_a_normal_form_that_matters_is_found():
    words = [*WORDS, ("Zürich", "ORG")]
    schema = EntitySchema.from_labels([{"name": "ORG", "must": ["In [[Zürich|ORG]]."]}])
    report = run(make_ruled(words[3:]), schema)
    assert variants_of(report.failed, "unicode") == {"NFD"}
    assert report.failed[0].problem == "ORG at 3-10 lost"  # of the changed text


def test_names_that_matter_are_found_by_group():
    schema = EntitySchema.from_labels([{"name": "PERSON", "must": ["Hi [[Mia|PERSON]]."]}])
    names = {"PERSON": {"one": ["Mia", "Ann"], "two": ["Bo", "Cy"]}}
    words = [(word, "PERSON") for word in ("Mia", "Ann", "Bo")]
    report = run_schema_tests(make_ruled(words), schema, names=names)
    (failed,) = report.failed
    assert (failed.kind, failed.variant) == ("names", "two 2")
    # Mia for Mia is no change, and not counted.
    assert report.tally_names() == {"one": (1, 1), "two": (1, 2)}


def test_a_name_found_in_part_can_not_be_compared():
    schema = EntitySchema.from_labels(
        [{"name": "PERSON", "must": ["Hi [[Mia Lang|PERSON]]."]}]
    )
    names = {"PERSON": {"one": ["Ann Ba"]}}
    report = run_schema_tests(make_ruled([("Lang", "PERSON")]), schema, names=names)
    (skipped,) = report.skipped
    assert (skipped.kind, skipped.status) == ("names", SKIPPED)
    assert skipped.problem == "an entity of the original cuts what was replaced"
    assert report.tally_names() == {}
    assert [x.kind for x in report.failed] == ["must"]


def test_entities_that_were_wrong_before_must_stay_the_same():
    """Right or wrong is for `must` to say, the perturbations ask for the same answer."""
    report = run(make_ruled([("Acme", "ORG"), ("ACMH", "ORG"), ("x", "TICKER")]), RULED)
    assert {x.kind for x in report.failed} == {"must"}
    assert report.share(*INVARIANCE) == 1.0
    assert report.share("must") == 0.0


def test_an_answer_that_changes_from_run_to_run_is_found():
    counter = iter(range(10**6))
    nlp = add_filter(make_ruled(WORDS), lambda text: next(counter) % 3 > 0)
    report = run(nlp, RULED)
    assert "determinism" in {x.kind for x in report.failed}
    assert "order" in {x.kind for x in report.failed}
    assert report.findings(Limits(0, 0, 0))[0].startswith("determinism: ")


def test_scores_that_change_are_found(nlp, monkeypatch):
    pipe = nlp.get_pipe("ner")
    predict, counter = pipe.predict, iter(range(10**6))

    def drift(docs):
        less = 0.001 * next(counter)
        return [[x._replace(score=x.score - less) for x in row] for row in predict(docs)]

    monkeypatch.setattr(pipe, "predict", drift)
    report = run(nlp)
    assert {x.kind for x in report.failed} == {"determinism"}
    assert {x.variant for x in report.failed} == {"second run", "alone"}


def test_a_document_that_fails_is_a_finding(nlp, monkeypatch):
    pipe = nlp.get_pipe("ner")
    predict = pipe.predict

    def fragile(docs):
        docs = list(docs)
        if any(doc.text.isupper() for doc in docs):
            raise RuntimeError("no text in here")
        return predict(docs)

    monkeypatch.setattr(pipe, "predict", fragile)
    handlers = [nlp.default_error_handler, pipe.get_error_handler()]
    report = run(nlp)
    failed = [x for x in report.failed if x.kind != "determinism"]
    assert variants_of(failed, "case") == {"upper"}
    assert {x.problem for x in failed} == {"the pipeline failed"}
    assert len(failed) == 12
    assert report.stats["ner"]["failures"] >= 12
    assert [nlp.default_error_handler, pipe.get_error_handler()] == handlers


# What is left out


def test_kinds_are_left_out_by_name(nlp):
    report = run(nlp, skip=["names", "TICKER:case", "determinism"])
    assert report.left_out == ["names", "TICKER:case", "determinism"]
    found = {(x.kind, x.label) for x in report.checks}
    assert not {("names", "PERSON"), ("TICKER", "case")} & found
    assert ("case", "ORG") in found
    assert ("case", "TICKER") not in found
    assert "determinism" not in {kind for kind, _ in found}


@pytest.mark.parametrize("item", ["colour", "FIRM:case", "TICKER:", ":colour"])
def test_nothing_unknown_can_be_left_out(item):
    with pytest.raises(ValueError, match="Can't leave out '") as e:
        run(make_ruled(WORDS), RULED, skip=[item])
    assert "the kinds are static, tokens, must, must_not, case" in str(e.value)


# Baselines


def test_a_report_survives_json(baseline, tmp_path):
    data = json.loads(json.dumps(baseline.to_dict()))
    assert SchemaTestReport.from_dict(data) == baseline
    assert data["shares"] == {"must": 1.0, "must_not": 1.0, "invariance": 1.0}
    path = tmp_path / "report.json"
    path.write_text(json.dumps(data))
    assert SchemaTestReport.from_file(path) == baseline


def make_report(**statuses):
    checks = [Check("must", "ORG", "must", int(x[1:]), "", y) for x, y in statuses.items()]
    return SchemaTestReport("p", "1", "a", "b", "c", checks=checks)


def test_only_what_got_worse_than_the_baseline_counts():
    before = make_report(n1=PASSED, n2=FAILED, n3=PASSED, n4=PASSED, n5=SKIPPED)
    now = make_report(n1=PASSED, n2=FAILED, n3=FAILED, n4=SKIPPED, n5=FAILED)
    assert now.findings(Limits(0, 0, 0), before) == [
        "must, ORG: 1 passed in the baseline and failed now"
    ]
    assert now.findings(Limits(0, 0, 0)) == []
    assert now.unchecked(before) == 1
    assert before.findings(Limits(0, 0, 0), before) == []
    assert now.share("must") == 0.25
    assert now.share("must_not") is None


@pytest.mark.parametrize("digest", ["schema", "labels", "tokenization"])
def test_another_digest_than_the_baseline(digest):
    before = make_report(n1=PASSED)
    now = replace(before, **{f"{digest}_digest": "x"})
    assert now.findings(LIMITS, before) == [f"{digest}: changed since the baseline"]


def test_another_schema_has_another_digest(baseline):
    changed = EntitySchema.from_labels([*LABELS[:2], {**LABELS[2], "must_not": []}])
    ruled = make_ruled(WORDS)
    digests = {run(ruled, x).schema_digest for x in (SCHEMA, RULED, changed)}
    assert len(digests) == 3
    assert baseline.schema_digest in digests


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "no report"),
        ("[]", "no report"),
        ("{}", "no report"),
        ('{"format": 9}', "its format is not 1"),
    ],
)
def test_a_baseline_that_is_none(tmp_path, content, problem):
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"report\.json: {problem}"):
        SchemaTestReport.from_file(path)
    with pytest.raises(ValueError, match="No such file"):
        SchemaTestReport.from_file(tmp_path / "missing.json")


# Examples that can't be used


@pytest.mark.parametrize(
    ("must", "must_not", "problem"),
    [
        (f"{CANARY} left.", "", "no entity of its label is marked"),
        (f"[[{CANARY}|PERSON]] left.", "", "no entity of its label is marked"),
        (f"[[{CANARY} [[Inc|ORG]]|PERSON]] left.", "", "no entity of its label is marked"),
        (f"[[{CANARY} left.", "", "a mark is not closed"),
        (f"[[{CANARY}|FIRM]] left.", "", "a mark has a label that the schema doesn't know"),
        ("", f"[[{CANARY}|ORG]] left.", "an entity of its own label is marked"),
    ],
)
def test_a_bad_example_is_named_without_its_text(must, must_not, problem):
    label = {
        "name": "ORG",
        "must": [must] * bool(must),
        "must_not": [must_not] * (not must),
    }
    with pytest.raises(ValueError, match=problem) as e:
        run(make_ruled(WORDS), EntitySchema.from_labels([label, "PERSON"]))
    side = "must" if must else "must_not"
    assert str(e.value).startswith(f"ORG, {side} example 1: {problem}")
    assert CANARY not in str(e.value)


def test_examples_may_mark_other_labels_and_nested_entities():
    label = {
        "name": "ORG",
        "aliases": ["company"],
        "must": ["[[Bank of [[Oslo|PLACE]]|company]] hired [[Mia|PERSON]]."],
        "must_not": ["[[Mia|PERSON]] left."],
    }
    schema = EntitySchema.from_labels([label, "PERSON", "PLACE"])
    first, second = read_examples(schema)
    assert first.text == "Bank of Oslo hired Mia."
    assert first.entities == [(0, 12, "ORG"), (19, 22, "PERSON")]
    assert second.entities == [(0, 3, "PERSON")]


def test_nothing_to_test():
    with pytest.raises(ValueError, match="The schema has no examples"):
        run(make_ruled(WORDS), EntitySchema.from_labels(["ORG"]))
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    with pytest.raises(ValueError, match=r"No pipe .* \(its pipes: sentencizer\)"):
        run(nlp, RULED)


# The command


@pytest.fixture
def files(tmp_path):
    (tmp_path / "names.json").write_text(json.dumps(NAMES))
    (tmp_path / "fillers.txt").write_text("\n".join(FILLERS))
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA.to_dict()))
    return tmp_path


@pytest.fixture
def command(files):
    def call(pipeline, *args):
        options = ["--names", files / "names.json", "--fillers", files / "fillers.txt"]
        given = [str(x) for x in ("test", pipeline, *options, *args)]
        return CliRunner().invoke(ner_cli, given)

    return call


def test_the_command_passes_and_writes_its_report(command, files, good, baseline):
    out = files / "report.json"
    done = command(good, "--schema", files / "schema.json", "--output", out)
    assert done.exit_code == 0, done.output
    assert SchemaTestReport.from_file(out) == baseline
    assert re.search(r"^TICKER +4/4 +2/2 +2/2 +2/2 +8/8", done.output, re.M)
    assert re.search(r"^all +11/11 +6/6 +6/6 +6/6 +24/24", done.output, re.M)
    # A pipeline of ours carries a schema with examples.
    again = command(good, "--baseline", out)
    assert again.exit_code == 0, again.output


def test_the_command_fails_and_shows_examples_only_when_asked(command, good, files):
    spacy.load(good).to_disk(files / "planted")
    edit_state(files / "planted", swap_tags("ORG", "TICKER"))
    done = command(files / "planted")
    assert done.exit_code == 1
    assert "must: 0.3333 passed, at least 1.0000 must" in done.output
    assert "ORG must 1, ORG at 10-23 not found" in done.output
    assert "Acme" not in done.output
    shown = command(files / "planted", "--show")
    assert "Shares of [[Acme Holdings|ORG]] rose." in shown.output
    assert "[[Tim Cook|PERSON]]" not in shown.output
    assert command(files / "planted", "--min-must", "0.3").exit_code == 0


def test_the_command_finds_what_got_worse(command, good, files):
    """Of a model that was never perfect, only the change counts."""
    out = files / "report.json"
    spacy.load(good).to_disk(files / "planted")
    edit_state(files / "planted", swap_tags("ORG", "TICKER"))
    assert command(files / "planted", "--output", out).exit_code == 1
    assert command(files / "planted", "--baseline", out).exit_code == 0
    edit_state(files / "planted", swap_tags("ORG", "PERSON"))
    done = command(files / "planted", "--baseline", out)
    assert done.exit_code == 1
    assert "must, PERSON: 2 passed in the baseline and failed now" in done.output


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--schema", "missing.json"], "Can't read the schema missing.json"),
        (["--baseline", "missing.json"], "Can't read the baseline missing.json"),
        (["--skip", "colour"], "Can't leave out 'colour'"),
    ],
)
def test_the_command_says_what_is_wrong(command, good, args, message):
    done = command(good, *args)
    assert done.exit_code == 1
    assert message in " ".join(done.output.split())


def test_the_command_needs_a_pipeline_and_a_schema(command, files):
    done = command(files / "nothing")
    assert done.exit_code == 1
    assert "Can't load the pipeline" in done.output
    make_ruled(WORDS).to_disk(files / "ruled")
    done = command(files / "ruled")
    assert done.exit_code == 1
    assert "The pipeline carries no schema of its own" in " ".join(done.output.split())


def test_the_command_is_one_of_spacys():
    done = subprocess.run(
        [sys.executable, "-m", "spacy", "ner", "test", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "--min-invariance" in done.stdout


def test_the_report_holds_no_text(nlp):
    label = {
        "name": "ORG",
        "must": [f"[[{CANARY}|ORG]] left."],
        "must_not": [f"{CANARY} Acme."],
    }
    schema = EntitySchema.from_labels([label, "PERSON", "TICKER"])
    report = run(make_ruled(WORDS), schema)
    assert report.failed
    assert CANARY not in json.dumps(report.to_dict()) + repr(report)
