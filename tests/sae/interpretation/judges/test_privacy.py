"""Restricted text goes to judges on this machine only."""

import pytest

from sae.interpretation.judges.privacy import check_privacy, is_on_this_machine

RESTRICTED = "hf:org/notes:restricted=true"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "[::1]"])
def test_addresses_of_this_machine(host):
    assert is_on_this_machine(f"http://{host}:8000/v1")


@pytest.mark.parametrize(
    "address",
    [
        "https://api.example.org/v1",
        "http://10.0.0.1/v1",
        "http://0.0.0.0/v1",
        "http://localhost.example.org/v1",
        "http://localhost@example.org/v1",
        "http://2130706433/v1",
        "localhost:8000",
        "",
        "http://[/v1",
    ],
)
def test_all_others_are_elsewhere(address):
    assert not is_on_this_machine(address)


@pytest.mark.parametrize(
    "judge", ["scripted:yes", "replay:a.jsonl", "hf:org/model", "openai:m@http://localhost:8000/v1"]
)
def test_local_judges_may_see_restricted_text(judge):
    check_privacy(judge, RESTRICTED)


def test_a_remote_judge_may_not():
    check_privacy("openai:m@https://api.example.org/v1", "hf:org/notes")
    with pytest.raises(ValueError, match=r"is restricted \(restricted=true\), but judge 'openai:m@https://api"):
        check_privacy("openai:m@https://api.example.org/v1", f"hf:org/free+{RESTRICTED}")
