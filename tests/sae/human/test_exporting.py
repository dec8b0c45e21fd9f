"""A kit from a model: arms matched in density, contexts that are what the key says."""

import json
import random

import pytest
import torch
from click.testing import CliRunner
from tiny_models import WORDS, random_sae, save_tiny_llama

from sae.cli import main
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.human.arms import Arm, densities_in_common, measure_activity
from sae.human.exporting import RANDOM, build_kit
from sae.inspection.activity import Activity

SITE = Site("resid_post", 1)


def texts():
    rng = random.Random(0)
    return (" ".join(rng.choices(WORDS, k=16)) for _ in range(300))


def sparse_sae(host, seed):
    """Random features with a threshold that makes them rare."""
    sae = random_sae(32, 64, SITE, seed=seed)
    x = torch.cat([host.capture(host.batch([host.tokenise(text)]), [SITE])[SITE][0, 1:] for text in list(texts())[:40]])
    return sae.with_threshold(torch.quantile(sae.pre_acts(x), 0.98, dim=0).clamp(min=0))


@pytest.fixture(scope="module")
def kit(tiny_host):
    arms = [
        Arm(name, sparse_sae(tiny_host, seed), explanations={feature: f"{name} {feature}" for feature in range(64)})
        for seed, name in enumerate("ab")
    ]
    return build_kit(tiny_host, arms, texts, corpus="words", n_features=6, n_tokens=4000)


def test_arms_have_features_of_one_density(kit):
    by_pair = {}
    for item in kit.items:
        by_pair.setdefault(item.key.pair, {})[item.key.arm] = item.key.density
    assert len(by_pair) == 6
    for densities in by_pair.values():
        own = [density for arm, density in densities.items() if arm in ("a", "b", RANDOM)]
        assert len(own) == 3
        assert max(own) <= 1.25001 * min(own)


def test_what_the_key_says_of_a_feature_is_so(kit, tiny_host):
    sae = sparse_sae(tiny_host, 0)
    density = measure_activity(tiny_host, sae, texts, n_tokens=4000).density
    mine = [item for item in kit.items if item.key.arm == "a"]
    assert mine
    for item in mine:
        assert item.key.density == pytest.approx(float(density[item.key.feature]))
    matches = [item for item in mine if item.key.kind == "match" and not item.key.is_gold]
    assert all(item.shown["explanation"] == f"a {item.key.feature}" for item in matches)


def test_the_same_seed_gives_the_same_kit(kit, tiny_host):
    arms = [Arm("a", sparse_sae(tiny_host, 0))]
    one, other = (build_kit(tiny_host, arms, texts, corpus="w", n_features=4, n_tokens=3000, seed=2) for _ in range(2))
    assert one.key_text() == other.key_text()
    assert [item.on_page() for item in one.items] == [item.on_page() for item in other.items]


def activity(counts):
    zeros = torch.zeros(len(counts))
    return Activity(
        1000, 10, torch.tensor(counts), zeros, zeros.double(), torch.zeros(len(counts), 112, dtype=torch.long)
    )


def test_densities_in_common():
    one, other = densities_in_common([activity([20, 40, 80, 160, 320]), activity([500, 41, 22, 150, 3])], 3)
    assert one.tolist() == [0, 1, 3]
    assert other.tolist() == [2, 1, 3]
    with pytest.raises(ValueError, match="0 features with 12 firings are equally dense in all SAEs"):
        densities_in_common([activity([20, 30]), activity([400, 500])], 1)
    with pytest.raises(ValueError, match=r"\(1 with densities of 0.02 to 0.02; 0 with none\), expected 1"):
        densities_in_common([activity([20]), activity([3])], 1)


def test_arms_of_one_name(tiny_host):
    arm = Arm("a", sparse_sae(tiny_host, 0))
    with pytest.raises(ValueError, match="expected different names"):
        build_kit(tiny_host, [arm, arm], texts, corpus="w", n_features=4, n_tokens=500)


def test_the_command(tmp_path):
    host = HostModel.load(str(save_tiny_llama(tmp_path / "host")))
    sparse_sae(host, 0).save(tmp_path / "sae")
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("\n".join(json.dumps({"text": text}) for text in texts()), encoding="utf-8")
    base = ["human", "export", str(tmp_path / "sae"), "--model", str(tmp_path / "host"), "--corpus", str(corpus)]
    run = CliRunner().invoke(
        main, [*base, "--features", "5", "--tokens", "4000", "--out", str(tmp_path / "kit"), "--json"]
    )
    assert run.exit_code == 0, run.stderr
    found = json.loads(run.stdout)
    key = json.loads((tmp_path / "kit" / "key.json").read_text("utf-8"))
    assert len(key["items"]) == found["n_items"]
    assert [arm["is_null"] for arm in key["arms"]] == [False, True]
    run = CliRunner().invoke(main, [*base, "--features", "5000", "--out", str(tmp_path / "none")])
    assert (run.exit_code, run.stderr.count("\n")) == (1, 1)
