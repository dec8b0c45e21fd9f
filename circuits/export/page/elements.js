"use strict";

// Making elements. Text from the data enters the page as text only, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const DRAWN_TAGS = new Set(["svg", "g", "path", "circle", "rect", "line", "text", "title"]);
const at = (id) => document.getElementById(id);

window.addEventListener("error", (event) => {
  at("problem").textContent = `The circuit could not be drawn: ${event.message}`;
  at("problem").hidden = false;
});

function make(tag, attributes = {}, ...children) {
  const element = DRAWN_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function button(text, act, attributes = {}) {
  const element = make("button", { type: "button", ...attributes }, text);
  element.addEventListener("click", (event) => { event.stopPropagation(); act(); });
  return element;
}

function definitions(lines) {
  const list = make("dl");
  for (const [name, value] of Object.entries(lines)) list.append(make("dt", {}, name), make("dd", {}, value));
  return list;
}

function bar(value, largest) {
  const filled = make("div");
  filled.style.width = `${(100 * Math.abs(value)) / largest}%`;
  return make("div", { class: `bar ${sign(value)}`, "aria-hidden": "true" }, filled);
}
