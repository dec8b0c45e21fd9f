// The panel beside the picture: all that is known of the selected node, and what is pinned.

const MOST_CONNECTIONS = 8, MOST_CONTEXTS = 6;

function showDetails() {
  const unit = graph.unitOf.get(state.selected);
  at("selection").replaceChildren(...(unit ? descriptionOf(unit) : []));
  at("nothing").hidden = unit !== undefined;
  const pinned = graph.units.filter((each) => state.pinned.has(each.id));
  at("pinned").replaceChildren(...section("Pinned", pinned.map(connection)));
}

function descriptionOf(unit) {
  const title = make("h2", { class: sign(unit.contribution) }, nameOf(unit));
  const place = unit.kind === "group" ? "group; its contribution is the sum over its nodes" : unit.id;
  const members = (unit.members ?? []).map(connection);
  const inputs = graph.edges.filter((edge) => edge.target === unit.id);
  const outputs = graph.edges.filter((edge) => edge.source === unit.id);
  return [
    title, make("p", { class: "place" }, place), actions(unit), definitions(factsOf(unit)),
    ...section("Nodes", members),
    ...section("Strongest inputs", inputs.slice(0, MOST_CONNECTIONS).map((edge) => edgeLine(edge, edge.source)), inputs.length),
    ...section("Strongest outputs", outputs.slice(0, MOST_CONNECTIONS).map((edge) => edgeLine(edge, edge.target)), outputs.length),
    ...section("Top contexts", contextsOf(unit)),
  ];
}

function section(title, lines, total = lines.length) {
  if (!lines.length) return [];
  const heading = make("h3", {}, title);
  if (total > lines.length) heading.append(make("small", {}, ` ${lines.length} of ${total}`));
  return [heading, make("ul", {}, ...lines)];
}

function actions(unit) {
  const isPinned = state.pinned.has(unit.id), isMarked = state.marked.has(unit.id);
  const row = make(
    "p", { class: "actions" },
    button(isPinned ? "Unpin" : "Pin", () => togglePin(unit.id), { id: "pin", "aria-pressed": isPinned }),
    button(isMarked ? "Unmark" : "Mark for a group", () => toggleMark(unit.id), { id: "mark", "aria-pressed": isMarked }),
  );
  if (unit.kind === "group") row.append(button("Ungroup", () => ungroup(unit.label), { id: "ungroup" }));
  return row;
}

// A node that lies inside a group has no place of its own; its line is plain text.
function lineOf(unit, value, largest, note = "") {
  const isDrawn = graph.unitOf.has(unit.id);
  const name = isDrawn ? button(nameOf(unit), () => select(unit.id, true)) : make("bdi", {}, nameOf(unit));
  const small = make("small", {}, [unit.kind === "group" ? "group" : unit.id, note].filter(Boolean).join(" · "));
  return make("li", {}, name, make("span", { class: `number ${sign(value)}` }, signed(value)), small, bar(value, largest));
}

function connection(unit) {
  return lineOf(unit, unit.contribution, graph.largest);
}

// Effects of edges are turned round like those of nodes: what supports the target is positive.
function edgeLine(edge, end) {
  const parts = { measured: edge.exact_effect, value: edge.value_effect, "query and key": edge.query_key_effect };
  const given = Object.entries(parts).filter(([, effect]) => effect !== undefined);
  const note = given.map(([name, effect]) => `${name} ${signed(0 - effect)}`).join(", ");
  return lineOf(graph.unitOf.get(end), 0 - edge.effect, graph.strongestEdge, note);
}

function contextsOf(unit) {
  return (data.contexts[unit.id.split("@")[0]] ?? []).slice(0, MOST_CONTEXTS).map(({ tokens, activations, index }) => {
    const largest = Math.max(...activations) || 1;
    const text = tokens.map((token, place) => {
      const strength = Math.round((4 * Math.max(0, activations[place])) / largest);
      return make(place === index ? "b" : "bdi", { class: `heat${strength}` }, token);
    });
    return make("li", { class: "context" }, make("span", { class: "number" }, number(activations[index])), make("p", {}, ...text));
  });
}
