"""The graph of the viewers: its layout, the rules that their pages rely on, and what it says of the circuit."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from example_circuits import example_circuit

from circuits.export.viewer import write_neuronpedia, write_viewer
from circuits.export.viewer_graph import graph_slug, viewer_graph
from circuits.export.viewer_rows import cantor_pair, cantor_unpair, viewer_rows
from circuits.graph.circuit import Circuit, Edge, MetricValues, Node
from sae.host.sites import Site
from sae.inspection.reports import Context, Decile, FeatureReport, Histogram, Source, TokenLogit

SCHEMA = Path(__file__).resolve().parents[4] / "shared" / "data" / "neuronpedia-graph-schema.json"
TEXT, COUNT, NUMBER, FLAG, LIST, NONE = str, int, (int, float), bool, list, type(None)

GRAPH = {"metadata": dict, "qParams": dict, "nodes": LIST, "links": LIST}
METADATA = {"slug": TEXT, "scan": TEXT, "transcoder_list": LIST, "prompt_tokens": LIST, "prompt": TEXT,
            "node_threshold": NUMBER, "schema_version": COUNT}  # fmt: skip
VIEW = {"pinnedIds": LIST, "supernodes": LIST, "linkType": TEXT, "clickedId": TEXT, "sg_pos": TEXT}
NODE = {"node_id": TEXT, "feature": COUNT, "layer": TEXT, "ctx_idx": COUNT, "feature_type": TEXT, "jsNodeId": TEXT,
        "clerp": TEXT, "token_prob": NUMBER, "is_target_logit": FLAG, "run_idx": COUNT, "reverse_ctx_idx": COUNT,
        "influence": (*NUMBER, NONE), "activation": (*NUMBER, NONE)}  # fmt: skip
LINK = {"source": TEXT, "target": TEXT, "weight": NUMBER}
FEATURE = {"transcoder_id": TEXT, "index": COUNT, "examples_quantiles": LIST, "top_logits": LIST,
           "bottom_logits": LIST, "act_min": NUMBER, "act_max": NUMBER, "quantile_values": LIST, "histogram": LIST,
           "activation_frequency": NUMBER}  # fmt: skip
QUANTILE = {"quantile_name": TEXT, "examples": LIST}
EXAMPLE = {"tokens_acts_list": LIST, "train_token_ind": COUNT, "is_repeated_datapoint": FLAG, "tokens": LIST}
"""Keys that circuit-tracer's viewer, Neuronpedia or both require, and their types."""


def assert_has(record, layout):
    for key, kind in layout.items():
        assert isinstance(record[key], kind), (key, record[key])
        assert kind is not COUNT or not isinstance(record[key], bool)


def graph_of(circuit):
    return viewer_graph(circuit, slug="g", scan="./x")


def hand_made(*sites: str, target=" yes", tokens=(" a", " b")):
    """A feature 7 and an error at the last token of each site, contributions 1, 2, 3, ..."""
    nodes = [
        Node(Site.parse(site), len(tokens) - 1, feature, tokens[-1], 2.0, 0.0, -float(i + 1))
        for i, (site, feature) in enumerate((site, feature) for site in sites for feature in (7, None))
    ]
    return Circuit("a b", tokens, target, " no", "exact", "zero", MetricValues(1.0, 0.0), nodes, token_ids=None)


def report(site="resid_post.1", feature=7):
    context = Context(3, ("a", " b"), (0.0, 2.0), 1)
    return FeatureReport(
        Source("tiny", site, None, "0" * 64, 64, "texts.txt", 100, 5), feature, None, 4, 0.04, 1.0, 2.0, 0.1,
        Histogram((0.0, 1.0, 2.0), (3, 1)), Histogram((-3.0, 0.0), (10,)), 0, (context,),
        (Decile(1.0, 2.0, (context,)), Decile(0.0, 1.0, ())), (), (TokenLogit(" up", 1.0),),
        (TokenLogit(" down", -1.0),), (),
    )  # fmt: skip


@pytest.mark.parametrize("n_nodes", [1, 30, 300])
def test_the_graph_has_every_key_that_its_readers_require(n_nodes):
    graph = graph_of(example_circuit(n_nodes=n_nodes))
    assert_has(graph, GRAPH)
    assert_has(graph["metadata"], METADATA)
    assert_has(graph["qParams"], VIEW)
    for node in graph["nodes"]:
        assert_has(node, NODE)
    for link in graph["links"]:
        assert_has(link, LINK)
    json.dumps(graph, allow_nan=False)


