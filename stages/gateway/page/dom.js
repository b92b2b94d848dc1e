// Elements are built from values, never from markup: no text of a user or a server is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "srcObject") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  add(element, ...children);
  return element;
}

/** Append elements and texts; null, undefined and false are left out, lists are joined. */
export function add(element, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

/** An HTML element: attributes by name, listeners as `onclick`. */
export function h(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** An SVG element. */
export function svg(tag, properties, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

/** Replace everything that is in an element. */
export function put(element, ...children) {
  element.replaceChildren();
  return add(element, ...children);
}

/** A table with a name, in a frame that scrolls where it is too wide, also by the keyboard. */
export function framedTable(name, className, ...parts) {
  return h(
    "div",
    { class: className, role: "region", "aria-label": name, tabindex: 0 },
    h("table", {}, h("caption", { class: "sr-only" }, name), parts),
  );
}

let counter = 0;
/** An id that no other element has. */
export function newId(prefix = "e") {
  counter += 1;
  return `${prefix}-${counter}`;
}

/** The element whose text screen readers are told of when it changes. */
let liveRegion = null;
export function announcer() {
  liveRegion = h("p", { class: "sr-only", role: "status", "aria-live": "polite" });
  return liveRegion;
}
export function announce(text) {
  if (liveRegion && liveRegion.textContent !== text) liveRegion.textContent = text;
}

/** Ask before something that can't be undone. Resolves to whether the person agreed. */
export function confirmed({ title, text, yes, no }) {
  return new Promise((resolve) => {
    const heading = newId("dialog");
    const cancel = h("button", { type: "button", class: "button", onclick: () => dialog.close("") }, no);
    const dialog = h(
      "dialog",
      {
        "aria-labelledby": heading,
        onclose: () => {
          dialog.remove();
          resolve(dialog.returnValue === "yes");
        },
      },
      h("h2", { id: heading }, title),
      h("p", {}, text),
      h(
        "div",
        { class: "row end" },
        cancel,
        h("button", { type: "button", class: "button danger", onclick: () => dialog.close("yes") }, yes),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
    cancel.focus();
  });
}
