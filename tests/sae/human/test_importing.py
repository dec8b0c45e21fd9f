"""Simulated raters: a planted effect is found, a planted null is not, and nothing is said without raters."""

import json
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from click.testing import CliRunner
from rating_cases import BAD, GOOD, answers_file, key_of, made_up_kit, simulated_rater
from rich.console import Console
from scipy.stats import permutation_test

from sae.cli import main
from sae.human.agreement import kappa, ordinal_alpha
from sae.human.answers import read_answers, read_key
from sae.human.comparing import paired_difference
from sae.human.importing import evaluate_answers
from sae.human.items import SHUFFLED
from sae.human.terminal_view import render_human_evaluation

EFFECT = {GOOD: 0.9, BAD: 0.3}
NO_EFFECT = {GOOD: 0.6, BAD: 0.6}


@pytest.fixture(scope="module")
def kit():
    return made_up_kit()


def raters(kit, skill, n=3):
    return [simulated_rater(kit, f"rater {number}", skill, seed=number) for number in range(n)]


@pytest.fixture(scope="module")
def found(kit):
    return evaluate_answers(key_of(kit), raters(kit, EFFECT))


def difference(found, quantity):
    return next(row for row in found.differences if (row.quantity, {row.arm, row.other}) == (quantity, {GOOD, BAD}))


def arm(found, quantity, name):
    return next(row for row in found.arms if (row.quantity, row.arm) == (quantity, name))


def test_a_planted_effect_is_recovered(found):
    for quantity, planted in (("intruder", 0.6 * 4 / 5), ("match", 0.6 * 3 / 4), ("clarity", 1.2)):
        row = difference(found, quantity)
        sign = 1 if row.arm == GOOD else -1
        assert row.p < 0.001
        assert row.n_pairs == 20
        low, high = sorted((sign * row.difference.low, sign * row.difference.high))
        assert low < planted < high
        assert low > 0


def test_a_planted_null_is_not_found(kit):
    for seed in range(3):
        answers = [simulated_rater(kit, str(n), NO_EFFECT, seed=100 * seed + n) for n in range(3)]
        null = evaluate_answers(key_of(kit), answers, seed=seed)
        for quantity in ("intruder", "match", "clarity", "clinical_meaning"):
            row = difference(null, quantity)
            assert row.p > 0.01
            assert row.difference.low < 0.25
            assert row.difference.high > -0.25


def test_nulls_are_at_chance(found):
    for quantity, name in (("intruder", "null"), ("match", "null"), ("match", SHUFFLED)):
        row = arm(found, quantity, name)
        assert row.is_null
        assert row.value.low <= row.chance + 0.02
        assert row.value.high >= row.chance - 0.02
    assert arm(found, "intruder", GOOD).value.low > 0.7


def test_agreement_and_attention(found):
    # two raters agree beyond chance where both know the answer: the square of the skill, averaged over items
    for kind, expected in (("intruder", (0.81 + 0.09) / 3), ("match", (0.81 + 0.09) / 5)):
        assert found.kappa[kind].low < expected < found.kappa[kind].high
    assert all(measurement.low > 0.2 for measurement in found.alpha.values())
    assert [(row.gold, row.consistency) for row in found.raters] == [(1.0, 1.0)] * 3
    assert found.note is None


def test_ratings_follow_the_score_that_they_were_made_from(found):
    for measurement in found.correlations.values():
        assert 0 < measurement.low < measurement.value


def test_raters_at_random_do_not_agree(kit):
    answers = raters(kit, {})
    for number, own in enumerate(answers):
        rng = np.random.default_rng(number)
        for given in own.ratings.values():
            given.update({item: int(rng.integers(1, 6)) for item in given})
    random = evaluate_answers(key_of(kit), answers)
    for measurement in (*random.alpha.values(), *random.kappa.values()):
        assert measurement.low < 0.05 < measurement.high + 0.1


def test_raters_of_one_mind_agree_and_of_one_answer_say_nothing():
    same = [{"a": 1, "b": 2, "c": 5}] * 3
    assert ordinal_alpha(same).value == kappa(same).value == kappa(same[:2]).value == 1.0
    dull = [{"a": 3, "b": 3}] * 2
    assert (ordinal_alpha(dull).value, ordinal_alpha(dull).reason) == (None, "all ratings are alike")
    assert kappa(dull).value is None
    assert ordinal_alpha([{"a": 3}]).value is kappa([{"a": 3}]).value is None
    assert ordinal_alpha([{"a": 3}, {"b": 3}]).value is None


