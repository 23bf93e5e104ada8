"""From a corpus's tokens to raw text, and its entities onto the text.

Corpora come as tokens, users' text does not. `detokenize` decides where a space stands:
sacremoses' MosesDetokenizer decides for punctuation, brackets and quotes, after the words
it gets wrong are replaced by stand-ins with the right habit (a word, a bracket, a stop).
Only its spaces are taken, so it can't change a character. `to_text` tokenises the text as
a user's would be, and carries the entities over by characters.
"""

import re
from collections import Counter
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, Iterator, List, Optional, Sequence, Set, Tuple

from spacy.language import Language
from spacy.tokens import Doc, Span, SpanGroup

from ..errors import Errors
from .files import note
from .offsets import Entity, set_entities

# Written without spaces between words.
UNSPACED = frozenset({"ja", "km", "lo", "my", "th", "wuu", "yue", "zh"})
# A space stands before the percent sign (CLDR, percentFormat).
_SPACED_PERCENT = frozenset({"cs", "da", "de", "es", "fi", "fr", "nb", "ru", "sk", "sv"})
# An elided article is a token of its own: l', dell', d'.
_ELIDING = frozenset({"ca", "fr", "ga", "it", "pt"})

_ESCAPES = {
    # Penn Treebank bracket and quote codes.
    "-LRB-": "(",
    "-RRB-": ")",
    "-LSB-": "[",
    "-RSB-": "]",
    "-LCB-": "{",
    "-RCB-": "}",
    "``": '"',
    "''": '"',
    # OntoNotes marks sentence ends of transcripts so.
    "/.": ".",
    "/?": "?",
    "/-": "-",
}
_HESITATION = re.compile(r"%(ach|ah|eee|eh|er|ew|ha|hee|hm|huh|mhm|mm|oh|uh|uhm|um)", re.I)
_BACKSLASH = re.compile(r"\\([/*])")

_SUFFIX = re.compile(r"n['’]t|['’](s|m|d|ll|re|ve)", re.I)
_HALF_SUFFIX = re.compile(r"s|t|m|d|ll|re|ve", re.I)
_HALVES = frozenset(
    {("gon", "na"), ("wan", "na"), ("got", "ta"), ("gim", "me"), ("lem", "me")}
)
_CLOSING = re.compile(r"[.?!…]+|[,;:]|[\])}]+[.,;?!]*")
_MOSES_CLOSING = re.compile(r"[,.?!:;\\%}\])]+")
_OPENING = re.compile(r"[(\[{¿¡]+")
_CURRENCY = re.compile(r"(?:[A-Z]{1,3})?[$€£¥₹₽₩₪₺]")
_OPENS, _CLOSES, _WORD = "(", ")", "w"


def detokenize(
    words: Sequence[str],
    lang: str,
    notes: "Optional[Counter[str]]" = None,
    *,
    hyphens: bool = False,
) -> Tuple[List[str], List[bool]]:
    """Restore a sentence's words and the spaces between them.

    words (Sequence[str]): The tokens, with the corpus's escapes.
    lang (str): ISO 639-1 code of the language.
    notes (Optional[Counter[str]]): Gets "spaces unknown" where Moses fails and single
        spaces stand between the words.
    hyphens (bool): Whether the corpus makes a token of every hyphen and slash inside a
        word, as OntoNotes 5 and BC5CDR do: then they are glued to their neighbours.
    RETURNS (Tuple[List[str], List[bool]]): The words without escapes, one for each token,
        and whether a space follows each. Joined they are the text.
    RAISES (ImportError): sacremoses is not installed.
    """
    plain = [unescape(word) for word in words]
    spaces = [False] * len(plain)
    shown = [i for i, word in enumerate(plain) if word.strip()]
    if lang in UNSPACED:
        found = _latin_spaces([plain[i] for i in shown])
    else:
        found = _moses_spaces([words[i] for i in shown], lang, notes)
        if hyphens:
            _glue_hyphens([plain[i] for i in shown], found)
    for i, space in zip(shown, found, strict=True):
        spaces[i] = space
    for i in range(1, len(plain)):
        # A token of white space stands for itself.
        if plain[i] and not plain[i].strip():
            spaces[i - 1] = False
    return plain, spaces


def unescape(word: str) -> str:
    """Undo a treebank's escapes in a token: -LRB-, ``, OntoNotes' "/." and "%um", \\/.

    word (str): The token.
    RETURNS (str): What stood in the text.
    """
    found = _ESCAPES.get(word.upper())
    if found is not None:
        return found
    if _HESITATION.fullmatch(word):
        return word[1:]
    return _BACKSLASH.sub(r"\1", word)


