// Which cases of the list are selected, said beside the buttons that act on them.

export class Selection {
  constructor(list) {
    this.list = list;
    this.all = list.querySelector("[data-all]");
    this.said = list.querySelector("[data-selected]");
    this.last = null;
    this.all.hidden = false;
    this.all.addEventListener("change", () => this.set(this.boxes(), this.all.checked));
    list.addEventListener("change", (event) => {
      if (event.target.name === "case") this.show();
    });
    list.addEventListener("click", (event) => {
      if (event.target.name !== "case") return;
      if (event.shiftKey && this.last) this.range(event.target);
      this.last = event.target;
    });
    list.querySelector("[data-clear]").addEventListener("click", (event) => {
      event.preventDefault();
      this.clear();
    });
    this.show();
  }

  boxes() {
    return [...this.list.querySelectorAll("input[name=case]")];
  }

  set(boxes, checked) {
    for (const box of boxes) box.checked = checked;
    this.show();
  }

  toggle(row) {
    const box = row.querySelector("input[name=case]");
    box.checked = !box.checked;
    this.last = box;
    this.show();
  }

  range(box) {
    const boxes = this.boxes();
    const [from, to] = [boxes.indexOf(this.last ?? box), boxes.indexOf(box)].sort((a, b) => a - b);
    this.set(boxes.slice(from, to + 1), true);
  }

  clear() {
    this.set(this.boxes(), false);
  }

  count() {
    return this.boxes().filter((box) => box.checked).length;
  }

  show() {
    const count = this.count();
    const boxes = this.boxes();
    for (const box of boxes) box.closest("tr").classList.toggle("is-selected", box.checked);
    this.all.checked = count > 0 && count === boxes.length;
    this.all.indeterminate = count > 0 && count < boxes.length;
    this.said.textContent = `${count} selected`;
    this.list.classList.toggle("has-none", count === 0);
  }
}
