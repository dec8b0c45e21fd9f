// What the page does: draws the circuit, keeps the strongest share of it in view, follows a node's paths, and mirrors
// both in the address as #share=0.5&select=resid_post.3/117@12. Text from the data enters the page as textContent only.

window.addEventListener("error", (event) => {
  const problem = document.getElementById("problem");
  problem.textContent = `The circuit could not be drawn: ${event.message}`;
  problem.hidden = false;
});

const data = JSON.parse(document.getElementById("circuit").textContent);
const at = (id) => document.getElementById(id);
const nodes = [...data.nodes].sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution));
const features = nodes.filter((node) => node.kind === "feature");
const nodeOf = new Map(nodes.map((node) => [node.id, node]));
const incoming = new Map(nodes.map((node) => [node.id, []]));
const outgoing = new Map(nodes.map((node) => [node.id, []]));
for (const edge of data.edges) {
  incoming.get(edge.target).push(edge.source);
  outgoing.get(edge.source).push(edge.target);
}
const largest = nodes.length ? Math.abs(nodes[0].contribution) || 1 : 1;
const strongestEdge = data.edges.reduce((most, edge) => Math.max(most, Math.abs(edge.effect)), 0) || 1;

const state = { share: 1, errors: true, selected: null };

// Words and numbers

const sign = (value) => (value < 0 ? "negative" : "positive");
const number = (value) => plainNumber(value).replaceAll("-", "−");
const signed = (value) => (value > 0 ? "+" : "") + number(value);
const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

function plainNumber(value) {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1e6 || size < 1e-4) return value.toExponential(2);
  return size >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function nameOf(node) {
  return node.label ?? (node.kind === "error" ? "SAE error" : `feature ${node.feature}`);
}

// What is in view

function shownNodes() {
  const count = Math.ceil(state.share * features.length - 1e-9);
  const shown = new Set(features.slice(0, count).map((node) => node.id));
  const weakest = count > 0 ? Math.abs(features[count - 1].contribution) : Infinity;
  for (const node of nodes) {
    const isStrong = state.share === 1 || Math.abs(node.contribution) >= weakest;
    if (node.kind === "error" && state.errors && isStrong) shown.add(node.id);
  }
  return shown;
}

function reachable(start, neighbours, shown) {
  const found = new Set([start]);
  for (const id of found) for (const next of neighbours.get(id)) if (shown.has(next)) found.add(next);
  return found;
}

// Header

function fillHeader() {
  const { metric, faithfulness } = data;
  at("target").textContent = data.target;
  at("foil").textContent = data.foil;
  const used = new Set(nodes.map((node) => node.position));
  at("prompt").append(
    ...data.tokens.map((token, position) => make("bdi", used.has(position) ? { class: "used" } : {}, token)),
  );
  const kept = faithfulness && Object.fromEntries(
    Object.entries(faithfulness).map(([key, value]) => [key, value === null ? "not measured" : value.toFixed(2)]),
  );
  const interval = kept && faithfulness.low !== null ? `[${kept.low}, ${kept.high}]` : "no interval";
  const note = kept && `${interval} with ${plural(faithfulness.n_nodes, "feature")}`;
  fact("Faithfulness", kept ? kept.value : "not measured", note);
  if (kept) fact("Null: random nodes", kept.null);
  if (kept) fact("All features, no errors", kept.share_kept_without_errors);
  fact("Metric on the prompt", signed(metric.clean), metric.unit);
  fact(`At the ${data.baseline} baseline`, signed(metric.baseline), metric.unit);
  fact("Effects by", data.method);
  at("convention").textContent = `Sign convention: ${data.sign_convention}. Numbers in ${metric.unit}.`;
}

function fact(name, value, note) {
  const definition = make("dd", {}, value);
  if (note) definition.append(make("span", {}, note));
  at("facts").append(make("div", {}, make("dt", {}, name), definition));
}

function fillLegend() {
  const mark = (kind) => {
    const svg = make("svg", { width: 14, height: 14, viewBox: "-7 -7 14 14" });
    svg.append(make("g", { class: kind }, markShape(kind, 5)));
    return svg;
  };
  const entry = (name, kind, text) => make("span", { class: name }, mark(kind), text);
  at("legend").append(
    entry("positive", "feature", `supports ${data.target}`),
    entry("negative", "feature", `supports ${data.foil}`),
    entry("plain", "feature", `area: contribution, up to ${number(largest)} ${data.metric.unit}`),
    entry("plain", "error", "SAE error: scored, but not counted"),
    make("span", {}, "edges run upwards, as wide as their effect"),
  );
}

