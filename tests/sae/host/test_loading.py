import json
import shutil

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from safetensors.torch import load_file, save_file
from tiny_models import save_tiny_llama, tiny_llama

from sae import bundle
from sae.host.host import HostModel


@pytest.fixture
def copy(tiny_llama_path, tmp_path):
    return shutil.copytree(tiny_llama_path, tmp_path / "copy")


def load_failing(name, **options):
    with pytest.raises(ValueError, match=r".") as caught:
        HostModel.load(str(name), **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_directory_is_loaded_with_its_tokenizer(tiny_llama_path):
    host = HostModel.load(str(tiny_llama_path))
    assert (host.name, host.path) == (str(tiny_llama_path), tiny_llama_path)
    assert (host.d_model, host.n_layers, host.vocab_size, host.context_length) == (32, 3, 48, 64)
    assert (host.device, host.dtype) == (torch.device("cpu"), torch.float32)
    batch = host.batch([host.tokenise("w1 w2")])
    assert torch.equal(host.forward(batch).logits, tiny_llama().forward(batch).logits)


def test_the_weights_are_frozen(tiny_llama_path):
    host = HostModel.load(str(tiny_llama_path))
    assert not any(parameter.requires_grad for parameter in host._model.parameters())
    assert not host._model.training


@pytest.mark.parametrize(("name", "dtype"), [("bfloat16", torch.bfloat16), ("float16", torch.float16)])
def test_weights_are_held_in_the_wanted_precision(tiny_llama_path, name, dtype):
    host = HostModel.load(str(tiny_llama_path), dtype=name)
    assert host.dtype == dtype
    assert host.forward(host.batch([host.tokenise("w1")])).logits.dtype == dtype


def test_a_device_map_places_the_weights(tiny_llama_path):
    host = HostModel.load(str(tiny_llama_path), device_map={"": "cpu"})
    batch = host.batch([host.tokenise("w1 w2")])
    assert torch.equal(host.forward(batch).logits, tiny_llama().forward(batch).logits)


def test_loading_prints_nothing(tiny_llama_path, capfd):
    HostModel.load(str(tiny_llama_path))
    assert capfd.readouterr() == ("", "")


def test_a_bundled_name_is_loaded_and_checked(tiny_llama_path, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "BUNDLES", tmp_path)
    shutil.copytree(tiny_llama_path, tmp_path / "small" / "host")
    bundle.write_manifest(tmp_path / "small")
    host = HostModel.load("small")
    assert (host.name, host.path) == ("small", tmp_path / "small" / "host")
    weights = tmp_path / "small" / "host" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert "small/host/model.safetensors is truncated" in load_failing("small")


def test_an_unknown_dtype_is_named_with_those_known(tiny_llama_path):
    message = load_failing(tiny_llama_path, dtype="float64")
    assert message == "unknown dtype 'float64', expected one of: float32, bfloat16, float16"


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "", "meta"])
def test_an_unknown_device_is_named_with_those_known(tiny_llama_path, device):
    message = load_failing(tiny_llama_path, device=device)
    assert message == f"unknown device '{device}', expected one of: auto, cpu, cuda, cuda:N, mps"