def test_kappa_by_hand():
    # observed 3/4; by chance 1/2 * 1/4 + 1/2 * 3/4 = 1/2
    assert kappa([{"a": 0, "b": 0, "c": 1, "d": 1}, {"a": 0, "b": 1, "c": 1, "d": 1}]).value == pytest.approx(0.5)


def test_the_permutation_test_is_that_of_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.6, 1, 12), rng.normal(0, 1, 12)
    row = paired_difference("x", "a", "b", {"a": dict(enumerate(a)), "b": dict(enumerate(b))}, seed=0)
    exact = permutation_test((a, b), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf)
    assert row.p == pytest.approx(exact.pvalue, abs=0.015)
    assert row.difference.value == pytest.approx((a - b).mean())
    assert paired_difference("x", "a", "c", {"a": {1: 1.0}, "c": {2: 1.0}}, seed=0) is None


def test_few_raters_are_told(kit):
    one = evaluate_answers(key_of(kit), raters(kit, EFFECT, 1))
    assert one.note == "1 rater only, 3 or more are needed"
    assert all(measurement.value is None for measurement in (*one.alpha.values(), *one.kappa.values()))
    console = Console(width=100, file=StringIO())
    console.print(render_human_evaluation(one))
    assert "1 rater only" in console.file.getvalue()
    with pytest.raises(ValueError, match="nothing is computed without raters"):
        evaluate_answers(key_of(kit), [])


@pytest.fixture
def files(kit, tmp_path):
    (tmp_path / "key.json").write_bytes(kit.key_text().encode())
    key = read_key(tmp_path / "key.json")
    assert key == key_of(kit)
    for own in raters(kit, EFFECT):
        (tmp_path / f"{own.rater}.json").write_text(answers_file(own, key.sha256), encoding="utf-8")
    return tmp_path


def test_the_command(files):
    answers = [str(files / f"rater {number}.json") for number in range(3)]
    run = CliRunner().invoke(
        main, ["human", "import", str(files / "key.json"), *answers, "--out", str(files / "out"), "--json"]
    )
    assert run.exit_code == 0, run.stderr
    assert json.loads(run.stdout)["n_raters"] == 3
    assert json.loads((files / "out" / "report.json").read_text("utf-8"))["alpha"]["clarity"]["n"] == 60
    run = CliRunner().invoke(main, ["human", "import", str(files / "key.json"), "--out", str(files / "none")])
    assert (run.exit_code, run.stdout, run.stderr.count("\n")) == (1, "", 1)
    assert "nothing is computed without raters" in run.stderr
    assert not (files / "none").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key_sha256": "ff"}, "belong to another key"),
        ({"answers": {}}, "are empty, expected at least one answer; nothing is computed"),
        ({"answers": {"nothing": {"choice": 1}}}, "item 'nothing', which the key does not know"),
        ({"answers": None}, "no rater or no answers"),
        ({"rater": " "}, "no rater or no answers"),
        ({"rater": "rater 1"}, "several files are of rater 'rater 1'"),
    ],
)
def test_answers_that_do_not_fit(files, change, message):
    path = files / "rater 0.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | change), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_answers([path, files / "rater 1.json"], read_key(files / "key.json"))


@pytest.mark.parametrize("choice", [7, -1, "2", True, None])
def test_a_choice_that_was_not_on_offer(files, choice):
    path = files / "rater 0.json"
    record = json.loads(path.read_text("utf-8"))
    item = next(item for item, answer in record["answers"].items() if "choice" in answer)
    record["answers"][item] = {"choice": choice}
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ValueError, match="expected a whole number from 0"):
        read_answers([path], read_key(files / "key.json"))


def test_a_key_that_is_none(files):
    (files / "broken.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"key .* is damaged"):
        read_key(files / "broken.json")
    with pytest.raises(ValueError, match="cannot be read"):
        read_key(files / "none.json")
    (files / "broken.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="is not valid JSON"):
        read_key(files / "broken.json")


def test_repeats_that_differ_lower_consistency(kit):
    key = key_of(kit)
    own = raters(kit, EFFECT, 1)[0]
    for item, choice in own.choices.items():
        entry = key.items[item]
        if entry.repeat_of is not None:
            own.choices[item] = (choice + 1) % 4
    changed = evaluate_answers(replace(key), [own])
    assert changed.raters[0].consistency < 1
    assert changed.raters[0].gold == 1.0
