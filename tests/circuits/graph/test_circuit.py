import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from example_circuits import example_circuit
from safetensors.numpy import load_file, save_file

from circuits.drawing.summary import faithfulness_line
from circuits.graph.circuit import Circuit, Edge, Faithfulness, MetricValues, Node
from circuits.graph.circuit_files import ARRAY_TYPES
from sae.host.sites import Site

PUBLIC_KEYS = {
    "prompt", "tokens", "target", "foil", "method", "baseline", "sign_convention", "metric", "nodes", "edges",
    "faithfulness", "site_residuals", "schema_version",
}  # fmt: skip


def node(layer, feature, effect, *, position=1):
    return Node(Site("resid_post", layer), position, feature, " b", 1.0, 0.0, effect)


def circuit_of(nodes, edges=(), **changes):
    values = {
        "prompt": "a b", "tokens": ["a", " b"], "target": " x", "foil": " y", "method": "exact", "baseline": "zero",
        "metric": MetricValues(clean=2.0, baseline=-1.0), "nodes": nodes, "edges": edges,
    }  # fmt: skip
    return Circuit(**{**values, **changes})


@pytest.fixture
def saved(tmp_path):
    example_circuit().save(tmp_path)
    return tmp_path


def edit_json(directory, change):
    path = directory / "circuit.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


# Validity


def test_node_ids_are_unique():
    with pytest.raises(ValueError, match=r"node resid_post.0/7@1 occurs twice"):
        circuit_of([node(0, 7, -1.0), node(0, 7, -2.0)])


def test_positions_lie_within_the_prompt():
    with pytest.raises(ValueError, match=r"node resid_post.0/7@2 lies beyond the prompt's 2 tokens"):
        circuit_of([node(0, 7, -1.0, position=2)])


def test_a_node_carries_the_token_at_its_position():
    with pytest.raises(ValueError, match="must be the prompt's, 'a', got ' b'"):
        circuit_of([node(0, 7, -1.0, position=0)])


def test_edges_join_known_nodes():
    with pytest.raises(ValueError, match=r"names 'resid_post.1/8@1', which is no node of the circuit"):
        circuit_of([node(0, 7, -1.0)], [Edge("resid_post.0/7@1", "resid_post.1/8@1", 0.1)])


def test_edges_run_forward():
    with pytest.raises(ValueError, match="runs against the forward pass"):
        circuit_of([node(0, 7, -1.0), node(1, 8, -1.0)], [Edge("resid_post.1/8@1", "resid_post.0/7@1", 0.1)])


def test_edges_are_unique():
    edge = Edge("resid_post.0/7@1", "resid_post.1/8@1", 0.1)
    with pytest.raises(ValueError, match="occurs twice"):
        circuit_of([node(0, 7, -1.0), node(1, 8, -1.0)], [edge, edge])


def test_provenance_cannot_replace_a_measurement():
    with pytest.raises(ValueError, match="must not use the circuit's own keys, got metric, nodes"):
        circuit_of([], provenance={"nodes": 3, "metric": 2})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": []}, "at least one token"),
        ({"token_ids": [1]}, "got 1 token ids for 2 tokens"),
        ({"site_residuals": {Site("resid_post", 0): float("nan")}}, "resid_post.0 of site_residuals must be a finite"),
    ],
)
def test_other_fields_must_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        circuit_of([], **changes)


def test_the_metric_must_be_finite():
    with pytest.raises(ValueError, match="clean of metric must be a finite number, got inf"):
        MetricValues(clean=float("inf"), baseline=0.0)


def test_an_interval_has_two_ends():
    with pytest.raises(ValueError, match="both ends of its interval or none"):
        replace(example_circuit().faithfulness, low=None)


# Views


def test_a_subset_keeps_the_strongest_features_every_error_and_the_edges_among_them():
    nodes = [node(0, 1, -0.1), node(0, 2, 0.9), node(1, 3, -0.5), node(1, None, 0.01)]
    first, second, third, error = (each.id for each in nodes)
    whole = circuit_of(nodes, [Edge(first, third, 0.1), Edge(second, third, 0.2), Edge(second, error, 0.3)])
    part = whole.subset(2)
    assert [each.id for each in part.nodes] == [second, third, error]
    assert [(edge.source, edge.target) for edge in part.edges] == [(second, third), (second, error)]


