"""What is wrong with an annotated corpus before anything is trained on it.

report = check_splits([Split.from_pairs("train", read_corpus("train.spacy", nlp)), ...])
"""

import re
from collections import Counter
from typing import Any, Dict, Iterator, List, Optional, Sequence

from ..errors import Errors
from ..schema import EntitySchema
from .check_kinds import SEVERITIES
from .check_report import CheckReport, Finding, Position, Split, SplitSummary
from .check_spans import (
    count_surfaces,
    count_unseen,
    find_ambiguous,
    find_boundaries,
    find_missed,
    find_unannotated,
    merge_surfaces,
    missing_tokens,
)
from .check_texts import (
    find_conflicts,
    find_leaks,
    find_repeats,
    find_shared_documents,
    make_units,
)
from .tags import NEEDLESS_B, NO_BEGINNING, NO_END

BROKEN_TAGS = (NO_BEGINNING, NO_END, NEEDLESS_B)


def check_splits(
    splits: Sequence[Split],
    *,
    schema: Optional[EntitySchema] = None,
    min_examples: int = 50,
    max_tokens: int = 20,
    similarity: float = 0.8,
    max_positions: int = 100,
) -> CheckReport:
    """Check the splits of a corpus, each and against the others.

    splits (Sequence[Split]): The splits. The first whose name has "train" in it is the
        training split, or the first of all; development splits follow, then the others.
    schema (Optional[EntitySchema]): The labels that are allowed.
    min_examples (int): Labels with fewer entities in the training split are reported.
    max_tokens (int): Longer entities are reported.
    similarity (float): Least Jaccard similarity of a near leak, above 0 to 1.
    max_positions (int): Most positions kept in a finding; counts are always complete.
    RETURNS (CheckReport): Counts and findings.
    RAISES (ValueError): There is no split, two have one name, or a limit is out of range.

    >>> import spacy
    >>> docs = [spacy.blank("en")("Nobody came.")]
    >>> docs[0].set_ents([])
    >>> [x.code for x in check_splits([Split("train", docs)]).findings]
    ['no_entities']
    """
    settings = {
        "min_examples": min_examples,
        "max_tokens": max_tokens,
        "similarity": similarity,
        "max_positions": max_positions,
    }
    _check_settings(splits, settings)
    ordered = order_splits(splits)
    surfaces = [count_surfaces(split) for split in ordered]
    summaries = [summarize(split) for split in ordered]
    for summary, of_split in zip(summaries[1:], surfaces[1:], strict=True):
        summary.unseen = count_unseen(of_split, surfaces[0])
    merged = merge_surfaces(surfaces)
    found = [
        *_check_labels(ordered, summaries, schema, min_examples),
        *_check_each(ordered, max_tokens),
        *_check_texts(ordered, similarity),
        *find_ambiguous(ordered, merged),
        *find_missed(ordered, merged),
    ]
    found.sort(key=lambda x: -SEVERITIES.index(x.severity))
    kept = [finding.limit(max_positions) for finding in found]
    return CheckReport(summaries, kept, settings)


def order_splits(splits: Sequence[Split]) -> List[Split]:
    """RETURNS (List[Split]): The training split, development splits, then the others."""
    named = [split for split in splits if "train" in split.name.lower()]
    train = (named or splits)[0]
    rest = [split for split in splits if split is not train]
    rest.sort(key=lambda x: re.search("dev|val", x.name.lower()) is None)
    return [train, *rest]


def summarize(split: Split) -> SplitSummary:
    """Count what a split holds.

    split (Split): The split.
    RETURNS (SplitSummary): The counts, without those of unseen entities.
    """
    labels = Counter(ent.label_ for doc in split.docs for ent in doc.ents)
    # A document of one token always claims to have sentence boundaries.
    known = [doc for doc in split.docs if len(doc) and doc.has_annotation("SENT_START")]
    is_known = any(len(doc) > 1 for doc in known)
    return SplitSummary(
        name=split.name,
        documents=len(split.docs),
        tokens=sum(len(doc) for doc in split.docs),
        entities=labels.total(),
        sentences=sum(len(list(doc.sents)) for doc in known) if is_known else None,
        without_entities=sum(not doc.ents for doc in split.docs),
        unannotated=sum(len(missing_tokens(doc)) for doc in split.docs),
        cut=len(split.cut),
        labels=dict(labels.most_common()),
    )


