// The circuit as it is drawn: units and the edges between them. A unit is a node, or a group of nodes taken together.

const data = JSON.parse(at("circuit").textContent);
const nodeOf = new Map(data.nodes.map((node) => [node.id, node]));
const EDGE_NUMBERS = ["effect", "exact_effect", "value_effect", "query_key_effect"];

const byContribution = (a, b) => Math.abs(b.contribution) - Math.abs(a.contribution);
const byEffect = (a, b) => Math.abs(b.effect) - Math.abs(a.effect);
const featuresIn = (unit) => (unit.members ?? [unit]).filter((node) => node.kind === "feature").length;

function makeGraph(groups) {
  const grouped = groups.map(groupUnit);
  const home = new Map(data.nodes.map((node) => [node.id, node.id]));
  for (const unit of grouped) for (const member of unit.members) home.set(member.id, unit.id);
  const alone = data.nodes.filter((node) => home.get(node.id) === node.id);
  const units = [...grouped, ...alone].sort(byContribution);
  const edges = joinedEdges(home).sort(byEffect);
  return {
    units, edges, home,
    unitOf: new Map(units.map((unit) => [unit.id, unit])),
    largest: Math.abs(units[0]?.contribution ?? 0) || 1,
    strongestEdge: Math.abs(edges[0]?.effect ?? 0) || 1,
  };
}

// A group stands where its strongest node stood, and contributes the sum of what its nodes do.
function groupUnit({ name, ids }) {
  const members = ids.map((id) => nodeOf.get(id)).sort(byContribution);
  const { x, y, position } = members[0];
  return {
    id: `group:${name}`, kind: "group", label: name, members, x, y, position,
    token: [...new Set(members.map((node) => node.token))].join(", "),
    contribution: members.reduce((sum, node) => sum + node.contribution, 0),
  };
}

// Edges between the same two units add up; those inside a group vanish.
function joinedEdges(home) {
  const joined = new Map();
  for (const edge of data.edges) {
    const source = home.get(edge.source), target = home.get(edge.target);
    if (source === target) continue;
    const key = JSON.stringify([source, target]);
    joined.set(key, joined.has(key) ? sumOfEdges(joined.get(key), edge) : { ...edge, source, target });
  }
  return [...joined.values()];
}

// A number that one of the two lacks would be a part of the sum, so the sum lacks it too.
function sumOfEdges(sum, edge) {
  const both = EDGE_NUMBERS.filter((name) => sum[name] !== undefined && edge[name] !== undefined);
  const numbers = Object.fromEntries(both.map((name) => [name, sum[name] + edge[name]]));
  return { source: sum.source, target: sum.target, ...numbers };
}