def test_a_real_subset_has_no_faithfulness_and_the_whole_keeps_its_own():
    circuit = example_circuit()
    assert circuit.subset(29).faithfulness is None
    assert circuit.subset(30) is circuit
    assert circuit.subset(0).features == ()


def test_a_subset_cannot_be_negative():
    with pytest.raises(ValueError, match="n must be at least 0, got -1"):
        example_circuit().subset(-1)


def test_json_has_the_public_keys_and_the_provenance_as_given():
    document = example_circuit().to_json()
    assert document.keys() == PUBLIC_KEYS | {"command", "config", "seed", "seconds"}
    assert document["config"] == {"ig_steps": 5}
    assert document["sign_convention"].startswith("m = logit(target) - logit(foil); indirect_effect = m(node set to")
    assert document["metric"] == {"clean": 4.2, "baseline": -4.45, "unit": "logits"}
    assert all(record["contribution"] == -record["indirect_effect"] for record in document["nodes"])


def test_the_graph_has_plain_attributes_and_leaves_out_what_a_node_does_not_have():
    edge = Edge("resid_post.0/7@1", "resid_post.1/error@1", -0.25)
    graph = circuit_of([node(0, 7, -1.5), node(1, None, 0.5)], [edge]).to_networkx()
    assert graph.nodes["resid_post.0/7@1"]["contribution"] == 1.5
    assert "feature" not in graph.nodes["resid_post.1/error@1"]
    assert graph.edges["resid_post.0/7@1", "resid_post.1/error@1"] == {"effect": -0.25}
    assert graph.graph["metric_clean"] == 2.0
    for attributes in (graph.graph, *dict(graph.nodes).values()):
        assert {type(value) for value in attributes.values()} <= {str, int, float}


# Files


@pytest.mark.parametrize("circuit", [example_circuit(), circuit_of([]), example_circuit(n_nodes=200, n_tokens=60)])
def test_a_loaded_circuit_equals_the_saved_one(circuit, tmp_path):
    circuit.save(tmp_path)
    assert Circuit.load(tmp_path) == circuit
    assert Circuit.load(tmp_path / "circuit.json") == circuit


def test_saving_again_gives_equal_bytes(saved, tmp_path_factory):
    again = tmp_path_factory.mktemp("again")
    Circuit.load(saved).save(again)
    for name in ("circuit.json", "circuit.safetensors"):
        assert (again / name).read_bytes() == (saved / name).read_bytes()


def test_only_the_two_files_are_left(saved):
    example_circuit(seed=1).save(saved)
    assert sorted(path.name for path in saved.iterdir()) == ["circuit.json", "circuit.safetensors"]


def test_single_precision_is_kept_exactly(tmp_path):
    third = float(np.float32(1 / 3))
    circuit_of([node(0, 7, third)]).save(tmp_path)
    assert Circuit.load(tmp_path).nodes[0].indirect_effect == third
    assert '"indirect_effect": 0.33333334' in (tmp_path / "circuit.json").read_text()


def test_text_that_is_hard_to_write_survives(tmp_path):
    tokens = ["</script>", '"\\\n\x1b[31m', " 肺炎", "\u202e"]
    circuit_of([], tokens=tokens, prompt="".join(tokens)).save(tmp_path)
    assert list(Circuit.load(tmp_path).tokens) == tokens


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"circuit '.*circuit.json' cannot be read \(No such file"):
        Circuit.load(tmp_path)


@pytest.mark.parametrize("name", ["circuit.json", "circuit.safetensors"])
@pytest.mark.parametrize("keep", [0, 10, 500])
def test_a_truncated_file_is_refused(saved, name, keep):
    path = saved / name
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=name):
        Circuit.load(saved)


