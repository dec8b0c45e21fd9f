"""A tiny matrix from texts to its report, continued where it was cut short."""

import json
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner

from experiments.cli import main
from experiments.domain_vs_broad import experiment, profiles, running
from experiments.domain_vs_broad.arms import ARMS, NULL_ARMS, TRAINED_NULLS
from experiments.domain_vs_broad.matched_l0 import Arms
from experiments.domain_vs_broad.matrix import cells_of, plan_text
from experiments.domain_vs_broad.profiles import profile_of
from experiments.domain_vs_broad.reporting import matrix_report
from experiments.domain_vs_broad.running import Matrix, run_matrix
from experiments.report.report_files import read_report, write_report
from sae.dictionary.autoencoder import SAE
from sae.evaluation.table_files import load_table
from sae.kernels.weights import DictionaryWeights


def test_every_cell_has_its_dictionaries_and_its_sums(matrix):
    for cell in matrix.cells:
        directory = matrix.cell_directory(cell)
        names = sorted(path.name for path in directory.iterdir())
        assert names == ["broad.safetensors", "cell.json", "domain.safetensors", "l0-12", "l0-3", "l0-6"]
        sae = SAE.load(directory / "l0-6")
        assert str(sae.site) == "resid_post.1"
        assert sae.metadata["domain_circuits"]["arm"] == cell.arm.name


def test_null_arms_that_are_trained_keep_their_dictionaries(matrix):
    domain = SAE.load(matrix.cell_directory(matrix.cells[0]) / "l0-6")
    frozen, random_host = (SAE.load(matrix.null_directory("after", arm) / "l0-6") for arm in TRAINED_NULLS)
    start = DictionaryWeights.random(64, 32, generator=torch.Generator().manual_seed(0))
    # weights are kept in bfloat16
    torch.testing.assert_close(frozen.decoder_rows, start.decoder_rows, atol=0, rtol=2**-7, check_dtype=False)
    assert (frozen.encoder_rows - start.encoder_rows).abs().max() > 0.01
    assert (domain.decoder_rows - start.decoder_rows).abs().max() > 0.01
    assert (random_host.decoder_rows - domain.decoder_rows).abs().max() > 0.01


def test_a_host_of_random_weights_is_judged_on_its_own_activations(matrix):
    trained, random = (
        load_table(path / "domain.safetensors").text
        for path in (matrix.cell_directory(matrix.cells[0]), matrix.null_directory("after", "random-host"))
    )
    assert trained.n_documents == random.n_documents
    assert (trained.shift - random.shift).abs().max() > 0.01


def test_null_arms_are_columns_of_the_two_by_two(matrix):
    table = matrix_report(matrix).tables[0]
    nulls = {name for row in table.rows for name in row.nulls}
    assert nulls == {"random directions", "principal components", "frozen random decoder", "host of random weights"}


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
    names = {"two_by_two", "explained_variance", "delta_ce", "overlap"}
    assert {figure.name for figure in report.figures} == {f"{name}_after" for name in names}
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
    assert f"{len(NULL_ARMS)} null arms (2 of each host are trained as a cell is), 4 done, 0 to do" in planned.stdout
    assert "5 dictionaries of wanted L0 6 have their features measured" in planned.stdout
    ran = CliRunner().invoke(main, [*common, "--out", str(tmp_path / "report"), "--json"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["profile"] == "tiny"
    assert (tmp_path / "report" / "report.html").is_file()


def test_an_experiment_with_commands_of_its_own_says_so():
    ran = CliRunner().invoke(main, ["run", "clinic"])
    assert ran.exit_code == 1
    assert "use `experiments clinic check`" in ran.output
    assert "there is no experiment 'x', expected one of: clinic" in CliRunner().invoke(main, ["run", "x"]).output
