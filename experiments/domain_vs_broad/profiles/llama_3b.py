"""Profile `llama-3.2-3b`: Llama-3.2-3B before and after its adaptation to clinical guidelines, for an accelerator."""

from functools import partial
from pathlib import Path

from experiments.adaptation.adapting import adapt
from experiments.adaptation.settings import AdaptationSettings
from experiments.domain_vs_broad.host_shape import HostShape
from experiments.domain_vs_broad.profiles.profile import CASES, Profile
from experiments.random_llama import LLAMA_3_2_3B

__all__ = ["ADAPTED", "llama_3b"]

MODEL = "meta-llama/Llama-3.2-3B"
DOMAIN = "hf:epfl-llm/guidelines:field=clean_text"
"""Clinical practice guidelines: some 38,000 documents, 60 million words."""
BROAD = "hf:HuggingFaceFW/fineweb:config=sample-10BT"
"""Pages of the web."""
ADAPTED = "adapted"
ADAPTATION = AdaptationSettings(
    n_tokens=50_000_000,
    context_length=1024,
    batch_size=8,
    accumulation=8,
    learning_rate=2e-4,
    lora_rank=64,
    lora_alpha=64,
    precision="bfloat16",
)


def llama_3b(hosts: Path, data: Path | None) -> Profile:
    """The host is downloaded, its adaptation lies in `hosts`.

    The site is in the middle of the depth, after 14 of 28 layers. A dictionary sees 50 million tokens, about as many as
    those of arXiv 2508.09363, drawn from 4 million different ones, which fit into memory.
    """
    return Profile(
        name="llama-3.2-3b",
        hosts=(("before", MODEL), ("after", str(hosts / ADAPTED / "host"))),
        site="resid_post.13",
        domain=DOMAIN,
        broad=BROAD,
        d_sae=16_384,
        l0=(20.0, 40.0, 80.0, 160.0),
        n_tokens=50_000_000,
        harvested=4_000_000,
        seeds=(0, 1, 2),
        evaluated=200_000,
        context=1024,
        dtype="bfloat16",
        shape=HostShape.of_llama(LLAMA_3_2_3B),
        adaptation=ADAPTATION,
        warning=CASES + "Both texts are public: the host may have seen their held-out documents in its own training.",
        build=partial(_adapt, hosts),
    )


def _adapt(hosts: Path, device: str) -> None:
    adapt(MODEL, DOMAIN, hosts / ADAPTED, ADAPTATION, others={"broad": BROAD}, device=device)
