"""MultiNERD (Tedeschi and Navigli, 2022): TSV, or JSON lines with tags as numbers.

The numbers have two orders. Babelscape, who made the data, has PER, ORG, LOC ... MYTH,
PLANT in the field `ner_tags`; tner's copy has PER, LOC, ORG ... PLANT, MYTH, then SUPER
and PHY, in the field `tags`. Both give tag sequences without a break, so a file read in the
wrong order looks right, with all its places organisations. See `find_label_order`.
"""

import json
import re
from collections import Counter
from hashlib import blake2b
from pathlib import Path
from typing import Dict, Iterator, NamedTuple, NoReturn, Optional, Sequence, Set, Union

from spacy.language import Language

from ..errors import Errors
from .conll import Columns, read_conll
from .files import Notes, note, read_lines
from .sentences import Annotated, Sentence
from .tag_ids import ORDERS, TagRow, find_names, read_rows, survey_rows
from .tags import decode_tags

_BABELSCAPE = ORDERS["multinerd"]["babelscape"]
TSV_COLUMNS = Columns(token=1, tag=2, index=0)
DUPLICATE = "duplicate sentence (same tokens and tags): dropped"
OTHER_LANGUAGE = "sentence in a language not asked for: dropped"
# Field names, as the two publishers have them.
FIELDS = {"ner_tags": "babelscape", "tags": "tner"}
# Known names needed before they are believed, and the share that must agree.
LEAST_KNOWN = 5
KNOWN_SHARE = 0.8

_LOCATIONS = """
Germany France Italy Spain Portugal Poland Sweden Norway Denmark Finland Austria
Switzerland Greece Japan China Canada Australia Brazil Mexico Argentina London Paris
Berlin Rome Madrid Vienna Lisbon Warsaw Moscow Stockholm Tokyo Beijing Deutschland
Frankreich Italien Spanien Polen Österreich Schweiz Wien Rom Allemagne Espagne Italie
Londres Vienne Alemania Francia España Italia Inghilterra Alemanha França Espanha Lisboa
Moskau Roma Nederland Duitsland Frankrijk Parijs Niemcy Francja Hiszpania Włochy Londyn
Warszawa Германия Франция Италия Испания Лондон Париж Москва 德国 法国 日本 北京 伦敦
"""
_ORGANISATIONS = """
NATO UNESCO UNICEF NASA ESA CERN BBC CNN FIFA UEFA OPEC WHO Interpol Greenpeace Google
Microsoft Facebook Amazon IBM Intel Samsung Sony Toyota Volkswagen Siemens Airbus Boeing
Nokia Ericsson Philips ONU OTAN OMS ONZ НАТО ООН ЮНЕСКО
"""
_LONG_ORGANISATIONS = [
    "European Union",
    "United Nations",
    "European Commission",
    "Europäische Union",
    "Vereinte Nationen",
    "Union européenne",
    "Nations unies",
    "Unión Europea",
    "Naciones Unidas",
    "Unione Europea",
    "Nazioni Unite",
    "União Europeia",
    "Europese Unie",
    "Verenigde Naties",
    "Unia Europejska",
    "FC Barcelona",
    "Real Madrid",
    "Manchester United",
]
_MYTHS = """
Zeus Hera Athena Odin Thor Loki Freya Apollo Poseidon Hermes Зевс Один
"""
_PLANTS = """
oak birch maple wheat maize rice barley potato tomato Eiche Birke Weizen chêne blé roble
trigo quercia grano Quercus Pinus Rosa
"""
# Label of a name that can hardly be anything else in text such as Wikipedia's.
KNOWN: Dict[str, str] = {
    name: label
    for label, names in (
        ("LOC", _LOCATIONS.split()),
        ("ORG", _ORGANISATIONS.split() + _LONG_ORGANISATIONS),
        ("MYTH", _MYTHS.split()),
        ("PLANT", _PLANTS.split()),
    )
    for name in names
}


class Evidence(NamedTuple):
    """What a file shows about the order of its tag numbers.

    companion (Optional[str]): Order by a file with the names beside the data.
    numbers (Optional[str]): Order by its numbers: tner has more of them.
    names (Optional[str]): Order under which known names have their usual label.
    field (Optional[str]): Order by what the file calls its tags.
    named (bool): The tags are names, so that no order is needed.
    """

    companion: Optional[str] = None
    numbers: Optional[str] = None
    names: Optional[str] = None
    field: Optional[str] = None
    named: bool = False