def test_arrays_of_another_circuit_are_refused(saved, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    example_circuit(seed=1).save(other)
    (saved / "circuit.safetensors").write_bytes((other / "circuit.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"does not belong to .* or was altered: SHA-256 differs"):
        Circuit.load(saved)


def test_a_circuit_of_schema_1_is_read(saved):
    """It had no exact effects, no frequencies and no split of attention's edges."""
    circuit = example_circuit()
    arrays = load_file(saved / "circuit.safetensors")
    save_file({name: arrays[name] for name in ARRAY_TYPES}, saved / "circuit.safetensors")
    added = ("exact_effect", "selection_frequency", "value_effect", "query_key_effect")

    def to_first_schema(document):
        document["schema_version"] = 1
        document["arrays"]["sha256"] = hashlib.sha256((saved / "circuit.safetensors").read_bytes()).hexdigest()
        for record in (*document["nodes"], *document["edges"]):
            for name in added:
                record.pop(name, None)

    edit_json(saved, to_first_schema)
    without = [replace(node, exact_effect=None, selection_frequency=None) for node in circuit.nodes]
    edges = [Edge(edge.source, edge.target, edge.effect) for edge in circuit.edges]
    assert Circuit.load(saved) == replace(circuit, nodes=without, edges=edges)


@pytest.mark.parametrize("field", ["exact_effect", "selection_frequency"])
def test_a_measurement_altered_in_the_json_is_noticed(saved, field):
    edit_json(saved, lambda document: document["nodes"][0].update({field: 0.123}))
    with pytest.raises(ValueError, match=r"was altered: nodes disagrees"):
        Circuit.load(saved)


@pytest.mark.parametrize("version", [0, 3, "1", None])
def test_another_version_is_refused(saved, version):
    edit_json(saved, lambda document: document.update(schema_version=version))
    with pytest.raises(ValueError, match=r"schema_version of .* expected 1 or 2; discover again"):
        Circuit.load(saved)


def test_a_number_altered_in_the_json_is_noticed(saved):
    edit_json(saved, lambda document: document["nodes"][3].update(indirect_effect=-9.0))
    with pytest.raises(ValueError, match=r"was altered: nodes disagrees with circuit.safetensors"):
        Circuit.load(saved)


def set_entry(*path, value):
    def change(document):
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        *(lambda document, key=key: document.pop(key) for key in sorted(PUBLIC_KEYS | {"arrays"})),
        set_entry("nodes", value=3),
        set_entry("nodes", 0, value="x"),
        set_entry("nodes", 0, "label", value=5),
        set_entry("nodes", 0, "token", value=None),
        set_entry("edges", value=[]),
        set_entry("metric", value=[]),
        set_entry("metric", "clean", value="4"),
        set_entry("tokens", value=[1, 2]),
        set_entry("faithfulness", value={}),
        set_entry("faithfulness", "low", value="x"),
        set_entry("site_residuals", value={"nowhere": 1.0}),
        set_entry("arrays", "sites", value=["resid_post.0"]),
        set_entry("arrays", "file", value="../circuit.safetensors"),
    ],
)
def test_a_foreign_or_damaged_json_is_one_line(saved, change):
    edit_json(saved, change)
    with pytest.raises(ValueError, match=r"circuit\.json|schema_version|no valid circuit|was altered") as caught:
        Circuit.load(saved)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "3", "{}", "[" * 100_000, '{"schema_version": NaN}', "\x00\xff"])
def test_a_file_of_another_kind_is_refused(saved, text):
    (saved / "circuit.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"circuit\.json"):
        Circuit.load(saved)


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"output .* is not writable"):
        example_circuit().save(tmp_path / "file" / "circuit")


def withheld() -> Circuit:
    measured = Faithfulness(None, None, None, 3, None, None, "the denominator 0.1 is small against its spread")
    return replace(example_circuit(), faithfulness=measured)


def test_a_withheld_faithfulness_keeps_its_reason(tmp_path):
    withheld().save(tmp_path)
    assert Circuit.load(tmp_path).faithfulness == withheld().faithfulness
    assert withheld().to_json()["faithfulness"]["value"] is None
    assert "faithfulness" not in withheld().to_networkx().graph
    assert "withheld with 3 features: the denominator 0.1 is small" in faithfulness_line(withheld())


@pytest.mark.parametrize(("value", "reason"), [(None, None), (0.5, "small")])
def test_faithfulness_has_a_value_or_a_reason(value, reason):
    with pytest.raises(ValueError, match="needs a value or the reason why there is none"):
        Faithfulness(value, None, None, 3, None, None, reason)