@pytest.mark.skipif(not SCHEMA.is_file(), reason="Neuronpedia's schema is not beside the repository")
def test_the_graph_passes_neuronpedias_schema():
    assert complaints(graph_of(example_circuit())) == []


BROKEN = {
    "a node has no id": lambda graph: graph["nodes"][0].pop("node_id"),
    "an id is a number": lambda graph: graph["nodes"][0].update(node_id=7),
    "a link leads nowhere": lambda graph: graph["links"][0].pop("target"),
    "there are no links": lambda graph: graph.pop("links"),
    "the prompt is missing": lambda graph: graph["metadata"].pop("prompt"),
}


@pytest.mark.skipif(not SCHEMA.is_file(), reason="Neuronpedia's schema is not beside the repository")
@pytest.mark.parametrize("harm", BROKEN.values(), ids=BROKEN)
def test_neuronpedias_schema_refuses_a_broken_graph(harm):
    graph = json.loads(json.dumps(graph_of(example_circuit())))
    harm(graph)
    assert complaints(graph)


def complaints(graph):
    """What Neuronpedia's schema has against a graph."""
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    return [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(graph)]


def test_ids_are_unique_and_links_join_them():
    graph = graph_of(example_circuit(n_nodes=300))
    for key in ("node_id", "jsNodeId"):
        assert len({node[key] for node in graph["nodes"]}) == len(graph["nodes"])
    ids = {node["node_id"] for node in graph["nodes"]}
    assert {link[end] for link in graph["links"] for end in ("source", "target")} <= ids


def test_an_error_and_a_feature_whose_numbers_agree_have_two_ids():
    tokens = ["t"] * 6
    numbers = [(0, 7), (2, None), (2, 5)]
    clash = [Node(Site("attn_out", layer), 5, feature, "t", 1.0, 0.0, -1.0) for layer, feature in numbers]
    circuit = Circuit("t", tokens, "x", "y", "exact", "zero", MetricValues(1.0, 0.0), clash)
    nodes = graph_of(circuit)["nodes"]
    assert [node["node_id"] for node in nodes[:3]] == ["0_7_5", "6_5_5", "err_6_5"]
    assert len({node["jsNodeId"] for node in nodes}) == len(nodes)


def test_one_row_a_site_and_features_by_cantors_pairing():
    circuit = hand_made("attn_out.1", "mlp_out.1", "resid_post.1")
    features = graph_of(circuit)["nodes"][:3]
    assert [node["layer"] for node in features] == ["3", "4", "5"]
    assert [cantor_unpair(node["feature"]) for node in features] == [(3, 7), (4, 7), (5, 7)]


@pytest.mark.parametrize(("row", "feature"), [(0, 0), (0, 9), (9, 0), (5, 117), (84, 131_071), (254, 1_000_000)])
def test_cantors_pairing_has_an_inverse_and_stays_exact_in_javascript(row, feature):
    assert cantor_unpair(cantor_pair(row, feature)) == (row, feature)
    assert cantor_pair(row, feature) < 2**53


@pytest.mark.parametrize(
    ("sites", "rows"),
    [
        (["attn_out.0", "mlp_out.0", "resid_post.0", "attn_out.1"], [0, 1, 2, 3]),
        (["embed", "attn_out.0", "resid_post.0"], [0, 1, 3]),
        (["embed"], [1]),
        (["attn_out.0"], [1]),
        (["mlp_neurons.2"], [7]),
    ],
)
def test_rows(sites, rows):
    assert list(viewer_rows(map(Site.parse, sites)).values()) == rows


def test_the_row_of_each_site_is_stored():
    metadata = graph_of(hand_made("embed", "resid_post.0"))["metadata"]
    assert metadata["rows"] == {"0": "embed", "3": "resid_post.0"}


def test_two_sites_in_one_row_are_refused():
    with pytest.raises(ValueError, match=r"mlp_neurons.1 and mlp_out.1 both belong into row 4"):
        graph_of(hand_made("mlp_neurons.1", "mlp_out.1"))


def test_an_empty_circuit_is_refused():
    with pytest.raises(ValueError, match="the circuit has no node, expected at least one to draw"):
        graph_of(hand_made())


def test_features_errors_tokens_answers_in_this_order():
    kinds = [node["feature_type"] for node in graph_of(example_circuit())["nodes"]]
    order = ["cross layer transcoder", "mlp reconstruction error", "embedding", "logit"]
    assert sorted(kinds, key=order.index) == kinds
    assert set(kinds) == set(order)