def read_multinerd(
    path: Union[str, Path],
    nlp: Language,
    *,
    notes: Notes = None,
    label_order: Optional[str] = None,
    languages: Optional[Sequence[str]] = None,
) -> Iterator[Annotated]:
    """Read MultiNERD. Sentences with the same tokens and tags are given once.

    path (Union[str, Path]): The file, UTF-8: TSV (number, token, tag; the language is
        taken from a name such as `train_en.tsv`), or JSON lines.
    nlp (Language): Its vocabulary is used; tokens are taken as they are.
    notes (Optional[Counter[str]]): What is dropped or repaired is added, by reason.
    label_order (Optional[str]): "babelscape" or "tner", see `find_label_order`.
    languages (Optional[Sequence[str]]): Codes of the languages to keep, `None` for all.
    YIELDS (Tuple[Doc, List[Entity]]): Each sentence, language in `user_data`, and an
        empty list: no entity is cut.
    RAISES (ValueError): A line that can't be read, with its number, no sentence, or an
        order of numbers that is unknown or wrong.
    """
    path = Path(path)
    _check_option(label_order)
    if is_json(path):
        docs = _read_json(path, nlp, notes, label_order)
    else:
        docs = read_conll(
            path, nlp, notes=notes, columns=TSV_COLUMNS, lang=_language_of(path)
        )
    wanted = None if languages is None else set(languages)
    yield from _drop_duplicates(_in_languages(docs, wanted, notes), notes)


def find_label_order(path: Union[str, Path], label_order: Optional[str] = None) -> str:
    """Tell the order of the tag numbers of a file, or refuse to guess.

    A file of label names beside the data, a number above 30, and known names of places,
    organisations, gods and plants (five at least, four in five agreeing) prove an order.
    The name of the field tells where none of them does. Where the known names contradict
    it, `label_order` decides.

    path (Union[str, Path]): The JSON lines.
    label_order (Optional[str]): The order somebody named. It is held to the evidence.
    RETURNS (str): "babelscape" or "tner".
    RAISES (ValueError): The evidence contradicts itself or `label_order`, or there is
        none.
    """
    path = Path(path)
    _check_option(label_order)
    return _decide(path, _collect(path, Counter()), label_order)


def is_json(path: Path) -> bool:
    """RETURNS (bool): Whether the first line of the file that is not blank is JSON."""
    return next((x for _, x in read_lines(path) if x.strip()), "").lstrip()[:1] == "{"


def _check_option(label_order: Optional[str]) -> None:
    orders = ORDERS["multinerd"]
    if label_order is not None and label_order not in orders:
        allowed = " or ".join(f'"{x}"' for x in orders)
        raise ValueError(
            Errors.N072.format(name="label_order", value=label_order, allowed=allowed)
        )


def _read_json(
    path: Path, nlp: Language, notes: Notes, label_order: Optional[str]
) -> Iterator[Annotated]:
    breaks: Counter[str] = Counter()
    order = ORDERS["multinerd"][_decide(path, _collect(path, breaks), label_order)]
    for reason, count in breaks.items():
        note(notes, reason, count)
    for row in read_rows(path):
        spans = decode_tags(row.names(path, order))
        yield Sentence(row.words, spans, row.id, row.lang).to_doc(nlp), []


def _collect(path: Path, breaks: Counter[str]) -> Evidence:
    """Read the file once. The breaks are the same in both orders."""
    witness = _Witness()
    rows = (witness.add(row) for row in read_rows(path))
    breaks.update(survey_rows(path, rows, ORDERS["multinerd"]["tner"]))
    return witness.evidence(path)


