"""What a person does on a circuit's page: sliders, details, search, pins, groups, keys, dark and light."""

import json
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from browser import HOSTILE, needs_browser
from circuit_pages import chain, opened, without
from example_circuits import example_circuit

from circuits.export.page import page_text

pytestmark = needs_browser

FIRST, SECOND, THIRD = "embed/1@1", "resid_post.0/2@1", "resid_post.1/3@1"
OTHER, ERROR = "resid_post.1/4@1", "resid_post.0/error@1"


def click(node_id, **keys):
    event = json.dumps({"bubbles": True, **keys})
    return f'drawn.units.get("{node_id}").dispatchEvent(new MouseEvent("click", {event}));'


def press(*names):
    event = "new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true })"
    return f"for (const key of {json.dumps(names)}) document.activeElement.dispatchEvent({event});"


def enter(field, text, event="input"):
    value = json.dumps(text).replace("<", r"\u003c")  # a script must not hold the end of its own element
    return f"at({field!r}).value = {value}; at({field!r}).dispatchEvent(new Event({event!r}));"


def submit(form):
    return f"at({form!r}).requestSubmit();"


def note(expression):
    return f"document.body.dataset.note = {expression};"


def noted(document):
    return document.find(tag="body")[0]["data-note"]


def in_view(document):
    return [each["data-id"] for each in without(document.classed("node"), "off")]


def measured_chain():
    """The chain with everything that a circuit may know of its nodes and edges."""
    circuit = chain()
    nodes = [replace(circuit.nodes[0], exact_effect=-4.5, selection_frequency=0.25), *circuit.nodes[1:]]
    edges = [replace(circuit.edges[0], exact_effect=-0.4, value_effect=-0.3, query_key_effect=-0.2), *circuit.edges[1:]]
    contexts = [{"tokens": ["a", HOSTILE], "activations": [0.0, 2.5], "index": 1}]
    return replace(circuit, nodes=nodes, edges=edges, provenance={"contexts": {"embed/1": contexts, "embed/9": []}})


def test_the_edge_slider_keeps_the_strongest_edges(browse):
    edges = [replace(edge, effect=effect) for edge, effect in zip(chain().edges, (-3.0, -2.0, -1.0), strict=True)]
    circuit = replace(chain(), edges=edges)
    document = browse(circuit, then=enter("edge-share", "0.8"))
    assert len(without(document.classed("edge"), "off")) == 2
    assert document.find(id="edge-count")[0]["text"] == "80 %: 2 of 3 edges"
    assert len(in_view(document)) == 5


def test_details_have_every_number_and_the_contexts(browse):
    document = browse(measured_chain(), then=click(FIRST) + note('at("selection").textContent'))
    for text in (HOSTILE, "+4.50 logits", "25 %", "F1 of the label0.50", "Strongest outputs", "+0.500", "2.50"):
        assert text in noted(document)
    assert "measured +0.400, value +0.300, query and key +0.200" in noted(document)
    assert document.find(tag="img") == []


def test_what_was_not_measured_is_not_shown(browse):
    document = browse(chain(), then=click(FIRST) + note('at("selection").textContent'))
    assert not [word for word in ("Measured", "measured", "query", "resamples", "contexts") if word in noted(document)]
    assert document.classed("ring") == []
    assert "without-measured" in document.find(id="nodes")[0]["class"]


def test_measured_nodes_have_a_ring_and_rarely_kept_ones_are_faint(browse):
    document = browse(measured_chain())
    assert len(document.classed("ring")) == 2  # the node's and the legend's
    opacities = [each.get("fill-opacity") for each in document.classed("mark")]
    assert opacities.count("0.3625") == 1


def test_a_strong_share_of_a_zero_effect_circuit_is_everything(browse):
    nodes = [replace(node, indirect_effect=0.0) for node in chain().nodes]
    assert len(in_view(browse(replace(chain(), nodes=nodes)))) == 5


def test_search_by_id_label_and_token(browse):
    document = browse(chain(), then=enter("search", "RESID_POST.1/3"))
    assert document.find(id="found")[0]["text"] == "1 found"
    assert [each["data-id"] for each in document.classed("node", "found")] == [THIRD]
    lit = [each["data-id"] for each in without(document.classed("node"), "dim")]
    assert lit == [THIRD]
    document = browse(chain(), "#share=0.5", then=enter("search", "onerror") + submit("controls"))
    assert document.find(id="found")[0]["text"] == "2 found, 3 out of view"
    assert [each["data-id"] for each in document.classed("node", "selected")] == [FIRST]


def test_a_pinned_node_stays_in_view(browse):
    pin = click(THIRD) + 'at("pin").click();' + enter("share", "0.1") + note("decodeURIComponent(location.hash)")
    document = browse(chain(), then=pin)
    assert in_view(document) == [FIRST, THIRD]
    assert noted(document) == f"#share=0.1&select={THIRD}&pin={THIRD}"


