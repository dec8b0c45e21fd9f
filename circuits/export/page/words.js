// Words and numbers, as they are written everywhere on the page.

const sign = (value) => (value < 0 ? "negative" : "positive");
const number = (value) => plainNumber(value).replaceAll("-", "−");
const signed = (value) => (value > 0 ? "+" : "") + number(value);
const inUnits = (value) => `${signed(value)} ${data.metric.unit}`;
const percent = (share) => `${Math.round(100 * share)} %`;
const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

function plainNumber(value) {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1e6 || size < 1e-4) return value.toExponential(2);
  return size >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function nameOf(unit) {
  return unit.label ?? (unit.kind === "error" ? "SAE error" : `feature ${unit.feature}`);
}

// What is known of a unit, as names and values; what was not measured is left out.
function factsOf(unit) {
  const facts = {};
  if (unit.kind === "group") facts.Nodes = String(unit.members.length);
  facts.Token = unit.token;
  facts.Contribution = inUnits(unit.contribution);
  if (unit.measured !== undefined) facts.Measured = inUnits(unit.measured);
  if (unit.frequency !== undefined) facts["Kept in resamples"] = percent(unit.frequency);
  if (unit.activation !== undefined) {
    facts.Activation = number(unit.activation);
    facts["At the baseline"] = number(unit.baseline_activation);
  }
  if (unit.label_f1 !== undefined) facts["F1 of the label"] = unit.label_f1.toFixed(2);
  return facts;
}
