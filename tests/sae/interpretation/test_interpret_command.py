"""`sae interpret` on a small model and a corpus of its own words."""

import json
import random

import pytest
from click.testing import CliRunner
from judge_server import judge_server, said
from tiny_models import random_sae, save_tiny_llama

from sae.cli import main
from sae.host.sites import Site


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model, a dictionary whose features fire on a few words each, and a corpus file."""
    root = tmp_path_factory.mktemp("model")
    save_tiny_llama(root / "host")
    dictionary = random_sae(site=Site("resid_post", 1))
    dictionary.with_threshold(dictionary.threshold + 1.6).save(root / "sae")
    rng = random.Random(0)
    texts = [" ".join(f"w{rng.randrange(44)}" for _ in range(12)) for _ in range(600)]
    (root / "corpus.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    rows = "".join(f"c{number}\tword {number}\tw{number}\t\n" for number in range(44))
    (root / "words.tsv").write_text("concept_id\tname\tsynonyms\tparents\n" + rows, encoding="utf-8")
    return root


@pytest.fixture
def run(model, tmp_path):
    def run(*args):
        given = [str(model / "sae"), "--model", str(model / "host"), "--corpus", str(model / "corpus.jsonl")]
        small = ["--tokens", "7000", "--features", "8", "--examples", "10", "--window", "6"]
        where = [] if "--out" in args else ["--out", str(tmp_path / "out")]
        null = [] if "--random-null" in args else ["--no-random-null"]
        return CliRunner().invoke(main, ["interpret", *given, *small, *where, *null, *args])

    return run


def test_the_record_is_printed_and_written(run, tmp_path):
    result = run("--json")
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)

    assert json.loads((tmp_path / "out" / "interpretation.json").read_text(encoding="utf-8")) == printed
    assert printed["command"] == "sae interpret"
    assert {"schema_version", "config", "seed", "versions", "model", "saes", "seconds", "judge"} <= printed.keys()
    assert printed["coverage"]["features"] == len(printed["features"]) == 8
    assert printed["coverage"]["scored"] >= 4
    assert (printed["text"]["generates"], printed["text"]["concepts"]) == (False, None)
    names = [row["name"] for row in printed["rows"]]
    assert {"lexical_f1", "embedding_auroc", "detection_balanced_accuracy", "intruder_accuracy"} <= set(names)
    assert "sensitivity" not in names  # a file gives the same text again
    assert "ontology_f1" not in names  # and does not say its concepts
    for row in printed["rows"]:
        assert row["trivial"] is not None
        assert row["shuffled"]["value"] is not None


def test_random_directions_are_scored_alike(run):
    result = run("--json", "--random-null", "--scorers", "lexical,embedding,detection")
    assert result.exit_code == 0, result.stderr
    for row in json.loads(result.stdout)["rows"]:
        assert row["random"]["n"] >= 4
        assert row["random"]["low"] <= row["random"]["value"] <= row["random"]["high"]


def test_the_table_is_printed_and_stays_within_its_width(run):
    result = run()
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert "of 8 features scored" in lines[0]
    assert any("lexical_f1" in line for line in lines)
    assert max(map(len, lines)) <= 112


def test_an_ontology_gives_concepts(run, model):
    result = run("--json", "--ontology", str(model / "words.tsv"), "--explainer", "ontology", "--scorers", "ontology")
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    assert printed["text"]["concepts"] == 44
    assert [row["name"].partition("_")[0] for row in printed["rows"]] == ["ontology"] * len(printed["rows"])
    said_of = [each["explanations"]["ontology"] for each in printed["features"] if "ontology" in each["explanations"]]
    assert said_of
    assert all(text.startswith('mentions of "word ') for text in said_of)


def test_a_judge_is_asked_once_priced_before_and_replayed_after(run, tmp_path):
    few = ["--scorers", "detection", "--features", "3", "--tokens", "4000", "--no-calibrate"]
    cache = ["--judge-cache", str(tmp_path / "judge.sqlite"), *few]
    with judge_server(lambda *_: said("yes")) as server:
        spec = ["--judge", f"openai:m@{server.url}", *cache]
        before = json.loads(run(*spec, "--dry-run", "--json", "--price-in", "1", "--price-out", "2").stdout)["cost"]
        assert server.bodies == []
        first = run(*spec, "--json", "--out", str(tmp_path / "first"))
        assert first.exit_code == 0, first.stderr
        assert len(server.bodies) == before["n_requests"] > 0
        run(*spec, "--json", "--out", str(tmp_path / "second"))
        assert len(server.bodies) == before["n_requests"]
        after = json.loads(run(*spec, "--dry-run", "--json").stdout)["cost"]
    answers = str(tmp_path / "first" / "judgements.jsonl")
    replayed = run("--judge", f"replay:{answers}", *few, "--json", "--out", str(tmp_path / "third"))

    assert before["price"] > 0
    assert (after["n_known"], after["input_tokens"], after["price"]) == (before["n_requests"], 0, None)
    rows = [json.loads(result.stdout)["rows"] for result in (first, replayed)]
    assert rows[0] == rows[1]
    assert next(row for row in rows[0] if row["name"] == "detection_balanced_accuracy")["value"]["value"] == 0.5


def test_the_judge_is_calibrated_beside_its_scores(run):
    few = ["--scorers", "lexical,detection,intruder"]
    result = run("--json", *few)
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    accuracy = {scorer: score["accuracy"] for scorer, score in printed["calibration"].items()}
    assert set(accuracy) == {"detection", "intruder"}
    for row in printed["rows"]:
        assert row["judge_accuracy"] == accuracy.get(row["name"].partition("_")[0])
    assert accuracy["detection"]["low"] > 0.6  # of the lexical judge
    assert {each["free"] for each in printed["agreement"]} == {"lexical_balanced_accuracy"}
    assert printed["second_judge"] is None
    assert json.loads(run("--json", "--no-calibrate", "--force", *few).stdout)["calibration"] == {}


def test_two_judges_are_asked_the_same(run, tmp_path):
    few = ["--scorers", "detection", "--both-orders"]
    result = run("--json", "--judge", "scripted:coin", "--second-judge", "scripted:coin", *few)
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    second = printed["second_judge"]
    assert second["kappa"]["detection"]["value"] == 1.0
    assert second["calibration"] == printed["calibration"]
    own = [{**row, "random": None} for row in printed["rows"]]
    assert second["rows"] == own
    answers = [
        (tmp_path / "out" / name).read_text(encoding="utf-8")
        for name in ("judgements.jsonl", "second_judgements.jsonl")
    ]
    assert answers[0] == answers[1] != ""


def test_a_judge_that_takes_what_is_listed_first_is_averaged_out(run, tmp_path):
    few = ["--scorers", "detection", "--no-calibrate", "--json", "--judge", "scripted:first"]
    runs = [run(*few, "--out", str(tmp_path / "one")), run(*few, "--both-orders", "--out", str(tmp_path / "two"))]
    one, both = ({row["name"]: row for row in json.loads(result.stdout)["rows"]} for result in runs)
    for found, f1 in ((one, 2 / 3), (both, 0.5)):
        assert found["detection_balanced_accuracy"]["value"]["value"] == 0.5
        assert found["detection_f1"]["value"]["value"] == pytest.approx(f1)


def test_a_local_judge_is_asked(run, tmp_path):
    """The tiny host knows numbers of words only, the bundled one can say yes and no."""
    few = ["--scorers", "detection", "--features", "2", "--tokens", "3000", "--no-calibrate", "--json"]
    cache = ["--judge-cache", str(tmp_path / "judge.sqlite")]
    result = run("--judge", "hf:clinic", *cache, *few)
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    assert (printed["judge"], printed["failures"]) == ("hf:clinic", {})
    assert "detection_auroc" in {row["name"] for row in printed["rows"]}
    costs = json.loads(run("--dry-run", "--second-judge", "hf:clinic", *cache, *few).stdout)
    assert costs["second_cost"]["n_known"] == costs["second_cost"]["n_requests"] == costs["cost"]["n_requests"]
    assert costs["cost"]["n_known"] == 0


def test_the_exported_cache_replays_the_run(run, tmp_path):
    few = ["--scorers", "detection", "--features", "3", "--tokens", "4000", "--json"]
    cache, exported = str(tmp_path / "judge.sqlite"), str(tmp_path / "exported.jsonl")
    with judge_server(lambda body, _: said("yes" if "w7" in body["messages"][-1]["content"] else "no")) as server:
        spec = ["--judge", f"openai:m@{server.url}", "--judge-cache", cache]
        first = run(*spec, *few, "--out", str(tmp_path / "first"))
    assert first.exit_code == 0, first.stderr
    export = CliRunner().invoke(main, ["judge-cache", "export", "--cache", cache, "--out", exported])
    assert export.exit_code == 0, export.stderr
    again = run("--judge", f"replay:{exported}", *few, "--out", str(tmp_path / "again"))
    first, again = json.loads(first.stdout), json.loads(again.stdout)
    assert (again["rows"], again["calibration"], again["failures"]) == (first["rows"], first["calibration"], {})


def test_restricted_text_is_not_shown_to_a_remote_judge(run, model, tmp_path):
    mark = model / "corpus.jsonl.restricted"
    mark.touch()
    try:
        for judge in ("--judge", "--second-judge"):
            result = run(judge, "openai:m@https://judge.invalid/v1", "--judge-cache", str(tmp_path / "judge.sqlite"))
            assert result.exit_code == 1
            assert "is restricted" in result.stderr
            assert result.stderr.count("\n") == 1
        allowed = run("--scorers", "detection", "--no-calibrate", "--features", "3", "--tokens", "4000", "--json")
        assert json.loads(allowed.stdout)["restricted"] is True
    finally:
        mark.unlink()


def test_questions_beyond_the_limit_are_failures_with_bounds(run, tmp_path):
    with judge_server(lambda *_: said("yes")) as server:
        cache = ["--judge-cache", str(tmp_path / "judge.sqlite"), "--scorers", "detection"]
        result = run("--judge", f"openai:m@{server.url}", *cache, "--max-requests", "30")
    assert result.exit_code == 0, result.stderr
    assert len(server.bodies) == 30
    assert "questions have no answer" in result.stdout
    assert "not asked, the limit of requests was reached" in result.stdout
    assert "(all of them wrong)" in result.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--features", "many"], "features are 'many', expected a number or a comma list of ids"),
        (["--features", "0"], "features are '0', expected at least 1"),
        (["--features", "3,64"], "feature 64 is not in the SAE, expected 0 to 63"),
        (["--scorers", "f1"], "scorers are f1, expected some of lexical"),
        (["--examples", "25"], "25 positives were asked for, expected a multiple of 10"),
        (["--judge", "nobody"], "cannot read judge 'nobody', expected scripted:yes|no|first|coin|lexical|oracle"),
        (["--judge", "hf:nowhere"], "unknown model 'nowhere': neither bundled"),
        (["--ontology", "none.tsv"], "there is no ontology at none.tsv"),
        (["--explainer", "labels"], "the SAE has no labels.json"),
        (["--explainer", "ontology"], "the corpus does not say its concepts"),
    ],
)
def test_bad_input_is_one_line(run, args, message):
    result = run(*args)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


def test_a_judge_that_never_answers_is_one_line(run, tmp_path):
    with judge_server(lambda *_: said("yes")) as server:
        pass
    result = run("--judge", f"openai:m@{server.url}", "--judge-cache", str(tmp_path / "judge.sqlite"))
    assert result.exit_code == 1
    assert "times in a row" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
