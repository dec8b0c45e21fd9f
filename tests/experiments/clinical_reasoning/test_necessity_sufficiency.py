"""Curves on a random model with planted latents, and where there is nothing to plant."""

import pytest
from analysis_pages import rendered
from mediation_cases import planted, subject, workbench

from circuits.workbench import Workbench
from experiments.clinic.labels import zero_dictionary
from experiments.clinical_reasoning.analyses import necessity_sufficiency
from experiments.clinical_reasoning.analyses.necessity_sufficiency.presenting import present


def cells(record, table: str, row: int):
    tables = {table.name: table for table in present(record).section.tables}
    return tables[table].rows[row]


@pytest.fixture(scope="module")
def record():
    return necessity_sufficiency.measure(subject(tools=planted(), broad=planted()), size=8, seed=0)


@pytest.mark.parametrize("operation", ["removed", "restored"])
def test_planted_latents_carry_more_than_random_ones(record, operation):
    row = cells(record, f"latents_{operation}", 2)
    assert row.cells["chosen on other cases"].value > row.nulls["random differing latents"].value + 0.1
    assert row.cells["broad latents"].value == pytest.approx(row.cells["chosen on other cases"].value, abs=1e-3)


def test_all_latents_alone_are_what_free_ones_with_errors_held_would_be(record):
    """One layer's dictionary: put back alone, latents carry what they carry when the rest runs freely."""
    alone, free = (cells(record, f"latents_{name}", -1) for name in ("held", "restored"))
    assert alone.cells["chosen on the pair itself"].value == pytest.approx(
        free.cells["chosen on the pair itself"].value, abs=0.02
    )


def test_areas_lie_between_the_ends_of_their_curves(record):
    area = cells(record, "latent_areas", 0).cells["chosen on the pair itself"].value
    curve = [cells(record, "latents_removed", i).cells["chosen on the pair itself"].value for i in range(8)]
    assert min(curve) < area < max(curve)


def test_without_features_nothing_is_needed_or_enough():
    tools = workbench()
    nothing = {site: zero_dictionary(sae) for site, sae in tools.dictionaries.items()}
    record = necessity_sufficiency.measure(subject(tools=Workbench(tools.host, nothing, tools.labels)), size=4, seed=0)
    for operation in ("removed", "zeroed", "restored", "held"):
        row = cells(record, f"latents_{operation}", -1)
        assert row.cells["chosen on the pair itself"].value == pytest.approx(0, abs=1e-3)
    assert "Specific but not necessary" in rendered(necessity_sufficiency, record)


def test_it_can_be_read(record):
    text = rendered(necessity_sufficiency, record)
    assert "Area under the curves, 1 to 160 latents" in text
    assert "Sufficiency: put into the changed prompt" in text
