"""Training: finds a known dictionary, honours the wanted L0, repeats itself, and says when it cannot."""

import json
from dataclasses import replace

import pytest
import torch
from training_cases import SITES, batch_topk, jump_relu, small_source, sparse_data

from sae.activations.token_draw import TokenDraw
from sae.dictionary.autoencoder import SAE
from sae.host.sites import Site
from sae.training import memory
from sae.training.config import BatchTopKConfig, JumpReLUConfig
from sae.training.memory_source import MemorySource
from sae.training.sae_trainer import TrainingGoal
from sae.training.trainer import train, train_sae

SITE = Site("resid_post", 1)
LONG = {"d_sae": 64, "steps": 400, "batch_tokens": 256}
CONFIGS = {
    "batchtopk": BatchTopKConfig(k=2, **LONG),
    "step": JumpReLUConfig(l0=2, **LONG),
    "quadratic": JumpReLUConfig(l0=2, objective="quadratic", **LONG),
    "tanh": JumpReLUConfig(l0=2, objective="tanh", **LONG),
}


@pytest.fixture(scope="module", params=list(CONFIGS))
def recovered(request):
    x, directions = sparse_data(20_000)
    trained = train_sae(x[2_000:].half(), None, CONFIGS[request.param], held_out=x[:2_000].half(), site=SITE)
    return *trained, x[:2_000], directions


def test_a_known_dictionary_is_recovered(recovered):
    sae, _, _, directions = recovered

    best_cosine = (directions @ sae.W_dec.T).max(dim=1).values

    assert best_cosine.mean() > 0.9


def test_the_trained_sae_reconstructs_in_the_units_of_the_host(recovered):
    sae, record, x, _ = recovered
    x_hat = sae.decode(sae.encode(x))

    explained = 1 - (x - x_hat).square().sum() / (x - x.mean(0)).square().sum()

    assert explained > 0.9
    assert record.metrics[-1].fvu < 0.1


def test_the_mean_l0_of_held_out_tokens_is_the_wanted_one(recovered):
    sae, record, x, _ = recovered

    l0 = (sae.encode(x.half()) > 0).sum(1).float().mean()

    assert l0.item() == pytest.approx(2.0, abs=0.01)
    assert record.metrics[-1].l0 == pytest.approx(2.0, rel=0.1)
    assert sae.threshold.median().item() == pytest.approx(record.threshold)


def test_decoder_rows_are_unit(recovered):
    sae, *_ = recovered

    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(64))


def test_the_record_is_saved_with_the_sae(recovered, tmp_path):
    sae, record, *_ = recovered
    sae.save(tmp_path)

    loaded = SAE.load(tmp_path)

    assert loaded.site == SITE
    saved = loaded.metadata["domain_circuits"]["training"]
    assert saved == record.to_json()
    assert (saved["architecture"], saved.get("k", saved.get("l0"))) == (record.config.architecture, 2)


def test_the_controller_leaves_little_to_calibrate():
    x, _ = sparse_data(10_000)

    _, record = train_sae(x[2_000:], None, CONFIGS["step"], held_out=x[:2_000], site=SITE)

    assert record.calibration["threshold_factor"] == pytest.approx(1, abs=0.1)
    assert record.metrics[-1].thresholds.moved > 0.05


@pytest.mark.parametrize("config", [batch_topk(), jump_relu()])
def test_the_same_seed_trains_the_same_sae_and_another_does_not(config):
    x, _ = sparse_data(2_000, d_model=12)
    hashes = [train_sae(x, None, replace(config, seed=s), held_out=x, site=SITE)[0].content_hash for s in (0, 0, 1)]

    assert hashes[0] == hashes[1] != hashes[2]


def test_tokens_of_weight_zero_are_not_learned():
    x, directions = sparse_data(4_000, n_features=2, mean_active=1.0)
    has_second = ((x - 7.0) @ directions[1] - (x - 7.0) @ directions[0] * (directions[0] @ directions[1])) > 1
    weights = (~has_second).float()

    config = BatchTopKConfig(d_sae=64, k=1, steps=150, batch_tokens=256, warmup_steps=10)
    sae, record = train_sae(x, weights, config, held_out=x, site=SITE)

    assert (sae.W_dec @ directions[0]).max() > 0.95
    assert record.n_tokens == 150 * 256


