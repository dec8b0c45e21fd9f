"""Whether a mention is affirmed, denied, or told of a relative: by cue words within a few words, as NegEx does.

After Chapman et al. 2001, "A simple algorithm for identifying negated findings and diseases in discharge summaries".
Differs from it: the scope before a mention is eight words, so that short lists are covered; relatives are a cue too.
"""

import re

__all__ = ["AFFIRMED", "FAMILY", "NEGATED", "status_of"]

AFFIRMED, NEGATED, FAMILY = "affirmed", "negated", "family"

SCOPE_WORDS = 8
SCOPE_WORDS_AFTER = 4
BEFORE = re.compile(
    r"\b(?:no|not|nor|never|none|denie[sd]|deny|denying|without|absent|absence of|free of|negative for|"
    r"rule[sd]? out|no evidence of|no sign of|unremarkable for|lacks?|excluded?)\b",
    re.IGNORECASE,
)
AFTER = re.compile(r"\b(?:(?:is|was|are|were) (?:absent|negative|ruled out|excluded|denied)|unlikely)\b", re.IGNORECASE)
RELATIVE = re.compile(
    r"\b(?:family history|mother|father|sister|brother|parents?|siblings?|grand(?:mother|father)|aunt|uncle)\b",
    re.IGNORECASE,
)
TURN = re.compile(r"\b(?:but|however|although|though|except|yet|apart from|still|instead)\b|[.;?!:]\s", re.IGNORECASE)
"""What ends the scope of a cue."""
COLON_CUE = re.compile(r"\b(absent|negative|denied|family history|father|mother|sister|brother):\s", re.IGNORECASE)
"""A colon right after a cue does not end its scope."""


def status_of(text: str, start: int, end: int) -> str:
    """How characters `start` to `end` are meant.

    Returns:
        `affirmed`, `negated` or `family`; a denied mention about a relative is `family`.
    """
    before = _since_last_turn(COLON_CUE.sub(r"\1  ", text[:start]))
    near = " ".join(before.split()[-SCOPE_WORDS:])
    after = " ".join(re.split(r"[.;,?!:]", text[end:], maxsplit=1)[0].split()[:SCOPE_WORDS_AFTER])
    if RELATIVE.search(before) or re.match(r"(?:in|of|on) (?:the|his|her) (?:" + RELATIVE.pattern + ")", after, re.I):
        return FAMILY
    return NEGATED if BEFORE.search(near) or AFTER.search(after) else AFFIRMED


def _since_last_turn(text: str) -> str:
    """What stands after the last word or sign that ends a scope."""
    ends = [found.end() for found in TURN.finditer(text)]
    return text[ends[-1] :] if ends else text
