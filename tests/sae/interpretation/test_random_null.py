"""Random directions fire as often as the features that they stand for, and on nothing else in common."""

import torch
from tiny_models import random_sae

from sae.host.sites import Site
from sae.interpretation.random_null import random_counterpart, site_sample

SITE = Site("resid_post", 1)


def test_every_direction_is_as_dense_as_its_feature():
    like = random_sae()
    x = torch.randn(4000, 32, generator=torch.Generator().manual_seed(1)) + 3.0
    density = (like.encode(x) > 0).double().mean(0)
    density[:3] = torch.tensor([0.0, 0.001, 0.9])
    null = random_counterpart(like, density, x)
    found = (null.encode(x) > 0).double().mean(0)

    torch.testing.assert_close(found, density.clamp(max=0.5), atol=0.02, rtol=0)
    assert found[0] == 0
    assert float(found[1]) == 0.001
    norms = null.W_dec.norm(dim=1)
    torch.testing.assert_close(norms, norms[:1].expand(64))
    cosines = torch.nn.functional.normalize(like.W_dec) * null.W_dec
    assert cosines.sum(1).abs().mean() < 0.3
    assert torch.equal(null.W_dec, random_counterpart(like, density, x).W_dec)
    assert not torch.equal(null.W_dec, random_counterpart(like, density, x, seed=1).W_dec)


def test_the_sample_is_of_the_site_without_bos(tiny_host):
    texts = ["w1 w2 w3", "w4 w5"]
    x = site_sample(tiny_host, random_sae(site=SITE), texts)
    alone = [tiny_host.capture(tiny_host.batch([tiny_host.tokenise(text)]), [SITE])[SITE][0, 1:] for text in texts]

    torch.testing.assert_close(x, torch.cat(alone[::-1]), rtol=1e-4, atol=1e-5)  # the shorter one comes first
