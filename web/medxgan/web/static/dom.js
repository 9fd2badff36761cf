// Elements, in one line each.

/** An element with attributes, listeners (`onclick`) and children; `null` children are left out. */
export function h(name, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "circle", "polyline", "polygon", "text", "g"].includes(name);
  return dressed(svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name),
    attributes, ...children);
}

/** An element that is there, with attributes, listeners and children as of `h`. */
export function dressed(element, attributes = {}, ...children) {
  const svg = element instanceof SVGElement;
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && !svg && !key.startsWith("aria") && key !== "list" && key !== "form") element[key] = value;
    else element.setAttribute(key === "className" ? "class" : key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Put children in place of those that are there; `null` ones are left out. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));
}

/** A control with its label. */
export function field(label, control, note = "") {
  control.id ||= `field-${(field.count = (field.count ?? 0) + 1)}`;
  const noteId = `${control.id}-note`;
  if (note) control.setAttribute("aria-describedby", noteId);
  return h("div", { className: "field" },
    h("label", { htmlFor: control.id }, label), control,
    note ? h("span", { className: "note", id: noteId }, note) : null);
}

/** Buttons of which one is pressed: `choices` are [value, label, title]; gives the group, with `choose(value)`. */
export function segmented(label, choices, onchoose) {
  const group = h("div", { className: "segmented", role: "group", "aria-label": label });
  for (const [value, text, title] of choices) {
    group.append(h("button", {
      type: "button", value, title: title ?? null, "aria-pressed": "false",
      onclick: () => { group.choose(value); onchoose(value); },
    }, text));
  }
  group.choose = (value) => {
    for (const button of group.children) button.setAttribute("aria-pressed", String(button.value === value));
  };
  return group;
}

/** Say something to those who listen to the page. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}
