"""The page of a demonstration: what is in the file, and what it does in a browser."""

import base64
import hashlib
import html
import json
import re

import pytest
from browser import HOSTILE, document_after_scripts, needs_browser
from example_demonstration import COMMAND, RECORD, example_demonstration

from steering.demo.page import page_text, write_page

SLIDE = 'const slide = (to) => { at("strength").value = to; at("strength").dispatchEvent(new Event("input")); };'
SEEN = (
    "document.body.dataset.seen = JSON.stringify({written: at('steered').textContent, plain: at('plain').textContent, "
    "value: at('value').textContent, readings: at('readings').textContent, "
    "marks: [...document.querySelectorAll('mark')].map((mark) => mark.textContent), "
    "effects: at('effects').textContent, title: at('effects-at').textContent, "
    "images: document.images.length, titles: [...document.querySelectorAll('.strip span')].map((mark) => mark.title), "
    "shares: [...document.querySelectorAll('.strip span')].map((mark) => mark.style.getPropertyValue('--share')), "
    "reading: at('reading').textContent, units: at('units').textContent, problem: at('problem').textContent});"
)


@pytest.fixture
def seen(tmp_path):
    def look(then="", text=None):
        text = text or page_text(example_demonstration(), RECORD, COMMAND)
        found = document_after_scripts(text, tmp_path / "demo.html", tmp_path / "profile", then=f"{SLIDE}{then}{SEEN}")
        assert 'data-state="ready"' in found
        return json.loads(html.unescape(re.search(r'data-seen="([^"]*)"', found)[1]))

    return look


def test_nothing_is_loaded_from_outside_and_only_its_own_script_runs(tmp_path):
    write_page(example_demonstration(), RECORD, COMMAND, tmp_path / "demo.html")
    text = (tmp_path / "demo.html").read_text(encoding="utf-8")
    assert re.findall(r"https?://[^\"\s]*", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<link|<iframe|\bsrc=\"|@import|url\(|\bfetch\(|XMLHttpRequest|innerHTML", text)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none';")
    for tag in ("style", "script"):
        content = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.S)[1]
        assert f"{tag}-src 'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'" in policy
    assert text.count("<script") == text.count("</script>") == 2
    assert "<img" not in text
    assert [path.name for path in tmp_path.iterdir()] == ["demo.html"]


def test_the_commands_are_quoted_for_a_shell():
    text = page_text(example_demonstration(), RECORD, COMMAND)
    data = json.loads(re.search(r'id="report">(.*?)</script>', text, re.S)[1])
    again, once = (each["command"] for each in data["commands"])
    assert again.startswith("steering demo --prompt 'it'\"'\"'s </script>")
    assert "--edit resid_post.1/3:add=1resid@last" in once
    assert data["warning"].endswith("Not for care.")


@needs_browser
def test_the_page_opens_at_the_chosen_strength_with_differing_words_marked(seen):
    found = seen()
    assert (found["plain"], found["written"]) == ("stroke.", "gout.")
    assert found["marks"] == ["stroke", "gout"]
    assert found["value"] == "1 resid"
    assert "The chosen strength" in found["units"]
    assert "8.00 raw" in found["units"]
    assert (found["images"], found["problem"]) == (0, "")


@needs_browser
def test_the_slider_changes_text_probability_divergence_norm_ratio_and_table(seen):
    found = seen("slide(1);")
    assert (found["written"], found["marks"]) == ("stroke.", [])
    assert "25 %" in found["readings"]
    assert "0.375" in found["readings"]
    assert "0.500" in found["readings"]
    assert found["title"] == "at strength 0.5 resid"
    assert "1.00" in found["effects"]
    assert "88 %" in seen("slide(2);")["readings"]
    assert found["readings"] != seen("slide(0);")["readings"]


@needs_browser
def test_the_strip_shows_activations_by_colour_on_hover_and_by_keys(seen):
    press = (
        "const line = document.querySelectorAll('.strip')[1]; line.children[0].focus(); "
        "line.children[0].dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}));"
        "document.activeElement.dispatchEvent(new FocusEvent('focusin', {bubbles: true}));"
    )
    found = seen(press)
    assert [float(share) for share in found["shares"]] == [0, 0, 0, 0, 0, 0.5, 0, 0]
    assert found["titles"][5].startswith("is: activation 8.00 (50 % of the scale)")
    assert found["titles"][5].endswith("the edit acts here")
    assert found["titles"][0].startswith(HOSTILE)
    assert found["reading"] == found["titles"][5]


@needs_browser
@pytest.mark.parametrize("width", [400, 1200])
def test_nothing_scrolls_sideways(tmp_path, width):
    text = re.sub(r"<meta[^>]*Security-Policy[^>]*>", "", page_text(example_demonstration(), RECORD, COMMAND))
    (tmp_path / "inner.html").write_text(text, encoding="utf-8")
    frame = f'<html><body><iframe src="inner.html" style="width:{width}px;height:900px"></iframe></body></html>'
    tell = (
        "const inner = () => frames[0].document.documentElement;"
        "onload = () => document.body.dataset.seen = "
        "`${frames[0].innerWidth} ${inner().scrollWidth - inner().clientWidth}`;"
    )
    found = document_after_scripts(
        frame, tmp_path / "frame.html", tmp_path / "profile", then=tell, options=("--allow-file-access-from-files",)
    )
    assert re.search(r'data-seen="([^"]*)"', found)[1] == f"{width} 0"
