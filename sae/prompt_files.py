"""Files of prompts: one a line, as plain text or as JSON objects with a `prompt` or `text`."""

import json
from pathlib import Path

__all__ = ["read_prompts"]


def read_prompts(path: Path, *, what: str = "prompt file") -> list[str]:
    """The prompts of a file; blank lines are skipped.

    Args:
        path: The file.
        what: What it is called in messages.

    Raises:
        ValueError: If there is no such file or it holds no prompt.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{what} {str(path)!r} cannot be read ({error}); expected a text file") from error
    prompts = [_prompt_of(line, path, number) for number, line in enumerate(lines, start=1) if line.strip()]
    if not prompts:
        raise ValueError(f"{what} {str(path)!r} holds no prompt; expected one a line")
    return prompts


def _prompt_of(line: str, path: Path, number: int) -> str:
    if not line.lstrip().startswith("{"):
        return line.rstrip("\n")
    try:
        entry = json.loads(line)
        prompt = entry.get("prompt", entry.get("text"))
    except json.JSONDecodeError as error:
        raise ValueError(f"line {number} of {str(path)!r} is no JSON object: {error}") from error
    if not isinstance(prompt, str):
        raise ValueError(f"line {number} of {str(path)!r} has no 'prompt' or 'text'; expected one of them")
    return prompt
