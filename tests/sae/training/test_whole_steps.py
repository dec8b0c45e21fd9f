"""Steps that the kernels take whole and steps in two phases: the same run, the same checkpoint."""

import pytest
import torch
from training_cases import SITES, batch_topk, jump_relu, small_source

from sae.kernels import dispatch
from sae.training import jump_relu as jump_relu_module
from sae.training.jump_relu import JumpReLUTrainer
from sae.training.sae_trainer import TrainingGoal
from sae.training.trainer import train, trainer_for


def trained_steps(config, *, n_steps=3):
    source = small_source()
    trainer = trainer_for(TrainingGoal("x", SITES[0], config), source.statistics(SITES[0]), torch.device("cpu"))
    for _ in range(n_steps):
        trainer.step(source.draw(24))
    return trainer


@pytest.mark.parametrize("kernel", ["auto", "dense", "sparse"])
def test_on_a_processor_both_ways_give_the_same_bits(kernel, monkeypatch):
    config = jump_relu(kernel=kernel, dead_after_tokens=200, clipping="none")
    at_once = train(small_source(), [TrainingGoal("x", SITES[0], config)])["x"]

    monkeypatch.setattr(JumpReLUTrainer, "updates_at_once", False)
    two_phase = train(small_source(), [TrainingGoal("x", SITES[0], config)])["x"]

    assert two_phase.sae.content_hash == at_once.sae.content_hash
    assert two_phase.record.metrics == at_once.record.metrics


@pytest.mark.parametrize(("changes", "calls"), [({}, 0), ({"clipping": "row"}, 3), ({"clipping": "global"}, 3)])
def test_steps_are_taken_whole_unless_something_is_clipped(changes, calls, monkeypatch):
    seen = []
    in_two_phases = jump_relu_module.loss_and_gradients
    monkeypatch.setattr(
        jump_relu_module, "loss_and_gradients", lambda *args, **kw: seen.append(1) or in_two_phases(*args, **kw)
    )

    trained_steps(jump_relu(**changes, clip_norm=0.01))

    assert len(seen) == calls


@pytest.mark.usefixtures("triton_interpreter")
def test_a_fused_run_leaves_the_checkpoint_of_a_sparse_one():
    # thresholds that begin at 0 would become negative
    settings = {
        "initial_threshold": 1e-4,
        "threshold_learning_rate": 0.05,
        "warmup_steps": 0,
        "l0": 6,
        "clipping": "none",
    }
    fused, sparse = (trained_steps(jump_relu(kernel=kernel, **settings)) for kernel in ("triton", "sparse"))

    assert (fused.metrics().kernel, sparse.metrics().kernel) == ("triton", "sparse")
    first, second = fused.state_dict(), sparse.state_dict()
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(torch.as_tensor(value), torch.as_tensor(second[name]), atol=1e-3, rtol=1e-3)
    assert first["weights.threshold"].min() >= 0
    assert float(first["adam.encoder_rows.step"]) == 3


@pytest.mark.usefixtures("triton_interpreter")
def test_batch_topk_takes_the_wanted_kernel():
    trainers = {kernel: trained_steps(batch_topk(kernel=kernel)) for kernel in ("auto", "sparse", "dense", "triton")}

    assert {asked: trainer.metrics().kernel for asked, trainer in trainers.items()} == {
        "auto": "sparse", "sparse": "sparse", "dense": "dense", "triton": "triton",
    }  # fmt: skip
    for trainer in trainers.values():
        torch.testing.assert_close(
            trainer.weights.decoder_rows, trainers["sparse"].weights.decoder_rows, atol=1e-3, rtol=1e-3
        )


@pytest.mark.parametrize("config", [jump_relu(kernel="triton", clipping="none"), batch_topk(kernel="triton")])
def test_triton_is_refused_where_it_cannot_run(config, monkeypatch):
    monkeypatch.setattr(dispatch, "find_spec", lambda name: None)

    with pytest.raises(ValueError, match="kernel is 'triton', but triton is not installed; choose auto, dense or"):
        trained_steps(config)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("config", [jump_relu(kernel="triton", clipping="none"), batch_topk(kernel="triton")])
def test_on_a_gpu_shadows_follow_the_weights(config):
    source = small_source()
    goal = TrainingGoal("x", SITES[0], config)
    trainer = trainer_for(goal, source.statistics(SITES[0]), torch.device("cuda"))

    for _ in range(3):
        trainer.step(source.draw(64))

    assert trainer.metrics().kernel == "triton"
    assert torch.equal(trainer._shadows.decoder_rows, trainer.weights.decoder_rows.bfloat16())
