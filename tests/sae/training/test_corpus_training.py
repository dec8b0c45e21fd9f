"""From a corpus to SAEs on disk: what is planned, written, judged, resumed and refused."""

import json
from dataclasses import replace

import pytest
import torch
from tiny_models import random_sae

from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site
from sae.training import corpus_training
from sae.training.config import BatchTopKConfig, JumpReLUConfig
from sae.training.corpus_source import corpus_source, document_source
from sae.training.corpus_training import finished_result, train_to_disk
from sae.training.finetuning import SplicedConfig
from sae.training.plan import TrainingPlan

SITE, OTHER = Site("resid_post", 1), Site("mlp_out", 0)
PLAN = TrainingPlan(sites=(SITE,), d_sae=(48,), l0=(3.0,), n_tokens=3000, batch_tokens=128)


def top_k_sae():
    start = random_sae(site=SITE)
    return SAE(
        encoder_rows=start.encoder_rows, b_enc=start.b_enc, decoder_rows=start.decoder_rows, b_dec=start.b_dec,
        threshold=torch.zeros(64), top_k=3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    texts = [" ".join(f"w{(7 * i + 3 * j + i * j) % 44}" for j in range(12)) for i in range(400)]
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def corpus(tiny_host, spec):
    return corpus_source(tiny_host, spec, [SITE, OTHER], n_tokens=3000)


def test_one_directory_for_each_site_width_and_l0(tiny_host, corpus, tmp_path):
    plan = replace(PLAN, sites=(SITE, OTHER), d_sae=(32, 48), l0=(2.0, 3.0), n_tokens=1500)

    rows = train_to_disk(plan, corpus, tmp_path / "out", host=tiny_host)

    assert [(row.path.name, row.d_sae, row.l0_target) for row in rows][:4] == [
        ("resid_post.1-d-32-l0-2", 32, 2.0), ("resid_post.1-d-32-l0-3", 32, 3.0),
        ("resid_post.1-d-48-l0-2", 48, 2.0), ("resid_post.1-d-48-l0-3", 48, 3.0),
    ]  # fmt: skip
    for row in rows:
        sae = SAE.load(row.path)
        assert (sae.site, sae.d_sae) == (row.site, row.d_sae)
        # judged on a few hundred tokens, and not on those that the thresholds were set on
        assert row.l0 == pytest.approx(row.l0_target, rel=0.15)
        held_out = corpus.source.held_out(row.site)
        assert row.dead == float((sae.encode(held_out.float()) > 0).any(0).logical_not().double().mean())
        assert row.dead_tokens == len(held_out)
        assert set(row.to_json()) == {
            "path", "site", "d_sae", "l0_target", "l0", "ev", "ev_answer", "ev_answer_interval", "n_answers",
            "delta_ce", "dead", "dead_tokens", "tokens", "tokens_per_second",
        }  # fmt: skip
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_file()} == {
        "checkpoint.safetensors", "metrics.jsonl", "training.json",
    }  # fmt: skip


def test_the_record_names_corpus_host_and_training(tiny_host, corpus, spec, tmp_path):
    [row] = train_to_disk(PLAN, corpus, tmp_path, host=tiny_host)

    metadata = SAE.load(row.path).metadata
    assert (metadata["model_name"], metadata["dataset_path"]) == ("tiny", spec)
    ours = metadata["domain_circuits"]
    assert (ours["host"]["name"], ours["corpus"]) == ("tiny", spec)
    assert (ours["training"]["architecture"], ours["training"]["l0"]) == ("jumprelu", 3.0)


def test_without_a_host_nothing_is_spliced(corpus, tmp_path):
    [row] = train_to_disk(replace(PLAN, n_tokens=500), corpus, tmp_path)

    assert (row.delta_ce, row.ev_answer, row.n_answers) == (None, None, 0)
    assert row.path.name == "resid_post.1"


def test_a_finished_run_is_known_without_its_source(tiny_host, corpus, tmp_path):
    assert finished_result(PLAN, tmp_path, d_model=32) is None
    rows = train_to_disk(PLAN, corpus, tmp_path, host=tiny_host)

    assert finished_result(PLAN, tmp_path, d_model=32) == rows
    with pytest.raises(ValueError, match=r"l0 of resid_post\.1 is 4\.0, but .* was made with 3\.0"):
        finished_result(replace(PLAN, l0=(4.0,)), tmp_path, d_model=32)


