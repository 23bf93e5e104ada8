"""Texts and labels -> the arrays that a GLiNER model reads."""

from typing import Any, List, NamedTuple, Tuple

import numpy

from ..errors import Errors
from ..pretrained import position_limit
from ..types import Ints1d, Ints2d
from .prompts import make_groups
from .windows import WordWindow


class Words(NamedTuple):
    """The words of a document that have word pieces. Others (U+200B, U+FE0F, a control
    character) are left out: gliner itself counts them and loses the place.

    starts (Ints1d), ends (Ints1d): First character of each word and one past its last.
    ids (Ints1d): Word pieces of all of them.
    borders (Ints1d): First piece of each word, and one past the last of all.
    """

    starts: Ints1d
    ends: Ints1d
    ids: Ints1d
    borders: Ints1d


class Group(NamedTuple):
    """Labels that share a prompt.

    first (int), last (int): First label and one past the last.
    ids (Ints1d): Word pieces of the prompt, separator included; none for a bi-encoder.
    """

    first: int
    last: int
    ids: Ints1d


class Batch(NamedTuple):
    """One forward pass: windows of like length, padded.

    ids (Ints2d), mask (Ints2d): Word pieces and which are real, (windows, time).
    words_mask (Ints2d): Number of the word, from 1, at the pieces that stand for it.
    lengths (Ints1d): Words in each window.
    """

    ids: Ints2d
    mask: Ints2d
    words_mask: Ints2d
    lengths: Ints1d


