"""Reference prompts: what a lone prompt is compared with.

A reference file has one prompt a line, as plain text or as JSON objects with a `prompt` or `text`. A bundled model
brings its own in `references.json`.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtyping import Int
from torch import Tensor

from sae.bundle import find_bundle

if TYPE_CHECKING:
    from sae.host.host import HostModel

__all__ = ["BUNDLED_REFERENCES", "reference_pool"]

BUNDLED_REFERENCES = "references.json"


def reference_pool(host: "HostModel", reference: str | Path | None, *, chat: bool = False) -> list[Int[Tensor, " _"]]:
    """Tokenised reference prompts: the user's, else those bundled with the model.

    Raises:
        ValueError: If the file cannot be read, or the model brings no references and none were given.
    """
    if reference is not None:
        prompts = read_prompts(Path(reference))
    else:
        bundle = find_bundle(host.name)
        if bundle is None:
            raise ValueError(
                f"model {host.name!r} brings no reference prompts, which a prompt without contrast is compared with; "
                "give --contrast TEXT or --reference FILE"
            )
        bundle.check(BUNDLED_REFERENCES)
        prompts = json.loads((bundle.path / BUNDLED_REFERENCES).read_text(encoding="utf-8"))["prompts"]
    return [host.tokenise(prompt, chat=chat) for prompt in prompts]


def read_prompts(path: Path) -> list[str]:
    """The prompts of a reference file; blank lines are skipped.

    Raises:
        ValueError: If there is no such file or it holds no prompt.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"reference file {str(path)!r} cannot be read ({error}); expected a text file") from error
    prompts = [_prompt_of(line, path, number) for number, line in enumerate(lines, start=1) if line.strip()]
    if not prompts:
        raise ValueError(f"reference file {str(path)!r} holds no prompt; expected one a line")
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
