"""Entities at the wrong place: against tokens, sentences, and other entities of the same
name."""

import unicodedata
from collections import Counter, defaultdict
from typing import Dict, Iterator, List, Set, Tuple

from spacy.tokens import Doc, Span, Token

from .check_report import Finding, Position, Split, Unseen, collect

Surface = Tuple[str, ...]
# What is known of a name: where each label was given to it.
Uses = Dict[str, List[Position]]

# When another treatment of a name looks like an oversight: it was annotated this often,
# and in this share of the cases.
SURE_TIMES = 5
SURE_SHARE = 0.9

_PAIRS = {
    "(": ")",
    "[": "]",
    "{": "}",
    '"': '"',
    "'": "'",
    "`": "'",
    "“": "”",
    "„": "“",
    "«": "»",
    "»": "«",
    "‘": "’",
    "‹": "›",
    "``": "''",
    "（": "）",
    "《": "》",
    "「": "」",
}
# Marks that names do begin or end with: "#spaCy", "@ines", "§ 7 UWG", "J. R.", "Yahoo!".
_OF_NAMES_START = set("#@&*.-/¡¿'’%§¶")
_OF_NAMES_END = set(".!?*'’%&-")
_JOINERS = "\u200c\u200d"


def find_boundaries(split: Split, max_tokens: int) -> Iterator[Finding]:
    """Find entities whose characters or boundaries are doubtful.

    split (Split): The split.
    max_tokens (int): Most tokens of an entity that is not reported as long.
    YIELDS (Finding): "edge_space", "edge_punctuation", "odd_character",
        "crosses_sentence", "long_entity".
    """
    found: Dict[str, List[Position]] = defaultdict(list)
    for index, doc in enumerate(split.docs):
        for ent in doc.ents:
            for code in _problems(ent, max_tokens):
                place = split.position(index, ent.start_char, ent.end_char, ent.label_)
                found[code].append(place)
    for code, places in found.items():
        yield from collect(code, split.name, positions=places)


def find_unannotated(split: Split) -> Iterator[Finding]:
    """Find what carries no annotation: entities that were cut, other tokens, and documents
    without a word.

    split (Split): The split.
    YIELDS (Finding): "cut_entity"; "unannotated", the positions of whose runs have no
        part in a cut entity, counted in tokens; "empty_document".
    """
    places = [split.position(index, *entity) for index, entity in split.cut]
    yield from collect("cut_entity", split.name, positions=places)
    cut: Dict[int, List[Tuple[int, int]]] = defaultdict(list)
    for index, entity in split.cut:
        cut[index].append((entity.start_char, entity.end_char))
    runs: List[Position] = []
    tokens = 0
    empty: List[Position] = []
    for index, doc in enumerate(split.docs):
        for run in _runs([x for x in missing_tokens(doc) if not _touches(x, cut[index])]):
            end = run[-1].idx + len(run[-1])
            runs.append(split.position(index, run[0].idx, end))
            tokens += len(run)
        if all(token.is_space for token in doc):
            empty.append(split.position(index, 0, len(doc.text)))
    if runs:
        yield Finding("unannotated", (split.name,), tokens, {}, runs)
    yield from collect("empty_document", split.name, positions=empty)


def missing_tokens(doc: Doc) -> List[Token]:
    """RETURNS (List[Token]): The tokens without annotation that are not white space."""
    if doc.has_annotation("ENT_IOB", require_complete=True):
        return []
    return [x for x in doc if x.ent_iob == 0 and not x.is_space]


def count_surfaces(split: Split) -> Dict[Surface, Uses]:
    """Collect the entities of a split by surface form.

    split (Split): The split.
    RETURNS (Dict[Surface, Uses]): Positions by tokens (case as it is, white space left
        out) and label.
    """
    surfaces: Dict[Surface, Uses] = {}
    for index, doc in enumerate(split.docs):
        for ent in doc.ents:
            place = split.position(index, ent.start_char, ent.end_char, ent.label_)
            uses = surfaces.setdefault(_surface(ent), {})
            uses.setdefault(ent.label_, []).append(place)
    return surfaces


