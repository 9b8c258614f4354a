// The list of cases: keys, selection, and changes in place. The list itself never moves.

import { drawClock, icon, now, startClocks } from "./clocks.js";
import { bind, shortcutsOn } from "./keys.js";
import { listen } from "./live.js";
import { notify, offerNotifications } from "./notify.js";
import { Selection } from "./selection.js";

const root = document.querySelector("[data-inbox]");
const list = root.querySelector("[data-list]");
const asked = root.dataset;
const selection = list && new Selection(list);
const rows = () => [...root.querySelectorAll("tr[data-case]")];
const row = (id) => root.querySelector(`tr[data-case="${CSS.escape(id)}"]`);

// ---- keys

let current = null;

function make(next) {
  current?.classList.remove("is-current");
  current?.removeAttribute("aria-current");
  current = next;
  if (!current) return false;
  current.classList.add("is-current");
  current.setAttribute("aria-current", "true");
  const link = current.querySelector("[data-open]");
  link.focus({ preventScroll: true });
  current.scrollIntoView({ block: "nearest" });
  return true;
}

function step(by) {
  const all = rows();
  if (!all.length) return false;
  const place = all.indexOf(current);
  return make(all[place < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(place + by, 0), all.length - 1)]);
}

if (list) {
  bind({
    j: () => step(1),
    k: () => step(-1),
    Enter: (event) => {
      if (!current || event.target.closest("a, button, summary, input")) return false;
      current.querySelector("[data-open]").click();
      return true;
    },
    x: () => (current ? (selection.toggle(current), true) : false),
    X: () => (current ? (selection.range(current.querySelector("input[name=case]")), true) : false),
    Escape: () => (selection.count() ? (selection.clear(), true) : false),
    a: () => {
      if (!selection.count() && current) selection.toggle(current);
      list.querySelector("#assign").focus();
    },
    e: () => {
      if (!current) return false;
      const address = new URL(current.querySelector("[data-open]").href);
      address.searchParams.set("do", "resolve");
      location.assign(address);
      return true;
    },
  });
  list.addEventListener("focusin", (event) => {
    const inside = event.target.closest("tr[data-case]");
    if (inside && inside !== current && event.target.matches("[data-open]")) make(inside);
  });
  const hint = list.querySelector("[data-keys-hint]");
  hint.hidden = !shortcutsOn();
  if (location.hash.startsWith("#c-")) make(document.getElementById(location.hash.slice(1)));
}

// ---- changes as they happen

const loadedAt = Number(asked.now);
const fresh = new Set();
const banner = root.querySelector("[data-fresh]");

function fits(told) {
  if (asked.q) return false;
  if (asked.priority && told.priority !== asked.priority) return false;
  if (asked.team && told.team !== asked.team) return false;
  if (asked.owner && told.owner.key !== (asked.owner === "none" ? "" : asked.owner)) return false;
  switch (asked.view) {
    case "mine": return told.owner.key === asked.me;
    case "unassigned": return !told.owner.key;
    case "overdue": return told.due !== null && told.due < now();
    case "snoozed": case "resolved": return told.state === asked.view;
    case "watching": return false;
    case "all": return true;
    default: return told.live;
  }
}

// New nodes instead of changed ones: what is centred and gets longer would count as moved.
function announce(text) {
  if (!banner) return;
  const words = document.createElement("span");
  words.textContent = text;
  banner.hidden = false;
  banner.classList.add("has-news");
  banner.querySelector("a").replaceChildren(icon("up"), words);
}

function draw(line, told) {
  line.dataset.version = told.version;
  line.querySelector("input[name=case]").value = `${told.id}:${told.version}`;
  line.classList.toggle("is-over", !told.live);
  drawClock(line.querySelector("[data-cell=clock]"), told.clock);
  const owner = document.createElement("span");
  owner.className = told.owner.name ? "owner" : "owner faint";
  const avatar = document.createElement("span");
  avatar.className = told.owner.name ? "avatar avatar-sm" : "avatar avatar-sm avatar-none";
  avatar.setAttribute("aria-hidden", "true");
  avatar.textContent = told.owner.name ? told.owner.initials : "";
  owner.append(avatar, told.owner.name || "Nobody");
  line.querySelector("[data-cell=owner]").replaceChildren(owner);
  const badge = document.createElement("span");
  badge.className = told.status.kind ? `badge badge-${told.status.kind}` : "badge";
  badge.textContent = told.status.text;
  line.querySelector("[data-cell=status]").replaceChildren(badge);
}

const owners = new Map();

function changed(told) {
  const line = row(told.id);
  const isNew = told.opened > loadedAt && !owners.has(told.id);
  notify(told, { me: asked.me, isNew, wasMine: owners.get(told.id) === asked.me, store: asked.store });
  owners.set(told.id, told.owner.key);
  if (line) {
    if (told.version > Number(line.dataset.version)) draw(line, told);
    return;
  }
  const back = told.what === "reopened" && told.live;
  if ((told.opened > loadedAt || back) && fits(told)) fresh.add(told.id);
  else fresh.delete(told.id);
  if (!fresh.size) return;
  const many = fresh.size === 1 ? "1 new case" : `${fresh.size} new cases`;
  announce(`${many} since you opened this list. Show ${fresh.size === 1 ? "it" : "them"}`);
}

startClocks(loadedAt);
offerNotifications();
listen(root, { changed, stale: () => announce("Much has changed since you opened this list. Load it again") });
