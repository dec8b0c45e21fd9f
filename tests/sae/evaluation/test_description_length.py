"""Description length against codes written out by hand, and against the chain rule."""

from math import comb, log2

import pytest
import torch
from tiny_models import random_sae

from sae.dictionary.autoencoder import SAE
from sae.dictionary.feature_acts import FeatureActs
from sae.evaluation.degenerate import constant_sae, identity_sae
from sae.evaluation.description_length import description_length, rounding_step
from sae.evaluation.document_activations import DocumentActivations
from sae.evaluation.entropy_codes import NumberCode, log2_choices
from sae.evaluation.support_codes import SUPPORT_CODES, after_previous_bits, independent_bits, subset_bits

D_MODEL, N_DOCUMENTS, TOKENS_PER_DOCUMENT = 8, 40, 25


@pytest.fixture(scope="module")
def data():
    x = torch.randn(N_DOCUMENTS * TOKENS_PER_DOCUMENT, D_MODEL, generator=torch.Generator().manual_seed(0)) + 1.0
    return DocumentActivations(x, torch.arange(N_DOCUMENTS).repeat_interleave(TOKENS_PER_DOCUMENT), N_DOCUMENTS)


def acts_of(rows):
    return FeatureActs.from_dense(torch.tensor(rows, dtype=torch.float32))


# Codes


def test_numbers_by_hand():
    code = NumberCode(torch.zeros(4, dtype=torch.long), torch.tensor([0, 0, 0, 2]), 1, prior_weight=1.0)

    found = code.bits(torch.zeros(3, dtype=torch.long), torch.tensor([0, 1, 5]))

    # all streams are one: P = (count + G) / 5 with G = 1/2, 1/8, 1/32, and then P_0 = (count + P) / 5
    common = [(3 + 1 / 2) / 5, (0 + 1 / 8) / 5, (0 + 1 / 32) / 5]
    expected = [-log2((count + p) / 5) for count, p in zip([3, 0, 0], common, strict=True)]
    assert found.tolist() == pytest.approx(expected)


def test_a_code_of_numbers_is_complete():
    generator = torch.Generator().manual_seed(0)
    streams, numbers = torch.randint(3, (50,), generator=generator), torch.randint(9, (50,), generator=generator)
    code = NumberCode(streams, numbers, 3)
    many = torch.arange(2**14 - 1)

    for stream in range(3):
        lengths = code.bits(torch.full_like(many, stream), many)
        # Kraft's sum; what lies beyond 2^14 has 2^-14 of the prior
        assert float(torch.exp2(-lengths).sum()) == pytest.approx(1, abs=1e-4)


def test_the_number_of_sets():
    found = log2_choices(10, torch.tensor([0, 1, 3, 10]))

    assert found.tolist() == pytest.approx([0, log2(10), log2(comb(10, 3)), 0], abs=1e-9)


def test_independent_features_by_hand():
    # half 0: feature 0 on both tokens, feature 1 on none; half 1: the other way round
    acts = acts_of([[1, 0], [1, 0], [0, 1], [0, 1]])

    found = independent_bits(acts, torch.tensor([0, 0, 1, 1]), torch.zeros(4, dtype=torch.bool))

    # fitted on two tokens: (2 + 1/2) / 3 for a feature that always was, (0 + 1/2) / 3 for one that never was
    assert found.tolist() == pytest.approx([2 * -log2(0.5 / 3)] * 4)


def test_sets_by_hand():
    acts = acts_of([[1, 1, 0], [0, 0, 0]])

    found = subset_bits(acts, torch.tensor([0, 1]), torch.tensor([False, True]))

    # L0 was 0 once when 2 is sent, and 2 once when 0 is sent: first towards G, then towards the stream's own
    of_two = ((0 + 1 / 8) / 2 + 0) / 2
    of_zero = ((0 + 1 / 2) / 2 + 0) / 2
    assert found.tolist() == pytest.approx([log2(3) - log2(of_two), 0 - log2(of_zero)])


