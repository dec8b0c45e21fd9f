"""A small form of the steering check on the bundled model: the bars that hold."""

import pytest

from experiments.clinic.check_steering import check_steering
from experiments.clinic.steering_cases import DIAGNOSES
from sae.bundle import find_bundle
from sae.dictionary.collection import load_saes
from sae.host.host import HostModel

pytestmark = pytest.mark.skipif(find_bundle("clinic") is None, reason="the bundled model is not in this checkout")


@pytest.mark.slow
def test_one_feature_gives_the_wanted_diagnosis_and_random_ones_do_not():
    host = HostModel.load("clinic")
    saes = load_saes(find_bundle("clinic").saes(), host=host, sites="resid_post.*")
    measurements, details = check_steering(host, saes, n_cases=40, diagnoses=DIAGNOSES[::11])
    given = [each for each in measurements if each.name.endswith("wanted diagnosis given")]
    drugs = [each for each in measurements if each.name.endswith("drug is one for it")]
    assert len(given) == len(drugs) == 2
    for each in (*given, *drugs):
        assert each.passed, each
        assert each.null is not None
        assert each.null < 0.1
        assert each.low <= each.value <= each.high
    for site in details.values():
        assert site["divergence_ratio"]["value"] > 0