def to_text(
    doc: Doc,
    nlp: Language,
    notes: "Optional[Counter[str]]" = None,
    *,
    hyphens: bool = False,
) -> Tuple[Doc, List[Entity]]:
    """Make the document that a user's text would be: detokenised, and tokenised anew.

    doc (Doc): The corpus's document. `doc.user_data["lang"]`, else `nlp.lang`, is its
        language.
    nlp (Language): Its tokenizer is used.
    notes (Optional[Counter[str]]): Gets what `detokenize` notes, "nested, cut" for each
        span of `doc.spans` that lies off the new tokens, and "sentence start inside a
        token" for each sentence start that is lost.
    hyphens (bool): As in `detokenize`.
    RETURNS (Tuple[Doc, List[Entity]]): The document with its entities, groups, sentence
        starts and `user_data`, missing annotation still missing; and the entities that
        the tokenizer cuts, whose tokens are missing as `set_entities` does it.
    """
    counts: Counter[str] = Counter() if notes is None else notes
    text, offsets = _text(doc, str(doc.user_data.get("lang") or nlp.lang), counts, hyphens)
    made = nlp.make_doc(text)
    cut: List[Entity] = []
    if doc.has_annotation("ENT_IOB"):
        cut = set_entities(made, _carry(doc.ents, text, offsets))
        _set_missing(made, [offsets[t.i] for t in doc if t.ent_iob == 0])
    for key, group in doc.spans.items():
        entities = _carry(group, text, offsets)
        found = [made.char_span(a, b, label=label) for a, b, label in entities]
        kept = [span for span in found if span is not None]
        note(counts, "nested, cut", len(found) - len(kept))
        made.spans[key] = SpanGroup(made, name=key, spans=kept)
    if doc.has_annotation("SENT_START"):
        _set_sentences(made, {offsets[t.i][0] for t in doc if t.is_sent_start}, counts)
    # Keys that are tuples belong to extension attributes, with offsets of the old text.
    made.user_data.update({k: v for k, v in doc.user_data.items() if isinstance(k, str)})
    return made, cut


def _text(
    doc: Doc, lang: str, counts: "Counter[str]", hyphens: bool
) -> Tuple[str, List[Tuple[int, int]]]:
    text = ""
    offsets: List[Tuple[int, int]] = []
    between = "" if lang in UNSPACED else " "
    for sentence in _sentences(doc):
        words = [token.text for token in sentence]
        words, spaces = detokenize(words, lang, counts, hyphens=hyphens)
        if text and not text[-1].isspace():
            text += between
        for word, space in zip(words, spaces, strict=True):
            offsets.append((len(text), len(text) + len(word)))
            text += word + " " * space
        text = text[: offsets[-1][1]] if offsets else text
    return text, offsets


def _sentences(doc: Doc) -> Iterator[Span]:
    if doc.has_annotation("SENT_START"):
        yield from doc.sents
    elif len(doc):
        yield doc[:]


def _carry(
    spans: Sequence[Span], text: str, offsets: List[Tuple[int, int]]
) -> List[Entity]:
    entities = []
    for span in spans:
        start, end = offsets[span.start][0], offsets[span.end - 1][1]
        words = text[start:end]
        if words.strip():
            # White space at a border would make the tokenizer cut the entity.
            start += len(words) - len(words.lstrip())
            end -= len(words) - len(words.rstrip())
        entities.append(Entity(start, end, span.label_))
    return entities


def _set_missing(doc: Doc, ranges: Sequence[Tuple[int, int]]) -> None:
    if ranges:
        unknown = {i for start, end in ranges for i in range(start, end)}
        free = [t for t in doc if t.ent_iob == 2]
        found = [t for t in free if any(t.idx + k in unknown for k in range(len(t)))]
        missing = [t for t in doc if t.ent_iob == 0] + found
        doc.set_ents(list(doc.ents), missing=[doc[t.i : t.i + 1] for t in missing])


def _set_sentences(doc: Doc, starts: Set[int], counts: "Counter[str]") -> None:
    lost = starts - {token.idx for token in doc}
    for token in doc:
        token.is_sent_start = token.i == 0 or token.idx in starts
    note(counts, "sentence start inside a token", len(lost))


def _latin_spaces(words: List[str]) -> List[bool]:
    # Two Latin words in a row are two words in Chinese and Thai text too.
    def latin(char: str) -> bool:
        return char.isascii() and char.isalnum()

    found = [latin(a[-1]) and latin(b[0]) for a, b in pairwise(words)]
    return found + [False] * bool(words)