def test_features_after_the_previous_token_by_hand():
    # two documents in two halves, one feature: on, on, off; and off, on, on
    acts = acts_of([[1], [1], [0], [0], [1], [1]])
    halves = torch.tensor([0, 0, 0, 1, 1, 1])
    follows = torch.tensor([False, True, True, False, True, True])

    found = after_previous_bits(acts, halves, follows)

    # second document: after off 1 of 2 began, after on 1 of 1 stayed; first: after off 1 of 1, after on 1 of 2
    begin, stay = (1 + 0.5) / 3, (1 + 0.5) / 2
    first = [-log2(begin), -log2(stay), -log2(1 - stay)]
    begin, stay = (1 + 0.5) / 2, (1 + 0.5) / 3
    second = [-log2(1 - begin), -log2(begin), -log2(stay)]
    assert found.tolist() == pytest.approx(first + second)


def test_a_feature_that_stays_is_cheaper_after_its_previous_token():
    generator = torch.Generator().manual_seed(0)
    runs = (torch.rand(2000, 5, generator=generator) > 0.5).float().repeat_interleave(10, 0)
    acts, halves = FeatureActs.from_dense(runs), torch.arange(20_000) // 10_000
    follows = torch.ones(20_000, dtype=torch.bool)

    of_each = {name: float(code(acts, halves, follows).mean()) for name, code in SUPPORT_CODES.items()}

    assert of_each["independent"] == pytest.approx(5, abs=0.05)
    # 9 of 10 stay for sure, 1 of 10 is a fair coin: 0.05 of changes
    entropy = -(0.05 * log2(0.05) + 0.95 * log2(0.95))
    assert of_each["after previous"] == pytest.approx(5 * entropy, rel=0.02)


def test_the_chain_rule_is_exact():
    """A histogram of values that counts the zeros too pays for silence twice, or says a value's bits too low."""
    generator = torch.Generator().manual_seed(1)
    n = 4000
    numbers = torch.randint(1, 6, (n,), generator=generator)
    numbers[torch.rand(n, generator=generator) < 0.8] = 0
    acts = FeatureActs.from_dense(numbers.float()[:, None].repeat(2, 1))
    halves = torch.arange(2 * n) // n

    support = independent_bits(acts, halves, torch.zeros(2 * n, dtype=torch.bool), prior_weight=0.0)
    active = numbers[numbers > 0]
    streams = torch.zeros_like(active)
    values = NumberCode(streams, active, 1, prior_weight=0.0).bits(streams, active)

    # with silence as one more symbol: the entropy of all of it
    p = numbers.bincount().double() / n
    expected = float(-(p * p.log2()).sum())
    assert float(support[:n].mean()) + float(values.sum()) / n == pytest.approx(expected, rel=1e-9)


# The length


def test_rounding_is_as_coarse_as_the_distortion_allows(data):
    sae = random_sae(d_model=D_MODEL, d_sae=32)
    acts = sae.encode(data.x)

    def lost(step):
        """What rounding to the middle of steps costs, written out densely."""
        steps = step / sae.decoder_rows.norm(dim=1)
        middle = sae.threshold + (((acts - sae.threshold) / steps).floor() + 0.5) * steps
        rounded = sae.decode(torch.where(acts > 0, middle, 0.0))
        errors = [(data.x - x_hat).square().sum() for x_hat in (sae.decode(acts), rounded)]
        return float((errors[1] - errors[0]) / (data.x - data.x.mean(0)).square().sum())

    for tolerance in (0.001, 0.01, 0.1):
        found = description_length(sae, data, tolerance=tolerance)
        assert found.explained_variance - found.explained_variance_rounded == pytest.approx(lost(found.step), abs=1e-5)
        assert lost(found.step) <= tolerance + 1e-5
        # the cost is not smooth in the step, but half as coarse again is too coarse
        assert lost(1.5 * found.step) > tolerance


