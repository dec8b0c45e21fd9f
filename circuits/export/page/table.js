// The same nodes as a table: for reading numbers, for copying, and for those who cannot see the picture.

function fillTable() {
  drawn.rows = new Map(graph.units.map((unit) => [unit.id, row(unit)]));
  at("nodes").tBodies[0].replaceChildren(...drawn.rows.values());
  for (const name of ["measured", "frequency"]) {
    at("nodes").classList.toggle(`without-${name}`, !data.nodes.some((node) => node[name] !== undefined));
  }
}

function row(unit) {
  const label = make("td", {}, unit.label ?? "");
  if (unit.label_f1 !== undefined) label.append(make("small", {}, ` F1 ${unit.label_f1.toFixed(2)}`));
  const cell = (value, write, name = "") => make("td", { class: `number ${name}` }, value === undefined ? "" : write(value));
  return make(
    "tr", { "data-id": unit.id }, make("td", {}, button(unit.id, () => select(unit.id))), make("td", {}, unit.token), label,
    cell(unit.activation, number), cell(unit.baseline_activation, number),
    cell(unit.contribution, signed, sign(unit.contribution)), cell(unit.measured, signed, "measured"),
    cell(unit.frequency, percent, "frequency"), make("td", { class: "bars" }, bar(unit.contribution, graph.largest)),
  );
}
