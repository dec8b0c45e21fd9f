"""The bundle as shipped: complete, small, plain transformers, readable by sae_lens."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from circuits import discover
from circuits.workbench import open_workbench
from experiments.clinic.case_sampling import paired_cases
from experiments.clinic.knowledge import DISEASES, DRUG_CLASSES
from sae.bundle import find_bundle
from sae.dictionary.autoencoder import SAE
from sae.dictionary.labels import MIN_LABEL_F1, load_labels
from sae.host.host import HostModel

BUNDLE = find_bundle("clinic")
pytestmark = pytest.mark.skipif(BUNDLE is None, reason="the bundled model is not in this checkout")
MOST_BYTES = 40 * 2**20


@pytest.fixture(scope="module")
def bench():
    return open_workbench("clinic")


@pytest.fixture(scope="module")
def pair(bench):
    """A test case and its first contrast."""
    paired = next(paired_cases(bench.host.tokenizer, seed=5))
    return paired.test_case, paired.contrasts[0]


def test_every_file_is_as_it_was_built():
    BUNDLE.check()


def test_it_is_small():
    assert sum(file.stat().st_size for file in BUNDLE.path.rglob("*") if file.is_file()) <= MOST_BYTES


def test_an_altered_file_is_found(tmp_path):
    import shutil

    copy = tmp_path / "clinic"
    shutil.copytree(BUNDLE.path, copy)
    weights = next((copy / "clinical").rglob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ValueError, match="is altered"):
        type(BUNDLE)("clinic", copy).check("clinical")


@pytest.mark.parametrize("name", ["host", "host-broad"])
def test_the_hosts_are_plain_transformers_directories(name):
    model = AutoModelForCausalLM.from_pretrained(BUNDLE.path / name)
    tokenizer = AutoTokenizer.from_pretrained(BUNDLE.path / name)
    assert model.dtype == torch.float32
    assert model.config.num_hidden_layers >= 4
    assert tokenizer("A young man").input_ids[0] == tokenizer.bos_token_id


def test_the_tokenizer_feeds_what_we_feed(bench, pair):
    tokenizer = AutoTokenizer.from_pretrained(BUNDLE.host)
    assert tokenizer(pair[0].prompt).input_ids == bench.host.tokenise(pair[0].prompt).tolist()


def test_names_are_single_tokens(bench):
    for name in (*DISEASES, *DRUG_CLASSES):
        assert len(bench.host.tokenizer(f" {name}", add_special_tokens=False)["input_ids"]) == 1


@pytest.mark.parametrize("text", ["clinical", "broad"])
def test_there_is_an_sae_at_every_site(bench, text):
    directories = {path.name for path in BUNDLE.saes(text).iterdir()}
    assert directories == {str(site) for site in bench.host.sites}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_sae_lens_gives_the_same_numbers():
    import sae_lens

    path = BUNDLE.saes() / "resid_post.2"
    ours, theirs = SAE.load(path), sae_lens.SAE.load_from_disk(str(path))
    x = 3 * torch.randn(64, ours.d_model, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(theirs.encode(x), ours.encode(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(theirs(x), ours.decode(ours.encode(x)), atol=1e-5, rtol=1e-5)


def test_labels_below_the_floor_are_not_shown(bench):
    for site, labels in bench.labels.items():
        assert all(label.f1 >= MIN_LABEL_F1 for label in labels.values())
        stored = json.loads((bench.dictionaries[site].path / "labels.json").read_text("utf-8"))["labels"]
        assert len(labels) < len(stored), "the file keeps what is not shown"
        assert load_labels(bench.dictionaries[site].path, min_f1=0.0).keys() >= labels.keys()


def test_a_contrast_circuit_is_faithful_and_random_features_are_not(bench, pair):
    case, contrast = pair
    circuit = discover(case.prompt, contrast=contrast.prompt, workbench=bench, top_k=30)
    assert (circuit.target.strip(), circuit.foil.strip()) == (case.answer, contrast.answer)
    assert circuit.faithfulness.value > 0.6
    assert circuit.faithfulness.null < 0.2


def test_a_lone_prompt_needs_nothing_else(bench, pair):
    circuit = discover(pair[0].prompt, workbench=bench, nodes_only=True)
    assert circuit.baseline == "resample"
    assert circuit.faithfulness.low <= circuit.faithfulness.value <= circuit.faithfulness.high


def test_the_clinical_stage_taught_the_diagnoses(pair):
    case = pair[0]
    before = HostModel.load(str(BUNDLE.path / "host-broad"))
    after = HostModel.load("clinic")
    gold = after.tokenizer(f" {case.answer}", add_special_tokens=False)["input_ids"][0]

    def log_prob(host: HostModel) -> float:
        logits = host.forward(host.batch([host.tokenise(case.prompt)]), logits_to_keep=1).logits[0, -1]
        return logits.log_softmax(-1)[gold].item()

    assert log_prob(after) > log_prob(before) + 2