def test_several_dictionaries_learn_from_one_pass(tmp_path):
    goals = [
        TrainingGoal("narrow", SITES[0], jump_relu()),
        TrainingGoal("wide", SITES[0], jump_relu(d_sae=40, l0=3)),
        TrainingGoal("later", SITES[1], batch_topk()),
    ]

    trained = train(small_source(), goals, directory=tmp_path)

    assert {name: (t.sae.d_sae, t.sae.site) for name, t in trained.items()} == {
        "narrow": (24, SITES[0]), "wide": (40, SITES[0]), "later": (24, SITES[1]),
    }  # fmt: skip
    alone = train(small_source(), goals[1:2])["wide"]
    assert alone.sae.content_hash == trained["wide"].sae.content_hash
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["sae"]) for line in lines[:4]] == [
        (10, "narrow"), (10, "wide"), (10, "later"), (20, "narrow"),
    ]  # fmt: skip


def test_training_can_begin_with_a_finished_dictionary():
    x, _ = sparse_data(6_000, d_model=16)
    config = JumpReLUConfig(l0=2, d_sae=32, steps=300, batch_tokens=256)
    first, _ = train_sae(x[1000:], None, config, held_out=x[:1000], site=SITE)
    source = MemorySource({SITE: x[1000:]}, {SITE: x[:1000]})
    short = replace(config, steps=1, learning_rate=1e-9, threshold_learning_rate=1e-9)

    again = train(source, [TrainingGoal("again", SITE, short, start=first)])["again"]

    # a feature of a token at its threshold may fall on either side of it
    assert (again.sae.encode(x) - first.encode(x)).abs().mean() < 1e-3
    assert again.record.calibration["threshold_factor"] == pytest.approx(1, abs=0.05)


def test_metrics_come_every_so_often_and_at_the_end():
    x, _ = sparse_data(1_000)

    _, record = train_sae(x, None, batch_topk(steps=45, log_every=20), held_out=x, site=SITE)

    assert [entry.step for entry in record.metrics] == [20, 40, 45]
    assert [entry.tokens for entry in record.metrics] == [20 * 64, 40 * 64, 45 * 64]
    assert 0 <= record.dead_share <= 1


def test_constant_activations_are_refused():
    with pytest.raises(ValueError, match=r"activations at resid_post\.1 have spread 0\.0"):
        train_sae(torch.full((100, 8), 2.0), None, batch_topk(), held_out=torch.ones(10, 8), site=SITE)


@pytest.mark.parametrize("config", [batch_topk(learning_rate=1e30), jump_relu(learning_rate=1e30)])
def test_divergence_is_reported_with_the_learning_rate(config):
    x, _ = sparse_data(1_000)

    with pytest.raises(ValueError, match=r"diverged: fvu is .* lower learning_rate, now 1e\+30"):
        train_sae(x, None, config, held_out=x, site=SITE)


def test_activations_that_are_not_finite_are_named_and_the_checkpoint_survives(tmp_path):
    source = small_source()
    draws = iter(range(100))

    class Overflowing(type(source)):
        def draw(self, n):
            draw = super().draw(n)
            if next(draws) == 25:
                draw.activations[SITES[1]][3, 4] = float("inf")
            return TokenDraw(draw.activations)

    source.__class__ = Overflowing
    goals = [TrainingGoal("one", SITES[1], jump_relu())]

    with pytest.raises(ValueError, match=r"activations at resid_post\.1 are not finite at step 26"):
        train(source, goals, directory=tmp_path, checkpoint_every=10)

    resumed = train(small_source(), goals, directory=tmp_path, resume=True)
    assert resumed["one"].sae.content_hash == train(small_source(), goals)["one"].sae.content_hash


def test_a_run_that_fails_before_its_first_checkpoint_leaves_nothing_behind(tmp_path):
    source = small_source()
    source.draw = lambda n: TokenDraw({site: torch.empty(0, 12) for site in SITES})

    with pytest.raises(ValueError, match="no more tokens at step 1 of 40"):
        train(source, [TrainingGoal("one", SITES[0], jump_relu())], directory=tmp_path / "run")

    assert not (tmp_path / "run").exists()


