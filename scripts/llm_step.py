"""Run a step of the project's workflow `llm`, if there is a server to ask.

    python scripts/llm_step.py "BASE_URL" COMMAND [ARGUMENT ...]

Without a URL it says so and ends with 0: a project without a server is whole.
"""

import subprocess
import sys


def main(base_url: str, command: list[str]) -> int:
    """RETURNS (int): what the command ended with, 0 where it was skipped."""
    if not base_url.strip():
        print(
            "Skipped: no LLM server is given. Set the project's variables: "
            "python -m spacy project run llm . --vars.llm_base_url URL "
            "--vars.llm_model NAME --vars.llm_api_key_env NAME_OF_A_VARIABLE"
        )
        return 0
    if command[:1] == ["python"]:
        command = [sys.executable, *command[1:]]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], sys.argv[2:]))
