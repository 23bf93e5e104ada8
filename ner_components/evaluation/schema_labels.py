"""What a pipeline knows of its labels and tokens against what its schema needs."""

from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from spacy.language import Language

from ..errors import Errors
from ..schema import EntitySchema
from .schema_examples import Example, make_check
from .schema_report import Check, make_digest

Pipes = Sequence[Tuple[str, Any]]


def find_entity_pipes(nlp: Language) -> Pipes:
    """Find the pipes that set entities.

    nlp (Language): The pipeline.
    RETURNS (Sequence[Tuple[str, Any]]): Their names and themselves, in order.
    RAISES (ValueError): There is none.
    """
    pipes = [(name, pipe) for name, pipe in nlp.pipeline if _sets_entities(nlp, name, pipe)]
    if not pipes:
        raise ValueError(Errors.N125.format(pipes=", ".join(nlp.pipe_names) or "none"))
    return pipes


def find_schema(pipe: Any) -> Optional[EntitySchema]:
    """RETURNS (Optional[EntitySchema]): The schema that a pipe of ours carries."""
    schema = getattr(pipe, "schema", None)
    return schema if isinstance(schema, EntitySchema) else None


def make_renaming(pipes: Pipes, schema: EntitySchema) -> Dict[str, str]:
    """RETURNS (Dict[str, str]): The schema's label for each word of pipes that know no
    schema. Where one has a schema, its labels must come out as they are."""
    if any(find_schema(pipe) is not None for _, pipe in pipes):
        return {}
    found = {word: schema.resolve(word) for word in _words(pipes)}
    return {word: name for word, name in found.items() if name is not None}


def check_labels(pipes: Pipes, schema: EntitySchema) -> Iterator[Check]:
    """Compare the labels of a pipeline with a schema: for our pipes names, aliases and
    thresholds of the schema they carry, for others whether their labels resolve.

    pipes (Sequence[Tuple[str, Any]]): The pipes that set entities.
    schema (EntitySchema): The schema.
    YIELDS (Check): Checks of the kind "static".
    """
    ours = [found for found in (find_schema(pipe) for _, pipe in pipes) if found]
    for own in ours:
        yield from _compare_schemas(own, schema)
    if not ours:
        yield from _compare_words(_words(pipes), schema)


def check_tokens(nlp: Language, examples: Iterable[Example]) -> Iterator[Check]:
    """YIELDS (Check): For each example with entities, whether they lie on the borders of
    the tokenizer's tokens."""
    for example in examples:
        if not example.entities:
            continue
        doc = nlp.make_doc(example.text)
        cut = [x for x in example.entities if doc.char_span(x[0], x[1]) is None]
        where = ", ".join(f"{start}-{end}" for start, end, _ in cut)
        problem = f"the tokens don't fit the entity at characters {where}"
        yield make_check("tokens", example, "", not cut, problem)


def digest_tokens(nlp: Language, examples: Iterable[Example]) -> str:
    """RETURNS (str): SHA-256 of the token borders of the examples."""
    docs = (nlp.make_doc(x.text) for x in examples)
    return make_digest([[(token.idx, len(token)) for token in doc] for doc in docs])


def digest_labels(pipes: Pipes) -> str:
    """RETURNS (str): SHA-256 of what decides which labels come out. Names of pipes and
    settings of speed or storage have no part in it."""
    return make_digest([_label_facts(pipe) for _, pipe in pipes])


def count_candidates(
    pipes: Pipes, before: Optional[Dict[str, Dict[str, int]]] = None
) -> Dict[str, Dict[str, int]]:
    """Read what our pipes have counted.

    pipes (Sequence[Tuple[str, Any]]): The pipes that set entities.
    before (Optional[Dict[str, Dict[str, int]]]): An earlier count to take off.
    RETURNS (Dict[str, Dict[str, int]]): Counts by pipe, then by state and reason.
    """
    counts = {}
    for name, pipe in pipes:
        if find_schema(pipe) is not None:
            stats = pipe.stats.to_dict()
            counts[name] = {**stats.pop("rejections"), **stats}
            for key, n in (before or {}).get(name, {}).items():
                counts[name][key] -= n
    return counts


def _sets_entities(nlp: Language, name: str, pipe: Any) -> bool:
    # A span_ruler does so only when it is told to.
    assigns = nlp.get_pipe_meta(name).assigns
    return "doc.ents" in assigns or bool(getattr(pipe, "annotate_ents", False))


def _words(pipes: Pipes) -> List[str]:
    words = (word for _, pipe in pipes for word in getattr(pipe, "labels", ()))
    return list(dict.fromkeys(words))


def _label_facts(pipe: Any) -> List[Any]:
    schema = find_schema(pipe)
    if schema is None:
        return sorted(_words([("", pipe)]))
    default = pipe.rules.threshold
    return [[x.name, sorted(x.aliases), schema.threshold(x.name, default)] for x in schema]


def _compare_words(words: Sequence[str], schema: EntitySchema) -> Iterator[Check]:
    known = {schema.resolve(word) for word in words}
    for name in schema.names:
        yield _static(name, "label", name in known, "no pipe has this label")
    for word in words:
        found = schema.resolve(word)
        right = found is not None
        yield _static(found or word, f"word {word}", right, "not in the schema")


def _compare_schemas(own: EntitySchema, schema: EntitySchema) -> Iterator[Check]:
    for name in schema.names:
        yield _static(name, "label", name in own, "missing in the pipeline")
        if name in own:
            yield from _compare_label(own, schema, name)
    for name in own.names:
        if name not in schema:
            yield _static(name, "label", False, "not in the schema")


def _compare_label(own: EntitySchema, schema: EntitySchema, name: str) -> Iterator[Check]:
    for alias in schema[name].aliases:
        found = own.resolve(alias)
        problem = "missing in the pipeline"
        if found is not None:
            problem = f"leads to {found} in the pipeline"
        yield _static(name, f"alias {alias}", found == name, problem)
    threshold, wanted = own[name].threshold, schema[name].threshold
    problem = f"{threshold} in the pipeline, {wanted} in the schema"
    yield _static(name, "threshold", threshold == wanted, problem)


def _static(label: str, variant: str, right: bool, problem: str) -> Check:
    return make_check("static", Example(label, "", 0, "", []), variant, right, problem)
