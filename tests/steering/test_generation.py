"""Steered generation against the definition, and what it must leave as it is."""

import pytest
import torch
from steered_oracle import oracle_generate, oracle_logits
from tiny_models import random_sae, random_transcoder, tiny_llama, tiny_llama_model, tiny_tokenizer
from transformers import LlamaForCausalLM
from transformers.generation.streamers import BaseStreamer

from sae.bundle import find_bundle
from sae.host.host import HostModel
from sae.host.sites import Site
from steering.dictionaries import Dictionaries
from steering.directions import Direction, Feature, random_direction
from steering.interventions import OPERATIONS, Intervention, SteeringSpec
from steering.parsing import parse_edit
from steering.positions import read_prompt
from steering.site_edits import SiteEdits
from steering.steered_host import SteeredHost, open_steered_host

SITES = (Site("resid_post", 0), Site("mlp_out", 1), Site("resid_post", 2))
SAES = {site: random_sae(site=site, seed=seed) for seed, site in enumerate(SITES)}
PLAIN = SteeringSpec()
BOS = 1


@pytest.fixture(scope="module")
def steered(tiny_host):
    return SteeredHost(tiny_host, Dictionaries(tiny_host, saes=SAES))


@pytest.fixture(scope="module")
def model():
    return tiny_llama_model()


@pytest.fixture(scope="module")
def prompts(tiny_host):
    texts = ("w1 w2 w3", "w4 w5 w6 w7 w8 w9", "w10 w2")
    return [read_prompt(tiny_host, text, spans={"middle": "w2" if "w2" in text else "w6"}) for text in texts]


def spec(*edits: str) -> SteeringSpec:
    return SteeringSpec(tuple(parse_edit(edit) for edit in edits))


def ids_of(rows):
    return [row.new_ids.tolist() for row in rows]


MIXED = [
    spec("resid_post.0/3:add=3", "resid_post.0/5:clamp=2@prompt", "mlp_out.1/7:add=-2@generated"),
    spec("resid_post.2/11:scale=-3", "resid_post.2/12:project=1@last", "resid_post.2/13:project@generated"),
    spec("resid_post.0/3:min=2.5@span:middle", "resid_post.2/20:max=0.1", "resid_post.2/21:clamp=-3"),
]


def test_activations_are_those_after_the_edit(steered, prompts):
    edits = [spec("resid_post.0/3:add=3"), PLAIN]
    found = steered.forward([prompts[0]] * 2, edits, capture=SITES).activations
    shift = found[SITES[0]][0, 1:] - found[SITES[0]][1, 1:]
    torch.testing.assert_close(shift, 3 * SAES[SITES[0]].W_dec[3].expand_as(shift), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found[SITES[2]][0, 1:], found[SITES[2]][1, 1:])
    plain = steered.host.capture(steered.host.batch([prompts[0].ids]), SITES)
    torch.testing.assert_close(found[SITES[2]][1], plain[SITES[2]][0])


def test_a_batch_of_unlike_specs_is_each_row_by_definition(steered, model, prompts):
    rows = steered.generate(prompts, MIXED, max_new_tokens=10)
    for row, prompt, each in zip(rows, prompts, MIXED, strict=True):
        assert row.new_ids.tolist() == oracle_generate(model, prompt, each, SAES, n=10, bos=BOS, end=[2])


