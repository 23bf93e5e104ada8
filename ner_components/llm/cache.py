"""Answers kept in a SQLite file, so that nothing is asked twice."""

import json
import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union
from urllib.parse import quote

from ..errors import Errors
from .failures import CacheFailed

MODES = ("use", "refresh", "read_only")
# "NERC": tells our files from others.
APPLICATION_ID = 0x4E455243
FORMAT = 1
DAY = 86400.0
# Seconds to wait for another process that writes.
PATIENCE = 30.0
# Share of the limit to which answers are deleted, where it is passed.
LOW_MARK = 0.9
# Errors that say the file is no database or is broken.
DAMAGED = ("SQLITE_NOTADB", "SQLITE_CORRUPT")
CREATE = """
CREATE TABLE IF NOT EXISTS answers (
    key BLOB PRIMARY KEY, model TEXT, answer TEXT, created REAL, used REAL
) WITHOUT ROWID
"""


class CacheStats(NamedTuple):
    """What a cache holds, without text.

    answers (int): Answers in it.
    size (int): Bytes of the file and of those that belong to it.
    oldest (Optional[float]), newest (Optional[float]): When the first and the last were
        kept, seconds since 1970.
    models (Dict[str, int]): Answers by model.
    """

    answers: int
    size: int
    oldest: Optional[float]
    newest: Optional[float]
    models: Dict[str, int]


class AnswerCache:
    """A file of answers, safe to share by threads and processes; opened at first use.

    path (Union[str, Path]): The file, made readable by its owner alone.
    mode (str): "use", "refresh" (never read, only written) or "read_only".
    ttl (Optional[float]): Days after which an answer counts as missing.
    max_mb (float): Size from which answers go, those not used for longest first.
    """

    def __init__(
        self,
        path: Union[str, Path],
        *,
        mode: str = "use",
        ttl: Optional[float] = None,
        max_mb: float = 1024,
    ) -> None:
        self.path = Path(path)
        self.mode = mode
        self.ttl = ttl
        self.max_bytes = max_mb * 2**20
        self._lock = Lock()
        self._db: Optional[sqlite3.Connection] = None

    def get(self, keys: Sequence[bytes]) -> Optional[Tuple[int, Dict[str, Any]]]:
        """Look for an answer under several keys.

        keys (Sequence[bytes]): The keys, the best first.
        RETURNS (Optional[Tuple[int, Dict[str, Any]]]): The first that is there: its place
            among the keys, and what was kept.
        RAISES (CacheFailed): The file can't be used.
        """
        return self._guarded(self._get, keys)

    def put(self, key: bytes, model: str, answer: Dict[str, Any]) -> None:
        """Keep an answer.

        key (bytes): Its key.
        model (str): The model's name.
        answer (Dict[str, Any]): What is kept, as JSON has it.
        RAISES (CacheFailed): The file can't be used.
        """
        if self.mode != "read_only":
            self._guarded(self._put, key, model, answer)

    def close(self) -> None:
        """Close the file. It is opened again when it is needed."""
        with self._lock:
            if self._db is not None:
                self._db.close()
            self._db = None

    def _get(
        self, db: sqlite3.Connection, keys: Sequence[bytes]
    ) -> Optional[Tuple[int, Dict[str, Any]]]:
        if self.mode == "refresh":
            return None
        marks = ",".join("?" * len(keys))
        since = -1e300 if self.ttl is None else time.time() - self.ttl * DAY
        rows = db.execute(
            f"SELECT key, answer FROM answers WHERE key IN ({marks}) AND created >= ?",
            [*keys, since],
        )
        found = dict(rows.fetchall())
        place = next((i for i, key in enumerate(keys) if key in found), None)
        if place is None:
            return None
        if self.mode == "use":
            values = (time.time(), keys[place])
            db.execute("UPDATE answers SET used = ? WHERE key = ?", values)
        answer = json.loads(found[keys[place]])
        if not isinstance(answer, dict):
            raise ValueError
        return place, answer

    def _put(
        self, db: sqlite3.Connection, key: bytes, model: str, answer: Dict[str, Any]
    ) -> None:
        now = time.time()
        values = (key, model, json.dumps(answer), now, now)
        db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)", values)
        if _used_bytes(db) > self.max_bytes:
            self._trim(db)

    def _trim(self, db: sqlite3.Connection) -> None:
        # Deleted pages are used again, so the file grows no further.
        oldest = "SELECT key FROM answers ORDER BY used LIMIT ?"
        delete, batch = f"DELETE FROM answers WHERE key IN ({oldest})", 1
        while _used_bytes(db) > LOW_MARK * self.max_bytes:
            if db.execute(delete, (batch,)).rowcount < 1:
                return
            batch *= 2

    def _guarded(self, function: Any, *args: Any) -> Any:
        with self._lock:
            try:
                if self._db is None:
                    self._db = open_db(self.path, read_only=self.mode == "read_only")
                return function(self._db, *args)
            except CacheFailed as e:
                failure = e
            except sqlite3.Error as e:
                failure = _name_failure(self.path, e)
            except OSError as e:
                failure = _fail(self.path, e.strerror or type(e).__name__)
            except (ValueError, TypeError, RecursionError):
                failure = CacheFailed(Errors.N161.format(path=self.path), kind="damaged")
        # Raised out here, so that the first error, which can hold text, isn't its context.
        raise failure