def test_a_width_that_memory_cannot_hold_is_refused_before_allocation(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda device: 3 * 2**30)
    goal = TrainingGoal("huge", SITES[0], jump_relu(d_sae=20_000_000))

    with pytest.raises(ValueError, match=r"d_sae 20000000 at d_model 12 needs 22\.\d GiB .* 3\.0 GiB are available"):
        train(small_source(), [goal])


@pytest.mark.parametrize(
    ("goals", "message"),
    [
        ([], "expected at least one and different names"),
        ([TrainingGoal("a", SITES[0], jump_relu()), TrainingGoal("a", SITES[1], jump_relu())], "different names"),
        ([TrainingGoal("a", SITES[0], jump_relu()), TrainingGoal("b", SITES[1], jump_relu(steps=9))], "share them"),
        ([TrainingGoal("a", Site("embed", None), jump_relu())], r"no activations at embed, only at resid_post\.0"),
    ],
)
def test_goals_that_do_not_fit_are_refused(goals, message):
    with pytest.raises(ValueError, match=message):
        train(small_source(), goals)


def test_an_sae_of_another_width_is_refused():
    x, _ = sparse_data(1_000, d_model=16)
    start, _ = train_sae(x, None, batch_topk(), held_out=x, site=SITE)

    with pytest.raises(ValueError, match="begin with has d_sae 24 and d_model 16, expected 24 and 12"):
        train(small_source(), [TrainingGoal("a", SITES[0], jump_relu(), start=start)])


def test_a_topk_sae_to_begin_with_is_refused():
    rows = torch.eye(24, 12)
    start = SAE(
        encoder_rows=rows, b_enc=torch.zeros(24), decoder_rows=rows, b_dec=torch.zeros(12), threshold=torch.zeros(24),
        top_k=3, site=SITES[0],
    )  # fmt: skip

    with pytest.raises(ValueError, match=r"SAE at resid_post\.0 is TopK \(top_k 3\), .*; begin with a JumpReLU SAE"):
        train(small_source(), [TrainingGoal("a", SITES[0], jump_relu(), start=start)])


def test_a_negative_threshold_to_begin_with_is_refused():
    rows = torch.eye(24, 12)
    threshold = torch.zeros(24)
    threshold[7] = -0.5

    with pytest.raises(ValueError, match="threshold has negative or non-finite entries, expected every entry >= 0"):
        SAE(encoder_rows=rows, b_enc=torch.zeros(24), decoder_rows=rows, b_dec=torch.zeros(12), threshold=threshold)


def test_a_gpu_holds_bfloat16_copies_too():
    goal = TrainingGoal("x", SITES[0], jump_relu())

    on_cpu, on_gpu = (memory.needed_bytes(goal, 12, torch.device(kind)) for kind in ("cpu", "cuda"))

    assert on_cpu == 16 * (2 * 24 * 12 + 2 * 24 + 12)
    assert on_gpu - on_cpu == 2 * 2 * 24 * 12


def test_the_threshold_of_a_dead_feature_falls_and_it_comes_back_to_life():
    source = small_source()
    start = train(source, [TrainingGoal("a", SITES[0], jump_relu(steps=150))])["a"].sae
    threshold = start.threshold.clone()
    threshold[:12] = 20 * threshold.max()
    config = jump_relu(steps=400, pre_act_coefficient=0.0, dead_after_tokens=200, initial_threshold=0.0)

    goal = TrainingGoal("b", SITES[0], config, start=start.with_threshold(threshold))
    trained = train(small_source(), [goal])["b"]

    first = trained.record.metrics[0]
    assert first.dead_share >= 0.5
    assert trained.record.metrics[-1].dead_share < first.dead_share / 2


def test_l0_is_controlled_on_tokens_as_they_come():
    x, _ = sparse_data(6_000)
    # tokens with much in them are drawn ten times as often, and have more active features
    weights = torch.where((x - 7.0).norm(dim=1) > (x - 7.0).norm(dim=1).median(), 10.0, 1.0)

    _, record = train_sae(x, weights, CONFIGS["step"], held_out=x[::2], site=SITE)

    assert record.calibration["threshold_factor"] == pytest.approx(1, abs=0.1)
    assert record.metrics[-1].l0 > 2.3
