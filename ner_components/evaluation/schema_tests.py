"""Does a pipeline do what its schema says, and does it still do so when it should?

A schema is testable: each label may have sentences with a marked entity (`must`) and
sentences without any entity of it (`must_not`). Perturbing them in ways that leave the
meaning alone is the invariance test of Ribeiro et al., "Beyond accuracy: behavioral
testing of NLP models with CheckList", ACL 2020, section 2.
"""

import random
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from spacy.language import Language
from spacy.tokens import Doc

from ..corpora.offsets import Entity
from ..entities import get_ner_score
from ..errors import Errors
from ..schema import EntitySchema
from .perturbations import FILLERS, Names, Variant, perturb
from .schema_examples import Example, make_check, read_examples
from .schema_labels import (
    check_labels,
    check_tokens,
    count_candidates,
    digest_labels,
    digest_tokens,
    find_entity_pipes,
    make_renaming,
)
from .schema_report import KINDS, SKIPPED, Check, SchemaTestReport, make_digest

# The contract's bound on scores: a batch is computed in another order than a document.
SCORE_TOLERANCE = 1e-4
ORDERS = (1, 7, 1000)  # batch sizes

Found = Tuple[int, int, str, Optional[float]]
Answers = Dict[str, Tuple[Found, ...]]


def run_schema_tests(
    nlp: Language,
    schema: EntitySchema,
    *,
    names: Optional[Names] = None,
    fillers: Sequence[str] = FILLERS,
    skip: Sequence[str] = (),
) -> SchemaTestReport:
    """Test a pipeline against a schema.

    nlp (Language): Any pipeline that sets `doc.ents`.
    schema (EntitySchema): The schema with its examples.
    names (Optional[Names]): Names to swap, as `load_names` returns them.
    fillers (Sequence[str]): Sentences without entities, in the language of the examples.
    skip (Sequence[str]): What to leave out: a kind, or a label and a kind ("TICKER:case").
    RETURNS (SchemaTestReport): The report.
    RAISES (ValueError): An example can't be used, `skip` names something unknown, or no
        pipe sets entities.
    """
    _check_skip(skip, schema)
    examples = read_examples(schema)
    pipes = find_entity_pipes(nlp)
    before = count_candidates(pipes)
    reader = _Reader(nlp, make_renaming(pipes, schema))
    variants = _make_variants(examples, names, fillers, skip)
    checks = [*check_labels(pipes, schema), *check_tokens(nlp, examples)]
    checks += _check_answers(reader, examples, variants)
    return SchemaTestReport(
        pipeline=f"{nlp.meta['lang']}_{nlp.meta['name']} {nlp.meta['version']}",
        schema_version=schema.version,
        schema_digest=make_digest(schema.to_dict()),
        labels_digest=digest_labels(pipes),
        tokenization_digest=digest_tokens(nlp, examples),
        left_out=list(skip),
        checks=[x for x in checks if not _is_skipped(x.kind, x.label, skip)],
        stats=count_candidates(pipes, before),
    )


def _check_skip(skip: Sequence[str], schema: EntitySchema) -> None:
    """RAISES (ValueError): An item names a kind or a label that there is not."""
    for item in skip:
        label, _, kind = item.rpartition(":")
        if kind not in KINDS or (label and label not in schema):
            raise ValueError(Errors.N123.format(item=item, kinds=", ".join(KINDS)))


def _is_skipped(kind: str, label: str, skip: Sequence[str]) -> bool:
    return kind in skip or f"{label}:{kind}" in skip


def _make_variants(
    examples: Sequence[Example],
    names: Optional[Names],
    fillers: Sequence[str],
    skip: Sequence[str],
) -> List[List[Variant]]:
    made = []
    for turn, example in enumerate(examples):
        variants = perturb(
            example.text, example.entities, names=names, fillers=fillers, turn=turn
        )
        made.append([x for x in variants if not _is_skipped(x.kind, example.label, skip)])
    return made


# Answers


class _Reader:
    """Runs a pipeline and keeps what it found, never the documents.

    nlp (Language): The pipeline.
    renaming (Dict[str, str]): The schema's label for the pipeline's words.
    """

    def __init__(self, nlp: Language, renaming: Dict[str, str]) -> None:
        self.nlp = nlp
        self.renaming = renaming

    def read(self, texts: Sequence[str], batch_size: Optional[int] = None) -> Answers:
        """RETURNS (Answers): What was found in each text; one that made the pipeline
        fail has no answer."""
        handlers = self._set_handlers(lambda name, proc, docs, error: None)
        try:
            numbered = ((text, i) for i, text in enumerate(texts))
            docs = self.nlp.pipe(numbered, as_tuples=True, batch_size=batch_size)
            return {texts[i]: self._found(doc) for doc, i in docs}
        finally:
            self._restore(handlers)

    def read_alone(self, texts: Iterable[str]) -> Answers:
        """RETURNS (Answers): As `read`, one text at a time."""
        answers = {}
        for text in texts:
            try:
                answers[text] = self._found(self.nlp(text))
            except Exception:  # a finding, whatever it is: the text has no answer
                continue
        return answers

    def _found(self, doc: Doc) -> Tuple[Found, ...]:
        return tuple(
            (
                ent.start_char,
                ent.end_char,
                self.renaming.get(ent.label_, ent.label_),
                get_ner_score(ent),
            )
            for ent in doc.ents
        )

    def _set_handlers(self, handler: Callable) -> List[Tuple[Any, Callable]]:
        before: List[Tuple[Any, Callable]] = [(self.nlp, self.nlp.default_error_handler)]
        for _, pipe in self.nlp.pipeline:
            if hasattr(pipe, "set_error_handler") and hasattr(pipe, "get_error_handler"):
                before.append((pipe, pipe.get_error_handler()))
        self.nlp.set_error_handler(handler)
        return before

    def _restore(self, before: List[Tuple[Any, Callable]]) -> None:
        for owner, handler in before:  # the pipeline first: it sets its pipes' too
            owner.set_error_handler(handler)


