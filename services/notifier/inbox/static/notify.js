// Notifications of the browser, for who asked for them: urgent cases that are new, and cases given to me.
//
//   offerNotifications(); notify(case, me)

const KEPT = "closeloop-notify";

const granted = () => "Notification" in window && Notification.permission === "granted" && localStorage.getItem(KEPT) === "on";

export function offerNotifications() {
  const button = document.querySelector("[data-notify]");
  if (!button || !("Notification" in window) || Notification.permission === "denied" || granted()) return;
  button.hidden = false;
  button.addEventListener("click", async () => {
    if ((await Notification.requestPermission()) !== "granted") return;
    localStorage.setItem(KEPT, "on");
    button.hidden = true;
  });
}

export function notify(change, { me, isNew, wasMine, store }) {
  if (!granted() || change.byMe === me) return;
  const mine = change.owner.key === me && !wasMine;
  const urgent = isNew && change.priority === "urgent";
  if (!mine && !urgent) return;
  const title = mine ? `Case ${change.number} is yours` : `Urgent: case ${change.number}`;
  const shown = new Notification(title, { body: change.clock.text, tag: change.id });
  shown.addEventListener("click", () => {
    window.focus();
    location.assign(`/inbox/${change.id}?store=${encodeURIComponent(store)}`);
  });
}
