"""From an answer to exact offsets in the text: whole words or nothing, and how each was
found."""

from bisect import bisect_left
from collections import defaultdict
from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from ..entities import Candidate
from .answers import CharSpan, Item, ParsedAnswer
from .grounding_text import Border, MappedText, as_it_is, casefold, is_border, normalise

LEVELS = {"exact": as_it_is, "normalised": normalise, "casefolded": casefold}
# The order of an answer is worked out over so many places, all items together.
MAX_PLACES = 200_000


class Grounded(NamedTuple):
    """Where an item of an answer stands.

    start (Optional[int]): First character in the text; `None` where it is not in it.
    end (Optional[int]): One past the last character.
    label (str): The item's word for the label.
    level (Optional[str]): How alike text and answer are: "exact", "normalised" (see
        `grounding_text.normalise`) or "casefolded"; `None` where it is not in the text.
    choice (Optional[str]): What chose the place: "only" (there is one), the number of the
        "occurrence", or the "order" of the answer, which is a guess.
    """

    start: Optional[int]
    end: Optional[int]
    label: str
    level: Optional[str] = None
    choice: Optional[str] = None

    @property
    def via(self) -> Optional[str]:
        """RETURNS (Optional[str]): Level and choice in a word, such as "exact" or
        "casefolded+order"."""
        if self.choice is None or self.choice == "only":
            return self.level
        return f"{self.level}+{self.choice}"


class _Places(NamedTuple):
    # Where a text stands, from left to right, and the level that found it.
    spans: List[CharSpan]
    level: Optional[str]


def ground(
    text: str, items: Sequence[Item], is_border: Border = is_border
) -> List[Grounded]:
    """Find the items of an answer in the text that was asked about.

    An item's text is looked for as it is, then normalised, then case-folded as well; the
    first of these levels that has a place decides. A place begins and ends at a border
    of words and takes whole characters. Places of one text don't overlap: they are
    counted from left to right, as `str.count` does.

    Of several places the item's occurrence chooses: 1 is the first of its level. Without
    one, or with a number that no place has, the order of the answer chooses:

    1. As many items as possible, those with a settled place among them, are put in a row
       whose starts go strictly up in the order of the answer. Of the longest rows the
       one is taken whose last start is the smallest, then the one before it, and so on
       back to the first.
    2. The items left over take, in order, the first place that no item of the same text
       and label has.
    3. Where that has no place left, the first place again: the same entity twice is the
       contract's to count.

    With more than `MAX_PLACES` places to consider, the first step is left out.

    text (str): The text.
    items (Sequence[Item]): The items, in the order of the answer.
    is_border (Callable[[str, int], bool]): Whether a word can begin or end before the
        character of a number.
    RETURNS (List[Grounded]): One for each item, in the same order.
    """
    finder = _Finder(text, is_border)
    places = [finder.find(item.text) for item in items]
    settled = [_settle(x.spans, item) for x, item in zip(places, items, strict=True)]
    chosen = _choose_by_order([x.spans for x in places], settled, items)
    found = []
    for item, (spans, level), fixed, k in zip(items, places, settled, chosen, strict=True):
        if k is None:
            found.append(Grounded(None, None, item.label))
            continue
        choice = "only" if len(spans) == 1 else "order" if fixed is None else "occurrence"
        found.append(Grounded(*spans[k], item.label, level, choice))
    return found


def candidates_of(
    text: str,
    offset: int,
    parsed: ParsedAnswer,
    scores: Optional[Sequence[Optional[float]]] = None,
    is_border: Border = is_border,
) -> List[Candidate]:
    """Make the candidates of an answer: one for each item, valid or not, and one for an
    answer that can't be read.

    text (str): The text that was asked about.
    offset (int): Where it begins in the document, in characters.
    parsed (ParsedAnswer): What the answer says.
    scores (Optional[Sequence[Optional[float]]]): A score for each item, `None` for none.
    is_border (Callable[[str, int], bool]): As `ground` has it.
    RETURNS (List[Candidate]): The valid items in order, with `via` set to what found
        them or the reason "not_in_text", then the others, with "invalid_output".
    """
    items = parsed.items
    scores = [None] * len(items) if scores is None else scores
    found = []
    for item, place, score in zip(
        items, ground(text, items, is_border), scores, strict=True
    ):
        label, start, end = item.label, place.start, place.end
        if start is None or end is None:
            row = Candidate(None, None, label, score, item.text, "not_in_text")
        else:
            row = Candidate(start + offset, end + offset, label, score, via=place.via)
        found.append(row)
    for bad in parsed.bad:
        found.append(Candidate(None, None, bad.label, None, bad.text, "invalid_output"))
    return found


