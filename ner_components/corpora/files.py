"""Text files line by line, plain or gzipped, and the errors that name a line."""

import gzip
import zlib
from collections import Counter
from pathlib import Path
from typing import Iterable, Iterator, List, NoReturn, Optional, Tuple, Union

from ..errors import Errors

Notes = Optional[Counter[str]]


def read_lines(path: Union[str, Path]) -> Iterator[Tuple[int, str]]:
    """Read a text file. Lines end at a line feed only: the other characters that Python
    takes for line ends are found inside tokens of user-generated text.

    path (Union[str, Path]): The file, UTF-8, with or without a byte order mark; gzipped
        where its name ends in `.gz`.
    YIELDS (Tuple[int, str]): The number of the line, from 1, and the line without its end.
    RAISES (ValueError): A line is not UTF-8, or the compressed data is damaged, with the
        number of the line.
    """
    path = Path(path)
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield number, _decode(path, number, line)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        # The cause is not chained: no bytes of the file belong in a traceback.
        remedy = "Copy or download it again."
        raise error_at(path, number + 1, "the gzipped data is damaged", remedy) from None


def ends_line(path: Path) -> bool:
    """RETURNS (bool): Whether the file ends with a line feed."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        end = b""
        while chunk := file.read(1 << 20):
            end = chunk[-1:]
        return end == b"\n"


def error_at(path: Union[str, Path], line: int, problem: str, remedy: str) -> ValueError:
    """RETURNS (ValueError): A message with the file, the number of the line, what is
    wrong and what to do."""
    return ValueError(
        Errors.N070.format(path=path, line=line, problem=problem, remedy=remedy)
    )


def refuse(path: Union[str, Path], line: int, problem: str, remedy: str) -> NoReturn:
    """RAISES (ValueError): `error_at`."""
    raise error_at(path, line, problem, remedy)


def note(notes: Notes, reason: str, count: int = 1) -> None:
    """Count what was dropped or repaired, where the caller wants to know.

    notes (Optional[Counter[str]]): Counts by reason, modified in place.
    reason (str): What happened; never text of a document.
    count (int): How often.
    """
    if notes is not None and count:
        notes[reason] += count


def list_files(folder: Path, extensions: Iterable[str]) -> Tuple[List[Path], int]:
    """Find the files of a folder and of the folders in it.

    folder (Path): The folder. Names that begin with a dot are left out.
    extensions (Iterable[str]): How the names end, with or without `.gz` behind.
    RETURNS (Tuple[List[Path], int]): The files, sorted, and how many others there are.
    """
    ends = tuple(extensions)
    every = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    found = [path for path in every if path.name.removesuffix(".gz").endswith(ends)]
    return found, len(every) - len(found)


def _decode(path: Path, number: int, line: bytes) -> str:
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf8")
    except UnicodeDecodeError as e:
        problem = f"byte {e.start + 1} of the line is not UTF-8"
        remedy = "Convert the file to UTF-8, for example with iconv."
        # The error object holds the line, so it is not chained either.
        raise error_at(path, number, problem, remedy) from None
    return text.removesuffix("\n").removesuffix("\r")