def _check_settings(splits: Sequence[Split], settings: Dict[str, Any]) -> None:
    if not splits:
        raise ValueError(Errors.N101)
    names = Counter(split.name for split in splits)
    for name, n in names.items():
        if n > 1:
            raise ValueError(Errors.N102.format(name=name))
    for name, value in settings.items():
        is_share = name == "similarity"
        if not (0 < value <= 1 if is_share else value >= 0):
            allowed = "a number above 0 up to 1" if is_share else "0 or more"
            raise ValueError(Errors.N103.format(name=name, value=value, allowed=allowed))


def _check_each(splits: List[Split], max_tokens: int) -> Iterator[Finding]:
    for split in splits:
        if not any(doc.ents for doc in split.docs):
            yield Finding("no_entities", (split.name,), 1)
        yield from find_boundaries(split, max_tokens)
        yield from find_unannotated(split)
        notes = {x: n for x, n in split.notes.items() if n}
        broken = {x: n for x, n in notes.items() if x in BROKEN_TAGS}
        others = {x: n for x, n in notes.items() if x not in BROKEN_TAGS}
        for code, counts in (("broken_tags", broken), ("reader_notes", others)):
            if counts:
                yield Finding(code, (split.name,), sum(counts.values()), counts)


def _check_texts(splits: List[Split], similarity: float) -> Iterator[Finding]:
    units = [make_units(split) for split in splits]
    for split, of_split in zip(splits, units, strict=True):
        yield from find_repeats(split, of_split)
    yield from find_conflicts(splits, units)
    yield from find_leaks(splits, units, similarity)
    yield from find_shared_documents(splits)


def _check_labels(
    splits: List[Split],
    summaries: List[SplitSummary],
    schema: Optional[EntitySchema],
    min_examples: int,
) -> Iterator[Finding]:
    # An unknown label is reported as such, once.
    counts = [_resolve(summary.labels, schema) for summary in summaries]
    wanted = {} if schema is None else dict.fromkeys(schema.names, 0)
    known = {**wanted, **counts[0]}
    scored = {label for of_split in counts[1:] for label in of_split}
    few = {x: n for x, n in known.items() if n < min_examples and (n or x not in scored)}
    if few:
        yield Finding("few_examples", (splits[0].name,), len(few), few)
    for split, of_split in zip(splits[1:], counts[1:], strict=True):
        new = {label: n for label, n in of_split.items() if not known.get(label)}
        if new:
            places = [_first(split, label, schema) for label in new]
            pair = (split.name, splits[0].name)
            yield Finding("label_not_in_train", pair, len(new), new, places)
    if schema is not None:
        for split, summary in zip(splits, summaries, strict=True):
            yield from _check_schema(split, summary, schema)


def _check_schema(
    split: Split, summary: SplitSummary, schema: EntitySchema
) -> Iterator[Finding]:
    unknown: Dict[str, int] = {}
    aliases: Dict[str, int] = {}
    for label, n in summary.labels.items():
        name = schema.resolve(label)
        if name is None:
            unknown[label] = n
        elif name != label:
            aliases[f"{label} -> {name}"] = n
    places = [
        split.position(index, ent.start_char, ent.end_char, ent.label_)
        for index, doc in enumerate(split.docs if unknown else [])
        for ent in doc.ents
        if ent.label_ in unknown
    ]
    if unknown:
        total = sum(unknown.values())
        yield Finding("unknown_label", (split.name,), total, unknown, places)
    if aliases:
        yield Finding("alias_label", (split.name,), sum(aliases.values()), aliases)


def _resolve(labels: Dict[str, int], schema: Optional[EntitySchema]) -> Dict[str, int]:
    counts: Counter[str] = Counter()
    for label, n in labels.items():
        name = _name(label, schema)
        if name is not None:
            counts[name] += n
    return dict(counts)


def _name(label: str, schema: Optional[EntitySchema]) -> Optional[str]:
    return label if schema is None else schema.resolve(label)


def _first(split: Split, label: str, schema: Optional[EntitySchema]) -> Position:
    return next(
        split.position(index, ent.start_char, ent.end_char, ent.label_)
        for index, doc in enumerate(split.docs)
        for ent in doc.ents
        if _name(ent.label_, schema) == label
    )
