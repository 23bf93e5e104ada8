"""Turn a GLiNER checkpoint whose weights are a pickle into a folder with safetensors.

    python -m ner_components.gliner.convert NAME FOLDER [--revision REVISION]

torch reads the pickle with `weights_only`, which refuses anything but tensors. Do it once,
with a checkpoint you trust; the folder then loads without a pickle and without a network.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import List, Optional

from ..errors import Errors
from .loader import CONFIG, GLiNER, check_kind, find_files, refuse_remote_code


def convert(name: str, folder: Path, revision: Optional[str] = None) -> Optional[str]:
    """Convert a checkpoint.

    name (str): Hub id or local folder.
    folder (Path): The folder to write, with tokenizer and encoder config.
    revision (Optional[str]): Commit or tag on the hub.
    RETURNS (Optional[str]): The commit on the hub, `None` for a folder.
    RAISES (ValueError): It can't be had, is no GLiNER, or one of another kind.
    """
    source, commit = find_files(name, revision, pickles=True)
    if not (source / CONFIG).is_file():
        raise ValueError(Errors.N132.format(folder=source, file=CONFIG))
    config = json.loads((source / CONFIG).read_text(encoding="utf8"))
    check_kind(config, name)
    refuse_remote_code(config, name)
    gliner = GLiNER.from_pretrained(str(source))
    gliner.save_pretrained(folder, safe_serialization=True)
    # The model card names the licence.
    if (source / "README.md").is_file():
        shutil.copy(source / "README.md", folder / "README.md")
    return commit


def main(arguments: Optional[List[str]] = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="hub id or local folder")
    parser.add_argument("folder", type=Path, help="folder to write")
    parser.add_argument("--revision", help="commit or tag on the hub")
    given = parser.parse_args(arguments)
    commit = convert(given.name, given.folder, given.revision)
    print(f"Converted {given.name} ({commit or 'folder'}) to {given.folder}")


if __name__ == "__main__":
    main()
