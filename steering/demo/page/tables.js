// Numbers of the strength in view, the feature's card, how it was chosen, how to get all this again.

const isShare = (curve) => curve.unit === "";
const figure = (curve, value) => (isShare(curve) ? percent(value) : number(value));

function measured(curve, measurement) {
  if (measurement.value === null) return make("td", { class: "number" }, "–", make("small", {}, measurement.reason ?? ""));
  const interval = measurement.low === null ? "" : `${figure(curve, measurement.low)} to ${figure(curve, measurement.high)}`;
  return make("td", { class: "number" }, figure(curve, measurement.value), make("small", {}, interval));
}

function showEffects(index) {
  const head = ["", report.feature, report.null_name, "Unit", "n"].map((text, place) =>
    make("th", { scope: "col", ...(place === 1 || place === 2 || place === 4 ? { class: "number" } : {}) }, text));
  const rows = report.curves.map((curve) => make("tr", {},
    make("th", { scope: "row" }, curve.title),
    measured(curve, curve.of_feature[index]), measured(curve, curve.of_null[index]),
    make("td", {}, curve.unit || "share"), make("td", { class: "number" }, String(curve.of_feature[index].n))));
  at("effects").replaceChildren(make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
  at("effects-at").textContent = `at strength ${strengthText(index)}`;
}

function ranked(tokens, kind) {
  const largest = Math.max(...tokens.map((each) => Math.abs(each.logit)), 1e-9);
  return make("ul", { class: `ranked ${kind}` }, ...tokens.map(({ token, logit }) => {
    const bar = make("div");
    bar.style.width = `${((100 * Math.abs(logit)) / largest).toFixed(1)}%`;
    return make("li", {}, make("span", { class: "name" }, word(token)), make("span", { class: "value" }, number(logit)), make("div", { class: "meter" }, bar));
  }));
}

function paragraphs(texts) {
  return texts.map((text) => make("p", {}, text));
}

function candidateTable({ candidates, score_name }) {
  const row = ({ feature, label, score }) => make("tr", {},
    make("td", {}, feature === report.feature ? make("strong", {}, feature) : feature), make("td", {}, label ?? "–"), make("td", { class: "number" }, number(score)));
  const head = make("tr", {}, make("th", { scope: "col" }, "feature"), make("th", { scope: "col" }, "label"), make("th", { scope: "col", class: "number" }, score_name));
  return make("div", { class: "scrolled" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...candidates.map(row))));
}

function setUpTables() {
  strength.follow(showEffects);
  at("effects-note").textContent = report.effects_note;
  at("choice").append(...paragraphs(report.choice.words));
  if (report.choice.candidates.length) at("choice").append(candidateTable(report.choice));
  at("again").append(...report.commands.flatMap(({ words, command }) => [make("p", {}, words), make("pre", {}, command)]));
  at("footer").append(...paragraphs(report.provenance));
}
