// Shortcuts of one letter, and of two after another ("g i"). Off in fields, while a modifier is held, while a
// dialog is open, and for people who turned them off in their account (WCAG 2.1.4).
//
//   import { bind } from "./keys.js";
//   bind({ "j": next, "X": range, "Enter": openCase, "g s": scores });

const PAUSE_MS = 1200;
const bound = new Map();
let before = "";
let beforeAt = 0;

const on = () => document.body.dataset.keys === "on";

const busy = (target) =>
  target instanceof Element &&
  (target.closest("input:not([type=checkbox], [type=radio], [type=button], [type=submit]), textarea, select") !==
    null ||
    target.isContentEditable);

// Each function gets the event; one that returns false did nothing, and the key keeps its meaning.
export function bind(keys) {
  for (const [key, act] of Object.entries(keys)) bound.set(key, act);
}

export function shortcutsOn() {
  return on();
}

document.addEventListener("keydown", (event) => {
  if (!on() || event.defaultPrevented || event.isComposing) return;
  if (event.ctrlKey || event.metaKey || event.altKey || busy(event.target)) return;
  if (document.querySelector("dialog[open]")) return;
  const pair = event.timeStamp - beforeAt < PAUSE_MS ? `${before} ${event.key}` : "";
  const act = (pair && bound.get(pair)) || bound.get(event.key);
  before = event.key;
  beforeAt = event.timeStamp;
  if (act && act(event) !== false) {
    before = "";
    event.preventDefault();
  }
});

const list = document.getElementById("keyboard");
const show = () => list.showModal();

if (list) {
  bind({ "?": show });
  for (const button of document.querySelectorAll("[data-keyboard]")) {
    button.hidden = false;
    button.addEventListener("click", show);
  }
  list.addEventListener("click", (event) => {
    if (event.target === list) list.close();
  });
}
for (const area of document.querySelectorAll("[data-go]")) {
  bind({ [`g ${area.dataset.go}`]: () => location.assign(area.href) });
}
const search = document.querySelector("input[type=search]");
if (search) bind({ "/": () => search.focus() });
