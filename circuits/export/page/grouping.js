// Nodes by hand: pinned ones stay in view, marked ones can be given a name and are then drawn as one.

function toggle(set, id) {
  if (!set.delete(id)) set.add(id);
  update();
}

const togglePin = (id) => toggle(state.pinned, id);
const toggleMark = (id) => toggle(state.marked, id);

// Marked groups are taken apart first; a name that is in use already gains the nodes.
function groupMarked(name) {
  const units = [...state.marked].map((id) => graph.unitOf.get(id));
  const namesake = graph.unitOf.get(`group:${name}`);
  const all = namesake && !units.includes(namesake) ? [namesake, ...units] : units;
  const ids = all.flatMap((unit) => (unit.members ?? [unit]).map((node) => node.id));
  const replaced = new Set(all.map((unit) => unit.id));
  setGroups([...state.groups.filter((group) => !replaced.has(`group:${group.name}`)), { name, ids }]);
  select(`group:${name}`, true);
}

function ungroup(name) {
  setGroups(state.groups.filter((group) => group.name !== name));
}

function setGroups(groups) {
  state.groups = validGroups(groups.map(({ name, ids }) => [name, ...ids]));
  graph = makeGraph(state.groups);
  state.marked.clear();
  state.pinned = new Set([...state.pinned].map((id) => graph.home.get(id) ?? id).filter((id) => graph.unitOf.has(id)));
  redraw();
}

function showGrouping() {
  const count = state.marked.size, nodes = [...state.marked].reduce((sum, id) => sum + (graph.unitOf.get(id).members?.length ?? 1), 0);
  at("grouping").hidden = count === 0;
  at("marks").textContent = `${plural(nodes, "node")} marked`;
  at("group").disabled = nodes < 2;
}

// Groups as a file of their own, which another page of the same circuit can open.
function saveGroups() {
  const groups = state.groups.map(({ name, ids }) => ({ name, nodes: ids }));
  const blob = new Blob([JSON.stringify({ schema_version: 1, groups }, null, 1)], { type: "application/json" });
  const link = make("a", { href: URL.createObjectURL(blob), download: "groups.json" });
  link.click();
  URL.revokeObjectURL(link.href);
}

async function openGroups(file) {
  const groups = readList(await file.text())?.groups;
  const lists = Array.isArray(groups) ? groups.map((group) => [group?.name, ...(group?.nodes ?? [])]) : [];
  const valid = validGroups(lists);
  if (valid.length) setGroups(valid);
  at("hint").textContent = valid.length ? `${plural(valid.length, "group")} opened.` : `No group in ${file.name} fits this circuit.`;
}
