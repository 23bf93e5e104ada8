"""Hold the gold set to its rules: the `check-corpus` step of the project, and of CI.

    python scripts/check_gold.py corpus

Reads train.txt, dev.txt and test.txt of a folder and prints a table: each rule, its bound,
what was found. Below it stands every mark that breaks a rule of corpus/GUIDELINES.md that a
machine can hold. Exits with 1 where anything is broken. A mark that rightly breaks a rule
is named in exceptions.txt, a line each: `DOCUMENT or * | surface | why`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import spacy
import typer
from wasabi import msg

from ner_components.corpora.markup import MarkedDocument, read_markup
from ner_components.corpora.offsets import Entity
from ner_components.schema import EntitySchema

ROOT = Path(__file__).resolve().parent.parent
SPLITS = ("train", "dev", "test")
GENRES = ("news", "finance", "law", "medicine", "commerce", "support", "chat", "forum")
LABELS = EntitySchema.from_file(ROOT / "corpus" / "schema.json").names
# "misaligned" comes on top: marks that cut a token, for tests; none of them in test.
TAGS = (
    *("alias", "word-ticker", "citation", "variant", "drug-name", "ambiguous", "punct"),
    *("nested", "ellipsis", "case", "typo", "social", "script", "linebreak", "trap"),
)
# What may stand inside what: outer label, inner label.
NESTED = {
    *(("ORG", "LOCATION"), ("STATUTE", "LOCATION"), ("PRODUCT", "ORG")),
    *(("ORG", "PERSON"), ("LOCATION", "PERSON"), ("DISEASE", "DRUG")),
}

_WORD = re.compile(r"\w+(?:['’]\w+)*")
_ABBREVIATION = re.compile(
    r"(?:\b(?:\w\.)+|\b(?:Inc|Corp|Co|Ltd|Jr|Sr|St|Bros|Ave|Rd|Cie|Sp|No|Cir|Abs|Nr|Int|VA))\.?$"
)
_CURRENCY = (
    r"(?:\$|€|£|¥|₹|₩|₺|₽|₦|₴|₪|¢|R\$|zł|kr\b|CHF|EUR|USD|GBP|JPY|INR|SEK|NOK|DKK|PLN|AUD|CAD|NZD"
    r"|SGD|HKD|CNY|RMB|BRL|ZAR|NGN|KES|MXN|TRY|VND|CZK|HUF|Rs)"
)
_CURRENCY_WORD = (
    r"(?:dollars?|euros?|pounds?|cents?|pence|p\b|yen|francs?|kron(?:or|er|a|e)|rupees?|pesos?"
    r"|bucks?|quid|grand|won|yuan|renminbi|rand|real|reais|zloty(?:s|ch)?|liras?|lire|naira|shillings?|crores?"
    r"|dirhams?|forints?|fivers?|tenners?|ringgit|baht|dong|lari|bob|rubles?|roubles?|shekels?|cedis?|riyals?|dinars?)"
)
_UNMARKED_MONEY = re.compile(
    r"[$€£¥₹]\s?\d|\b\d[\d.,]*\s?(?:EUR|USD|GBP|CHF)\b|\b\d[\d.,]*\s(?:dollars|euros|pounds|yen|francs|rupees|kroner|kronor|bucks|quid)\b",
    re.IGNORECASE,
)
_UNMARKED_STATUTE = re.compile(r"§\s?\d|\b(?:U\.S\.C|C\.F\.R|Abs)\.")

# label or "" for all, pattern that a surface must not have, what is wrong with it
_RULES = [
    ("", r"^\s|\s$", "white space at an edge"),
    ("", r"^[\"'“”‘’(\[,;:#@]|[\"'“”‘’(\[,;:?!/-]$", "punctuation at an edge"),
    ("", r"(?i)(?:['’]s|s['’])$", "a possessive is inside"),
    ("", r"^[Tt]he\s", "a leading article is inside"),
    ("", r"@|://|\bwww\.", "a handle or an address is marked"),
    (
        "PERSON",
        r"^(?:Dr|Mr|Mrs|Ms|Mx|Prof|Sir|Dame|Lord|Lady|Judge|Justice|President|Herr|Frau|Sister|Father)\b\.?\s",
        "a title is inside",
    ),
    ("TICKER", r"^(?![A-Za-z0-9]{1,6}(?:[.-][A-Za-z0-9]{1,4})?$)", "is no symbol"),
    ("TICKER", r"^\$", "the sign of a ticker is inside"),
    ("DRUG", r"(?i)\d\s?(?:mg|ml|mcg|µg|g|iu|units?)\b", "a dose is inside"),
    ("DRUG", r"(?i)\b(?:tablets?|capsules?|drops|cream|syrup)$", "a form is inside"),
    (
        "DISEASE",
        r"(?i)^(?:severe|mild|moderate|stage|metastatic|advanced)\b",
        "a severity, stage or spread is inside",
    ),
    ("LOCATION", r"^\d+[a-z]?\s", "a house number is inside"),
    ("PRODUCT", r"(?i)\d\s?[GT]B$", "a storage size is inside"),
    (
        "STATUTE",
        r"(?i)^(?:(?:section|sec\.|s\.|article|art\.|paragraph|para\.?|§+)\s*[\d()a-z]{1,6}|(?:the\s)?(?:act|code|directive|regulation))$",
        "is no law, or a provision without its law",
    ),
    (
        "MONEY",
        r"(?i)^(?:about|over|under|up to|more than|less than|nearly|almost|around|some|a further|roughly)\s",
        "a modifier is inside",
    ),
    (
        "MONEY",
        rf"(?i)^(?!.*(?:{_CURRENCY}|{_CURRENCY_WORD}|\d[kKmM]\b))",
        "has no currency",
    ),
    (
        "MONEY",
        r"(?i)^(?!.*(?:\d|\b(?:a|an|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|half|fiver|tenner)\b))",
        "has no amount",
    ),
]
RULES = [(label, re.compile(pattern), why) for label, pattern, why in _RULES]


@dataclass(frozen=True)
class Row:
    """A rule about the whole set: what was found, and whether it holds."""

    name: str
    bound: str
    found: str
    holds: bool


@dataclass(frozen=True)
class Breach:
    """A mark, or a missing one, that breaks a rule of the guidelines."""

    document: str
    surface: str
    why: str


Gold = dict[str, list[MarkedDocument]]
Exceptions = set[tuple[str, str]]


def main(folder: Path) -> None:
    """Check the gold set in FOLDER."""
    gold = {split: list(read_markup(folder / f"{split}.txt")) for split in SPLITS}
    rows = check_set(gold)
    documents = [document for split in SPLITS for document in gold[split]]
    breaches = list(check_marks(documents, read_exceptions(folder / "exceptions.txt")))
    msg.table(
        [(row.name, row.bound, row.found, "yes" if row.holds else "NO") for row in rows],
        header=("rule", "bound", "found", "holds"),
        divider=True,
    )
    for breach in breaches:
        msg.fail(f"{breach.document}: {breach.surface!r}: {breach.why}")
    broken = sum(not row.holds for row in rows)
    if broken or breaches:
        msg.fail(f"{broken} rules are broken, {len(breaches)} marks to mend", exits=1)
    msg.good(f"{len(rows)} rules hold, {len(documents)} documents")


def read_exceptions(path: Path) -> Exceptions:
    """RETURNS (set): pairs of document, "*" for any, and surface."""
    if not path.exists():
        return set()
    lines = path.read_text(encoding="utf8").splitlines()
    rows = [line.split(" | ") for line in lines if line and not line.startswith("#")]
    return {(document, surface.replace("¶", "\n")) for document, surface, _why in rows}


def check_set(gold: Gold) -> list[Row]:
    """Check the rules about size, balance and variety.

    gold (Gold): the documents by split.
    RETURNS (list[Row]): a row per rule.
    """
    everything = [document for split in SPLITS for document in gold[split]]
    test = gold["test"]
    sentences = [s for document in everything for s in mask_sentences(document)]
    empty = sum(not has_entity for _, has_entity in sentences)
    masked = Counter(" ".join(words) for words, _ in sentences)
    fivegrams = Counter(
        " ".join(words[i : i + 5]) for words, _ in sentences for i in range(len(words) - 4)
    )
    openings = Counter(" ".join(words[:3]) for words, _ in sentences if len(words) > 2)
    labels, test_labels = count_labels(everything), count_labels(test)
    ids = Counter(document.id for document in everything)
    rows = [
        at_least("documents", 250, len(everything)),
        at_least("sentences", 2000, len(sentences)),
        at_least("entities", 3500, labels.total()),
        at_least("documents in test", 80, len(test)),
        at_most("documents with the same id", 1, *most(ids)),
        between("sentences without an entity, %", 28, 40, 100 * empty / len(sentences)),
        at_most("a masked sentence, times", 1, *most(masked)),
        at_most("a masked 5-gram, times", 5, *most(fivegrams)),
        at_most("an opening of three words, times", 15, *most(openings)),
        at_least("test entities unseen in train, %", 50, 100 * unseen_share(gold)),
    ]
    rows += [at_least(f"{label}", 250, labels[label]) for label in LABELS]
    rows += [at_least(f"{label} in test", 40, test_labels[label]) for label in LABELS]
    for label in LABELS:
        surfaces = Counter(s for d in everything for s, x in named(d) if x == label)
        times, surface = most(surfaces)
        share = 100 * times / max(labels[label], 1)
        rows.append(at_most(f"{label}: a name, % of them", 1, share, surface))
    test_tags = Counter(tag for document in test for tag in document.tags)
    rows += [at_least(f"test documents, {tag}", 5, test_tags[tag]) for tag in TAGS]
    for split in SPLITS:
        genres = Counter(document.genre for document in gold[split])
        fewest = min(GENRES, key=lambda genre: genres[genre])
        rows.append(at_least(f"{split}: {fewest}, the rarest genre", 2, genres[fewest]))
    return rows


def check_marks(
    documents: list[MarkedDocument], exceptions: Exceptions
) -> Iterator[Breach]:
    """YIELDS (Breach): every mark that breaks a rule and is no exception."""
    make_doc = spacy.blank("en").make_doc
    for document in documents:
        breaches = [
            *check_tags(document),
            *check_surfaces(document),
            *check_nested(document),
            *check_missing(document),
        ]
        if "misaligned" not in document.tags:
            breaches += check_alignment(document, make_doc(document.text).char_span)
        for breach in breaches:
            if not exceptions & {("*", breach.surface), (document.id, breach.surface)}:
                yield breach


def check_tags(document: MarkedDocument) -> Iterator[Breach]:
    """YIELDS (Breach): tags, genres and labels that are not in the closed sets."""
    for tag in document.tags:
        if tag not in (*TAGS, "misaligned"):
            yield Breach(document.id, tag, "no such tag")
    if document.genre not in GENRES:
        yield Breach(document.id, document.genre, "no such genre")
    if document.nested and "nested" not in document.tags:
        yield Breach(document.id, "nested", "the tag is missing")


def check_surfaces(document: MarkedDocument) -> Iterator[Breach]:
    """YIELDS (Breach): marks with too much or too little inside."""
    for surface, label in named(document, nested=True):
        if label not in LABELS:
            yield Breach(document.id, label, "no such label")
        for of_label, pattern, why in RULES:
            if of_label in ("", label) and pattern.search(surface):
                yield Breach(document.id, surface, f"{label}: {why}")
        if surface.endswith(".") and not _ABBREVIATION.search(surface):
            yield Breach(document.id, surface, f"{label}: a full stop is inside")
        if surface.count("(") != surface.count(")"):
            yield Breach(document.id, surface, f"{label}: half of a pair of brackets")


def check_nested(document: MarkedDocument) -> Iterator[Breach]:
    """YIELDS (Breach): nested marks that the guidelines don't know."""
    for inner in document.nested:
        outer = next(
            x
            for x in document.entities
            if x.start_char <= inner.start_char and inner.end_char <= x.end_char
        )
        surface = document.text[inner.start_char : inner.end_char]
        if (outer.label, inner.label) not in NESTED:
            yield Breach(document.id, surface, f"{inner.label} inside {outer.label}")
        if outer[:2] == inner[:2]:
            yield Breach(document.id, surface, "nested in itself")