function fillTable() {
  for (const node of nodes) {
    const pick = make("button", { type: "button" }, node.id);
    pick.addEventListener("click", (event) => { event.stopPropagation(); select(node.id); });
    const label = make("td", {}, node.label ?? "");
    if (node.label_f1 !== null) label.append(make("small", {}, ` F1 ${node.label_f1.toFixed(2)}`));
    const bar = make("div");
    bar.style.width = `${(100 * Math.abs(node.contribution)) / largest}%`;
    const row = make(
      "tr", { "data-id": node.id }, make("td", {}, pick), make("td", {}, node.token), label,
      make("td", { class: "number" }, number(node.activation)),
      make("td", { class: "number" }, number(node.baseline_activation)),
      make("td", { class: `number ${sign(node.contribution)}` }, signed(node.contribution)),
      make("td", { class: `bar ${sign(node.contribution)}` }, bar),
    );
    drawn.rows.set(node.id, row);
  }
  at("nodes").tBodies[0].append(...drawn.rows.values());
}

// Tooltip

function showTip(node, group) {
  const tip = at("tip"), list = make("dl");
  const lines = {
    Node: node.id, Token: node.token, Activation: number(node.activation),
    "At the baseline": number(node.baseline_activation),
    Contribution: `${signed(node.contribution)} ${data.metric.unit}`,
  };
  if (node.label_f1 !== null) lines["F1 of the label"] = node.label_f1.toFixed(2);
  for (const [name, value] of Object.entries(lines)) list.append(make("dt", {}, name), make("dd", {}, value));
  tip.replaceChildren(make("strong", { class: sign(node.contribution) }, nameOf(node)), list);
  tip.hidden = false;
  const anchor = group.getBoundingClientRect(), box = tip.getBoundingClientRect();
  const left = anchor.right + 10 + box.width < innerWidth ? anchor.right + 10 : anchor.left - 10 - box.width;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${Math.max(8, Math.min(innerHeight - box.height - 8, anchor.top - box.height / 2))}px`;
  at("prompt").children[node.position].classList.add("current");
}

function hideTip() {
  at("tip").hidden = true;
  for (const token of at("prompt").children) token.classList.remove("current");
}

// State

function update() {
  const shown = shownNodes();
  if (!shown.has(state.selected)) state.selected = null;
  const upstream = state.selected ? reachable(state.selected, incoming, shown) : shown;
  const downstream = state.selected ? reachable(state.selected, outgoing, shown) : shown;
  const isOnPath = (id) => upstream.has(id) || downstream.has(id);
  for (const [id, group] of drawn.nodes) {
    group.classList.toggle("off", !shown.has(id));
    group.classList.toggle("dim", !isOnPath(id));
    group.classList.toggle("selected", id === state.selected);
    group.setAttribute("aria-pressed", id === state.selected);
    const row = drawn.rows.get(id);
    row.hidden = !shown.has(id) || !isOnPath(id);
    row.classList.toggle("selected", id === state.selected);
  }
  for (const { edge: { source, target }, path } of drawn.edges) {
    path.classList.toggle("off", !shown.has(source) || !shown.has(target));
    const joins = (side) => side.has(source) && side.has(target);
    path.classList.toggle("dim", !joins(upstream) && !joins(downstream));
  }
  at("graph").classList.toggle("picking", state.selected !== null);
  drawLabels(nodes.filter((node) => shown.has(node.id) && isOnPath(node.id)));
  showState(shown, upstream, downstream);
}

function showState(shown, upstream, downstream) {
  const count = features.filter((node) => shown.has(node.id)).length;
  at("share").value = state.share;
  at("errors").checked = state.errors;
  at("reset").hidden = !state.selected;
  at("count").textContent = `${Math.round(100 * state.share)} %: ${count} of ${plural(features.length, "feature")}`;
  at("hint").textContent = state.selected
    ? `${state.selected}: ${upstream.size - 1} upstream, ${downstream.size - 1} downstream. Escape clears.`
    : "Point at a node for its numbers; click it to follow its paths.";
  const address = new URLSearchParams();
  if (state.share < 1) address.set("share", state.share);
  if (state.selected) address.set("select", state.selected);
  const hash = address.size ? `#${address}` : "";
  if (hash !== location.hash) history.replaceState(null, "", hash || location.pathname + location.search);
}

function readAddress() {
  const address = new URLSearchParams(location.hash.slice(1));
  const share = Number(address.get("share") ?? 1);
  state.share = share >= 0 && share <= 1 ? share : 1;
  state.selected = nodeOf.has(address.get("select")) ? address.get("select") : null;
}

function select(id) {
  state.selected = id === state.selected ? null : id;
  update();
}

function listen() {
  at("share").addEventListener("input", (event) => { state.share = Number(event.target.value); update(); });
  at("errors").addEventListener("change", (event) => { state.errors = event.target.checked; update(); });
  at("controls").addEventListener("submit", (event) => event.preventDefault());
  at("reset").addEventListener("click", () => select(null));
  at("graph").addEventListener("click", () => select(null));
  addEventListener("keydown", (event) => { if (event.key === "Escape") { hideTip(); select(null); } });
  addEventListener("hashchange", () => { readAddress(); update(); });
  addEventListener("resize", draw);
}

fillHeader();
fillLegend();
fillTable();
readAddress();
draw();
listen();
document.body.dataset.state = "ready";
