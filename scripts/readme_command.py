"""Print the Nth shell block of the README, so that CI runs what the README says.

python scripts/readme_command.py 2
"""

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def shell_blocks() -> list[str]:
    """RETURNS (list[str]): The README's ```bash blocks, in order."""
    return re.findall(
        r"^```bash\n(.*?)^```$", README.read_text(encoding="utf8"), re.M | re.S
    )


if __name__ == "__main__":
    print(shell_blocks()[int(sys.argv[1]) - 1], end="")