def check_missing(document: MarkedDocument) -> Iterator[Breach]:
    """YIELDS (Breach): amounts, paragraphs and repeated names that are not marked."""
    rest = list(document.text)
    for start, end, _ in document.entities:
        rest[start:end] = "\x00" * (end - start)
    unmarked = "".join(rest)
    for pattern, why in ((_UNMARKED_MONEY, "MONEY"), (_UNMARKED_STATUTE, "STATUTE")):
        for found in pattern.finditer(unmarked):
            yield Breach(document.id, found[0], f"not marked as {why}")
    for surface in sorted({surface for surface, _ in named(document)}):
        if re.search(rf"(?<![\w@#]){re.escape(surface)}(?!\w)", unmarked):
            yield Breach(document.id, surface, "marked here, but not every time")


def check_alignment(
    document: MarkedDocument, char_span: Callable[[int, int], object]
) -> Iterator[Breach]:
    """YIELDS (Breach): marks that cut a token of spaCy's English tokenizer."""
    for start, end, _ in [*document.entities, *document.nested]:
        if char_span(start, end) is None:
            yield Breach(document.id, document.text[start:end], "cuts a token")


def mask_sentences(document: MarkedDocument) -> Iterator[tuple[list[str], bool]]:
    """YIELDS (tuple): each sentence's words in lower case, its entities replaced by their
    labels, and whether it has any."""
    for start, end in document.sentences:
        inside = [x for x in document.entities if start <= x.start_char < end]
        yield _mask(document.text, start, end, inside), bool(inside)


