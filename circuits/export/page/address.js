// The state in the address, as #share=0.5&select=resid_post.3/117@12: a link shows what its sender saw.

function writeAddress() {
  const address = new URLSearchParams();
  if (state.share < 1) address.set("share", state.share);
  if (state.edgeShare < 1) address.set("edges", state.edgeShare);
  if (!state.errors) address.set("errors", 0);
  if (state.selected) address.set("select", state.selected);
  for (const id of state.pinned) address.append("pin", id);
  for (const { name, ids } of state.groups) address.append("group", JSON.stringify([name, ...ids]));
  if (state.theme) address.set("theme", state.theme);
  const hash = address.size ? `#${address}` : "";
  if (hash !== location.hash) history.replaceState(null, "", hash || location.pathname + location.search);
}

// What makes no sense is passed over.
function readAddress() {
  const address = new URLSearchParams(location.hash.slice(1));
  state.share = readShare(address.get("share"));
  state.edgeShare = readShare(address.get("edges"));
  state.errors = address.get("errors") !== "0";
  state.theme = ["light", "dark"].includes(address.get("theme")) ? address.get("theme") : "";
  state.groups = validGroups(address.getAll("group").map(readList));
  graph = makeGraph(state.groups);
  state.selected = graph.unitOf.has(address.get("select")) ? address.get("select") : null;
  state.pinned = new Set(address.getAll("pin").filter((id) => graph.unitOf.has(id)));
  state.marked = new Set();
}

function readShare(text) {
  const share = Number(text ?? 1);
  return share >= 0 && share <= 1 ? share : 1;
}

function readList(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

// Groups from lists of a name and node ids: at least two nodes each, no node in two, no name twice.
function validGroups(lists) {
  const taken = new Set(), groups = [];
  for (const list of lists) {
    if (!Array.isArray(list) || typeof list[0] !== "string" || !list[0].trim()) continue;
    const name = list[0].trim();
    const ids = [...new Set(list.slice(1))].filter((id) => nodeOf.has(id) && !taken.has(id));
    if (ids.length < 2 || groups.some((group) => group.name === name)) continue;
    for (const id of ids) taken.add(id);
    groups.push({ name, ids });
  }
  return groups;
}
