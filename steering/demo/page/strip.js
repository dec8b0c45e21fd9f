// The texts token by token, the feature's activation as colour. One tab stop a strip; arrow keys go from token to token.

const shown = (token) => token.text.trim() || "␣";
const describe = (token, place, isEdited) =>
  `${shown(token)}: activation ${number(token.activation)} (${percent(token.activation / report.largest)} of the scale), ` +
  `token ${place + 1}${token.is_given ? "" : ", written by the model"}${isEdited ? "; the edit acts here" : ""}`;

function tokenMark(token, place, isEdited) {
  const classes = [token.activation > 0 && "active", isEdited && "edited", !token.is_given && "written-token"].filter(Boolean);
  const text = describe(token, place, isEdited);
  const mark = make("span", { title: text, "aria-label": text, role: "listitem", tabindex: place ? "-1" : "0" }, shown(token));
  if (classes.length) mark.className = classes.join(" ");
  mark.style.setProperty("--share", Math.min(1, token.activation / report.largest).toFixed(3));
  return mark;
}

function strip(tokens, name, { isSteered }) {
  const line = make("div", { class: "strip", role: "list", "aria-label": `Activations, ${name}` });
  const edited = tokens.findIndex((token) => !token.is_given) - 1;
  tokens.forEach((token, place) => {
    if (place && token.text.startsWith(" ")) line.append(" ");
    line.append(tokenMark(token, place, isSteered && place === edited));
  });
  line.addEventListener("keydown", stepThrough);
  for (const kind of ["focusin", "pointerover"]) line.addEventListener(kind, tell);
  return line;
}

function tell(event) {
  if (event.target.title) at("reading").textContent = event.target.title;
}

function stepThrough(event) {
  const marks = [...event.currentTarget.children], here = marks.indexOf(document.activeElement);
  const goal = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: marks.length - 1 }[event.key];
  if (goal === undefined || !marks[goal]) return;
  event.preventDefault();
  marks[here].tabIndex = -1;
  marks[goal].tabIndex = 0;
  marks[goal].focus();
}

function showStrips(index) {
  const sides = [["left alone", 0, false], [`steered by ${strengthText(index)}`, index, true]];
  at("strips").replaceChildren(...sides.map(([name, which, isSteered]) =>
    make("div", {}, make("h3", {}, name), strip(report.texts[which].tokens, name, { isSteered: isSteered && which > 0 }))));
}
