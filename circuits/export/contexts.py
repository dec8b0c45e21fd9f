"""What the features of a circuit respond to, from a corpus, for exports that can show it."""

from circuits.graph.circuit import Circuit
from circuits.graph.recorded_saes import load_recorded_sae
from sae.corpora import read_corpus
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.inspection.inspect_features import inspect_features
from sae.inspection.reports import FeatureReport

__all__ = ["feature_reports"]


def feature_reports(
    circuit: Circuit, corpus: str, *, n_tokens: int, device: str = "auto", seed: int = 0
) -> dict[tuple[Site, int], FeatureReport]:
    """Look at every feature of a circuit in one pass over the corpus for each site.

    Args:
        circuit: Its file must say which model and which dictionaries it was found with.
        corpus: SPEC of the texts.
        n_tokens: Tokens to look at for each site.
        device: Where the model runs.
        seed: Of the order of texts and the sample of contexts.

    Raises:
        ValueError: The model, a dictionary or the corpus is not found.
    """
    model = circuit.provenance.get("model") or {}
    if not model:
        raise ValueError("the circuit does not say which model it was found with; leave out --contexts")
    host = HostModel.load(model.get("path") or model["name"], device=device)
    reports = {}
    for site in circuit.sites:
        features = sorted({node.feature for node in circuit.features if node.site == site and node.feature is not None})
        if not features:
            continue
        sae = load_recorded_sae(circuit, site).to(host.device)
        texts = read_corpus(corpus, seed=seed)
        found = inspect_features(host, sae, texts, features, corpus=corpus, n_tokens=n_tokens, seed=seed)
        reports.update({(site, report.feature): report for report in found})
    return reports
