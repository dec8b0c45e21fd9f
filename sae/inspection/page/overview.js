// The page of a dictionary: all features in brief, to search and to sort. Mirrors both in the address as #find=fever&sort=f1.

const { source, features } = report;
const ROWS = 100;
const ORDERS = {
  density: ["most often active", (a, b) => b.density - a.density],
  rare: ["least often active", (a, b) => (a.density || 2) - (b.density || 2)],
  largest: ["largest activation", (a, b) => b.largest_activation - a.largest_activation],
  f1: ["best name", (a, b) => (b.label?.f1 ?? -1) - (a.label?.f1 ?? -1)],
  number: ["number", (a, b) => a.feature - b.feature],
};
const state = { find: "", sort: "density", named: false, rows: ROWS };
const lowest = Math.min(...features.filter((each) => each.density > 0).map((each) => Math.log10(each.density)), -1);
const nNamed = features.filter((each) => each.label).length;

const textOf = (each) => [
  each.feature, each.label?.text ?? "", ...each.promoted.map((pair) => pair.token), each.context?.tokens.join("") ?? "",
].join(" ").toLowerCase();
const searched = new Map(features.map((each) => [each, textOf(each)]));

function fillHeader() {
  at("heading").append(`Features at ${source.site}`);
  at("origin").textContent = `${source.model}, ${source.sae ?? "in memory"}`;
  const share = (count) => percent(count / source.d_sae);
  fact("Features", source.d_sae.toLocaleString("en"));
  fact("Active per token", number(report.l0), "L0");
  fact("Never active", report.n_dead.toLocaleString("en"), share(report.n_dead));
  fact("Active on over 10 %", report.n_dense.toLocaleString("en"), share(report.n_dense));
  fact("Named", nNamed.toLocaleString("en"), features.length < source.d_sae ? "of those below" : share(nNamed));
}

function controls() {
  const find = make("input", { type: "search", id: "find", placeholder: "name, token or number", "aria-label": "Search" });
  const sort = make("select", { id: "sort" });
  for (const [value, [text]] of Object.entries(ORDERS)) sort.append(make("option", { value }, text));
  const named = make("input", { type: "checkbox", id: "named" });
  const form = make(
    "form", { id: "controls" }, find, make("label", {}, "Sort by", sort), make("label", {}, named, "named only"),
    make("output", { id: "count" }),
  );
  form.addEventListener("submit", (event) => event.preventDefault());
  find.addEventListener("input", () => change({ find: find.value }));
  sort.addEventListener("change", () => change({ sort: sort.value }));
  named.addEventListener("change", () => change({ named: named.checked }));
  return form;
}

function table() {
  const heads = ["Feature", "Name", "Active on", "Activations, log scale", "Where it is strongest", "Makes likelier"];
  return make(
    "table", { id: "features" },
    make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)))), make("tbody"),
  );
}

function row(each) {
  const name = make("td", { class: "label" });
  if (each.label) name.append(make("bdi", {}, each.label.text), make("small", {}, ` F1 ${each.label.f1.toFixed(2)}`));
  const context = make("td", { class: "context" });
  if (each.context) context.append(contextText(each.context, each.largest_activation));
  else context.append(make("small", {}, "never active"));
  const promoted = each.promoted.map(({ token }) => word(token)).join(" · ");
  return make(
    "tr", { "data-feature": each.feature },
    make("td", { class: "feature" }, String(each.feature)), name, density(each), activations(each), context,
    make("td", { class: "promoted" }, make("bdi", {}, promoted)),
  );
}

function density(each) {
  const bar = make("div");
  bar.style.width = each.density ? `${Math.max(1, 100 * (1 - Math.log10(each.density) / (lowest - 0.3)))}%` : "0";
  return make("td", { class: "density" }, percent(each.density), make("div", { class: "meter" }, bar));
}

function activations(each) {
  const cell = make("td", { class: "activations" });
  if (!each.context) return cell;
  const width = 104, height = 24, most = Math.max(...each.octaves), wide = width / each.octaves.length;
  const svg = make("svg", { width, height, role: "img" });
  each.octaves.forEach((count, index) => {
    if (!count) return;
    const tall = Math.max(1.5, (count / most) * height);
    svg.append(make("rect", { class: "bar", x: index * wide, y: height - tall, width: Math.max(1, wide - 0.7), height: tall }));
  });
  svg.append(make("title", {}, `${number(report.octave_edges[0])} to ${number(report.octave_edges.at(-1))}, on a log scale`));
  cell.append(svg, make("small", {}, `up to ${number(each.largest_activation)}`));
  return cell;
}

// State

function shown() {
  const words = state.find.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (each) => (!state.named || each.label) && words.every((part) => searched.get(each).includes(part));
  return features.filter(fits).sort(ORDERS[state.sort][1]);
}

function change(changes) {
  Object.assign(state, { rows: ROWS }, changes);
  update();
}

function update() {
  const found = shown();
  at("features").tBodies[0].replaceChildren(...found.slice(0, state.rows).map(row));
  at("count").textContent = `${found.length.toLocaleString("en")} of ${plural(features.length, "feature")}`;
  at("more").hidden = found.length <= state.rows;
  at("more").textContent = `Show ${Math.min(ROWS, found.length - state.rows)} more`;
  at("find").value = state.find;
  at("sort").value = state.sort;
  at("named").checked = state.named;
  const address = new URLSearchParams();
  if (state.find) address.set("find", state.find);
  if (state.sort !== "density") address.set("sort", state.sort);
  if (state.named) address.set("named", "1");
  const hash = address.size ? `#${address}` : "";
  if (hash !== location.hash) history.replaceState(null, "", hash || location.pathname + location.search);
}

function readAddress() {
  const address = new URLSearchParams(location.hash.slice(1));
  state.find = address.get("find") ?? "";
  state.sort = address.get("sort") in ORDERS ? address.get("sort") : "density";
  state.named = address.get("named") === "1";
}

fillHeader();
const more = make("button", { type: "button", id: "more" });
more.addEventListener("click", () => { state.rows += ROWS; update(); });
const dead = report.n_dead ? `; ${report.n_dead.toLocaleString("en")} never active` : "";
at("main").append(
  section("Density", `features by share of tokens${dead}`, make("figure", {}, densityHistogram(null))), controls(), table(), more,
);
const part = features.length < source.d_sae
  ? [`${plural(features.length, "feature")} of ${source.d_sae.toLocaleString("en")} are listed, evenly spread over the ranks by density.`] : [];
fillFooter(...part, `Makes likelier: ${report.lens}.`);
readAddress();
update();
drawCharts();
addEventListener("resize", drawCharts);
addEventListener("hashchange", () => { readAddress(); update(); });
document.body.dataset.state = "ready";
