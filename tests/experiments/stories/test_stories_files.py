"""The conversion of stories' weights says what is missing and leaves nothing half written."""

import pytest

from experiments.stories.llama2c import convert_stories


def test_a_directory_without_the_export_is_refused(tmp_path):
    (tmp_path / "stories260K.bin").touch()
    with pytest.raises(ValueError, match=r"has no tok512.bin, expected .* as llama2.c exports them; check the path"):
        convert_stories(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
