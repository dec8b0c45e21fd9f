// What stands above and below the picture: title, prompt, measurements, legend.

function fillHeader() {
  const { metric } = data;
  at("target").textContent = data.target;
  at("foil").textContent = data.foil;
  const used = new Set(data.nodes.map((node) => node.position));
  at("prompt").append(
    ...data.tokens.map((token, position) => make("bdi", used.has(position) ? { class: "used" } : {}, token)),
  );
  fillFaithfulness();
  fact("Metric on the prompt", signed(metric.clean), metric.unit);
  fact(`At the ${data.baseline} baseline`, signed(metric.baseline), metric.unit);
  fact("Effects by", data.method);
  at("convention").textContent = `Sign convention: ${data.sign_convention}. Numbers in ${metric.unit}.`;
}

function fillFaithfulness() {
  const { faithfulness } = data;
  if (!faithfulness) { fact("Faithfulness", "not measured"); return; }
  if (faithfulness.value === null) { fact("Faithfulness", "withheld", faithfulness.reason); return; }
  const shares = Object.entries(faithfulness).filter(([key]) => key !== "reason");
  const kept = Object.fromEntries(
    shares.map(([key, value]) => [key, value === null ? "not measured" : value.toFixed(2)]),
  );
  const interval = faithfulness.low === null ? "no interval" : `[${kept.low}, ${kept.high}]`;
  fact("Faithfulness", kept.value, `${interval} with ${plural(faithfulness.n_nodes, "feature")}`);
  fact("Null: random nodes", kept.null);
  fact("All features, no errors", kept.share_kept_without_errors);
}

function fact(name, value, note) {
  const definition = make("dd", {}, value);
  if (note) definition.append(make("span", {}, note));
  at("facts").append(make("div", {}, make("dt", {}, name), definition));
}

function fillLegend() {
  const has = (name) => data.nodes.some((node) => node[name] !== undefined);
  const entries = [
    legendEntry("positive", "feature", `supports ${data.target}`),
    legendEntry("negative", "feature", `supports ${data.foil}`),
    legendEntry("plain", "feature", `area: contribution, up to ${number(graph.largest)} ${data.metric.unit}`),
  ];
  if (has("frequency")) entries.push(legendEntry("plain", "feature", "faint: kept in few resamples", { frequency: 0.2 }));
  if (has("measured")) entries.push(legendEntry("plain", "feature", "ring: effect measured", { isMeasured: true }));
  if (data.nodes.some((node) => node.kind === "error")) {
    entries.push(legendEntry("plain", "error", "SAE error: scored, but not counted"));
  }
  if (state.groups.length) entries.push(legendEntry("plain", "group", "square: a group, its contributions summed"));
  at("legend").replaceChildren(...entries, make("span", {}, "edges run upwards, as wide as their effect"));
}

function legendEntry(name, kind, text, look = {}) {
  const svg = make("svg", { width: 18, height: 18, viewBox: "-9 -9 18 18", "aria-hidden": "true" });
  svg.append(make("g", { class: kind }, ...mark(kind, look.isMeasured ? 4 : 5, look)));
  return make("span", { class: name }, svg, text);
}