def _moses_spaces(
    words: List[str], lang: str, notes: "Optional[Counter[str]]"
) -> List[bool]:
    """RETURNS (List[bool]): Whether a space follows each word, False for the last."""
    glued = _glued(words) if lang == "en" else set()
    heads = [i for i in range(len(words)) if i not in glued]
    habits = [_habit(words, i, lang) for i in heads]
    found = _align(habits, _moses(habits, lang))
    if found is None:
        note(notes, "spaces unknown")
        found = [True] * len(heads)
    spaces = [False] * len(words)
    for next_head, space in zip([*heads[1:], len(words)][: len(heads)], found, strict=True):
        spaces[next_head - 1] = space and next_head < len(words)
    return spaces


def _moses(words: List[str], lang: str) -> str:
    try:
        return str(_detokenizer(lang).detokenize(words, unescape=False))
    except (IndexError, TypeError):
        # sacremoses 0.2.0 fails so on a Czech "-li" after an apostrophe.
        return ""


@lru_cache(maxsize=32)
def _detokenizer(lang: str) -> Any:
    try:
        from sacremoses import MosesDetokenizer
    except ImportError as e:
        raise ImportError(Errors.N112) from e
    return MosesDetokenizer(lang)


def _align(words: List[str], text: str) -> Optional[List[bool]]:
    """RETURNS (Optional[List[bool]]): Whether the text has white space after each word;
    `None` where its other characters aren't those of the words."""
    if "".join(text.split()) != "".join(words):
        return None
    # Where white space stands, in characters that are none.
    gaps: Set[int] = set()
    count = 0
    for part in text.split():
        count += len(part)
        gaps.add(count)
    ends = accumulate(len(word) for word in words)
    return [end in gaps and end < count for end in ends]


def _glued(words: List[str]) -> Set[int]:
    """RETURNS (Set[int]): Words that belong to the one before: n't, 's, gon-na."""
    glued: Set[int] = set()
    for i in range(1, len(words)):
        before, word = words[i - 1], words[i]
        is_suffix = before[-1].isalnum() and _SUFFIX.fullmatch(word)
        if is_suffix or (before.lower(), word.lower()) in _HALVES:
            glued.add(i)
        elif (
            i >= 2
            and before in "'’"
            and words[i - 2][-1].isalpha()
            and _HALF_SUFFIX.fullmatch(word)
        ):
            glued.update({i - 1, i})
    return glued


def _habit(words: List[str], i: int, lang: str) -> str:
    """RETURNS (str): What Moses is shown in place of a word: itself, or a stand-in."""
    word, plain = words[i], unescape(words[i])
    after = words[i + 1] if i + 1 < len(words) else ""
    quote = _quote_habit(words, i, lang)
    if quote:
        return quote
    if any(c.isspace() for c in plain) or not plain:
        return _WORD
    if plain == "%":
        return _WORD if lang in _SPACED_PERCENT else _CLOSES
    if _CURRENCY.fullmatch(plain):
        # $50, and $ABC as traders write it; elsewhere "50 €" and "R$ 50".
        return _OPENS if lang == "en" and after[:1].isalnum() else _WORD
    if plain == "#" and after[:1].isalnum():
        return _OPENS
    if lang in _ELIDING and re.fullmatch(r"\w{1,6}['’]", plain) and after[:1].isalpha():
        return _OPENS
    if lang != "fr" and _CLOSING.fullmatch(plain):
        return _CLOSES
    if _OPENING.fullmatch(plain):
        return _OPENS
    if plain in "'\"" or (lang == "fr" and _CLOSING.fullmatch(plain)):
        return plain
    # What is left is a word: an emoticon of stops, 'em, @-@.
    return word if _is_plain_word(word) else _WORD


def _is_plain_word(word: str) -> bool:
    return word[0].isalpha() and "@" not in word and not _MOSES_CLOSING.fullmatch(word)


def _quote_habit(words: List[str], i: int, lang: str) -> Optional[str]:
    word = words[i]
    if word in ("``", "''") and words.count("``") != words.count("''"):
        # Some corpora write one of them for both: they have no direction, Moses counts.
        return '"'
    opening, closing = {
        "de": ("„‚»›", "“”‘’«‹"),
        "fr": ("“‘", "”’"),
    }.get(lang, ("“‘«‹„", "”’»›"))
    if word == "``" or (len(word) == 1 and word in opening):
        return _OPENS
    closes = word == "''" or (len(word) == 1 and word in closing)
    return _CLOSES if closes else None


def _glue_hyphens(words: List[str], spaces: List[bool]) -> None:
    for i in range(1, len(words) - 1):
        if (
            words[i] in ("-", "/")
            and words[i - 1][-1].isalnum()
            and words[i + 1][0].isalnum()
        ):
            spaces[i - 1] = spaces[i] = False