def _check_answers(
    reader: _Reader, examples: Sequence[Example], variants: Sequence[List[Variant]]
) -> Iterator[Check]:
    originals = list(dict.fromkeys(x.text for x in examples))
    changed = (text for row in variants for x in row for text in (x.source, x.text))
    texts = list(dict.fromkeys([*originals, *changed]))
    answers = reader.read(texts)
    for example in examples:
        yield _check_example(example, answers)
    for example, row in zip(examples, variants, strict=True):
        for variant in row:
            yield _check_variant(example, variant, answers)
    yield from _check_orders(reader, examples, originals, answers)
    yield from _check_determinism(reader, examples, variants, answers)


def _check_example(example: Example, answers: Answers) -> Check:
    found = _facts(answers.get(example.text))
    if found is None:
        return make_check(example.side, example, "", False, "the pipeline failed")
    if example.side == "must":
        missing = set(example.entities) - found
        return make_check(
            "must", example, "", not missing, f"{_describe(missing)} not found"
        )
    wrong = {x for x in found if x.label == example.label}
    return make_check("must_not", example, "", not wrong, f"{_describe(wrong)} found")


def _check_variant(example: Example, variant: Variant, answers: Answers) -> Check:
    before = _facts(answers.get(variant.source))
    found = _facts(answers.get(variant.text))
    if before is None or found is None:
        return make_check(variant.kind, example, variant.name, False, "the pipeline failed")
    expected = variant.map(sorted(before))
    if expected is None:
        return Check(
            variant.kind,
            example.label,
            example.side,
            example.number,
            variant.name,
            SKIPPED,
            "an entity of the original cuts what was replaced",
        )
    problem = _differ(set(expected), found)
    return make_check(variant.kind, example, variant.name, not problem, problem)


def _check_orders(
    reader: _Reader,
    examples: Sequence[Example],
    texts: Sequence[str],
    answers: Answers,
) -> Iterator[Check]:
    for seed, batch_size in enumerate(ORDERS):
        shuffled = list(texts)
        random.Random(seed).shuffle(shuffled)
        other = reader.read(shuffled, batch_size)
        name = f"shuffled, batches of {batch_size}"
        for example in examples:
            before = _facts(answers.get(example.text))
            found = _facts(other.get(example.text))
            problem = _differ(before, found)
            yield make_check("order", example, name, not problem, problem)


def _check_determinism(
    reader: _Reader,
    examples: Sequence[Example],
    variants: Sequence[List[Variant]],
    answers: Answers,
) -> Iterator[Check]:
    # One variant of each kind does: whoever answers at random does so everywhere.
    texts = [
        {example.text, *{x.kind: x.text for x in row}.values()}
        for example, row in zip(examples, variants, strict=True)
    ]
    again = reader.read(sorted(set().union(*texts)))
    alone = reader.read_alone({x.text for x in examples})
    for example, own in zip(examples, texts, strict=True):
        yield _check_same(example, "second run", own, answers, again)
        yield _check_same(example, "alone", {example.text}, answers, alone)


def _check_same(
    example: Example,
    variant: str,
    texts: Set[str],
    first: Answers,
    second: Answers,
) -> Check:
    differ = sum(not _same(first.get(x), second.get(x)) for x in texts)
    problem = f"{differ} of {len(texts)} texts differ"
    return make_check("determinism", example, variant, not differ, problem)


def _same(a: Optional[Tuple[Found, ...]], b: Optional[Tuple[Found, ...]]) -> bool:
    if a is None or b is None or _facts(a) != _facts(b) or len(a) != len(b):
        return False
    return all(_near(x[3], y[3]) for x, y in zip(a, b, strict=True))


def _near(a: Optional[float], b: Optional[float]) -> bool:
    if a is None or b is None:
        return a is b
    return abs(a - b) <= SCORE_TOLERANCE


def _facts(found: Optional[Tuple[Found, ...]]) -> Optional[Set[Entity]]:
    return None if found is None else {Entity(*x[:3]) for x in found}


def _differ(expected: Optional[Set[Entity]], found: Optional[Set[Entity]]) -> str:
    if expected is None or found is None:
        return "the pipeline failed"
    lost, new = expected - found, found - expected
    parts = [f"{_describe(x)} {word}" for x, word in ((lost, "lost"), (new, "new")) if x]
    return ", ".join(parts)


def _describe(entities: Iterable[Entity]) -> str:
    return " and ".join(f"{label} at {a}-{b}" for a, b, label in sorted(entities))