def test_at_the_answers_of_a_corpus_that_knows_them(tiny_host, corpus, tmp_path, monkeypatch):
    prompts = [f"w{i} w{(3 * i) % 44} w7" for i in range(40)]
    monkeypatch.setattr(corpus_training, "answer_prompts", lambda name, seed: iter(prompts))

    row, other = train_to_disk(replace(PLAN, sites=(SITE, OTHER)), corpus, tmp_path, host=tiny_host)

    batch = tiny_host.batch([tiny_host.tokenise(prompt) for prompt in prompts])
    x, sae = tiny_host.capture(batch, [SITE])[SITE][:, -1], SAE.load(row.path)
    error = (x - sae.decode(sae.encode(x))).square().sum()
    assert row.ev_answer == pytest.approx(float(1 - error / (x - x.mean(0)).square().sum()), abs=1e-5)
    assert row.ev_answer_interval[0] < row.ev_answer < row.ev_answer_interval[1]
    assert (row.n_answers, other.n_answers) == (40, 40)
    assert other.ev_answer != row.ev_answer
    assert finished_result(replace(PLAN, sites=(SITE, OTHER)), tmp_path, d_model=32) == [row, other]


def test_a_corpus_without_answers_has_no_value_there(tiny_host, corpus, tmp_path):
    [row] = train_to_disk(replace(PLAN, n_tokens=500), corpus, tmp_path, host=tiny_host)

    assert (row.ev_answer, row.ev_answer_interval, row.n_answers) == (None, None, 0)
    assert row.delta_ce is not None


def test_nested_dictionaries_of_several_sites_widths_and_l0s(tiny_host, corpus, tmp_path):
    plan = replace(PLAN, sites=(SITE, OTHER), d_sae=(32, 48), l0=(2.0, 3.0), n_tokens=1500, architecture="matryoshka")

    rows = train_to_disk(plan, corpus, tmp_path, host=tiny_host)

    for row in rows:
        record = SAE.load(row.path).metadata["domain_circuits"]["training"]
        assert record["prefix_sizes"] == [row.d_sae // share for share in (16, 8, 4, 2, 1)]
        assert row.l0 == pytest.approx(row.l0_target, rel=0.15)
    assert len(rows) == 8
    assert finished_result(plan, tmp_path, d_model=32) == rows


def test_training_goes_on_from_a_finished_sae_in_its_host(tiny_host, spec, tmp_path):
    plan = replace(PLAN, d_sae=(64,), n_tokens=600, kl_weight=1.0, start={SITE: random_sae(site=SITE)})
    corpus = document_source(tiny_host, spec, [SITE], n_tokens=1000)

    [row] = train_to_disk(plan, corpus, tmp_path, host=tiny_host)

    # judged on a few hundred tokens, and not on those that the thresholds were set on
    assert row.l0 == pytest.approx(3, rel=0.15)
    lines = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[-1])["kl"] > 0
    with pytest.raises(ValueError, match="needs the host"):
        train_to_disk(plan, corpus, tmp_path / "no-host")


def test_settings_follow_from_the_plan():
    plan = replace(PLAN, n_tokens=40_000_000, batch_tokens=4096)

    config = plan.config(1024, 8.0, d_model=128)

    assert isinstance(config, JumpReLUConfig)
    assert (config.steps, config.batch_tokens, config.warmup_steps) == (9765, 4096, 488)
    rate = JumpReLUConfig.learning_rate
    assert (config.learning_rate, config.dead_after_tokens) == (rate, 2_000_000)
    assert plan.config(1024, 8.0, d_model=512).learning_rate == pytest.approx(rate / 2)
    assert replace(plan, start={SITE: random_sae()}).config(64, 8.0, d_model=128).learning_rate == pytest.approx(
        rate / 10
    )
    assert isinstance(replace(plan, kl_weight=0.5).config(64, 8.0, d_model=128), SplicedConfig)
    assert isinstance(replace(plan, architecture="batchtopk").config(64, 8.0, d_model=128), BatchTopKConfig)
    nested = replace(plan, architecture="matryoshka", prefixes=(0.5, 1))
    assert nested.config(64, 8.0, d_model=128).prefix_sizes == (32, 64)
    assert replace(plan, n_tokens=100).config(64, 8.0, d_model=128).batch_tokens == 100


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"l0": (49.0,)}, r"l0 is 49\.0, expected more than 0 and at most d_sae, 48"),
        ({"l0": ()}, "expected at least one of each"),
        ({"n_tokens": 0}, "tokens is 0"),
        ({"start": {OTHER: random_sae()}}, r"no SAE to begin with at resid_post\.1, only at mlp_out\.0"),
        ({"start": {SITE: top_k_sae()}}, r"is TopK \(top_k 3\), whose features have no thresholds to train"),
        ({"architecture": "batchtopk", "kl_weight": 1.0}, "need architecture jumprelu, not batchtopk"),
        (
            {"architecture": "matryoshka", "thresholds": {"bandwidth": 1.0}},
            "bandwidth: matryoshka trains no thresholds",
        ),
        (
            {"architecture": "matryoshka", "objective": "tanh"},
            "objective tanh needs architecture jumprelu, not matryoshka",
        ),
        ({"architecture": "matryoshka", "kernel": "triton"}, "matryoshka needs one of auto, dense, sparse"),
        (
            {"architecture": "batchtopk", "prefixes": (0.5, 1)},
            "prefixes .* need architecture matryoshka, not batchtopk",
        ),
    ],
)
def test_plans_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(PLAN, **changes)