def _mask(text: str, start: int, end: int, entities: list[Entity]) -> list[str]:
    words: list[str] = []
    for entity in entities:
        words += _WORD.findall(text[start : entity.start_char].lower())
        words.append(entity.label)
        start = entity.end_char
    words += _WORD.findall(text[start:end].lower())
    return words or [text[start:end]]


def named(document: MarkedDocument, nested: bool = False) -> Iterator[tuple[str, str]]:
    """YIELDS (tuple): the surface and the label of each entity."""
    for start, end, label in document.entities + (document.nested if nested else []):
        yield document.text[start:end], label


def count_labels(documents: list[MarkedDocument]) -> Counter[str]:
    """RETURNS (Counter): the outermost entities by label."""
    return Counter(label for document in documents for _, label in named(document))


def unseen_share(gold: Gold) -> float:
    """RETURNS (float): the share of test entities whose surface and label, whatever the
    case, is not in train, 0 to 1."""
    seen = {(s.casefold(), label) for d in gold["train"] for s, label in named(d)}
    test = [(s.casefold(), label) for d in gold["test"] for s, label in named(d)]
    return sum(entity not in seen for entity in test) / len(test)


def most(counter: Counter[str]) -> tuple[int, str]:
    """RETURNS (tuple): how often the most frequent thing occurs, and the thing."""
    return max(((n, what) for what, n in counter.items()), default=(0, ""))


def at_least(name: str, bound: float, found: float) -> Row:
    return Row(name, f"at least {bound}", f"{found:.4g}", found >= bound)


def at_most(name: str, bound: float, found: float, what: str = "") -> Row:
    return Row(name, f"at most {bound}", f"{found:.4g} {what}".strip(), found <= bound)


def between(name: str, low: float, high: float, found: float) -> Row:
    return Row(name, f"{low} to {high}", f"{found:.4g}", low <= found <= high)


if __name__ == "__main__":
    typer.run(main)
