// Changes of cases as they happen, and the sign that says whether the page is live. Only losing and regaining
// the connection is announced.
//
//   listen(root, { changed(case), stale() })     root has data-store, data-since and data-zone

import { span } from "./clocks.js";

const RETRY_MS = 30_000;
const LOOKS = { live: "live", wait: "live live-wait", off: "live live-off" };

export function listen(root, { changed, stale }) {
  const sign = new Sign(root.dataset.zone);
  let since = root.dataset.since;
  let stream = null;

  const heard = () => sign.live();

  function open() {
    const address = new URLSearchParams({ store: root.dataset.store, since });
    stream = new EventSource(`/inbox/live?${address}`);
    stream.addEventListener("case", (event) => {
      since = event.lastEventId || since;
      heard();
      changed(JSON.parse(event.data));
    });
    stream.addEventListener("beat", heard);
    stream.addEventListener("stale", () => {
      heard();
      stale();
    });
    stream.addEventListener("error", () => {
      if (stream.readyState === EventSource.CONNECTING) return sign.waiting();
      sign.off();
      setTimeout(open, RETRY_MS);
    });
  }

  open();
  addEventListener("pagehide", () => stream.close());
  addEventListener("pageshow", (event) => event.persisted && open());
}

class Sign {
  constructor(zone) {
    this.box = document.querySelector("[data-live]");
    this.said = document.querySelector("[data-live-said]");
    this.zone = zone;
    this.heardAt = null;
    this.state = "";
    setInterval(() => this.age(), 1000);
  }

  live() {
    this.heardAt = Date.now();
    if (this.state === "wait" || this.state === "off") this.say("Live again");
    this.show("live", "Live");
    this.age();
  }

  waiting() {
    if (this.state === "live") this.say("Reconnecting");
    this.show("wait", "Reconnecting", `since ${this.time()}`);
  }

  off() {
    if (this.state !== "off") this.say(`Not live, shown as of ${this.time()}`);
    this.show("off", "Not live", `Shown as of ${this.time()}.`);
  }

  age() {
    if (this.state === "live") this.words(`Updated ${span((Date.now() - this.heardAt) / 1000)} ago`);
  }

  show(state, word, more) {
    this.state = state;
    if (!this.box) return;
    this.box.hidden = false;
    this.box.className = LOOKS[state];
    this.box.querySelector("[data-live-word]").textContent = word;
    if (more) this.words(more);
  }

  words(text) {
    const age = this.box?.querySelector("[data-live-age]");
    if (age && age.textContent !== text) age.textContent = text;
  }

  say(text) {
    if (this.said) this.said.textContent = text;
  }

  time() {
    const at = new Date(this.heardAt ?? Date.now());
    return at.toLocaleTimeString("en-GB", { timeZone: this.zone, hour: "2-digit", minute: "2-digit" });
  }
}