def find_ambiguous(splits: List[Split], surfaces: Dict[Surface, Uses]) -> Iterator[Finding]:
    """Find names with several labels. Where one label has at least five entities and nine
    in ten of them, the others are suspects; else the name counts as ambiguous.

    splits (List[Split]): The splits.
    surfaces (Dict[Surface, Uses]): Their entities together.
    YIELDS (Finding): "suspect_label", counted in entities, the first of the usual label at
        the head of each group; "ambiguous_surface", counted in names, with the first
        position of each label.
    """
    suspects: List[Position] = []
    ambiguous: List[Position] = []
    counts: Counter[str] = Counter()
    names = 0
    for group, uses in enumerate(x for x in surfaces.values() if len(x) > 1):
        ranked = sorted(uses.values(), key=len, reverse=True)
        if _is_sure(len(ranked[0]), sum(map(len, ranked))):
            others = [place for places in ranked[1:] for place in places]
            counts.update(place.label or "" for place in others)
            suspects += [x._replace(group=group) for x in [ranked[0][0], *others]]
        else:
            names += 1
            ambiguous += [places[0]._replace(group=group) for places in ranked]
    if suspects:
        by_label = dict(counts.most_common())
        where = _used(splits, suspects)
        yield Finding("suspect_label", where, counts.total(), by_label, suspects)
    if ambiguous:
        yield Finding("ambiguous_surface", _used(splits, ambiguous), names, {}, ambiguous)


def find_missed(splits: List[Split], surfaces: Dict[Surface, Uses]) -> Iterator[Finding]:
    """Find names left unannotated that are annotated at least five times and in nine of
    ten cases. A case is an occurrence on token borders, same case, that touches no other
    entity and no unannotated token; of names that overlap the longer one counts.

    splits (List[Split]): The splits.
    surfaces (Dict[Surface, Uses]): Their entities together.
    YIELDS (Finding): "suspect_missed", positions with the usual label.
    """
    times = {x: sum(map(len, uses.values())) for x, uses in surfaces.items()}
    wanted = {x: n for x, n in times.items() if n >= SURE_TIMES and _has_letter(x)}
    lengths: Dict[str, List[int]] = defaultdict(list)
    for length, first in sorted({(len(x), x[0]) for x in wanted}, reverse=True):
        lengths[first].append(length)
    free: Dict[Surface, List[Position]] = defaultdict(list)
    for split in splits:
        for index, doc in enumerate(split.docs):
            for surface, start, end in _find_free(doc, wanted, lengths):
                free[surface].append(split.position(index, start, end))
    suspects: List[Position] = []
    for group, (surface, places) in enumerate(free.items()):
        if _is_sure(wanted[surface], wanted[surface] + len(places)):
            usual = max(surfaces[surface].items(), key=lambda x: len(x[1]))[0]
            suspects += [x._replace(label=usual, group=group) for x in places]
    where = _used(splits, suspects)
    yield from collect("suspect_missed", *where, positions=suspects)


def count_unseen(
    surfaces: Dict[Surface, Uses], train: Dict[Surface, Uses]
) -> Dict[str, Unseen]:
    """Count the entities that a training split doesn't have.

    surfaces (Dict[Surface, Uses]): The entities of a split.
    train (Dict[Surface, Uses]): Those of the training split.
    RETURNS (Dict[str, Unseen]): Counts by label.
    """
    unseen: Dict[str, Unseen] = {}
    for surface, uses in surfaces.items():
        known = train.get(surface, {})
        for label, places in uses.items():
            n = len(places)
            new = Unseen(n, 0 if known else n, 0 if label in known else n)
            unseen[label] = unseen.get(label, Unseen()) + new
    return dict(sorted(unseen.items()))