class _Witness:
    """Looks at sentences as they pass by."""

    def __init__(self) -> None:
        self.fields: Set[str] = set()
        self.votes: Counter[str] = Counter()
        self.highest = -1

    def add(self, row: TagRow) -> TagRow:
        """RETURNS (TagRow): The sentence, noted."""
        numbers = [x for x in row.tags if isinstance(x, int)]
        self.highest = max([self.highest, *numbers])
        self.fields.add(row.field)
        if numbers:
            self.votes.update(_votes(row, numbers))
        return row

    def evidence(self, path: Path) -> Evidence:
        """RETURNS (Evidence): What the sentences and the folder show."""
        fields = {FIELDS.get(x) for x in self.fields}
        return Evidence(
            companion=_companion(path),
            numbers="tner" if self.highest >= len(_BABELSCAPE) else None,
            names=_winner(self.votes),
            field=fields.pop() if len(fields) == 1 else None,
            named=self.highest < 0,
        )


def _votes(row: TagRow, numbers: Sequence[int]) -> Iterator[str]:
    """Each known name votes for the order in which it has its usual label."""
    for start, end, label in decode_tags([_neutral(x) for x in numbers]):
        words = row.words[start:end]
        usual = KNOWN.get(" ".join(words)) or KNOWN.get("".join(words))
        first = 2 * int(label) - 1
        if usual is not None:
            for order, names in ORDERS["multinerd"].items():
                if first < len(names) and names[first][2:] == usual:
                    yield order


def _neutral(number: int) -> str:
    """The tag without the order: odd numbers are B-, even ones I-, in both."""
    return f"{'IB'[number % 2]}-{(number + 1) // 2}" if number else "O"


def _winner(votes: Counter[str]) -> Optional[str]:
    for order, count in votes.most_common(1):
        if votes.total() >= LEAST_KNOWN and count >= KNOWN_SHARE * votes.total():
            return order
    return None


def _companion(path: Path) -> Optional[str]:
    found = find_names(path)
    if found is None:
        return None
    name, labels = found
    for order, names in ORDERS["multinerd"].items():
        if names == labels:
            return order
    remedy = "Read the data with the reader of its own format, or correct the file."
    problem = f"{name} beside it names other tags than MultiNERD has"
    raise ValueError(Errors.N075.format(path=path, problem=problem, remedy=remedy))


def _decide(path: Path, evidence: Evidence, label_order: Optional[str]) -> str:
    if evidence.named:
        return "tner"  # any: there is no number to name
    found = {
        "the label names beside the file": evidence.companion,
        "a tag number above 30": evidence.numbers,
        "the labels of well-known names": evidence.names,
        "the name of the field": evidence.field,
        "label_order": label_order,
    }
    shown = {why: order for why, order in found.items() if order is not None}
    # The name of the field is a custom. It tells where nothing proves an order; where
    # known names speak against it, somebody has to say who is right.
    if evidence.companion or evidence.numbers or (evidence.names and label_order):
        shown.pop("the name of the field", None)
    if len(set(shown.values())) != 1:
        _refuse_order(path, shown)
    return next(iter(shown.values()))


def _refuse_order(path: Path, shown: Dict[str, str]) -> NoReturn:
    problem = "nothing shows in which order its tags are numbered"
    if shown:
        found = ", ".join(f"{order} by {why}" for why, order in shown.items())
        problem = f"the order of its tag numbers is in doubt: {found}"
    remedy = 'Set `label_order` (--label-order) to "babelscape" or "tner", its publisher.'
    if "label_order" in shown:
        remedy = "Set `label_order` to the other order, or correct what speaks against it."
    raise ValueError(Errors.N075.format(path=path, problem=problem, remedy=remedy))


def _language_of(path: Path) -> Optional[str]:
    found = re.search(r"[_.-]([a-z]{2})\.tsv(\.gz)?$", path.name)
    return found and found[1]


def _in_languages(
    docs: Iterator[Annotated], wanted: Optional[Set[str]], notes: Notes
) -> Iterator[Annotated]:
    for doc, cut in docs:
        if wanted is None or doc.user_data.get("lang") in wanted:
            yield doc, cut
        else:
            note(notes, OTHER_LANGUAGE)


def _drop_duplicates(docs: Iterator[Annotated], notes: Notes) -> Iterator[Annotated]:
    seen: Set[bytes] = set()
    for doc, cut in docs:
        ents = [(ent.start, ent.end, ent.label_) for ent in doc.ents]
        key = json.dumps([[token.text for token in doc], ents])
        digest = blake2b(key.encode("utf8", "surrogatepass"), digest_size=16).digest()
        if digest in seen:
            note(notes, DUPLICATE)
        else:
            seen.add(digest)
            yield doc, cut
