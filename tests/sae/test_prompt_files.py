"""Prompt files as text and JSON lines."""

import pytest

from sae.prompt_files import read_prompts


def write(tmp_path, text: str):
    path = tmp_path / "references.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_lines_may_be_text_or_json(tmp_path):
    path = write(tmp_path, 'plain prompt\n\n{"prompt": "from json"}\n{"text": "other key"}\n')
    assert read_prompts(path) == ["plain prompt", "from json", "other key"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("\n \n", "holds no prompt"), ('{"x": 1}\n', "line 1 .* has no 'prompt'"), ('ok\n{"a"\n', "line 2 .* is no JSON")],
)
def test_damaged_files_are_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_prompts(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"missing\.txt.*cannot be read"):
        read_prompts(tmp_path / "missing.txt")
