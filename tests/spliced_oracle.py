"""Node effects with the SAEs in the autograd graph and plain hooks in the model: slow and obvious."""

import torch
from circuit_cases import host

from circuits.runs.runs import Runs
from sae.host.sites import Site


def oracle(runs: Runs, site: Site, *, alphas):
    """Integrated gradients in feature space for the contrast baseline: features and error move together."""
    sae, n = runs.dictionaries[site], runs.n_positions
    clean, base = runs.clean[site][0, :n], runs.baseline.activations[site][0]
    f_clean, f_base = sae.encode(clean), sae.encode(base)
    e_clean, e_base = clean - sae.decode(f_clean), base - sae.decode(f_base)
    is_node = runs.at_nodes[:, None]
    total_f, total_e = torch.zeros_like(f_clean), torch.zeros_like(e_clean)
    for alpha in alphas:
        f = ((1 - alpha) * f_clean + alpha * f_base).requires_grad_(True)
        e = ((1 - alpha) * e_clean + alpha * e_base).requires_grad_(True)
        m = plain_torch_metric(runs, site, torch.where(is_node, sae.decode(f) + e, clean))
        by_f, by_e = torch.autograd.grad(m, [f, e])
        total_f += by_f / len(alphas)
        total_e += by_e / len(alphas)
    return (f_base - f_clean) * total_f * is_node, ((e_base - e_clean) * total_e).sum(-1) * runs.at_nodes


def plain_torch_metric(runs: Runs, site: Site, x):
    """m with the site's output replaced by a plain forward hook, without the host's machinery."""
    model = host()._model
    layer = model.model.layers[site.layer] if site.layer is not None else None
    module = {
        "embed": model.model.embed_tokens,
        "attn_out": layer and layer.self_attn,
        "mlp_out": layer and layer.mlp,
        "resid_post": layer,
    }[site.kind]
    tail = runs.batch.ids.shape[1] - runs.n_positions

    def replace(_, __, output):
        live = output[0] if isinstance(output, tuple) else output
        rows = x.expand(live.shape[0], -1, -1)
        new = torch.cat([rows, live[:, -tail:]], dim=1) if tail else rows
        return (new, *output[1:]) if isinstance(output, tuple) else new

    handle = module.register_forward_hook(replace)
    try:
        inputs = {"input_ids": runs.batch.ids, "attention_mask": runs.batch.attention_mask.long()}
        logits = model(**inputs, position_ids=runs.batch.position_ids, use_cache=False).logits
    finally:
        handle.remove()
    return runs.behaviour.metric(logits[:, -runs.behaviour.kept_logits :]).sum()
