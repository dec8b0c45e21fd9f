"""Specs: what they refuse, and that nothing is lost on the way to JSON and back."""

import json

import pytest
from tiny_models import random_sae

from sae.host.sites import Site
from steering.dictionaries import Dictionaries
from steering.directions import Direction, Feature, difference_of_means, random_direction
from steering.interventions import OPERATIONS, UNITS, Intervention, SteeringSpec
from steering.parsing import parse_edit, parse_strength
from steering.positions import read_prompt
from steering.steered_host import SteeredHost

SITE = Site("resid_post", 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("resid_post.1/7:add=2max_act", Intervention(Feature(SITE, 7), "add", 2.0, "max_act")),
        ("resid_post.1/7:add=-.5e1resid@last", Intervention(Feature(SITE, 7), "add", -5.0, "resid", "last")),
        ("resid_post.1/7:clamp=-3", Intervention(Feature(SITE, 7), "clamp", -3.0)),
        ("resid_post.1/7:ablate@span:age", Intervention(Feature(SITE, 7), "ablate", positions="span:age")),
        ("resid_post.1/7:project", Intervention(Feature(SITE, 7), "project", 0.0)),
        ("resid_post.1/7:project=1sigma", Intervention(Feature(SITE, 7), "project", 1.0, "sigma")),
        (" resid_post.1/7:scale=0 ", Intervention(Feature(SITE, 7), "scale", 0.0)),
    ],
)
def test_an_edit_is_read_and_written(text, expected):
    assert parse_edit(text) == expected
    assert parse_edit(str(expected)) == expected


def test_positions_are_the_default_only_where_the_edit_says_none():
    assert parse_edit("resid_post.1/7:ablate", positions="last").positions == "last"
    assert parse_edit("resid_post.1/7:ablate@prompt", positions="last").positions == "prompt"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resid_post.1/7", "is malformed, expected SITE/FEATURE:OP"),
        ("resid_post.1/7:push=2", "is malformed, expected SITE/FEATURE:OP"),
        ("resid_post.1:add=2", "feature 'resid_post.1' is malformed"),
        ("resid_pre.1/7:add=2", "unknown site kind 'resid_pre'"),
        ("resid_post.1/7:add", "add of resid_post.1/7 has the value None, expected one"),
        ("resid_post.1/7:ablate=2", "ablate of resid_post.1/7 has the value 2.0, expected no value"),
        ("resid_post.1/7:add=nan", "strength 'nan' cannot be read, expected a finite number"),
        ("resid_post.1/7:add=inf", "strength 'inf' cannot be read, expected a finite number"),
        ("resid_post.1/7:add=1e999", "add of resid_post.1/7 has the value inf, expected a finite one"),
        ("resid_post.1/7:add=2volts", "strength '2volts' cannot be read"),
        ("resid_post.1/7:scale=2max_act", "scale of resid_post.1/7 has the unit max_act, expected none"),
        ("resid_post.1/7:max=-1", "max of resid_post.1/7 is -1.0, but activations are never below 0"),
        ("resid_post.1/7:add=1@somewhere", "unknown positions 'somewhere', expected one of all, prompt"),
        ("resid_post.1/7:add=1@span:", "unknown positions 'span:'"),
    ],
)
def test_what_cannot_be_is_one_line(text, message):
    with pytest.raises(ValueError, match=message) as refused:
        parse_edit(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each not in ("add", "project")])
def test_a_direction_has_no_activation(operation):
    value = None if operation == "ablate" else 1.0
    with pytest.raises(ValueError, match=f"is a direction and has no activation to {operation}"):
        Intervention(random_direction(SITE, 4), operation, value)


def test_edits_of_one_target_contradict_each_other_unless_they_cannot_meet():
    edits = [
        parse_edit(f"resid_post.1/7:add=1@{positions}") for positions in ("prompt", "generated", "span:a", "span:b")
    ]
    for one, other in [(0, 1), (0, 2), (1, 2), (0, 0)]:
        with pytest.raises(ValueError, match="contradict each other, expected one edit of a target"):
            SteeringSpec((edits[one], edits[other]))
    assert len(SteeringSpec((edits[2], edits[3])).interventions) == 2
    SteeringSpec((edits[0], parse_edit("resid_post.1/8:add=1"), parse_edit("resid_post.0/7:add=1")))


def test_a_spec_goes_to_json_and_back():
    direction = difference_of_means(SITE, "ill minus well", 2 * random_sae().W_dec[:5], random_sae().W_dec[5:9])
    edits = [
        *(parse_edit(f"resid_post.1/{index}:add=0.1{unit}@generated") for index, unit in enumerate(UNITS)),
        parse_edit("embed/3:ablate@span:x y"),
        Intervention(direction, "project", -1.5, "sigma", "last"),
    ]
    spec = SteeringSpec(tuple(edits))
    again = SteeringSpec.from_json(json.loads(json.dumps(spec.to_json(), allow_nan=False)))
    assert again == spec
    assert hash(again) == hash(spec)
    assert SteeringSpec.from_json([]) == SteeringSpec()


