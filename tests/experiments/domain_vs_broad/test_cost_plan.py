"""What a run costs: the plan counts what torch counts, and by hand what no small machine can run."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from experiments.adaptation.settings import AdaptationSettings
from experiments.adaptation.trained_model import trainable_model
from experiments.domain_vs_broad.arms import NULL_ARMS, TRAINED_NULLS
from experiments.domain_vs_broad.cost_plan import cost_text, stage_costs
from experiments.domain_vs_broad.host_shape import HostShape
from experiments.domain_vs_broad.matrix import cells_of
from experiments.domain_vs_broad.profiles import profile_of
from experiments.random_llama import LLAMA_3_2_3B, random_llama

SMALL = {
    **LLAMA_3_2_3B,
    "hidden_size": 64,
    "vocab_size": 512,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}


@pytest.mark.parametrize("context", [1, 7])
def test_operations_of_a_pass_are_those_that_torch_counts(context):
    model = random_llama(SMALL)
    model.set_attn_implementation("eager")  # torch does not count the fused kernel of a processor
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=torch.arange(2 * context).view(2, context), use_cache=False)
    shape = HostShape.of_llama(SMALL)
    a_token = shape.n_layers * shape.layer_operations(context) + shape.unembedding_operations
    assert counter.get_total_flops() == 2 * context * a_token


def test_low_rank_updates_have_the_parameters_that_peft_makes(tmp_path):
    random_llama(SMALL).save_pretrained(tmp_path)
    settings = AdaptationSettings(n_tokens=1, lora_rank=3)
    model = trainable_model(tmp_path, settings, device=torch.device("cpu"))
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert trained == HostShape.of_llama(SMALL).low_rank_parameters(3)


def test_the_plan_counts_every_stage(tmp_path):
    """By hand, of a shape in which every number can be followed."""
    shape = HostShape(d_model=10, d_attention=10, d_key_value=5, d_mlp=20, n_layers=4, vocabulary=100)
    wanted = replace(
        profile_of("llama-3.2-3b", work=tmp_path, seeds=1),
        shape=shape,
        site="resid_post.0",
        arms=("domain", "broad x4"),
        d_sae=50,
        l0=(1.0, 2.0),
        n_tokens=1000,
        harvested=100,
        evaluated=30,
        context=2,
        adaptation=AdaptationSettings(n_tokens=500, context_length=2, lora_rank=1),
    )
    layer = 2 * (2 * 10 * 15 + 3 * 10 * 20) + 4 * 10 * 2
    unembedding = 2 * 100 * 10
    costs = {stage.name: stage.operations for stage in stage_costs(wanted, cells_of(wanted))}
    assert costs["adaptation"] == 500 * 2 * (4 * layer + unembedding)
    assert costs["harvest"] == pytest.approx(2 * 2 * 110 * layer)
    assert costs["dictionaries"] == 2 * 2 * (1 + 4 + len(TRAINED_NULLS)) * 1000 * 12 * 10 * 50
    runs = 4 * layer + unembedding + 4 * (3 * layer + unembedding)
    assert costs["evaluation"] == (4 + 2 * len(NULL_ARMS)) * 2 * 30 * runs
    everything = replace(wanted, adaptation=replace(wanted.adaptation, lora_rank=None))
    assert next(iter(stage_costs(everything, []))).operations == 1.5 * costs["adaptation"]
    assert "adaptation" not in [stage.name for stage in stage_costs(wanted, [], adapted=False)]


def test_a_finished_run_costs_nothing_more_and_a_dry_run_says_where_hours_go(tmp_path):
    wanted = profile_of("llama-3.2-3b", work=tmp_path)
    assert sum(stage.operations for stage in stage_costs(wanted, [], adapted=False)) == 0
    text = cost_text(wanted, cells_of(wanted))
    assert "2 hosts x 2 texts x 4,000,000 tokens x 1.1 (calibration) x 2.99 GFLOP (14 of 28 layers) = 5.3e+16" in text
    assert "6.43 GB of frozen weights + 97 M trained x 16 bytes = 7.98 GB" in text
    assert "6.43 GB of weights + 4 dictionaries x 2 x 3072 x 16384 x 18 bytes = 13.7 GB" in text
    assert "3 x 4,000,000 x 1.1 rows x 3072 x 2 bytes (both texts, and their mixture) = 81.1 GB" in text
    assert "2 hosts x 6.43 GB + 144 dictionaries" in text
    assert text.count("rates assumed") == 2
