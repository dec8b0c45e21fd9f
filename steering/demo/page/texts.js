// What the model writes, side by side, with the words that differ marked; and what it makes of its next token.

const isAfterPrompt = (tokens) => {
  const first = tokens.findIndex((token) => !token.is_given);
  return (index) => first >= 0 && index >= first;
};

function writtenText(tokens, differs, tag) {
  const keep = isAfterPrompt(tokens), nodes = [];
  tokens.forEach((token, index) => {
    if (!keep(index)) return;
    const marked = differs[index] && !token.is_given;
    const kind = marked ? "mark" : "span";
    const last = nodes.at(-1);
    const fresh = !last || last.kind !== kind || last.given !== token.is_given;
    if (fresh) nodes.push({ kind, given: token.is_given, text: "" });
    nodes.at(-1).text += token.text;
  });
  const elements = nodes.flatMap(({ kind, given, text }, place) => {
    const trimmed = text.trimStart();
    const space = place > 0 && trimmed !== text ? [" "] : [];
    return [...space, make(kind, given ? { class: "given" } : {}, trimmed)];
  });
  return elements.length ? elements : [make("span", { class: "none" }, "nothing: the text ends here")];
}

function showTexts(index) {
  const [plain, steered] = [report.texts[0], report.texts[index]];
  at("plain").replaceChildren(...writtenText(plain.tokens, steered.plain_differs));
  at("steered").replaceChildren(...writtenText(steered.tokens, steered.differs));
  at("steered-title").textContent = index ? `Steered by ${strengthText(index)}` : "Steered by 0, which is left alone";
}

function reading(name, value, unit, { share, kind } = {}) {
  const parts = [make("dt", {}, name), make("dd", {}, value, ...(unit ? [make("small", {}, unit)] : []))];
  if (share !== undefined) {
    const bar = make("div");
    bar.style.width = `${(100 * share).toFixed(2)}%`;
    parts.push(make("dd", { class: "meter" }, bar));
  }
  return make("div", kind ? { class: kind } : {}, ...parts);
}

function showReadings(index) {
  const text = report.texts[index];
  at("readings").replaceChildren(
    reading(`“${report.target}” comes next`, percent(text.target_probability), "probability", { share: text.target_probability }),
    reading(`“${report.answer}” comes next`, percent(text.answer_probability), "probability", { share: text.answer_probability, kind: "foil" }),
    reading("KL(steered ‖ plain)", number(text.kl), "nats, next token"),
    reading("|change| / |x|", text.norm_ratio === null ? "–" : number(text.norm_ratio), "of the stream there"),
  );
}
