import pytest
import torch

from circuits.prompts.references import ReferencePool


def test_the_most_alike_at_the_end_are_chosen():
    prompt = torch.tensor([1, 20, 21, 22, 23])
    alike = torch.tensor([1, 9, 9, 21, 22, 23])
    less = torch.tensor([1, 22, 23])
    unlike = torch.tensor([1, 20, 9, 9, 9])
    pool = ReferencePool.of([unlike, less, alike])
    assert [ids.tolist() for ids in pool.nearest(prompt, n=2)] == [alike.tolist(), less.tolist()]


def test_the_prompt_itself_is_no_reference():
    prompt = torch.tensor([1, 2, 3])
    with pytest.raises(ValueError, match="found none that differ"):
        ReferencePool.of([prompt.clone()]).nearest(prompt)


def test_a_prompt_of_bos_alone_is_like_everything():
    pool = ReferencePool.of([torch.tensor([1, 2]), torch.tensor([1, 3, 4])])
    assert len(pool.nearest(torch.tensor([1]), n=5)) == 2


def test_the_seed_settles_ties():
    pool = ReferencePool.of([torch.tensor([i, i, i]) for i in range(30)])
    prompt = torch.tensor([99, 99, 99])
    first = [ids[0].item() for ids in pool.nearest(prompt, n=5, seed=1)]
    assert first == [ids[0].item() for ids in pool.nearest(prompt, n=5, seed=1)]
    assert first != [ids[0].item() for ids in pool.nearest(prompt, n=5, seed=2)]


def test_a_sample_has_whole_prompts_and_no_more_than_there_are():
    prompts = [torch.tensor([1, 5]), torch.tensor([1, 6, 7])]
    sample = ReferencePool.of(prompts).sample(9)
    assert sorted(ids.tolist() for ids in sample) == [[1, 5], [1, 6, 7]]


@pytest.mark.parametrize("largest_id", [7, 40_000])
def test_a_saved_pool_is_the_same(tmp_path, largest_id):
    pool = ReferencePool.of([torch.tensor([1, largest_id]), torch.tensor([1, 5, 6, 7])])
    pool.save(tmp_path / "references.safetensors")
    assert torch.equal(ReferencePool.load(tmp_path / "references.safetensors").token_ids, pool.token_ids)
