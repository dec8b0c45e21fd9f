import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from browser import HOSTILE, document_after_scripts, needs_browser
from example_reports import dictionary_report, feature_report, silent_report

from sae.inspection.page import page_text, write_page

MINUS = "\N{MINUS SIGN}"
BOTH = pytest.mark.parametrize("report", [feature_report(), dictionary_report()], ids=["feature", "dictionary"])


class Document(HTMLParser):
    """The elements of a page: tag, attributes, and all text within."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.open = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", "class": "", **dict(attrs)}
        self.elements.append(element)
        if tag not in ("meta", "input", "br", "img"):
            self.open.append(element)

    def handle_endtag(self, tag):
        while self.open and self.open.pop()["tag"] != tag:
            pass

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def find(self, **wanted):
        return [each for each in self.elements if all(each.get(key) == value for key, value in wanted.items())]

    def classed(self, name):
        return [each for each in self.elements if name in (each["class"] or "").split()]


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Opens a report's page in a headless browser and gives the document after its script has run."""
    profile = tmp_path_factory.mktemp("profile")

    def open_page(report, fragment="", *, then=""):
        path = tmp_path_factory.mktemp("page") / "features.html"
        found = document_after_scripts(page_text(report), path, profile, fragment, then=then)
        document = Document(found)
        assert document.find(tag="body")[0].get("data-state") == "ready"
        assert document.find(id="problem")[0]["text"] == ""
        return document

    return open_page


def rows(document):
    return [int(each["data-feature"]) for each in document.find(tag="tr") if "data-feature" in each]


# The file


@BOTH
def test_nothing_is_loaded_from_outside(tmp_path, report):
    write_page(report, tmp_path / "features.html")
    text = (tmp_path / "features.html").read_text(encoding="utf-8")
    assert re.findall(r"https?://[^\"\s]*", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<link|<iframe|\bsrc=|@import|url\(|\bfetch\(|XMLHttpRequest|innerHTML", text)
    assert [path.name for path in tmp_path.iterdir()] == ["features.html"]


@BOTH
def test_the_policy_allows_this_style_and_this_script_only(report):
    text = page_text(report)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none';")
    for tag in ("style", "script"):
        content = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize("text", [HOSTILE, "<!--<script>", "\u2028\u2029", "&lt;", "]]>", "$title"])
@pytest.mark.parametrize("build", [feature_report, dictionary_report])
def test_no_text_can_leave_the_data(build, text):
    page = page_text(build(text))
    assert page.count("</script>") == 2
    assert page.count("<script") == 2
    assert page.count("<img") == 0
    data = re.search(r'id="report">(.*?)</script>', page, re.S)[1]
    assert not set("<>&\u2028\u2029") & set(data)
    assert json.loads(data)["source"]["model"] == "tiny"


def test_a_page_is_the_same_every_time_and_not_large():
    assert page_text(feature_report()) == page_text(feature_report())
    assert len(page_text(dictionary_report(n_features=4000))) < 3_000_000


def test_a_number_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="JSON"):
        page_text(replace(feature_report(), mean_activation=float("nan")))


# A feature in a browser


@needs_browser
def test_a_feature_is_shown_whole(browse):
    document = browse(feature_report())
    assert document.find(id="heading")[0]["text"] == "fever"
    assert [each["text"] for each in document.find(tag="dd")] == [
        "1.2 %120 of 10,000 tokens", "8.00", "3.25", "0.500", "0.93",
    ]  # fmt: skip
    assert len(document.classed("peak")) == 4 + 10
    assert len(document.classed("bar")) == 4 + 4
    assert len(document.classed("marker")) == 1
    values = [each["text"] for each in document.classed("value")]
    assert values[:4] == ["+1.50", "+0.750", f"{MINUS}1.00", f"{MINUS}0.500"]
    assert "Decile 107.00 to 7.50" in {each["text"] for each in document.find(tag="h3")}
    assert "the final norm but not its division" in document.find(id="footer")[0]["text"]


@needs_browser
def test_a_token_is_shaded_by_its_activation(browse):
    document = browse(feature_report())
    first = document.classed("text")[0]
    assert first["text"] == "The boy hasfever and cough"
    shares = [each["style"] for each in document.classed("active")[:2]]
    assert shares == ["--share: 0.250;", "--share: 1.000;"]


@needs_browser
def test_a_silent_feature_says_so(browse):
    document = browse(silent_report())
    text = document.find(id="main")[0]["text"]
    assert document.find(id="heading")[0]["text"] == "Feature 17"
    assert "The feature is active on none of the 10,000 tokens." in text
    assert document.classed("peak") == document.classed("marker") == []


@needs_browser
@pytest.mark.parametrize("build", [feature_report, dictionary_report])
def test_hostile_text_is_text(browse, build):
    document = browse(build(HOSTILE))
    assert document.find(tag="img") == []
    assert any(HOSTILE in each["text"] for each in document.find(tag="bdi"))


# A dictionary in a browser


@needs_browser
def test_features_are_listed_by_density_a_hundred_at_a_time(browse):
    document = browse(dictionary_report())
    assert rows(document) == list(range(100))
    assert document.find(id="count")[0]["text"] == "250 of 250 features"
    assert document.find(id="more")[0]["text"] == "Show 100 more"
    facts = [each["text"] for each in document.find(tag="dd")]
    assert facts == ["250", "3.50L0", "10.4 %", "41.6 %", "10.4 %"]


@needs_browser
def test_more_rows_on_demand(browse):
    document = browse(dictionary_report(), then='at("more").click(); at("more").click();')
    assert rows(document) == list(range(250))
    assert "hidden" in document.find(id="more")[0]


@needs_browser
@pytest.mark.parametrize(
    ("fragment", "first", "n"),
    [
        ("#find=word42", [42], 1),
        ("#find=boy+word7&sort=number", [7, 70, 71], 11),
        ("#sort=largest", [248, 247, 246], 100),
        ("#sort=f1", [17, 0, 1], 100),
        ("#sort=rare", [248, 247, 246], 100),
        ("#named=1", [17], 1),
        ("#find=nowhere", [], 0),
        ("#sort=nonsense&named=%", [0, 1, 2], 100),
    ],
)
def test_the_address_searches_and_sorts(browse, fragment, first, n):
    found = rows(browse(dictionary_report(), fragment))
    assert found[:3] == first
    assert len(found) == n


@needs_browser
def test_typing_searches_and_is_kept_in_the_address(browse):
    then = (
        'const find = at("find"); find.value = "word42"; find.dispatchEvent(new Event("input"));'
        "document.body.dataset.address = location.hash;"
    )
    document = browse(dictionary_report(), then=then)
    assert rows(document) == [42]
    assert document.find(tag="body")[0]["data-address"] == "#find=word42"