def test_influence_is_the_cumulative_share_of_the_strongest():
    nodes = graph_of(hand_made("resid_post.0", "resid_post.1"))["nodes"]
    shares = {node["circuit_id"]: node["influence"] for node in nodes if node.get("circuit_id")}
    assert shares == pytest.approx({
        "resid_post.1/error@1": 0.4, "resid_post.1/7@1": 0.7, "resid_post.0/error@1": 0.9, "resid_post.0/7@1": 1.0,
    })  # fmt: skip


def test_nodes_without_any_effect_have_no_influence():
    circuit = hand_made("resid_post.0")
    silent = replace(circuit, nodes=[replace(node, indirect_effect=0.0) for node in circuit.nodes])
    assert {node["influence"] for node in graph_of(silent)["nodes"]} == {0.0, None}


@pytest.mark.parametrize("answer", [' "yes"', " (p=0.9)", " \n", '" k(p=', " 肺"])
def test_the_probability_is_where_viewers_look_for_it(answer):
    clerp = graph_of(hand_made("resid_post.0", target=answer))["nodes"][-2]["clerp"]
    assert float(clerp.split("(p=")[1].split(")")[0]) == pytest.approx(0.731, abs=1e-3)
    assert clerp.count('"') == 2


def test_probabilities_of_the_answers_sum_to_one_even_far_out():
    for clean in (0.0, 3.0, -1e30):
        circuit = replace(hand_made("resid_post.0"), metric=MetricValues(clean, 0.0))
        target, foil = graph_of(circuit)["nodes"][-2:]
        assert target["token_prob"] + foil["token_prob"] == pytest.approx(1)
        assert (target["is_target_logit"], foil["is_target_logit"]) == (True, False)


def test_links_carry_a_nodes_whole_contribution_on():
    circuit = example_circuit(n_nodes=40)
    graph = graph_of(circuit)
    out: dict[str, float] = {}
    for link in graph["links"]:
        out[link["source"]] = out.get(link["source"], 0.0) + link["weight"]
    for node in graph["nodes"]:
        if "circuit_id" in node:
            assert out.get(node["node_id"], 0.0) == pytest.approx(node["contribution"], abs=1e-5)


def test_an_edge_runs_from_source_to_target_with_its_contribution():
    nodes = hand_made("resid_post.0", "resid_post.1").nodes
    circuit = replace(
        hand_made("resid_post.0", "resid_post.1"), edges=[Edge(nodes[0].id, nodes[2].id, -0.25, exact_effect=-0.5)]
    )
    assert {"source": "2_7_1", "target": "5_7_1", "weight": 0.25, "exact_effect": -0.5} in graph_of(circuit)["links"]


def test_tokens_lead_into_their_embedding_only():
    links = graph_of(hand_made("embed", "resid_post.0"))["links"]
    assert [link["target"] for link in links if link["source"].startswith("E_")] == ["0_7_1", "err_0_1"]


def test_metadata_says_how_it_was_found_and_keeps_paths_to_itself():
    sae = {"site": "resid_post.0", "path": "/home/somebody/saes", "sha256": "ab"}
    circuit = example_circuit()
    circuit = replace(
        circuit, provenance={**circuit.provenance, "saes": [sae], "model": {"name": "m", "path": "/home/m"}}
    )
    metadata = graph_of(circuit)["metadata"]
    assert metadata["faithfulness"]["low"] == 0.8
    assert metadata["method"] == "integrated_gradients"
    assert metadata["sign_convention"] == circuit.sign_convention
    assert metadata["saes"] == [{"site": "resid_post.0", "sha256": "ab"}]
    assert "/home" not in json.dumps(metadata)


def test_a_directory_for_the_local_viewer(tmp_path):
    circuit = example_circuit()
    write_viewer(circuit, tmp_path)
    slug = graph_slug(circuit)
    assert re.fullmatch(r"[a-zA-Z0-9_.-]+", slug)
    graph = json.loads((tmp_path / f"{slug}.json").read_text(encoding="utf-8"))
    assert json.loads((tmp_path / "graph-metadata.json").read_text(encoding="utf-8")) == {"graphs": [graph["metadata"]]}
    # the viewer asks for SCAN/FEATURE.json, and its server answers for graph_data from this directory
    folder = tmp_path / graph["metadata"]["scan"].removeprefix("./graph_data/")
    features = [node for node in graph["nodes"] if node["feature_type"] == "cross layer transcoder"]
    assert {path.name for path in folder.iterdir()} == {f"{node['feature']}.json" for node in features}
    for path in folder.iterdir():
        assert_has(json.loads(path.read_text(encoding="utf-8")), FEATURE)


