"""Sweeps of a model in which it is known what moves the target and what does not."""

import json
from dataclasses import replace
from io import StringIO

import pytest
import torch
from planted_steering import NULL, PLANTED, SITE, TARGET, TARGET_ID, planted_model, texts
from rich.console import Console

from steering.directions import Feature
from steering.interventions import Intervention, SteeringSpec
from steering.side_effects import divergence
from steering.sweep.figure import draw_sweep
from steering.sweep.settings import SweepSettings
from steering.sweep.sweeping import run_sweep
from steering.sweep.table import sweep_table

STRENGTHS = (0.0, 0.5, 1.0, 2.0, 4.0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts(60, 24, seed=7)))
    return str(path)


@pytest.fixture(scope="module")
def steered(corpus):
    return planted_model(corpus)


def settings(feature: int = PLANTED, **options):
    edit = Intervention(Feature(SITE, feature), "add", 0.0, "resid", "last")
    sizes = {"n_prompts": 16, "n_texts": 6, "n_tokens": 5, "n_examples": 40, "max_new_tokens": 8}
    return SweepSettings(edit, TARGET, **{"strengths": STRENGTHS, "methods": (), **sizes, **options})


def swept(steered, corpus, asked):
    return run_sweep(
        steered, asked, prompts=texts(30, 6, seed=1), examples=texts(200, 6, seed=2), domains={"words": corpus}
    )


@pytest.fixture(scope="module")
def planted(steered, corpus):
    return swept(steered, corpus, settings(methods=("logit bias", "random direction", "random feature")))


def test_a_planted_effect_is_found(planted):
    [first, *_] = planted.methods
    rates = first.of_prompts["is_top"].mean(1)
    assert rates[0] == 0
    assert rates[-1] == 1
    row = planted.rows()[len(STRENGTHS) - 1]
    assert row["target_rate"] == 1
    assert row["target_logit"] > planted.rows()[0]["target_logit"] + 3
    assert planted.comparison.methods[0].effects["target_rate"].value >= 0.9
    assert planted.comparison.level.value > 0


def test_a_direction_that_does_nothing_is_not_taken_for_an_effect(steered, corpus):
    found = swept(steered, corpus, settings(NULL, methods=("logit bias",)))
    assert found.methods[0].of_prompts["is_top"].eq(0).all()
    assert found.to_json()["chosen"]["strength"] == 0.0
    assert all("no usable strength" in each.reason for each in found.comparison.methods)
    assert all(each.effects["target_rate"].value is None for each in found.comparison.methods)


def test_random_baselines_find_nothing(planted):
    for method in planted.methods[2:]:
        assert method.of_prompts["is_top"][: len(STRENGTHS)].mean() < 0.2


def test_strength_0_changes_nothing_in_any_method(planted):
    for method in planted.methods:
        assert method.of_prompts["divergence_of_others"][0].eq(0).all()
        assert method.of_texts["divergence"][0].eq(0).all()
        assert method.of_texts["delta_ce"][0].eq(0).all()
        assert method.of_texts["agrees"][0].eq(1).all()
        assert method.of_prompts["breaks_off"][0].eq(0).all()
    first = planted.rows()[0]
    assert first["norm_ratio"] == 0
    assert first["perplexity_ratio"] == 1


def test_a_batch_of_strengths_gives_what_each_gives_by_itself(steered, planted):
    """The slow way: one prompt, one text, one strength at a time."""
    asked, [first, *_] = planted.asked, planted.methods
    edit, nothing = planted.settings.edit, [torch.zeros(0, dtype=torch.long)]
    for index, strength in ((1, 0.5), (3, 2.0)):
        spec = SteeringSpec((edit.with_value(strength),))
        for row in (0, 7):
            logits = steered.forward([asked.prompts[row]], [spec], nothing).logits[0, -1].double()
            odds = logits.log_softmax(-1)[TARGET_ID]
            assert first.of_prompts["log_odds"][index, row].item() == pytest.approx(
                float(odds - torch.log1p(-odds.exp())), abs=1e-4
            )
            written = steered.generate([asked.prompts[row]], [spec], max_new_tokens=8)[0].text
            assert first.texts[index][row] == written
        for row in (0, 5):
            text = planted.unrelated[row]
            after, before = (
                steered.forward([text.prompt], [each], [text.continuation]).logits[0, -6:-1]
                for each in (spec, SteeringSpec())
            )
            expected = float(divergence(after, before).mean())
            assert first.of_texts["divergence"][index, row].item() == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_reported_prompts_are_not_those_that_choose(planted):
    asked = planted.asked
    assert asked.chooses.sum() == planted.reports.sum() == 8
    [first, *_] = planted.methods
    row = planted.rows()[2]
    assert row["target_logit"] == pytest.approx(first.of_prompts["log_odds"][2, ~asked.chooses].mean().item())
    assert all(answer != TARGET_ID for answer in asked.answer_ids)


def test_rows_have_the_keys_of_a_generation(planted):
    record = json.loads(json.dumps(planted.to_json(), allow_nan=False))
    keys = {"strength", "unit", "norm_ratio", "target_rate", "target_logit", "kl_off_target", "delta_ce", "repetition"}
    assert all(keys <= row.keys() for row in record["rows"])
    assert [row["strength"] for row in record["rows"][: len(STRENGTHS)]] == list(STRENGTHS)
    low, high = record["rows"][1]["intervals"]["kl_off_target"]
    assert low <= record["rows"][1]["kl_off_target"] <= high


def test_a_sweep_is_drawn_and_printed(planted, tmp_path):
    record = planted.to_json()
    draw_sweep(record, tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    console = Console(width=80, file=StringIO())
    console.print(sweep_table(record))
    text = console.file.getvalue()
    assert "…" not in text
    assert "chosen: " in text
    assert "random direction" in text


def test_learned_directions_need_examples_of_both_kinds(steered, corpus):
    with pytest.raises(ValueError, match=r"difference of means needs prompts that the model answers with the target"):
        swept(steered, corpus, settings(methods=("difference of means",), n_examples=2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strengths": (0.0, float("inf"))}, "strength inf is not finite"),
        ({"strengths": (-1.0, 1.0)}, "of both signs"),
        ({"strengths": (0.0,)}, "hold none but 0"),
    ],
)
def test_strengths_that_cannot_be_swept_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        settings(**options)


def test_edits_that_cannot_be_swept_are_refused():
    edit = settings().edit
    with pytest.raises(ValueError, match="scale has no strength to sweep"):
        replace(settings(), edit=Intervention(edit.target, "scale", 2.0))
    with pytest.raises(ValueError, match="has no span 'span:x'"):
        replace(settings(), edit=replace(edit, positions="span:x"))


@pytest.mark.parametrize(
    ("target", "message"),
    [("w7 w8", r"target 'w7 w8' has 2 tokens \('w7', 'w8'\), expected one"), (" ", "target ' ' has 0 tokens")],
)
def test_a_target_of_several_tokens_is_refused(steered, corpus, target, message):
    with pytest.raises(ValueError, match=message):
        swept(steered, corpus, replace(settings(), target=target))


def test_too_few_prompts_and_texts_are_refused(steered, corpus):
    with pytest.raises(ValueError, match="there are 0 prompts that the model does not answer with 'w7' anyway"):
        run_sweep(steered, settings(), prompts=[], examples=[], domains={"words": corpus})
    with pytest.raises(ValueError, match=r"has \d+ documents of more than 23 tokens"):
        swept(steered, corpus, settings(n_tokens=23))