@pytest.mark.parametrize("device", ["cuda", "cuda:3", "mps", "cpu:1"])
def test_a_device_that_is_not_there_is_refused(tiny_llama_path, device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert f"device '{device}' is not available" in load_failing(tiny_llama_path, device=device)


def test_auto_is_the_cpu_where_there_is_no_gpu(tiny_llama_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert HostModel.load(str(tiny_llama_path), device="auto").device == torch.device("cpu")


@pytest.mark.parametrize("name", ["clinc", "no/such/directory", "../nowhere", "~/nowhere/x"])
def test_an_unknown_name_says_what_would_do(name):
    message = load_failing(name)
    assert message.startswith(f"unknown model '{name}': neither bundled (")
    assert "nor a directory, nor a Hugging Face id of the form 'org/name'" in message


def test_a_file_is_no_model(tiny_llama_path):
    assert "is a file, expected the directory" in load_failing(tiny_llama_path / "config.json")


def test_a_directory_without_a_model_is_refused(tmp_path):
    assert load_failing(tmp_path) == f"directory '{tmp_path}' holds no model: config.json is missing"


def test_a_directory_without_weights_is_refused(copy):
    (copy / "model.safetensors").unlink()
    assert "holds no weights, expected model.safetensors or its shards" in load_failing(copy)


def test_a_directory_without_a_tokenizer_is_refused(copy):
    for file in copy.glob("tokenizer*"):
        file.unlink()
    assert f"cannot load a tokenizer from '{copy}'" in load_failing(copy)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '"llama"'])
def test_a_damaged_configuration_is_refused(copy, text):
    (copy / "config.json").write_text(text)
    assert "is damaged, expected JSON with a model_type" in load_failing(copy)


def test_an_unsupported_family_is_named_with_those_supported(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    message = load_failing(copy)
    known = "llama, qwen2, qwen3, gemma2, gemma3_text, gemma3, gpt_neox"
    assert message == f"cannot use model '{copy}': model family 'gpt2' is not supported, only: {known}"


def test_truncated_weights_are_refused(copy):
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert f"cannot load the weights in '{copy}'" in load_failing(copy)


def test_missing_tensors_are_refused(copy):
    tensors = load_file(copy / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    assert (
        load_failing(copy) == f"the weights in '{copy}' lack 1 tensors, model.norm.weight among them; copy them again"
    )


def test_weights_of_another_shape_are_refused(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"intermediate_size": 32}))
    assert f"cannot load the weights in '{copy}'" in load_failing(copy)


@pytest.fixture
def hub(monkeypatch):
    """Let downloads end in the given way."""

    def ends_in(outcome):
        def snapshot_download(name, **options):
            if isinstance(outcome, Exception):
                raise outcome
            return str(outcome)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)

    return ends_in


def without_response(kind):
    """An error of the hub's client, which otherwise wants the server's response."""
    return kind.__new__(kind)


def test_a_hub_id_is_downloaded(hub, tiny_llama_path):
    hub(tiny_llama_path)
    host = HostModel.load("org/tiny")
    assert (host.name, host.path) == ("org/tiny", tiny_llama_path)


def test_without_network_a_hub_id_says_so(hub):
    hub(LocalEntryNotFoundError("offline"))
    message = load_failing("org/name")
    assert message.startswith("cannot download 'org/name': no network")
    assert "give a local directory" in message


def test_offline_mode_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert "cannot download 'org/name': no network (HF_HUB_OFFLINE is set)" in load_failing("org/name")


def test_a_gated_model_says_how_to_get_it(hub):
    hub(without_response(GatedRepoError))
    assert "cannot download 'org/name': it is gated; accept its licence" in load_failing("org/name")


def test_a_model_that_the_hub_lacks_is_unknown(hub):
    hub(without_response(RepositoryNotFoundError))
    assert load_failing("org/name").startswith("unknown model 'org/name': neither bundled (")


def test_a_full_disk_is_reported_in_one_line(hub):
    hub(OSError("No space left on device\nmore"))
    assert "cannot download 'org/name': No space left on device; give a local" in load_failing("org/name")


def test_an_unsupported_family_is_refused_before_its_weights_are_downloaded(hub, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "mamba"}')
    hub(tmp_path)
    assert "model family 'mamba' is not supported" in load_failing("org/name")


def test_tied_embeddings_are_not_missing_tensors(tmp_path):
    host = HostModel.load(str(save_tiny_llama(tmp_path / "tied", tie_word_embeddings=True)))
    batch = host.batch([host.tokenise("w1 w2")])
    assert torch.equal(host.forward(batch).logits, tiny_llama(tie_word_embeddings=True).forward(batch).logits)
