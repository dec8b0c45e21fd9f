"""Units of strength against what a sample of text says, taken directly."""

import pytest
import torch
from tiny_models import random_sae, random_transcoder

from sae.dictionary.formats.stored import RECORD
from sae.host.sites import Site
from steering.dictionaries import Dictionaries
from steering.directions import Feature, random_direction
from steering.interventions import UNITS, Intervention, SteeringSpec
from steering.parsing import parse_edit
from steering.positions import read_prompt
from steering.steered_host import SteeredHost

SITE = Site("resid_post", 1)
TEXTS = ["w1 w2 w3 w4 w5", "w6 w7", "w8 w9 w10 w11 w12 w13 w14 w15"]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(f'{{"text": "{text}"}}\n' for text in TEXTS))
    return str(path)


def activations(host, site):
    rows = [host.capture(host.batch([host.tokenise(text)]), [site])[site][0, 1:] for text in TEXTS]
    return torch.cat(rows)


def test_one_unit_is_what_the_sample_says(tiny_host, corpus):
    sae = random_sae(site=SITE)
    dictionaries = Dictionaries(tiny_host, saes={SITE: sae}, statistics=corpus)
    x = activations(tiny_host, SITE)
    feature = int(sae.encode(x).sum(0).argmax())
    length = sae.W_dec[feature].norm()
    sizes = dictionaries.unit_sizes(Feature(SITE, feature))
    assert sizes.sizes["raw"] == 1
    assert sizes.sizes["max_act"] == pytest.approx(float(sae.encode(x)[:, feature].max()), rel=1e-5)
    assert sizes.sizes["resid"] == pytest.approx(float(x.norm(dim=-1).median() / length), rel=1e-5)
    along = x @ (sae.W_dec[feature] / length)
    assert sizes.sizes["sigma"] == pytest.approx(float(along.std(correction=0) / length), rel=1e-4)
    assert dictionaries.measured[SITE].source == f"15 tokens of {corpus}"


def test_densities_and_deviations_of_features_are_those_of_the_sample(tiny_host, corpus):
    sae = random_sae(site=SITE)
    found = Dictionaries(tiny_host, saes={SITE: sae}, statistics=corpus).references(SITE)
    acts = sae.encode(activations(tiny_host, SITE)).double()
    assert (acts > 0).any()
    torch.testing.assert_close(found.densities, (acts > 0).double().mean(0))
    torch.testing.assert_close(found.deviations, acts.std(0, correction=0), atol=1e-5, rtol=1e-4)


def test_a_site_without_dictionary_has_no_features(tiny_host, corpus):
    found = Dictionaries(tiny_host, saes={}, statistics=corpus).references(SITE)
    assert found.median_norm > 0
    assert found.max_acts is found.densities is found.deviations is None


def test_a_strength_is_the_same_in_every_unit(tiny_host, corpus):
    sae = random_sae(site=SITE)
    steered = SteeredHost(tiny_host, Dictionaries(tiny_host, saes={SITE: sae}, statistics=corpus))
    feature = int(sae.encode(activations(tiny_host, SITE)).sum(0).argmax())
    prompt = read_prompt(tiny_host, "w1 w2 w3")
    [first] = steered.forward([prompt], [SteeringSpec((parse_edit(f"{SITE}/{feature}:add=2sigma"),))]).steered
    strengths = first.edits[0].strengths
    assert list(strengths) == list(UNITS)
    logits = [
        steered.forward([prompt], [SteeringSpec((Intervention(Feature(SITE, feature), "add", value, unit),))]).logits
        for unit, value in strengths.items()
    ]
    for each in logits[1:]:
        torch.testing.assert_close(each, logits[0], atol=1e-4, rtol=1e-4)