class _Finder:
    # Looks for texts in one text, each once.

    def __init__(self, text: str, is_border: Border) -> None:
        self.text = text
        self.is_border = is_border
        self.maps: Dict[str, MappedText] = {}
        self.starts: Dict[str, List[int]] = {}
        self.known: Dict[str, _Places] = {}

    def find(self, said: str) -> _Places:
        if said not in self.known:
            self.known[said] = self._find(said)
        return self.known[said]

    def _find(self, said: str) -> _Places:
        for level, make in LEVELS.items():
            # White space around a name is no part of it, but then it isn't exact either.
            wanted = make(said).text
            if level != "exact":
                wanted = wanted.strip()
            elif said != said.strip():
                continue
            spans = self._spans(level, wanted) if wanted else []
            if spans:
                return _Places(spans, level)
        return _Places([], None)

    def _spans(self, level: str, wanted: str) -> List[CharSpan]:
        if level not in self.maps:
            self.maps[level] = LEVELS[level](self.text)
        mapped, found = self.maps[level], []
        i = mapped.text.find(wanted)
        while i >= 0:
            span = mapped.original(i, i + len(wanted))
            if span is not None and all(self.is_border(self.text, x) for x in span):
                found.append(span)
                i += len(wanted)
            else:
                i = self._next_start(level, i + 1)
            i = mapped.text.find(wanted, i)
        return found

    def _next_start(self, level: str, i: int) -> int:
        # Steps over what can't begin a word, so that "aaa" in "aaaaaa..." is not slow.
        if level not in self.starts:
            mapped, starts = self.maps[level], []
            for k, start in enumerate(mapped.starts):
                whole = k == 0 or mapped.starts[k - 1] != start
                if whole and self.is_border(self.text, start):
                    starts.append(k)
            self.starts[level] = [*starts, len(mapped.text)]
        starts = self.starts[level]
        return starts[min(bisect_left(starts, i), len(starts) - 1)]


def _settle(spans: List[CharSpan], item: Item) -> Optional[int]:
    if len(spans) == 1:
        return 0
    number = item.occurrence
    return number - 1 if number is not None and 1 <= number <= len(spans) else None


def _choose_by_order(
    places: List[List[CharSpan]], settled: List[Optional[int]], items: Sequence[Item]
) -> List[Optional[int]]:
    # The number of each item's place, None for an item that has none.
    chosen = list(settled)
    if sum(map(len, places)) <= MAX_PLACES and any(
        spans and k is None for spans, k in zip(places, settled, strict=True)
    ):
        for item, place in _longest_row(places, settled):
            chosen[item] = place
    used: Dict[Tuple[str, str], Set[int]] = defaultdict(set)
    for (said, label, _), k in zip(items, chosen, strict=True):
        if k is not None:
            used[said, label].add(k)
    firsts: Dict[Tuple[str, str], int] = defaultdict(int)
    for i, (said, label, _) in enumerate(items):
        if chosen[i] is None and places[i]:
            key = (said, label)
            while firsts[key] in used[key]:
                firsts[key] += 1
            chosen[i] = firsts[key] if firsts[key] < len(places[i]) else 0
            used[key].add(chosen[i] or 0)
    return chosen


def _longest_row(
    places: List[List[CharSpan]], settled: List[Optional[int]]
) -> List[Tuple[int, int]]:
    # Longest increasing subsequence by patience sorting (Fredman 1975, "On computing the
    # length of longest increasing subsequences"), each item offering several numbers: from
    # the last to the first, so that no row takes two of one item.
    lasts: List[int] = []
    tips: List[int] = []
    nodes: List[Tuple[int, int, int]] = []
    for item, spans in enumerate(places):
        fixed = settled[item]
        for place in range(len(spans) - 1, -1, -1) if fixed is None else [fixed]:
            start = spans[place][0]
            k = bisect_left(lasts, start)
            # Also where the start is the same: the row before it can only be better now.
            nodes.append((item, place, tips[k - 1] if k else -1))
            lasts[k : k + 1] = [start]
            tips[k : k + 1] = [len(nodes) - 1]
    row, node = [], tips[-1] if tips else -1
    while node >= 0:
        item, place, node = nodes[node]
        row.append((item, place))
    return row