def open_db(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open a file of answers.

    path (Path): The file. It is made if it isn't there, unless it is only read.
    read_only (bool): Whether nothing is to be written, not even beside the file.
    RETURNS (sqlite3.Connection): The connection, which any thread can use.
    RAISES (CacheFailed): It is no such file. (sqlite3.Error, OSError): It can't be opened.
    """
    if not read_only:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Before SQLite, which gives the files beside it the mode of this one.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    db = _connect(path, "ro" if read_only else "rw")
    try:
        if not read_only:
            _prepare(db)
        if _pragma(db, "application_id") != APPLICATION_ID:
            raise CacheFailed(Errors.N161.format(path=path), kind="damaged")
        if _pragma(db, "user_version") != FORMAT:
            raise _fail(path, f"its format isn't {FORMAT}, which this version reads")
    except BaseException:
        db.close()
        raise
    return db


def clear(path: Union[str, Path]) -> int:
    """Delete all answers of a cache, also from what lies beside the file.

    path (Union[str, Path]): The file.
    RETURNS (int): How many there were.
    RAISES (CacheFailed): It can't be used.
    """
    cache = AnswerCache(_existing(path))
    try:
        return cache._guarded(_clear)
    finally:
        cache.close()


def read_stats(path: Union[str, Path]) -> CacheStats:
    """Look at a cache without changing it.

    path (Union[str, Path]): The file.
    RETURNS (CacheStats): What it holds.
    RAISES (CacheFailed): It can't be used.
    """
    path = _existing(path)
    cache = AnswerCache(path, mode="read_only")
    try:
        counted, models = cache._guarded(_count)
    finally:
        cache.close()
    beside = [Path(f"{path}{end}") for end in ("", "-wal", "-shm")]
    size = sum(x.stat().st_size for x in beside if x.exists())
    return CacheStats(counted[0], size, counted[1], counted[2], dict(models))


def _connect(path: Path, access: str) -> sqlite3.Connection:
    uri = f"file:{quote(str(path.absolute()))}?mode={access}"
    wal = Path(f"{path}-wal")
    # Reading a file in WAL mode makes files beside it, unless SQLite is told that nobody
    # writes; what is in a WAL that wasn't merged would then not be seen.
    if access == "ro" and not (wal.exists() and wal.stat().st_size):
        uri += "&immutable=1"
    return sqlite3.connect(
        uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False
    )


def _prepare(db: sqlite3.Connection) -> None:
    if _is_new(db):
        _use_wal(db)
        db.execute("BEGIN IMMEDIATE")
        # Another process may have been first.
        if _is_new(db):
            db.execute(CREATE)
            db.execute("CREATE INDEX answers_used ON answers (used)")
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {FORMAT}")
        db.execute("COMMIT")
    # A killed process loses nothing; a power cut, at most the last answers.
    db.execute("PRAGMA synchronous = NORMAL")


def _use_wal(db: sqlite3.Connection) -> None:
    # Where several processes change the mode at once, SQLite fails without waiting.
    end = time.monotonic() + PATIENCE
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as e:
            if e.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        time.sleep(0.005)


def _is_new(db: sqlite3.Connection) -> bool:
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return not tables and not _pragma(db, "application_id")


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return db.execute(f"PRAGMA {name}").fetchone()[0]


def _used_bytes(db: sqlite3.Connection) -> int:
    pages = _pragma(db, "page_count") - _pragma(db, "freelist_count")
    return pages * _pragma(db, "page_size")


def _clear(db: sqlite3.Connection) -> int:
    count = db.execute("DELETE FROM answers").rowcount
    db.execute("VACUUM")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return count


def _count(db: sqlite3.Connection) -> Tuple[Any, List[Any]]:
    counted = db.execute("SELECT count(*), min(created), max(created) FROM answers")
    models = db.execute("SELECT model, count(*) FROM answers GROUP BY model ORDER BY model")
    return counted.fetchone(), models.fetchall()


def _existing(path: Union[str, Path]) -> Path:
    if not Path(path).is_file():
        raise _fail(Path(path), "no such file")
    return Path(path)


def _name_failure(path: Path, error: sqlite3.Error) -> CacheFailed:
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if name.startswith(DAMAGED):
        return CacheFailed(Errors.N161.format(path=path), kind="damaged")
    return _fail(path, name)


def _fail(path: Path, problem: str) -> CacheFailed:
    return CacheFailed(Errors.N162.format(path=path, problem=problem))