@pytest.mark.parametrize("positions", ["all", "prompt", "generated", "last", "span:middle"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_at_all_positions_gives_the_logits_of_the_definition(
    steered, model, prompts, operation, positions
):
    value = None if operation == "ablate" else 0.3 if operation == "max" else 6.0
    batch = steered.host.batch([prompts[1].ids])
    feature = int(SAES[SITES[2]].encode(steered.host.capture(batch, SITES)[SITES[2]])[0].sum(0).argmax())
    each = SteeringSpec((Intervention(Feature(SITES[2], feature), operation, value, "raw", positions),))
    new = torch.tensor([9, 8, 7, 30])
    found = steered.forward([prompts[1], prompts[0]], [each, PLAIN], [new, new[:1]])
    ids = torch.cat([prompts[1].ids, new])
    expected = oracle_logits(model, ids, prompts[1], each, SAES, BOS)
    torch.testing.assert_close(found.logits[0], expected, atol=2e-5, rtol=1e-4)
    assert not torch.allclose(expected, oracle_logits(model, ids, prompts[1], PLAIN, SAES, BOS), atol=1e-3)


def test_with_and_without_cache_the_tokens_are_equal(steered, prompts):
    """Without: what the whole text, run once, holds likeliest at each place."""
    rows = steered.generate(prompts, MIXED, max_new_tokens=8)
    found = steered.forward(prompts, MIXED, [row.new_ids for row in rows])
    for index, row in enumerate(rows):
        n = len(row.new_ids)
        assert found.logits[index, -n - 1 : -1].argmax(-1).tolist() == row.new_ids.tolist()


@pytest.mark.parametrize("edit", ["add=0", "scale=1", "add=0sigma@generated", "add=0resid@last", "max=1e9"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_strength_0_is_plain_generation_bit_for_bit(prompts, tmp_path, edit, dtype):
    host = HostModel(tiny_llama_model().to(dtype), tiny_tokenizer(), name="tiny")
    (tmp_path / "texts.txt").write_text("w1 w2 w3 w4\n\nw5 w6 w7 w8\n")
    none = spec(*(f"{site}/{index}:{edit}" for index, site in enumerate(SITES)))
    batch = host.batch([prompt.ids for prompt in prompts])
    plain = host.generate(batch, max_new_tokens=9)[:, batch.ids.shape[1] :].tolist()
    steered = SteeredHost(host, Dictionaries(host, saes=SAES, statistics=str(tmp_path / "texts.txt")))
    rows = steered.generate(prompts, [none] * 3, max_new_tokens=9)
    assert [new[: len(row)] for new, row in zip(plain, ids_of(rows), strict=True)] == ids_of(rows)
    assert all(row.steered.norm_ratio == 0 for row in rows)
    assert torch.equal(steered.forward(prompts, [none] * 3).logits, host.forward(batch).logits)


def test_a_plain_row_beside_steered_ones_keeps_every_bit(steered, prompts):
    batch = steered.host.batch([prompts[0].ids] * 2)
    found = steered.forward([prompts[0]] * 2, [PLAIN, MIXED[0]]).logits
    plain = steered.host.forward(batch).logits
    assert torch.equal(found[0], plain[0])
    assert not torch.allclose(found[1], plain[1], atol=0.1)


def test_every_new_token_is_steered_the_first_included(steered, prompts):
    """A push as long as the logits need makes one token the answer everywhere, which it is nowhere by itself."""
    host, last = steered.host, Site("resid_post", 2)
    [plain] = steered.generate(prompts[:1], [PLAIN], max_new_tokens=6)
    wanted = next(token for token in range(4, 48) if token not in plain.new_ids.tolist())
    unembedding = host._model.get_output_embeddings().weight[wanted]
    push = Direction(last, "towards one token", tuple((1e4 * unembedding).tolist()))
    for positions in ("all", "generated"):
        always = SteeringSpec((Intervention(push, "add", 1.0, positions=positions),))
        [row] = steered.generate(prompts[:1], [always], max_new_tokens=6)
        assert row.new_ids.tolist() == [wanted] * 6
        assert row.steered.edits[0].n_tokens == (6 if positions == "generated" else 6 + 2)
    once = SteeringSpec((Intervention(push, "add", 1.0, positions="last"),))
    [row] = steered.generate(prompts[:1], [once], max_new_tokens=6)
    assert row.new_ids.tolist()[0] == wanted
    assert row.new_ids.tolist() != [wanted] * 6
    assert row.steered.edits[0].n_tokens == 1


def test_padding_shifts_no_position(steered, prompts):
    for prompt, each in zip(prompts, MIXED, strict=True):
        [alone] = steered.generate([prompt], [each], max_new_tokens=6)
        together = steered.generate([prompts[1], prompt], [PLAIN, each], max_new_tokens=6)[1]
        assert alone.new_ids.tolist() == together.new_ids.tolist()
        assert alone.steered.norm_ratio == pytest.approx(together.steered.norm_ratio, rel=1e-5)


def test_an_early_end_loses_nothing_and_counts_no_padding(prompts):
    pushed = spec("resid_post.0/3:add=3@generated")
    free = SteeredHost(tiny_llama(), Dictionaries(tiny_llama(), saes=SAES))
    [whole] = free.generate(prompts[:1], [pushed], max_new_tokens=8)
    assert not whole.has_ended
    third = whole.new_ids.tolist()[2]
    assert third not in whole.new_ids.tolist()[:2]
    host = tiny_llama()
    host._model.generation_config.eos_token_id = third
    ending = SteeredHost(host, Dictionaries(host, saes=SAES))
    for n_rows in (1, 2):
        rows = ending.generate([prompts[0], prompts[1]][:n_rows], [pushed, PLAIN][:n_rows], max_new_tokens=8)
        assert rows[0].has_ended
        assert rows[0].new_ids.tolist() == whole.new_ids.tolist()[:3]
        assert rows[0].steered.edits[0].n_tokens == 3
        [short] = free.generate(prompts[:1], [pushed], max_new_tokens=3)
        assert rows[0].steered.norm_ratio == pytest.approx(short.steered.norm_ratio, rel=1e-5)


def test_an_exception_leaves_no_edit_behind(steered, prompts, monkeypatch):
    batch = steered.host.batch([prompt.ids for prompt in prompts])
    expected = steered.host.generate(batch, max_new_tokens=5)
    note = SiteEdits._note

    def fail_at_a_step(self, x, *parts):
        if x.shape[1] == 1:
            raise KeyError("on purpose")
        return note(self, x, *parts)

    monkeypatch.setattr(SiteEdits, "_note", fail_at_a_step)
    with pytest.raises(KeyError, match="on purpose"):
        steered.generate(prompts, MIXED, max_new_tokens=5)
    monkeypatch.undo()
    assert torch.equal(steered.host.generate(batch, max_new_tokens=5), expected)
    assert not any(module._forward_hooks for module in steered.host._model.modules())


def test_drawn_text_is_repeatable_and_its_strength_0_is_plain(steered, prompts):
    drawing = {"max_new_tokens": 9, "do_sample": True, "temperature": 2.0, "seed": 5}
    batch = steered.host.batch([prompt.ids for prompt in prompts])
    plain = steered.host.generate(batch, **drawing)[:, batch.ids.shape[1] :].tolist()
    rows = ids_of(steered.generate(prompts, [spec("resid_post.0/3:add=0")] * 3, **drawing))
    assert rows == [new[: len(row)] for new, row in zip(plain, rows, strict=True)]
    assert ids_of(steered.generate(prompts, MIXED, **drawing)) == ids_of(steered.generate(prompts, MIXED, **drawing))


def test_a_transcoder_is_steered_by_what_it_reads(tiny_host, model, prompts):
    transcoder = random_transcoder(1)
    steered = SteeredHost(tiny_host, Dictionaries(tiny_host, saes={transcoder.site: transcoder}))
    batch = tiny_host.batch([prompts[1].ids])
    read = tiny_host.capture(batch, [transcoder.input_site])[transcoder.input_site]
    feature = int(transcoder.encode(read)[0, 1:].sum(0).argmax())
    found = steered.forward([prompts[1]], [spec(f"mlp_out.1/{feature}:ablate@prompt")]).logits
    change = transcoder.encode(read)[..., feature, None] * transcoder.W_dec[feature] * batch.node_mask[..., None]
    expected = tiny_host.forward(batch, {transcoder.site: lambda x: x - change}).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_directions_that_are_no_features_go_the_same_way(steered, model, prompts):
    site = Site("resid_post", 1)
    pushed = SteeringSpec((Intervention(random_direction(site, 32, seed=3), "add", 4.0),))
    removed = SteeringSpec(
        tuple(Intervention(random_direction(site, 32, seed=seed), "project", 0.0) for seed in (1, 2, 3))
    )
    rows = steered.generate(prompts[:2], [pushed, removed], max_new_tokens=6)
    for row, prompt, each in zip(rows, prompts, (pushed, removed), strict=False):
        assert row.new_ids.tolist() == oracle_generate(model, prompt, each, SAES, n=6, bos=BOS, end=[2])


def test_projections_hold_jointly_and_after_all_other_edits(steered, prompts):
    site = Site("resid_post", 0)
    each = spec("resid_post.0/1:add=3", "resid_post.0/2:project=0", "resid_post.0/3:project=1.5@generated")
    seen = {}
    edits = steered._edits(steered.host.batch([prompts[0].ids]), [prompts[0]], [each], [0]).host_edits()
    edit = edits[site]
    steered.host.forward(steered.host.batch([prompts[0].ids]), {site: lambda x: seen.setdefault("x", edit(x))})
    rows = SAES[site].W_dec
    assert (seen["x"][0, 1:] @ rows[2]).abs().max() < 1e-4
    assert (seen["x"][0, -1] @ rows[3]).item() == pytest.approx(1.5 * rows[3].square().sum().item(), abs=1e-4)


def test_the_norm_ratio_is_what_was_measured(steered, prompts):
    site = Site("resid_post", 0)
    found = steered.forward(prompts[:1], [spec("resid_post.0/1:add=3@prompt")]).steered[0]
    norms = steered.host.capture(steered.host.batch([prompts[0].ids]), [site])[site][0, 1:].norm(dim=-1)
    expected = (3 * SAES[site].W_dec[1].norm() / norms).mean().item()
    assert found.norm_ratio == pytest.approx(expected, rel=1e-5)
    assert found.edits[0].norm_ratio == pytest.approx(expected, rel=1e-5)
    assert found.edits[0].n_tokens == len(prompts[0].ids) - 1
    assert found.edits[0].to_json()["positions"] == "prompt"
    silent = steered.forward(prompts[:1], [PLAIN]).steered[0]
    assert silent.norm_ratio is None
    assert silent.edits == ()


@pytest.mark.parametrize("value", ["1e39", "-1e300"])
def test_a_strength_beyond_single_precision_is_one_line(steered, prompts, value):
    with pytest.raises(ValueError, match="beyond what float32 holds; give a smaller one"):
        steered.generate(prompts[:1], [spec(f"resid_post.0/3:add={value}")], max_new_tokens=4)


def test_a_stream_that_overflows_is_one_line(prompts):
    host = HostModel(tiny_llama_model().half(), tiny_tokenizer(), name="tiny")
    steered = SteeredHost(host, Dictionaries(host, saes=SAES))
    with pytest.raises(ValueError, match="makes the stream overflow, expected finite activations; give a smaller"):
        steered.forward(prompts[:1], [spec("resid_post.0/3:add=1e6", "resid_post.2/3:add=1")])


def test_a_streamer_is_given_every_token_as_it_comes(steered, prompts):
    class Listener(BaseStreamer):
        def __init__(self) -> None:
            self.heard: list[list[int]] = []

        def put(self, value) -> None:
            self.heard.append(value.flatten().tolist())

        def end(self) -> None:
            self.heard.append([])

    listener = Listener()
    [row] = steered.generate(prompts[:1], [MIXED[0]], max_new_tokens=5, streamer=listener)
    assert listener.heard == [prompts[0].ids.tolist(), *([token] for token in row.new_ids.tolist()), []]


@pytest.mark.skipif(find_bundle("clinic") is None, reason="the bundled model is not in this checkout")
def test_the_bundled_model_is_steered_by_definition():
    steered = open_steered_host("clinic", n_tokens=2000)
    text = "We see an old man with tiredness, night sweats and lymphadenopathy. The most likely diagnosis is"
    prompt = read_prompt(steered.host, text, spans={"finding": "night sweats"})
    specs = [PLAIN, spec("resid_post.3/735:add=32@generated"), spec("resid_post.1/12:clamp=9@span:finding")]
    saes = {Site("resid_post", layer): steered.dictionaries.sae(Site("resid_post", layer)) for layer in (1, 3)}
    model = LlamaForCausalLM.from_pretrained(steered.host.path, dtype=torch.float32).eval()
    end = steered.host.end_of_text_ids
    rows = steered.generate([prompt] * 3, specs, max_new_tokens=4)
    bos = steered.host.tokenizer.bos_token_id
    for row, each in zip(rows, specs, strict=True):
        assert row.new_ids.tolist() == oracle_generate(model, prompt, each, saes, n=4, bos=bos, end=end)
    assert rows[0].text != rows[1].text


def test_a_model_of_stories_is_steered_by_definition(stories_host):
    site = Site("resid_post", 2)
    saes = {site: random_sae(64, 256, site)}
    steered = SteeredHost(stories_host, Dictionaries(stories_host, saes=saes))
    prompts = [read_prompt(stories_host, text) for text in ("Once upon a time", "Tom had a big red ball. He")]
    specs = [spec(f"{site}/5:add=4"), spec(f"{site}/9:project@all", f"{site}/11:clamp=3@generated")]
    rows = steered.generate(prompts, specs, max_new_tokens=12)
    for row, prompt, each in zip(rows, prompts, specs, strict=True):
        expected = oracle_generate(stories_host._model, prompt, each, saes, n=12, bos=1, end=[2])
        assert row.new_ids.tolist() == expected