def test_a_resid_strength_of_1_changes_the_stream_by_its_median_norm(tiny_host, corpus):
    steered = SteeredHost(tiny_host, Dictionaries(tiny_host, saes={}, statistics=corpus))
    push = SteeringSpec((Intervention(random_direction(SITE, 32, length=7.0), "add", 1.0, "resid"),))
    x = activations(tiny_host, SITE)
    prompt = read_prompt(tiny_host, TEXTS[0])
    [found] = steered.forward([prompt], [push]).steered
    expected = float((x.norm(dim=-1).median() / x[:5].norm(dim=-1)).mean())
    assert found.norm_ratio == pytest.approx(expected, rel=1e-4)


def test_lacking_statistics_are_said_and_only_refused_where_they_are_needed(tiny_host):
    steered = SteeredHost(tiny_host, Dictionaries(tiny_host, saes={SITE: random_sae(site=SITE)}))
    prompt = read_prompt(tiny_host, "w1 w2 w3")
    [found] = steered.forward([prompt], [SteeringSpec((parse_edit(f"{SITE}/3:add=2"),))]).steered
    assert found.edits[0].strengths == {"max_act": None, "resid": None, "sigma": None, "raw": 2.0}
    assert found.norm_ratio > 0
    assert "give --statistics CORPUS" in steered.dictionaries.measured[SITE]


def test_the_recorded_corpus_is_the_default_and_may_be_gone(tiny_host, corpus, tmp_path):
    recorded = random_sae(site=SITE).with_metadata({RECORD: {"corpus": corpus}})
    assert Dictionaries(tiny_host, saes={SITE: recorded}).unit_sizes(Feature(SITE, 3)).lacking.keys() <= {"max_act"}
    gone = str(tmp_path / "gone.jsonl")
    lost = random_sae(site=SITE).with_metadata({RECORD: {"corpus": gone}})
    assert "cannot be read" in Dictionaries(tiny_host, saes={SITE: lost}).unit_sizes(Feature(SITE, 3)).lacking["resid"]
    with pytest.raises(ValueError, match="gone"):
        Dictionaries(tiny_host, saes={SITE: recorded}, statistics=gone).unit_sizes(Feature(SITE, 3))


def test_a_feature_that_the_sample_does_not_show_has_no_max_act(tiny_host, corpus):
    sae = random_sae(site=SITE)
    silent = sae.with_threshold(torch.full((64,), 1e6))
    dictionaries = Dictionaries(tiny_host, saes={SITE: silent}, statistics=corpus)
    with pytest.raises(ValueError, match="it is active on none of 15 tokens of"):
        dictionaries.prepare([SteeringSpec((parse_edit(f"{SITE}/3:add=1max_act"),))])
    dictionaries.prepare([SteeringSpec((parse_edit(f"{SITE}/3:add=1sigma"),))])
    with pytest.raises(ValueError, match="only features have activations"):
        dictionaries.prepare([SteeringSpec((Intervention(random_direction(SITE, 32), "add", 1.0, "max_act"),))])


def test_a_transcoders_activations_are_those_of_what_it_reads(tiny_host, corpus):
    transcoder = random_transcoder(1)
    dictionaries = Dictionaries(tiny_host, saes={transcoder.site: transcoder}, statistics=corpus)
    acts = transcoder.encode(activations(tiny_host, transcoder.input_site))
    feature = int(acts.sum(0).argmax())
    sizes = dictionaries.unit_sizes(Feature(transcoder.site, feature)).sizes
    assert sizes["max_act"] == pytest.approx(float(acts[:, feature].max()), rel=1e-5)


def test_several_sites_are_measured_in_one_pass_as_each_by_itself(tiny_host, corpus, monkeypatch):
    saes = {Site("resid_post", layer): random_sae(site=Site("resid_post", layer), seed=layer) for layer in range(3)}
    dictionaries = Dictionaries(tiny_host, saes=saes, statistics=corpus)
    spec = SteeringSpec(tuple(parse_edit(f"{site}/3:add=1resid") for site in saes))
    dictionaries.prepare([spec])
    for site, sae in saes.items():
        alone = Dictionaries(tiny_host, saes={site: sae}, statistics=corpus).unit_sizes(Feature(site, 3))
        assert dictionaries.unit_sizes(Feature(site, 3)).sizes == pytest.approx(alone.sizes, rel=1e-5)
