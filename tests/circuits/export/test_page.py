import base64
import hashlib
import re
from dataclasses import replace
from urllib.parse import quote

import pytest
from browser import HOSTILE, needs_browser
from circuit_pages import chain, data_of, without
from example_circuits import example_circuit

from circuits.export.page import page_text, write_page
from circuits.graph.measurement import Faithfulness

# The file


def test_nothing_is_loaded_from_outside(tmp_path):
    write_page(example_circuit(), tmp_path / "circuit.html")
    text = (tmp_path / "circuit.html").read_text(encoding="utf-8")
    assert re.findall(r"https?://[^\"\s]*", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<link|<iframe|\bsrc=|@import|url\(|\bfetch\(|XMLHttpRequest", text)
    assert [path.name for path in tmp_path.iterdir()] == ["circuit.html"]


def test_the_policy_allows_this_style_and_this_script_only():
    text = page_text(example_circuit())
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none';")
    for tag in ("style", "script"):
        content = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize("text", [HOSTILE, "<!--<script>", "\u2028\u2029", "&lt;", "]]>", "\ud800"])
def test_no_text_can_leave_the_data(text):
    circuit = replace(chain(), target=text, prompt=text)
    page = page_text(circuit)
    assert page.count("</script>") == 2
    assert page.count("<script") == 2
    assert page.count("<img") == 0
    data = re.search(r'id="circuit">(.*?)</script>', page, re.S)[1]
    assert not set("<>&\u2028\u2029") & set(data)


def test_the_data_has_the_circuits_numbers():
    circuit = example_circuit()
    data = data_of(page_text(circuit))
    assert [node["id"] for node in data["nodes"]] == [node.id for node in circuit.nodes]
    measured = [{key: value for key, value in edge.items() if value is not None} for edge in circuit.to_json()["edges"]]
    assert data["edges"] == measured
    assert data["faithfulness"] == circuit.to_json()["faithfulness"]


def test_a_page_is_small_and_the_same_every_time():
    assert page_text(example_circuit()) == page_text(example_circuit())
    assert len(page_text(example_circuit(n_nodes=200, n_tokens=30))) < 150_000


def test_without_javascript_there_is_a_note():
    assert re.search(r"<noscript>.*circuit\.json.*</noscript>", page_text(example_circuit()), re.S)


# In a browser


@needs_browser
def test_every_node_edge_token_and_site_is_drawn(browse):
    circuit = example_circuit()
    document = browse(circuit)
    assert {each["data-id"] for each in without(document.classed("node"), "off")} == {node.id for node in circuit.nodes}
    assert len(without(document.classed("edge"), "off")) == len(circuit.edges)
    assert len(document.classed("band")) == 2
    assert len(document.classed("error", "node")) == len(circuit.errors)
    assert document.find(id="count")[0]["text"] == "100 %: 30 of 30 features"
    strongest = max(circuit.nodes, key=lambda node: abs(node.contribution))
    assert next(each["data-id"] for each in document.find(tag="tr") if "data-id" in each) == strongest.id
    facts = [each["text"] for each in document.find(tag="dd")]
    assert facts[:5] == ["0.86", "0.02", "0.93", "+4.20", "\N{MINUS SIGN}4.45"]
    assert "indirect_effect = m(node set to its baseline) - m(clean)" in document.find(id="convention")[0]["text"]


@needs_browser
def test_hostile_text_is_text(browse):
    document = browse(chain())
    assert document.find(tag="img") == []
    assert HOSTILE in document.find(id="target")[0]["text"]
    assert [each["text"] for each in document.find(tag="bdi")] == ["<s>", HOSTILE]


@needs_browser
def test_the_share_in_the_address_keeps_the_strongest_features(browse):
    document = browse(chain(), "#share=0.5")
    shown = without(document.classed("node"), "off")
    assert [each["data-id"] for each in shown] == ["embed/1@1", "resid_post.0/2@1"]
    assert len(without(document.classed("edge"), "off")) == 1
    rows = [each["data-id"] for each in document.find(tag="tr") if "data-id" in each and "hidden" not in each]
    assert rows == ["embed/1@1", "resid_post.0/2@1"]
    assert document.find(id="count")[0]["text"] == "50 %: 2 of 4 features"


@needs_browser
def test_the_selection_in_the_address_shows_the_paths_through_a_node(browse):
    document = browse(chain(), f"#select={quote('resid_post.0/2@1')}")
    lit = [each["data-id"] for each in without(document.classed("node"), "dim")]
    assert lit == ["embed/1@1", "resid_post.0/2@1", "resid_post.1/3@1"]
    assert [each["data-id"] for each in document.classed("node", "selected")] == ["resid_post.0/2@1"]
    assert len(without(document.classed("edge"), "dim")) == 2
    assert document.find(id="hint")[0]["text"].startswith("resid_post.0/2@1: 1 upstream, 1 downstream.")


@needs_browser
@pytest.mark.parametrize("fragment", ["#share=nan&select=nowhere", "#%", "#share=-1"])
def test_a_senseless_address_shows_everything(browse, fragment):
    document = browse(chain(), fragment)
    assert len(without(without(document.classed("node"), "off"), "dim")) == 5


CLICK = 'const node = document.querySelector(`[data-id="resid_post.0/2@1"]`); node.dispatchEvent(new Event("click"));'
ESCAPE = 'dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));'
NOTE_ADDRESS = "document.body.dataset.address = decodeURIComponent(location.hash);"


@needs_browser
def test_a_click_selects_and_the_address_tells(browse):
    document = browse(chain(), then=CLICK + NOTE_ADDRESS)
    assert [each["data-id"] for each in document.classed("node", "selected")] == ["resid_post.0/2@1"]
    assert document.find(tag="body")[0]["data-address"] == "#select=resid_post.0/2@1"
    assert "hidden" not in document.find(id="reset")[0]


@needs_browser
@pytest.mark.parametrize("clearing", [ESCAPE, CLICK, 'at("graph").dispatchEvent(new Event("click"));'])
def test_escape_a_second_click_and_empty_space_clear_the_selection(browse, clearing):
    clearing = clearing.replace("const node", "const again").replace("node.d", "again.d")
    document = browse(chain(), then=CLICK + clearing + NOTE_ADDRESS)
    assert document.classed("selected") == []
    assert document.find(tag="body")[0]["data-address"] == ""


@needs_browser
def test_slider_and_checkbox_thin_the_picture(browse):
    move = 'at("share").value = "0.75"; at("share").dispatchEvent(new Event("input"));'
    untick = 'at("errors").checked = false; at("errors").dispatchEvent(new Event("change"));'
    shown = without(browse(chain(), then=move).classed("node"), "off")
    assert [each["data-id"] for each in shown] == ["embed/1@1", "resid_post.0/2@1", "resid_post.1/3@1"]
    shown = without(browse(chain(), then=untick).classed("node"), "off")
    assert "resid_post.0/error@1" not in [each["data-id"] for each in shown]
    assert len(shown) == 4


@needs_browser
def test_a_pointer_or_the_keyboard_brings_the_numbers(browse):
    document = browse(chain(), then='document.querySelector(".node").dispatchEvent(new Event("focus"));')
    tip = document.find(id="tip")[0]
    assert "hidden" not in tip
    texts = [each["text"] for each in document.elements]
    assert "+4.00 logits" in texts
    assert "embed/1@1" in texts


@needs_browser
def test_an_empty_circuit_says_so(browse):
    document = browse(replace(example_circuit(n_nodes=0, n_tokens=5), faithfulness=None))
    assert document.classed("node") == []
    assert "No node passed the selection." in [each["text"] for each in document.find(tag="text")]
    assert "not measured" in [each["text"] for each in document.find(tag="dd")]


@needs_browser
def test_a_withheld_faithfulness_says_why(browse):
    measured = Faithfulness(None, None, None, 3, None, None, "the denominator is small against its spread")
    document = browse(replace(example_circuit(), faithfulness=measured))
    texts = " ".join(each["text"] for each in document.elements)
    assert "withheld" in texts
    assert "the denominator is small against its spread" in texts