class Frontend:
    """A loaded model's word splitter, tokenizer and limits.

    gliner (GLiNER): The model, as the gliner library made it.
    tokenizer (Tokenizer): A copy of its tokenizer that the library does not change.
    """

    def __init__(self, gliner: Any, tokenizer: Any) -> None:
        processor = gliner.data_processor
        self.config = gliner.config
        self.split = processor.words_splitter
        self.is_bi_encoder = hasattr(processor, "labels_tokenizer")
        self.tokenizer = tokenizer
        # Windows and padding are ours.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        full, bare = self._encode(["a"], True), self._encode(["a"], False)
        at = next(i for i in range(len(full)) if full[i : i + len(bare)] == bare)
        self.prefix, self.suffix = full[:at], full[at + len(bare) :]
        self.pad_id = processor.transformer_tokenizer.pad_token_id or 0
        positions = position_limit(gliner.config.encoder_config)
        limit = int(min(positions, processor.transformer_tokenizer.model_max_length))
        # Most pieces of prompt and text together.
        self.limit = limit - len(self.prefix) - len(self.suffix)
        self.pooling = getattr(self.config, "subtoken_pooling", "first")

    def read(self, texts: List[str], room: int) -> List[Words]:
        """Split texts into words and word pieces.

        texts (List[str]): The texts.
        room (int): Most word pieces of a window; a word keeps a quarter of it at most.
        RETURNS (List[Words]): The words of each text.
        """
        split = [list(self.split(text)) for text in texts]
        words = [[word for word, _, _ in row] for row in split]
        encoded = self.tokenizer.encode_batch(
            words, is_pretokenized=True, add_special_tokens=False
        )
        most = max(1, room // 4)
        return [_make_words(a, b, most) for a, b in zip(split, encoded, strict=True)]

    def make_groups(self, labels: List[str], prompts: List[str]) -> List[Group]:
        """Make as few prompts as the labels fit into; a quarter of the model's room is
        kept for the text.

        labels (List[str]): Names, for the error message.
        prompts (List[str]): The words that stand for each.
        RETURNS (List[Group]): The prompts.
        RAISES (ValueError): A label does not fit even alone.
        """
        if self.is_bi_encoder:
            return [Group(0, len(prompts), numpy.zeros(0, dtype="int64"))]
        separator = self._encode([self.config.sep_token], False)
        pieces = self.prompt_pieces(prompts)
        room = self.limit - self.limit // 4 - len(separator)
        for label, ids in zip(labels, pieces, strict=True):
            if len(ids) > room:
                raise ValueError(
                    Errors.N136.format(label=label, pieces=len(ids), room=room)
                )
        return [
            Group(a, b, numpy.concatenate([*pieces[a:b], separator]).astype("int64"))
            for a, b in make_groups([len(x) for x in pieces], room)
        ]

    def prompt_pieces(self, prompts: List[str]) -> List[List[int]]:
        """RETURNS (List[List[int]]): Word pieces of each label's part of a prompt."""
        return [self._encode([self.config.ent_token, x], False) for x in prompts]

    def join_prompt(self, pieces: List[List[int]]) -> Ints1d:
        """RETURNS (Ints1d): Word pieces of the prompt of some labels, separator included;
        none for a bi-encoder."""
        if self.is_bi_encoder:
            return numpy.zeros(0, dtype="int64")
        separator = self._encode([self.config.sep_token], False)
        return numpy.concatenate([*pieces, separator]).astype("int64")

    def make_batch(self, rows: List[Tuple[Words, WordWindow]], group: Group) -> Batch:
        """Put windows and a prompt into arrays.

        rows (List[Tuple[Words, WordWindow]]): The windows and their documents.
        group (Group): The prompt.
        RETURNS (Batch): The arrays.
        """
        return self.pad(rows, [group.ids] * len(rows))

    def pad(self, rows: List[Tuple[Words, WordWindow]], prompts: List[Ints1d]) -> Batch:
        """Put windows with a prompt each into arrays.

        rows (List[Tuple[Words, WordWindow]]): The windows and their documents.
        prompts (List[Ints1d]): Word pieces of the prompt of each.
        RETURNS (Batch): The arrays.
        """
        heads = [numpy.concatenate([self.prefix, x]).astype("int64") for x in prompts]
        sizes = [x.borders[w.end] - x.borders[w.start] for x, w in rows]
        longest = max(len(head) + size for head, size in zip(heads, sizes, strict=True))
        time = longest + len(self.suffix)
        ids = numpy.full((len(rows), time), self.pad_id, dtype="int64")
        mask, words_mask = numpy.zeros_like(ids), numpy.zeros_like(ids)
        for i, (x, w) in enumerate(rows):
            first, end = len(heads[i]), len(heads[i]) + sizes[i]
            ids[i, :first] = heads[i]
            ids[i, first:end] = x.ids[x.borders[w.start] : x.borders[w.end]]
            ids[i, end : end + len(self.suffix)] = self.suffix
            mask[i, : end + len(self.suffix)] = 1
            words_mask[i, first:end] = self._word_numbers(x.borders[w.start : w.end + 1])
        lengths = numpy.asarray([w.end - w.start for _, w in rows], dtype="int64")
        return Batch(ids, mask, words_mask, lengths)

    def _word_numbers(self, borders: Ints1d) -> Ints1d:
        """RETURNS (Ints1d): Number of the word, from 1, at the pieces that stand for it,
        0 at the others."""
        sizes = numpy.diff(borders)
        numbers = numpy.repeat(numpy.arange(1, len(sizes) + 1), sizes)
        if self.pooling not in ("first", "last"):
            return numbers
        at = borders[:-1] if self.pooling == "first" else borders[1:] - 1
        picked = numpy.zeros_like(numbers)
        picked[at - borders[0]] = numbers[at - borders[0]]
        return picked

    def _encode(self, words: List[str], special: bool) -> List[int]:
        encoded = self.tokenizer.encode(
            words, is_pretokenized=True, add_special_tokens=special
        )
        return list(encoded.ids)


def _make_words(split: List[Tuple[str, int, int]], encoded: Any, most: int) -> Words:
    columns = numpy.asarray([(a, b) for _, a, b in split], dtype="int64").reshape(-1, 2)
    owners = numpy.asarray(encoded.word_ids, dtype="int64")
    ids = numpy.asarray(encoded.ids, dtype="int64")
    sizes = numpy.bincount(owners, minlength=len(split))
    if len(sizes) and sizes.max() > most:
        first = numpy.cumsum(sizes) - sizes
        ids = ids[numpy.arange(len(ids)) - first[owners] < most]
        sizes = numpy.minimum(sizes, most)
    kept = sizes > 0
    borders = numpy.concatenate([[0], numpy.cumsum(sizes[kept])]).astype("int64")
    return Words(columns[kept, 0], columns[kept, 1], ids, borders)
