import pytest

from sae.token_text import readable_token


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (" fever", "fever"),
        ("", "␣"),
        ("  ", "␣"),
        ("\n\n", "↵↵"),
        ("a\tb", "a⇥b"),
        ("\x1b[31m", "\ufffd[31m"),
        ("\u202eabc", "\ufffdabc"),
        (" 肺炎", "肺炎"),
        ("\U0001f469\u200d\u2695", "\U0001f469\u200d\u2695"),
        ("$x_1$", "$x_1$"),
    ],
)
def test_a_token_is_shown_on_one_line_without_hidden_characters(token, shown):
    assert readable_token(token) == shown


def test_long_tokens_are_cut():
    assert readable_token("pneumonia", length=5) == "pneu…"
    assert readable_token("fever", length=5) == "fever"