def test_contexts_reach_the_feature_files(tmp_path):
    circuit = hand_made("resid_post.1")
    write_viewer(circuit, tmp_path, reports={(Site("resid_post", 1), 7): report()})
    found = json.loads((tmp_path / graph_slug(circuit) / f"{cantor_pair(5, 7)}.json").read_text(encoding="utf-8"))
    assert_has(found, FEATURE)
    assert found["top_logits"] == [" up"]
    assert found["act_max"] == 2.0
    assert [quantile["quantile_name"] for quantile in found["examples_quantiles"]] == ["Strongest", "1 to 2"]
    for quantile in found["examples_quantiles"]:
        assert_has(quantile, QUANTILE)
        for example in quantile["examples"]:
            assert_has(example, EXAMPLE)
            assert len(example["tokens"]) == len(example["tokens_acts_list"])


def test_contexts_that_the_circuit_carries_reach_the_feature_files_too(tmp_path):
    contexts = [{"tokens": ["a", "<b>"], "activations": [0.0, 2.5], "index": 1}]
    circuit = replace(hand_made("resid_post.1"), provenance={"contexts": {"resid_post.1/7": contexts}})
    write_viewer(circuit, tmp_path)
    found = json.loads((tmp_path / graph_slug(circuit) / f"{cantor_pair(5, 7)}.json").read_text(encoding="utf-8"))
    assert_has(found, FEATURE)
    [quantile] = found["examples_quantiles"]
    assert_has(quantile, QUANTILE)
    [example] = quantile["examples"]
    assert_has(example, EXAMPLE)
    assert (example["tokens"], example["tokens_acts_list"], found["act_max"]) == (["a", "<b>"], [0.0, 2.5], 2.5)


def test_the_same_circuit_gives_the_same_files(tmp_path):
    for name in ("a", "b"):
        write_viewer(example_circuit(), tmp_path / name)
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.json")} for name in ("a", "b")
    )
    assert first == second


def test_neuronpedia_needs_a_name_that_it_takes(tmp_path):
    with pytest.raises(ValueError, match=r"got None; give --scan NAME"):
        write_neuronpedia(example_circuit(), tmp_path / "graph.json")
    with pytest.raises(ValueError, match=r"got 'org/model'; give --scan NAME"):
        write_neuronpedia(example_circuit(), tmp_path / "graph.json", scan="org/model")
    write_neuronpedia(example_circuit(), tmp_path / "graph.json", scan="gemma-2-2b")
    assert json.loads((tmp_path / "graph.json").read_text(encoding="utf-8"))["metadata"]["scan"] == "gemma-2-2b"


def test_neuronpedia_has_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("circuits.export.viewer.LARGEST_UPLOAD_BYTES", 1000)
    with pytest.raises(ValueError, match="Neuronpedia takes 1000; export a smaller circuit"):
        write_neuronpedia(example_circuit(), tmp_path / "graph.json", scan="gemma-2-2b")
    assert not list(tmp_path.iterdir())


CHECK = """
import json, pathlib, sys
from circuit_tracer.frontend import feature_models, graph_models
root = pathlib.Path(sys.argv[1])
graphs = json.loads((root / "graph-metadata.json").read_text())["graphs"]
for graph in graphs:
    model = graph_models.Model(**json.loads((root / f"{graph['slug']}.json").read_text()))
    files = list((root / graph["slug"]).iterdir())
    for path in files:
        feature_models.Model(**json.loads(path.read_text()))
    print(len(model.nodes), len(files))
"""


@pytest.mark.slow
@pytest.mark.network
def test_circuit_tracers_own_models_read_the_files(tmp_path):
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = str(environment / "bin" / "python")
    for packages in (["pydantic"], ["--no-deps", "circuit-tracer"]):
        run = subprocess.run(
            [python, "-m", "pip", "install", "-q", *packages], capture_output=True, text=True, check=False
        )
        if run.returncode:
            pytest.skip(f"{packages[-1]} cannot be installed: {run.stderr.strip().splitlines()[-1]}")
    circuit = replace(hand_made("attn_out.0", "resid_post.1"), edges=())
    write_viewer(circuit, tmp_path / "graphs", reports={(Site("resid_post", 1), 7): report()})
    run = subprocess.run([python, "-c", CHECK, str(tmp_path / "graphs")], capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["8", "2"], run.stderr
