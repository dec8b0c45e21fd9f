"""The rating page in a browser, and what it must not tell."""

import base64
import hashlib
import json
import re

import pytest
from browser import HOSTILE, document_after_scripts, needs_browser
from rating_cases import BAD, GOOD, key_of, made_up_kit

from sae.human.exporting import write_kit
from sae.human.page import page_text

BEGIN = 'at("rater").value = "Ada"; at("begin").click();'


def text_of(kit):
    return page_text([item.on_page() for item in kit.items], key_of(kit).sha256)


def at_kind(kit, kind, then):
    """A script that goes to the first question of a kind and does something there."""
    return f'{BEGIN} state.current = kit.items.findIndex((item) => item.kind === "{kind}"); show(); {then}'


PRESS = (
    "const press = (key) => document.activeElement.dispatchEvent("
    'new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));'
)
RESULT = "document.body.dataset.result = answersFile();"


@pytest.fixture(scope="module")
def kit():
    return made_up_kit(6)


@pytest.fixture(scope="module")
def browse(tmp_path_factory):

    def open_page(kit, then="", profile=None):
        path = tmp_path_factory.mktemp("page") / "rating.html"
        found = document_after_scripts(text_of(kit), path, profile or tmp_path_factory.mktemp("profile"), then=then)
        assert 'data-state="ready"' in found
        return found

    return open_page


def result(document):
    return json.loads(re.search(r'data-result="([^"]*)"', document)[1].replace("&quot;", '"'))


def test_the_page_loads_nothing_and_allows_its_own_script_only(kit, tmp_path):
    write_kit(kit, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key.json", "rating.html"]
    text = (tmp_path / "rating.html").read_text(encoding="utf-8")
    assert hashlib.sha256((tmp_path / "key.json").read_bytes()).hexdigest() in text
    assert not re.search(r"https?://|<link|<iframe|\bsrc=|@import|url\(|\bfetch\(|XMLHttpRequest|innerHTML", text)
    script = re.search(r"<script>(.*?)</script>", text, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text


def test_the_page_is_blind(kit):
    data = json.loads(re.search(r'id="kit">(.*?)</script>', text_of(kit), re.S)[1])
    shown = {"id", "kind", "contexts", "sets", "explanation"}
    assert all(set(item) <= shown for item in data["items"])
    assert all(re.fullmatch("[0-9a-f]{10}", item["id"]) for item in data["items"])
    assert len({item["id"] for item in data["items"]}) == len(data["items"])
    intruders = [item for item in data["items"] if item["kind"] == "intruder"]
    assert all(context["shares"] is None for item in intruders for context in item["contexts"])


def test_items_are_as_the_key_says(kit):
    kinds = {}
    for item in kit.items:
        kinds.setdefault(item.key.kind, []).append(item)
        if item.key.kind == "intruder":
            words = [context["tokens"][2] for context in item.shown["contexts"]]
            assert [words.count(word) for word in words].index(1) == item.key.answer
    fresh = [item for item in kit.items if item.key.repeat_of is None and not item.key.is_gold]
    # intruder, label, rate and match of 18 features, and a shuffled explanation for the 12 that are of no null
    assert len(fresh) == 4 * 18 + 12
    assert sum(item.key.repeat_of is not None for item in kit.items) == 8
    gold = [item for item in kit.items if item.key.is_gold]
    assert len(gold) == 8
    for item in gold:
        first = "".join(item.shown["sets"][item.key.answer][0]["tokens"]).strip()
        assert item.shown["explanation"].endswith(first)
    assert {item.key.arm for item in fresh} == {GOOD, BAD, "null", "shuffled explanation"}


@needs_browser
def test_the_first_screen_asks_for_a_name(browse, kit):
    document = browse(kit, 'at("begin").click();')
    assert "Please give a name or a code first." in document
    assert 'id="question" hidden' in document


@needs_browser
@pytest.mark.parametrize(("kind", "n"), [("intruder", 5), ("match", 4)])
def test_a_choice_by_mouse(browse, kit, kind, n):
    then = f'const inputs = [...document.querySelectorAll("input[type=radio]")]; inputs[2].click(); {RESULT}'
    document = browse(kit, at_kind(kit, kind, then))
    assert document.count('<input type="radio"') == n
    given = result(document)
    first = next(item.id for item in kit.items if item.key.kind == kind)
    assert given["answers"] == {first: {"choice": 2}}
    assert (given["rater"], given["key_sha256"]) == ("Ada", key_of(kit).sha256)
    assert "1 answered" in document


@needs_browser
def test_ratings_and_moves_by_keyboard(browse, kit):
    then = f'{PRESS} press("4"); press("2"); at("task").focus(); press("Enter"); {RESULT}'
    document = browse(kit, at_kind(kit, "rate", then))
    first = next(item.id for item in kit.items if item.key.kind == "rate")
    assert result(document)["answers"] == {first: {"clarity": 4, "clinical_meaning": 2}}
    place = next(number for number, item in enumerate(kit.items) if item.key.kind == "rate")
    assert f"Question {place + 2} of {len(kit.items)}" in document


@needs_browser
def test_writing_is_kept_and_digits_do_not_choose_there(browse, kit):
    then = (
        f'{PRESS} const box = document.querySelector("textarea"); box.focus(); box.value = "fever 3";'
        f' box.dispatchEvent(new Event("input")); press("3"); {RESULT}'
    )
    given = result(browse(kit, at_kind(kit, "label", then)))["answers"]
    assert list(given.values()) == [{"text": "fever 3"}]


@needs_browser
def test_progress_is_kept_in_the_browser(browse, kit, tmp_path):
    place = next(number for number, item in enumerate(kit.items) if item.key.kind == "match")
    browse(kit, at_kind(kit, "match", 'document.querySelectorAll("input[type=radio]")[1].click(); go(1);'), tmp_path)
    document = browse(kit, RESULT, tmp_path)
    assert f"Question {place + 2} of {len(kit.items)}, 1 answered" in document
    assert (result(document)["rater"], result(document)["answers"]) == ("Ada", {kit.items[place].id: {"choice": 1}})
    # another kit has a place of its own
    assert 'id="question" hidden' in browse(made_up_kit(6, seed=1), "", tmp_path)


@needs_browser
def test_what_was_kept_and_is_nonsense_does_no_harm(browse, kit):
    then = f'localStorage.setItem(place, "{{"); restore(); {BEGIN} {RESULT}'
    document = browse(kit, then)
    assert "does not keep progress" in document or result(document)["answers"] == {}


@needs_browser
def test_hostile_text_is_text(browse):
    kit = made_up_kit(6, word=HOSTILE)
    text = text_of(kit)
    assert text.count("<script") == text.count("</script>") == 2
    document = browse(kit, at_kind(kit, "match", ""))
    assert "<img" not in document
    assert "&lt;img" in document