@pytest.mark.parametrize(
    "damage",
    [{"value": "much"}, {"operation": None}, {"feature": 1.5}, {"feature": -1}, {"site": 3}, {"unit": "volts"}],
)
def test_a_damaged_record_is_refused(damage):
    [record] = SteeringSpec((parse_edit("resid_post.1/7:add=1"),)).to_json()
    with pytest.raises(ValueError, match=r"expected|exist"):
        SteeringSpec.from_json([record | damage])
    for name in record:
        with pytest.raises(ValueError, match="expected"):
            SteeringSpec.from_json([{key: value for key, value in record.items() if key != name}])


def test_a_sweep_is_of_one_edit_with_a_value():
    one = SteeringSpec((parse_edit("resid_post.1/7:add=1sigma@last"),))
    assert [each.interventions[0].value for each in one.sweep([0.0, -2.0])] == [0.0, -2.0]
    assert {(each.interventions[0].unit, each.interventions[0].positions) for each in one.sweep([3.0])} == {
        ("sigma", "last")
    }
    with pytest.raises(ValueError, match="a sweep is of one edit, got 0"):
        SteeringSpec().sweep([1.0])
    with pytest.raises(ValueError, match="has the value nan, expected a finite one"):
        one.sweep([float("nan")])
    with pytest.raises(ValueError, match=r"ablate of resid_post.1/7 has the value 1.0, expected no value"):
        SteeringSpec((parse_edit("resid_post.1/7:ablate"),)).sweep([1.0])


def test_a_direction_without_length_is_refused():
    with pytest.raises(ValueError, match=r"has the length 0.0, expected a finite one above 0"):
        Direction(SITE, "nothing", (0.0, 0.0))
    assert sum(value**2 for value in random_direction(SITE, 9, length=3.0).vector) == pytest.approx(9)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ("resid_post.9/0:ablate", "model 'tiny' has no site resid_post.9, its last is resid_post.2"),
        ("resid_post.0/0:ablate", "there is no SAE at resid_post.0, expected one of resid_post.1"),
        ("resid_post.1/64:ablate", "feature resid_post.1/64 does not exist, expected a feature from 0 to 63"),
        ("resid_post.1/3:add=1max_act", "is in max_act, which cannot be measured: no SAE there says what text"),
        ("resid_post.1/3:add=1resid", "is in resid, which cannot be measured"),
        ("resid_post.1/3:add=1@span:age", "the prompt has no span 'age', expected one of: none"),
    ],
)
def test_what_a_host_cannot_do_is_one_line(tiny_host, edit, message):
    steered = SteeredHost(tiny_host, Dictionaries(tiny_host, saes={SITE: random_sae(site=SITE)}))
    with pytest.raises(ValueError, match=message) as refused:
        steered.generate([read_prompt(tiny_host, "w1 w2")], [SteeringSpec((parse_edit(edit),))], max_new_tokens=2)
    assert "\n" not in str(refused.value)


def test_directions_must_fit_and_projections_must_be_independent(tiny_host):
    steered = SteeredHost(tiny_host, Dictionaries(tiny_host, saes={SITE: random_sae(site=SITE)}))
    narrow = SteeringSpec((Intervention(random_direction(SITE, 8), "add", 1.0),))
    with pytest.raises(ValueError, match=r"has 8 numbers, but model 'tiny' has d_model 32"):
        steered.dictionaries.prepare([narrow])
    row = tuple((-2 * random_sae().W_dec[5]).tolist())
    along = Intervention(Direction(SITE, "the same, turned round", row), "project", 1.0)
    with pytest.raises(
        ValueError, match=r"contradict each other: their directions at resid_post.1 depend on each other"
    ):
        steered.dictionaries.prepare([SteeringSpec((parse_edit("resid_post.1/5:project"), along))])
    steered.dictionaries.prepare([SteeringSpec((parse_edit("resid_post.1/6:project"), along))])


def test_a_prompt_beyond_the_context_is_one_line(tiny_host):
    steered = SteeredHost(tiny_host, Dictionaries(tiny_host, saes={}))
    with pytest.raises(ValueError, match="the prompt has 65 tokens, but model 'tiny' takes at most 64"):
        read_prompt(tiny_host, " ".join(["w1"] * 64))
    prompt = read_prompt(tiny_host, " ".join(["w1"] * 60))
    with pytest.raises(ValueError, match="the prompt with its continuation has 69 tokens"):
        steered.generate([prompt], [SteeringSpec()], max_new_tokens=8)


def test_a_span_is_every_place_where_its_text_occurs(tiny_host):
    prompt = read_prompt(tiny_host, "w1 w2 w3 w2 w3", spans={"pair": "w2 w3", "one": "w1"})
    assert prompt.spans == {"pair": (2, 3, 4, 5), "one": (1,)}
    with pytest.raises(ValueError, match="span 'gone', 'w9', does not occur in the prompt"):
        read_prompt(tiny_host, "w1 w2", spans={"gone": "w9"})


def test_strengths_without_a_unit_are_raw():
    assert parse_strength("2") == (2.0, "raw")
