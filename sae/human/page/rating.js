"use strict";

// Asks one question at a time. Text from the corpus or the labels enters the page as textContent only.

const at = (id) => document.getElementById(id);
const kit = JSON.parse(at("kit").textContent);
const place = `rating ${kit.key_sha256}`;
const TASKS = {
  intruder: "Four of these texts share something. Which one does not belong?",
  label: "What do the marked words and their texts have in common? A few words are enough.",
  rate: "How well do these texts hang together?",
  match: "Which set does this description fit best?",
};
const SCALES = {
  clarity: ["Clarity: is there one idea that explains all marks?", "1 none at all", "5 perfectly clear"],
  clinical_meaning: ["Clinical meaning: would this idea matter to a clinician?", "1 not at all", "5 very much"],
};
let state = { rater: "", current: 0, answers: {} };

window.addEventListener("error", (event) => complain(`Something went wrong: ${event.message}`));

function complain(text) {
  at("problem").textContent = text;
  at("problem").hidden = !text;
}

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Progress

function restore() {
  try {
    const kept = JSON.parse(localStorage.getItem(place));
    if (kept && typeof kept.answers === "object") state = { ...state, ...kept };
  } catch {
    complain("This browser does not keep progress for files. Download your answers before you close the page.");
  }
  state.current = Math.min(Math.max(0, state.current | 0), kit.items.length - 1);
}

function keep() {
  try {
    localStorage.setItem(place, JSON.stringify(state));
  } catch {
    complain("Progress could not be kept. Download your answers before you close the page.");
  }
}

const isAnswered = (item) => {
  const answer = state.answers[item.id] ?? {};
  if (item.kind === "rate") return Object.keys(SCALES).every((name) => answer[name]);
  return item.kind === "label" ? Boolean(answer.text?.trim()) : answer.choice !== undefined;
};

function answer(part) {
  const { id } = kit.items[state.current];
  state.answers[id] = { ...state.answers[id], ...part };
  keep();
  showProgress();
}

// What is shown

function context({ tokens, shares }) {
  const line = make("p", { class: "context" });
  tokens.forEach((token, index) => {
    const piece = make("bdi", {}, token);
    if (shares && shares[index] > 0) {
      piece.className = "active";
      piece.style.setProperty("--share", shares[index].toFixed(3));
    }
    line.append(piece);
  });
  return line;
}

function choice(index, contexts) {
  const { id } = kit.items[state.current];
  const input = make("input", { type: "radio", name: "choice", value: index });
  input.checked = state.answers[id]?.choice === index;
  input.addEventListener("change", () => answer({ choice: index }));
  return make("label", { class: "choice" }, input, make("b", {}, String(index + 1)), make("div", {}, ...contexts.map(context)));
}

function scale(name) {
  const { id } = kit.items[state.current];
  const [question, lowest, highest] = SCALES[name];
  const row = make("div", { class: "scale" });
  for (let value = 1; value <= 5; value += 1) {
    const input = make("input", { type: "radio", name, value });
    input.checked = state.answers[id]?.[name] === value;
    input.addEventListener("change", () => answer({ [name]: value }));
    row.append(make("label", {}, input, value === 1 ? lowest : value === 5 ? highest : String(value)));
  }
  return make("fieldset", { "data-scale": name }, make("legend", {}, question), row);
}

function label() {
  const { id } = kit.items[state.current];
  const box = make("textarea", { "aria-label": TASKS.label, maxlength: 400 });
  box.value = state.answers[id]?.text ?? "";
  box.addEventListener("input", () => answer({ text: box.value }));
  return box;
}

function fill(item) {
  const together = () => make("div", { class: "contexts" }, ...item.contexts.map(context));
  if (item.kind === "intruder") return item.contexts.map((each, index) => choice(index, [each]));
  if (item.kind === "match") return item.sets.map((each, index) => choice(index, each));
  return item.kind === "label" ? [together(), label()] : [together(), ...Object.keys(SCALES).map(scale)];
}

function showProgress() {
  const done = kit.items.filter(isAnswered).length;
  at("progress").textContent = `Question ${state.current + 1} of ${kit.items.length}, ${done} answered`;
  at("bar").max = kit.items.length;
  at("bar").value = done;
  at("next").disabled = state.current === kit.items.length - 1;
  at("back").disabled = state.current === 0;
}

function show() {
  const item = kit.items[state.current];
  at("start").hidden = true;
  at("question").hidden = false;
  at("task").textContent = TASKS[item.kind];
  at("explanation").hidden = item.explanation === undefined;
  at("explanation").textContent = item.explanation ?? "";
  at("form").replaceChildren(...fill(item));
  showProgress();
  at("task").focus();
}

function go(step) {
  const wanted = state.current + step;
  if (wanted < 0 || wanted >= kit.items.length) return;
  state.current = wanted;
  keep();
  show();
}

// What raters do

function begin() {
  const rater = at("rater").value.trim();
  if (!rater) return complain("Please give a name or a code first.");
  complain("");
  state.rater = rater;
  keep();
  return show();
}

function answersFile() {
  const { rater, answers } = state;
  return JSON.stringify({ schema_version: kit.schema_version, key_sha256: kit.key_sha256, rater, answers }, null, 1);
}

function download() {
  const url = URL.createObjectURL(new Blob([answersFile()], { type: "application/json" }));
  const link = make("a", { href: url, download: `answers-${state.rater.replace(/[^\w-]+/g, "_")}.json` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

function pressKey(event) {
  if (at("question").hidden || event.ctrlKey || event.metaKey) return;
  if (event.altKey) {
    if (event.key === "ArrowLeft") { event.preventDefault(); go(-1); }
    return;
  }
  const isWriting = event.target.tagName === "TEXTAREA";
  if (event.key === "Enter" && event.target.tagName !== "BUTTON" && !(isWriting && event.shiftKey)) {
    event.preventDefault();
    go(1);
  } else if (!isWriting && /^[1-5]$/.test(event.key)) {
    chooseByKey(event);
  }
}

function chooseByKey(event) {
  const inside = event.target.closest?.("fieldset[data-scale]");
  const isUnset = (scale) => !scale.querySelector(":checked");
  const unset = [...document.querySelectorAll("fieldset[data-scale]")].find(isUnset);
  const group = (inside && isUnset(inside) ? inside : unset ?? inside) ?? at("form");
  const input = group.querySelectorAll("input[type=radio]")[Number(event.key) - 1];
  if (!input) return;
  input.focus();
  input.click();
}

at("form").addEventListener("submit", (event) => event.preventDefault());
at("begin").addEventListener("click", begin);
at("rater").addEventListener("keydown", (event) => { if (event.key === "Enter") begin(); });
at("back").addEventListener("click", () => go(-1));
at("next").addEventListener("click", () => go(1));
at("download").addEventListener("click", download);
document.addEventListener("keydown", pressKey);
restore();
at("rater").value = state.rater;
if (state.rater) show();
document.body.dataset.state = "ready";
