// What a pointer or the keyboard's focus on a node brings: its numbers beside it, its own edges, its token in the prompt.

function pointAt(unit, group) {
  const tip = at("tip"), name = make("strong", { class: sign(unit.contribution) }, nameOf(unit));
  tip.replaceChildren(name, make("small", {}, unit.id), definitions(factsOf(unit)));
  tip.hidden = false;
  placeBeside(tip, group.getBoundingClientRect());
  for (const node of unit.members ?? [unit]) at("prompt").children[node.position].classList.add("current");
  for (const { edge, path } of drawn.edges) path.classList.toggle("near", [edge.source, edge.target].includes(unit.id));
}

function placeBeside(tip, anchor) {
  const box = tip.getBoundingClientRect(), isRoomy = anchor.right + 10 + box.width < innerWidth;
  tip.style.left = `${Math.max(8, isRoomy ? anchor.right + 10 : anchor.left - 10 - box.width)}px`;
  tip.style.top = `${Math.max(8, Math.min(innerHeight - box.height - 8, anchor.top - box.height / 2))}px`;
}

function pointAway() {
  at("tip").hidden = true;
  for (const token of at("prompt").children) token.classList.remove("current");
  for (const { path } of drawn.edges) path.classList.remove("near");
}