def test_finer_rounding_costs_more_bits(data):
    fine, coarse = (description_length(identity_sae(D_MODEL), data, tolerance=tolerance) for tolerance in (1e-3, 1e-1))

    assert fine.value_bits.value > coarse.value_bits.value + D_MODEL
    assert fine.support_bits == coarse.support_bits
    assert fine.bits["independent"].low < fine.bits["independent"].value < fine.bits["independent"].high


def test_the_whole_length_by_hand(data):
    sae = random_sae(d_model=D_MODEL, d_sae=16, seed=1)
    found = description_length(sae, data)
    acts = sae.encode(data.x)
    steps = (acts - sae.threshold) / (found.step / sae.decoder_rows.norm(dim=1))
    halves = data.token_documents % 2
    total = 0.0
    for half in (0, 1):
        fitted, paid = halves != half, halves == half
        common = {}
        for number in steps[fitted][acts[fitted] > 0].floor().long().tolist():
            common[number] = common.get(number, 0) + 1
        n_common = sum(common.values())
        for feature in range(16):
            on = acts[:, feature] > 0
            p = (int((on & fitted).sum()) + 0.5) / (int(fitted.sum()) + 1)
            total -= int((on & paid).sum()) * log2(p) + int((~on & paid).sum()) * log2(1 - p)
            known = steps[on & fitted, feature].floor().long().tolist()
            for number in steps[on & paid, feature].floor().long().tolist():
                prior = 2.0 ** -(2 * int(log2(number + 1)) + 1)
                probability = (common.get(number, 0) + prior) / (n_common + 1)
                total -= log2((known.count(number) + probability) / (len(known) + 1))
    # activations on the edge of a step may fall to either side
    assert found.bits["independent"].value == pytest.approx(total / len(data.x), rel=1e-3)
    assert found.dictionary_bits == pytest.approx(17 * D_MODEL * 16 / len(data.x))


def test_cross_fitting_charges_for_what_is_only_noise():
    """A code fitted on the tokens that it describes would send features that fire at random for less than they cost."""
    generator = torch.Generator().manual_seed(2)
    acts = FeatureActs.from_dense((torch.rand(400, 300, generator=generator) < 0.01).float())
    halves = torch.arange(400) % 2

    paid = float(independent_bits(acts, halves, torch.zeros(400, dtype=torch.bool)).mean())

    rate = acts.feature_ids.bincount(minlength=300).double() / 400
    own_entropy = -(torch.xlogy(rate, rate) + torch.xlogy(1 - rate, 1 - rate)).sum() / torch.tensor(2.0).log()
    assert paid > float(own_entropy)


def test_a_dictionary_without_active_features_costs_almost_nothing(data):
    found = description_length(constant_sae(torch.ones(D_MODEL)), data)

    assert (found.value_bits.value, found.l0.value) == (0, 0)
    # the rates' prior: half an observation in 500
    assert found.bits["independent"].value < 0.02


def test_rescaling_a_feature_changes_nothing(data):
    sae = random_sae(d_model=D_MODEL, d_sae=16, seed=1)
    scale = torch.linspace(0.5, 8, 16)
    scaled = SAE(
        encoder_rows=sae.encoder_rows * scale[:, None],
        b_enc=sae.b_enc * scale,
        decoder_rows=sae.decoder_rows / scale[:, None],
        b_dec=sae.b_dec,
        threshold=sae.threshold * scale,
    )
    left, right = description_length(sae, data), description_length(scaled, data)

    assert left.bits["independent"].value == pytest.approx(right.bits["independent"].value, rel=1e-2)


def test_what_cannot_be_described_is_refused(data):
    sae = identity_sae(D_MODEL)
    one = DocumentActivations(data.x[:25], torch.zeros(25, dtype=torch.long), 1)
    with pytest.raises(ValueError, match="1 document cannot be split in halves, expected at least 2"):
        description_length(sae, one)
    with pytest.raises(ValueError, match=r"tolerance is 0\.0, expected explained variance above 0"):
        description_length(sae, data, tolerance=0.0)
    with pytest.raises(ValueError, match="the activations are all equal, expected some that vary"):
        rounding_step(sae, torch.ones(5, D_MODEL), 0.01)