def test_marked_nodes_become_one_with_a_name(browse):
    mark = click(SECOND, shiftKey=True) + click(THIRD, ctrlKey=True)
    group = enter("name", HOSTILE) + submit("grouping") + note("location.hash")
    document = browse(chain(), then=mark + group)
    name = f"group:{HOSTILE}"
    assert set(in_view(document)) == {FIRST, name, OTHER, ERROR}
    assert len(document.classed("edge")) == 2
    assert document.find(tag="img") == []
    again = browse(chain(), noted(document))
    assert [each["data-id"] for each in again.classed("node", "group")] == [name]
    assert again.find(id="count")[0]["text"] == "100 %: 4 of 4 features"
    apart = browse(chain(), noted(document), then='at("ungroup").click();')
    assert len(in_view(apart)) == 5


def test_a_group_contributes_the_sum_and_its_edges_add_up(browse):
    fragment = "#" + urlencode({"group": json.dumps(["both", THIRD, OTHER])})
    numbers = 'JSON.stringify([graph.unitOf.get("group:both").contribution, graph.edges.map((edge) => edge.effect)])'
    assert json.loads(noted(browse(chain(), fragment, then=note(numbers)))) == [3.0, [-0.5, -0.5, -0.5]]
    fragment = "#" + urlencode({"group": json.dumps(["ends", SECOND, OTHER])})
    numbers = "JSON.stringify(graph.edges.map((edge) => [edge.source, edge.effect]))"
    assert json.loads(noted(browse(chain(), fragment, then=note(numbers)))) == [[FIRST, -1.0], ["group:ends", -0.5]]


@pytest.mark.parametrize(
    "group", ["{", "3", "[]", '["one", "nowhere"]', f'["one", "{FIRST}"]', f'["", "{FIRST}", "{THIRD}"]']
)
def test_a_senseless_group_is_passed_over(browse, group):
    assert len(in_view(browse(chain(), "#" + urlencode({"group": group})))) == 5


def test_groups_go_through_a_file(browse):
    groups = json.dumps({"schema_version": 1, "groups": [{"name": "both", "nodes": [THIRD, OTHER]}]})
    document = browse(chain(), then=f'openGroups(new File([{groups!r}], "groups.json"));')
    assert "group:both" in in_view(document)
    document = browse(chain(), then='openGroups(new File(["3"], "other.json"));')
    assert document.find(id="hint")[0]["text"] == "No group in other.json fits this circuit."


def test_the_keyboard_walks_selects_pins_and_marks(browse):
    walk = press("ArrowUp") + note("focusedUnit().id")
    assert noted(browse(chain(), then=walk)) == FIRST
    walk = press("ArrowUp") + press("ArrowUp") + press("Enter", "p", "m") + note("focusedUnit().id")
    document = browse(chain(), then=walk)
    assert noted(document) == SECOND
    assert [each["data-id"] for each in document.classed("selected", "node")] == [SECOND]
    assert [each["data-id"] for each in document.classed("marked")] == [SECOND]
    assert "hidden" not in document.find(id="grouping")[0]


def test_keys_for_search_and_help_and_escape_takes_back_one_thing_at_a_time(browse):
    assert noted(browse(chain(), then=press("/") + note("document.activeElement.id"))) == "search"
    assert "open" in browse(chain(), then=press("?")).find(id="help")[0]
    marked_and_selected = click(FIRST) + click(SECOND, shiftKey=True)
    document = browse(chain(), then=marked_and_selected + press("Escape"))
    assert (len(document.classed("marked")), len(document.classed("node", "selected"))) == (0, 1)
    document = browse(chain(), then=marked_and_selected + press("Escape", "Escape"))
    assert document.classed("node", "selected") == []


def test_dark_and_light(browse):
    paper = note("getComputedStyle(document.body).backgroundColor")
    assert noted(browse(chain(), "#theme=dark", then=paper)) == "rgb(20, 24, 29)"
    assert noted(browse(chain(), "#theme=dark", then='at("theme").click();' + paper)) == "rgb(255, 255, 255)"


def test_everything_that_can_be_worked_has_a_name(browse):
    document = browse(example_circuit(), then=note(
        '[...document.querySelectorAll("button, input, [role=button]")]'
        '.filter((each) => !(each.textContent.trim() || each.ariaLabel || each.labels?.length)).length'
    ))  # fmt: skip
    assert noted(document) == "0"
    assert len([each for each in document.classed("node") if each["tabindex"] == "0"]) == 1


def test_nothing_is_asked_of_the_network(browse):
    assert noted(browse(measured_chain(), then=note('performance.getEntriesByType("resource").length'))) == "0"


@pytest.mark.slow
def test_a_page_of_300_nodes_is_small_and_opens_soon(tmp_path):
    """The bound is generous: the machine may be busy with other things."""
    circuit = example_circuit(n_nodes=300, n_tokens=40)
    assert len(page_text(circuit).encode()) < 3_000_000
    assert float(noted(opened(circuit, tmp_path, then=note("performance.now()")))) < 10_000