def merge_surfaces(parts: List[Dict[Surface, Uses]]) -> Dict[Surface, Uses]:
    """RETURNS (Dict[Surface, Uses]): The entities of several splits together."""
    merged: Dict[Surface, Uses] = {}
    for part in parts:
        for surface, uses in part.items():
            for label, places in uses.items():
                merged.setdefault(surface, {}).setdefault(label, []).extend(places)
    return merged


def _problems(ent: Span, max_tokens: int) -> Iterator[str]:
    text = ent.text
    if text != text.strip():
        yield "edge_space"
    elif _has_edge_punctuation(ent):
        yield "edge_punctuation"
    if any(_is_odd(text, i) for i, char in enumerate(text) if not char.isalnum()):
        yield "odd_character"
    if any(token.is_sent_start for token in ent[1:]):
        yield "crosses_sentence"
    if len(ent) > max_tokens:
        yield "long_entity"


def _has_edge_punctuation(ent: Span) -> bool:
    text, first, last = ent.text, ent[0].text, ent[-1].text
    if _is_mark(text.replace(" ", "")):
        return True
    opened = _is_mark(first) and not set(first) <= _OF_NAMES_START
    closed = _is_mark(last) and not set(last) <= _OF_NAMES_END
    if opened and first in _PAIRS and _PAIRS[first] in text[len(first) :]:
        opened = False
    openers = [x for x, closer in _PAIRS.items() if closer == last]
    if closed and any(x in text[: -len(last)] for x in openers):
        closed = text.count(last) > max(text.count(x) for x in openers)
    return opened or closed


def _is_mark(word: str) -> bool:
    return all(unicodedata.category(char)[0] == "P" for char in word)


def _is_odd(text: str, i: int) -> bool:
    """Whether a character is invisible or invalid: control, format, surrogate, private
    or unassigned, or the mark of failed decoding. Joiners between two visible
    characters are spelling (Persian, Hindi, emoji)."""
    char = text[i]
    if char in _JOINERS:
        around = text[i - 1 : i] if i else "", text[i + 1 : i + 2]
        return not all(x and unicodedata.category(x)[0] in "LMS" for x in around)
    return char == "\ufffd" or (unicodedata.category(char)[0] == "C" and not char.isspace())


def _surface(ent: Span) -> Surface:
    return tuple(token.text for token in ent if not token.is_space)


def _runs(tokens: List[Token]) -> List[List[Token]]:
    runs: List[List[Token]] = []
    for token in tokens:
        if runs and runs[-1][-1].i == token.i - 1:
            runs[-1].append(token)
        else:
            runs.append([token])
    return runs


def _touches(token: Token, ranges: List[Tuple[int, int]]) -> bool:
    end = token.idx + len(token)
    return any(token.idx < b and a < end for a, b in ranges)


def _is_sure(times: int, total: int) -> bool:
    return times >= SURE_TIMES and times >= SURE_SHARE * total


def _has_letter(surface: Surface) -> bool:
    return any(char.isalpha() for word in surface for char in word)


def _find_free(
    doc: Doc, wanted: Dict[Surface, int], lengths: Dict[str, List[int]]
) -> Iterator[Tuple[Surface, int, int]]:
    """Occurrences outside of entities: leftmost first, the longest of each."""
    tokens = [token for token in doc if not token.is_space]
    words = [token.text for token in tokens]
    used: Set[int] = {i for i, token in enumerate(tokens) if token.ent_iob != 2}
    i = 0
    while i < len(words):
        step = 1
        for length in lengths.get(words[i], ()):
            surface = tuple(words[i : i + length])
            if surface in wanted and used.isdisjoint(range(i, i + length)):
                last = tokens[i + length - 1]
                yield surface, tokens[i].idx, last.idx + len(last)
                step = length
                break
        i += step


def _used(splits: List[Split], places: List[Position]) -> Tuple[str, ...]:
    used = {place.split for place in places}
    return tuple(split.name for split in splits if split.name in used)
