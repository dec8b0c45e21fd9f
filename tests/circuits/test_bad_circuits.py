"""Circuits, SAEs and pairs that cannot be used: for every command one line, exit code 1, and nothing written."""

import hashlib
import json
import shutil

import pytest
from click.testing import CliRunner
from example_circuits import example_circuit
from tiny_models import random_sae, save_tiny_llama

from circuits.cli import main
from circuits.discovery import discover
from sae.dictionary.host_record import host_record
from sae.host.host import HostModel
from sae.host.sites import Site

SITE = Site("resid_post", 1)
PAIR = {"clean_prefix": "w1 w2", "patch_prefix": "w1 w3", "clean_answer": "w8", "patch_answer": "w9"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A model with an SAE that knows its host, and a circuit that was found with them."""
    root = tmp_path_factory.mktemp("tiny")
    model = save_tiny_llama(root / "model")
    record = {"domain_circuits": {"host": host_record(HostModel.load(str(model)))}}
    random_sae(site=SITE).with_metadata(record).save(root / "saes" / str(SITE))
    options = {"model": str(model), "saes": str(root / "saes"), "contrast": "w1 w2 w7", "foil": "w9"}
    discover("w1 w2 w3", top_k=3, **options).save(root / "circuit")
    return root


def the_error(*arguments, code=1):
    """The one line with which a command fails."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    [error] = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert result.stderr.rstrip().endswith(error)
    return error


def altered(document):
    document["nodes"][0]["indirect_effect"] = 99.0


def newer(document):
    document["schema_version"] = 99


def outside(document):
    document["arrays"]["file"] = "../elsewhere/circuit.safetensors"


def absolute(document):
    document["arrays"]["file"] = "/etc/passwd"


def without_nodes(document):
    del document["nodes"]


EDITS = {
    altered: "was altered: nodes disagrees with circuit.safetensors",
    newer: "is 99, expected 1 or 2; discover again",
    outside: "names no arrays file, expected the circuit.json",
    absolute: "names no arrays file, expected the circuit.json",
    without_nodes: "holds no valid circuit: entry 'nodes' is missing",
}


def truncated_json(folder):
    path = folder / "circuit.json"
    path.write_bytes(path.read_bytes()[:300])
    return "is not a whole JSON file"


def truncated_arrays(folder):
    path = folder / "circuit.safetensors"
    path.write_bytes(path.read_bytes()[:-20])
    return "does not belong to"


def truncated_arrays_with_their_hash(folder):
    truncated_arrays(folder)
    text = json.loads((folder / "circuit.json").read_text())
    text["arrays"]["sha256"] = hashlib.sha256((folder / "circuit.safetensors").read_bytes()).hexdigest()
    (folder / "circuit.json").write_text(json.dumps(text))
    return "is not a safetensors file"


def no_arrays(folder):
    (folder / "circuit.safetensors").unlink()
    return "cannot be read"


def edited(change):
    def harm(folder):
        document = json.loads((folder / "circuit.json").read_text())
        change(document)
        (folder / "circuit.json").write_text(json.dumps(document))
        return EDITS[change]

    harm.__name__ = change.__name__
    return harm


HARMS = [truncated_json, truncated_arrays, truncated_arrays_with_their_hash, no_arrays, *map(edited, EDITS)]
COMMANDS = {
    "show": ["show", "BAD"],
    "view": ["view", "BAD", "--no-open"],
    "export": ["export", "BAD", "--format", "dot", "--out", "OUT"],
    "diff": ["diff", "GOOD", "BAD"],
    "evaluate": ["evaluate", "BAD", "--out", "OUT"],
    "verify": ["verify", "BAD", "--out", "OUT"],
    "minimise": ["minimise", "BAD", "--out", "OUT"],
    "intervene": ["intervene", "BAD", "--ablate", "resid_post.1/3@1"],
    "labels export": ["labels", "export", "BAD", "OUT"],
}


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_damaged_circuit_is_one_line_for_every_command(tmp_path, command, harm):
    for name in ("good", "bad"):
        example_circuit().save(tmp_path / name)
    message = harm(tmp_path / "bad")
    places = {"GOOD": tmp_path / "good", "BAD": tmp_path / "bad", "OUT": tmp_path / "out"}
    assert message in the_error(*(places.get(word, word) for word in command))
    assert not (tmp_path / "out").exists()


def test_labels_do_not_touch_a_damaged_circuit(tmp_path):
    example_circuit().save(tmp_path / "bad")
    truncated_arrays(tmp_path / "bad")
    labels = tmp_path / "labels.jsonl"
    labels.write_text(json.dumps({"site": "resid_post.1", "feature": 1, "label": "x", "score": 0.9}))
    before = (tmp_path / "bad" / "circuit.json").read_bytes()
    assert "does not belong to" in the_error("labels", "import", tmp_path / "bad", labels)
    assert (tmp_path / "bad" / "circuit.json").read_bytes() == before


@pytest.mark.parametrize(
    ("saes", "message"),
    [
        ({"d_model": 16}, r"has d_model 16 but host"),
        ({"site": Site("resid_post", 7)}, "has no such site"),
    ],
)
def test_saes_that_do_not_fit_are_one_line(tiny, tmp_path, saes, message):
    sae = random_sae(**({"site": SITE} | saes))
    sae.save(tmp_path / "saes" / str(sae.site))
    options = ["--model", tiny / "model", "--saes", tmp_path / "saes", "--out", tmp_path / "out"]
    assert message in the_error("discover", "--prompt", "w1 w2 w3", "--contrast", "w1 w2 w7", *options)
    assert not (tmp_path / "out").exists()


def test_saes_of_another_host_are_one_line(tiny, tmp_path):
    other = save_tiny_llama(tmp_path / "other", seed=5)
    options = ["--model", other, "--saes", tiny / "saes", "--out", tmp_path / "out"]
    error = the_error("discover", "--prompt", "w1 w2 w3", "--contrast", "w1 w2 w7", *options)
    assert "was trained on host" in error
    assert "use that host or other SAEs" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["evaluate", "verify", "minimise"])
def test_a_circuit_whose_sae_was_altered_is_one_line(tiny, tmp_path, command):
    shutil.copytree(tiny, tmp_path / "copy")
    document = json.loads((tmp_path / "copy" / "circuit" / "circuit.json").read_text())
    random_sae(site=SITE, seed=9).save(tmp_path / "copy" / "saes" / str(SITE))
    document["saes"][0]["path"] = str(tmp_path / "copy" / "saes" / str(SITE))
    (tmp_path / "copy" / "circuit" / "circuit.json").write_text(json.dumps(document))
    error = the_error(command, tmp_path / "copy" / "circuit", "--out", tmp_path / "out")
    assert "was altered since the circuit was found; restore it, or discover again" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("missing", PAIR)
def test_a_pair_without_a_field_is_one_line(tiny, tmp_path, missing):
    lines = [PAIR, {name: text for name, text in PAIR.items() if name != missing}]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    options = ["--model", tiny / "model", "--saes", tiny / "saes", "--out", tmp_path / "out"]
    error = the_error("discover", "--pairs", tmp_path / "pairs.jsonl", *options)
    assert f"has no text {missing!r}" in error
    assert "line 2 of" in error
    assert not (tmp_path / "out").exists()
