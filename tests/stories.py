"""Where the real small Llama `stories260K` is found, and small SAEs of it."""

from pathlib import Path

from sae.dictionary.autoencoder import SAE
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.training.memory_source import MemorySource
from sae.training.plan import TrainingPlan
from sae.training.trainer import train

STORIES = Path(__file__).resolve().parents[2] / "shared" / "weights" / "stories260K"
STORIES_SITES = tuple(Site("resid_post", layer) for layer in (1, 2, 3))


def train_small_saes(host: HostModel) -> dict[Site, SAE]:
    """SAEs of width 256 at three layers, trained for some seconds on stories that the model tells."""
    beginnings = host.batch([host.tokenise("Once upon a time")] * 192)
    ids = host.generate(beginnings, max_new_tokens=120, do_sample=True, seed=0)
    batch = host.batch(list(ids))
    captured = host.capture(batch, STORIES_SITES)
    told = {site: x[batch.node_mask] for site, x in captured.items()}
    source = MemorySource({site: x[2000:] for site, x in told.items()}, {site: x[:2000] for site, x in told.items()})
    plan = TrainingPlan(STORIES_SITES, (256,), (12.0,), 400_000, batch_tokens=512)
    goals = plan.goals(d_model=host.d_model, metadata={})
    trained = train(source, goals)
    return {goal.site: trained[goal.name].sae for goal in goals}
