"""A tiny matrix from texts to its report, continued where it was cut short."""

import json
import random
from dataclasses import replace

import pytest
from click.testing import CliRunner
from tiny_models import save_tiny_llama

from experiments.cli import main
from experiments.domain_vs_broad import experiment, profiles, running
from experiments.domain_vs_broad.arms import ARMS
from experiments.domain_vs_broad.matched_l0 import Arms
from experiments.domain_vs_broad.matrix import cells_of, plan_text
from experiments.domain_vs_broad.profiles import Profile, profile_of
from experiments.domain_vs_broad.reporting import matrix_report
from experiments.domain_vs_broad.running import Matrix, run_matrix
from experiments.report.report_files import read_report, write_report
from sae.dictionary.autoencoder import SAE
from sae.evaluation.table_files import load_table

WORDS = {"domain": range(22), "broad": range(22, 44)}


@pytest.fixture(scope="module")
def profile(tmp_path_factory) -> Profile:
    """One host, two texts of different words."""
    directory = tmp_path_factory.mktemp("matrix")
    for text, words in WORDS.items():
        with (directory / f"{text}.jsonl").open("w") as file:
            for number in range(1200):
                chosen = [f"w{word}" for word in random.Random(number).choices(words, k=15)]
                file.write(json.dumps({"text": " ".join(chosen)}) + "\n")
    return Profile(
        name="tiny",
        hosts=(("after", str(save_tiny_llama(directory / "host"))),),
        site="resid_post.1",
        domain=str(directory / "domain.jsonl"),
        broad=str(directory / "broad.jsonl"),
        d_sae=64,
        l0=(3.0, 6.0, 12.0),
        n_tokens=8192,
        harvested=4000,
        seeds=(0,),
        evaluated=400,
        context=32,
        arms=("domain", "broad", "fine-tuned"),
    )


@pytest.fixture(scope="module")
def matrix(profile, tmp_path_factory) -> Matrix:
    return run_matrix(profile, tmp_path_factory.mktemp("work"), device="cpu")


def test_every_cell_has_its_dictionaries_and_its_sums(matrix):
    for cell in matrix.cells:
        directory = matrix.cell_directory(cell)
        names = sorted(path.name for path in directory.iterdir())
        assert names == ["broad.safetensors", "cell.json", "domain.safetensors", "l0-12", "l0-3", "l0-6"]
        sae = SAE.load(directory / "l0-6")
        assert str(sae.site) == "resid_post.1"
        assert sae.metadata["domain_circuits"]["arm"] == cell.arm.name


def test_a_fine_tuned_dictionary_went_on_from_another(matrix):
    cell = next(cell for cell in matrix.cells if cell.arm.name == "fine-tuned")
    assert "domain" in SAE.load(matrix.cell_directory(cell) / "l0-6").metadata["dataset_path"]


def test_each_arm_is_better_on_its_own_words(matrix):
    report = matrix_report(matrix)
    rows = {row.label: row.cells["explained variance"] for row in report.tables[0].rows}
    assert rows["trained on domain, judged on domain"].low > rows["trained on broad, judged on domain"].high
    assert rows["trained on broad, judged on broad"].low > rows["trained on domain, judged on broad"].high
    assert "more" in report.findings[0]


def test_arms_that_share_no_l0_are_said_to(matrix, monkeypatch):
    covered = {"domain": (3.0, 9.0), "fine-tuned": (3.0, 9.0), "broad": (10.0, 20.0)}
    monkeypatch.setattr(Arms, "l0_range", lambda self, arm: covered.get(arm, (3.0, 9.0)))
    report = matrix_report(matrix)
    why = "no L0 is covered by both (domain 3 to 9, broad 10 to 20)"
    assert report.findings[0] == f"Judged on domain text, `domain` and the broad arm: {why}."
    assert [row.cells["explained variance"] for row in report.tables[0].rows] == [why, why]


def test_features_in_use_are_counted_at_the_middle_l0(matrix):
    table = next(table for table in matrix_report(matrix).tables if table.name == "use_after")
    rows = {row.label: row.cells for row in table.rows}
    for cell in matrix.cells:
        sums = load_table(matrix.cell_directory(cell) / "broad.safetensors").dictionaries["l0-6"]
        assert int(rows[f"{cell.arm.name}, on broad text"]["alive"]) == int((sums.fire_documents >= 2).sum())
        assert int(rows[f"{cell.arm.name}, on broad text"]["dead"]) == int((sums.fire_counts == 0).sum())


def test_a_fine_tuned_arm_shares_more_than_a_random_rotation(matrix):
    table = next(table for table in matrix_report(matrix).tables if table.name == "overlap_after")
    rows = {row.label: row for row in table.rows}
    assert set(rows) == {"broad", "fine-tuned"}
    assert all(row.nulls["turned at random"].value == 0 for row in rows.values())
    assert "domain's second seed" not in rows["broad"].cells


def test_the_report_is_whole(matrix, tmp_path):
    report = matrix_report(matrix)
    write_report(report, tmp_path)
    assert read_report(tmp_path) == report
    assert {figure.name for figure in report.figures} == {"explained_variance_after", "delta_ce_after"}
    text = (tmp_path / "report.md").read_text()
    assert str(matrix.directory) not in text


def test_finished_cells_are_not_run_again(profile, matrix, monkeypatch):
    monkeypatch.setattr(running, "train_cell", None)
    assert run_matrix(profile, matrix.directory, device="cpu") == matrix


def test_more_seeds_need_only_their_own_cells(profile, matrix, tmp_path):
    more = replace(profile, seeds=(0, 1))
    missing = Matrix(more, matrix.directory).missing
    assert {cell.seed for cell in missing} == {1}
    text = plan_text(more, cells_of(more), missing)
    assert "6 cells: 1 hosts x 3 arms x 2 seeds" in text
    assert "3 done, 3 to do: 73,728 dictionary tokens" in text


def test_cells_of_another_profile_are_refused(profile, matrix):
    with pytest.raises(ValueError, match="holds cells of another profile \\(other d_sae\\)"):
        run_matrix(replace(profile, d_sae=32), matrix.directory)


def test_the_first_seed_comes_first(profile):
    seeds = [cell.seed for cell in cells_of(replace(profile, seeds=(0, 1, 2)))]
    assert seeds == sorted(seeds)


def test_arms_are_matched_in_tokens_but_for_one():
    assert {name: arm.tokens for name, arm in ARMS.items() if arm.tokens != 1} == {"broad x4": 4}
    assert all(sum(share for _, share in stage.texts) == 1 for arm in ARMS.values() for stage in arm.stages)


def test_the_command_plans_runs_and_reports(profile, matrix, monkeypatch, tmp_path):
    monkeypatch.setitem(profiles.PROFILES, "tiny", lambda work, data: profile)
    monkeypatch.setattr(experiment, "profile_of", profile_of)
    common = ["run", "domain-vs-broad", "--profile", "tiny", "--work", str(matrix.directory)]
    planned = CliRunner().invoke(main, [*common, "--dry-run"])
    assert planned.exit_code == 0, planned.output
    assert "3 done, 0 to do" in planned.stdout
    ran = CliRunner().invoke(main, [*common, "--out", str(tmp_path / "report"), "--json"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["profile"] == "tiny"
    assert (tmp_path / "report" / "report.html").is_file()


def test_an_experiment_with_commands_of_its_own_says_so():
    ran = CliRunner().invoke(main, ["run", "clinic"])
    assert ran.exit_code == 1
    assert "use `experiments clinic check`" in ran.output
    assert "there is no experiment 'x', expected one of: clinic" in CliRunner().invoke(main, ["run", "x"]).output
