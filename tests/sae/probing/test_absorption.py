"""A parent's feature with a hole where one child is, whose own feature fills it."""

import json
import random
from io import StringIO

import numpy as np
import pytest
from click.testing import CliRunner
from labelled_cases import PLAIN, embedding_sae, told
from rich.console import Console
from tiny_models import save_tiny_llama

from sae.cli import main
from sae.host.host import HostModel
from sae.probing.absorption import measure_absorption
from sae.probing.hierarchy import Group, groups_of, matched_groups, shuffled_groups
from sae.probing.main_features import main_features
from sae.probing.terminal_view import render_absorption

INFECTIONS, OTHERS = ("w1", "w2", "w3", "w4"), ("w11", "w12", "w13", "w14", "w15")
PARENTS = {**dict.fromkeys(INFECTIONS, ("infection",)), **dict.fromkeys(OTHERS, ("other",))}
WHOLE = [[*INFECTIONS], ["w20"]]
HOLED = [["w1", "w2", "w3"], ["w4"]]
"""w4 is rare, so that a probe of feature 0 alone does almost as well as one of both."""


def documents(n=1600, seed=0):
    rng = random.Random(seed)
    words = [word for word in PLAIN if word not in PARENTS]
    meanings = {word: word for word in PARENTS}
    found = []
    for _ in range(n):
        text = [
            *rng.choices(list(PARENTS), [0.1 if word == "w4" else 1.0 for word in PARENTS], k=2),
            *rng.choices(words, k=4),
        ]
        rng.shuffle(text)
        found.append(told(text, meanings))
    return found


def pairs_of(arm):
    return {pair.child: pair for pair in arm.pairs if pair.parent == "infection"}


def test_the_child_in_the_hole_is_absorbed_and_no_other(tiny_host):
    sae = embedding_sae(tiny_host, HOLED)
    found = measure_absorption(tiny_host, sae, documents(), PARENTS)
    pairs = pairs_of(found.hierarchy)
    assert set(pairs) == set(INFECTIONS)
    for child, pair in pairs.items():
        assert pair.main_features[0] == 0
        assert pair.silent == (child == "w4")
        assert pair.absorbed <= pair.silent
    assert pairs["w4"].silent_on_siblings == 0.0
    assert pairs["w4"].absorbed == 1.0
    assert pairs["w4"].absorbing_feature == 1


def test_a_feature_without_a_hole_is_not_absorbed(tiny_host):
    found = measure_absorption(tiny_host, embedding_sae(tiny_host, WHOLE), documents(), PARENTS)
    assert all(pair.silent == pair.absorbed == 0 for pair in pairs_of(found.hierarchy).values())


def test_the_controls_are_measured_and_shown(tiny_host):
    found = measure_absorption(tiny_host, embedding_sae(tiny_host, HOLED), documents(), PARENTS)
    assert found.shuffled.n_groups == found.hierarchy.n_groups == 2
    assert found.shuffled.silent.value > 0.2
    console = Console(width=80, file=StringIO())
    console.print(render_absorption(found))
    text = console.file.getvalue()
    assert all(expected in text for expected in ("hierarchy", "matched", "shuffled", "infection", "w4"))


def test_groups_are_all_levels_once():
    parents = {
        **dict.fromkeys(("dx:flu", "dx:mono"), ("viral",)), "dx:boil": ("bacterial",),
        **dict.fromkeys(("viral", "bacterial"), ("infection",)),
        **dict.fromkeys(("dx:gout", "dx:stroke"), ("other",)), "rx:a": ("drug",),
    }  # fmt: skip
    found = groups_of(parents, ["dx:flu", "dx:mono", "dx:boil", "dx:gout", "dx:stroke", "rx:a"])
    assert [(group.parent, len(group.children), len(group.others)) for group in found] == [
        ("infection", 3, 2), ("other", 2, 3), ("viral", 2, 3),
    ]  # fmt: skip


def test_matched_groups_take_equally_frequent_children_of_several_parents():
    groups = [
        Group("p", ("a", "b"), ("c", "d", "e", "f")),
        Group("q", ("c", "d"), ("a", "b", "e", "f")),
        Group("r", ("e", "f"), ("a", "b", "c", "d")),
    ]
    counts = {"a": 10, "b": 50, "c": 11, "d": 49, "e": 30, "f": 40}
    [first, *_] = matched_groups(groups, counts)
    # c is nearest to a; then r is preferred to q for b, though d would be nearer
    assert first == Group("p", ("c", "f"), ("a", "b", "d", "e"))


def test_shuffled_groups_keep_sizes():
    [group] = shuffled_groups([Group("p", ("a", "b"), ("c", "d", "e"))], np.random.default_rng(0))
    assert (len(group.children), len(group.others)) == (2, 3)
    assert sorted((*group.children, *group.others)) == list("abcde")


def test_main_features_are_those_that_help():
    rng = np.random.default_rng(0)
    y = rng.random(400) < 0.4
    half = rng.random(400) < 0.5
    x = 0.1 * rng.random((400, 6))
    x[:, 4] += y & half
    x[:, 2] += 0.9 * (y & ~half)
    parts = [x[:200], x[200:]], [y[:200], y[200:]]
    assert set(main_features(*parts)) == {2, 4}


@pytest.mark.parametrize(
    ("parents", "message"),
    [({"nothing": ("x",)}, "no concept of the ontology is told"), ({"w1": ("x",)}, "no parent has two children")],
)
def test_an_ontology_that_does_not_fit(tiny_host, parents, message):
    with pytest.raises(ValueError, match=message):
        measure_absorption(tiny_host, embedding_sae(tiny_host, HOLED), documents(60), parents)


def test_the_command(tmp_path):
    save_tiny_llama(tmp_path / "host")
    embedding_sae(HostModel.load(str(tmp_path / "host")), HOLED).save(tmp_path / "sae")
    lines = [
        json.dumps({"text": each.text, "concepts": [vars(span) for span in each.concepts]}) for each in documents()
    ]
    (tmp_path / "labels.jsonl").write_text("\n".join(lines), encoding="utf-8")
    rows = [f"{child}\t{parent}" for child, (parent,) in PARENTS.items()]
    (tmp_path / "ontology.tsv").write_text("\n".join(rows), encoding="utf-8")

    def run(*args):
        base = ["probe", str(tmp_path / "sae"), "--model", str(tmp_path / "host"), "--labels"]
        out = ["--out", str(tmp_path / "out"), "--force", "--json"]
        return CliRunner().invoke(main, [*base, str(tmp_path / "labels.jsonl"), *out, *args])

    absorbed = run("--absorption", "--ontology", str(tmp_path / "ontology.tsv"))
    assert absorbed.exit_code == 0, absorbed.stderr
    assert json.loads(absorbed.stdout)["hierarchy"]["pairs"][0]["child"] == "w4"
    assert "needs --ontology" in run("--absorption").stderr
    assert run("--ontology", "x").exit_code == 2
    # the dictionary has two features, a probe asks for up to twenty
    assert "expected from 1 to the 2 features" in run("--targets", "w4").stderr
