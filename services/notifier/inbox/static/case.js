// The page of a case: keys, templates of replies, and the word that somebody else changed it.

import { startClocks } from "./clocks.js";
import { bind } from "./keys.js";
import { listen } from "./live.js";

const root = document.querySelector("[data-case-page]");
const about = root.dataset;

// ---- keys

const FIELDS = "textarea, select, input:not([type=hidden])";

function work(name) {
  const part = document.getElementById(`work-${name}`);
  if (!part) return false;
  part.open = true;
  part.querySelector(FIELDS).focus();
  return true;
}

function follow(selector) {
  const link = document.querySelector(selector);
  if (!link) return false;
  location.assign(link.href);
  return true;
}

bind({
  t: () => {
    const form = document.getElementById("take");
    if (!form) return false;
    form.requestSubmit();
    return true;
  },
  a: () => {
    const menu = document.querySelector("details#assign");
    if (!menu) return false;
    menu.open = true;
    menu.querySelector("button").focus();
    return true;
  },
  n: () => work("note"),
  c: () => work("contact"),
  s: () => work("snooze"),
  e: () => work("resolve"),
  u: () => follow("[data-back]"),
  j: () => follow("[data-next]"),
  k: () => follow("[data-prev]"),
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  const form = event.target.closest?.(".composer form") ?? document.querySelector(".composer details[open] form");
  if (!form) return;
  event.preventDefault();
  form.requestSubmit();
});

const wrong = document.querySelector("[aria-invalid=true]");
const opened = document.querySelector(".composer details[open]");
if (wrong) wrong.focus();
else if (opened) opened.querySelector(FIELDS).focus();

// ---- templates of replies: what was typed already stays

document.querySelector("[data-starts]")?.addEventListener("click", (event) => {
  const start = event.target.closest("[data-start]");
  if (!start || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const message = document.getElementById("said");
  message.value = message.value.trim() ? `${message.value.trimEnd()}\n\n${start.dataset.start}` : start.dataset.start;
  message.focus();
});

// ---- somebody else

function changed(change) {
  if (change.id !== about.case || change.version <= Number(about.version)) return;
  about.version = change.version;
  const notice = document.querySelector("[data-case-changed]");
  notice.hidden = false;
  notice.querySelector("[data-case-by]").textContent = change.by;
  document.querySelector("[data-case-said]").textContent = `${change.by} changed this case just now`;
}

startClocks(Number(about.now));
listen(root, { changed, stale: () => {} });
