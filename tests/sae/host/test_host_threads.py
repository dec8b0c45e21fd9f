from concurrent.futures import ThreadPoolExecutor

import torch
from tiny_models import tiny_llama

from sae.host.sites import Site

SITE = Site("resid_post", 1)


def test_threads_that_share_a_model_all_get_the_right_results():
    host = tiny_llama()
    batches = [host.batch([host.tokenise(f"w{index} w3 w5 w{index + 1}")]) for index in range(4)]

    def results(batch):
        captured = host.capture(batch, [SITE])[SITE]
        edited = host.forward(batch, {SITE: lambda x: 2 * x}).logits
        gradient = host.gradients(batch, [SITE], lambda logits: logits[:, -1, 20]).gradients[SITE]
        ids = host.generate(batch, max_new_tokens=3, edits={SITE: lambda x: -x})
        return captured, edited, gradient, ids

    expected = [results(batch) for batch in batches]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(results, batches * 5))
    for index, tensors in enumerate(found):
        assert all(torch.equal(*pair) for pair in zip(tensors, expected[index % 4], strict=True))
