"use strict";
(() => {
  // Sorting: figures largest first, text from A; what is absent comes last.
  for (const button of document.querySelectorAll("th button")) {
    button.addEventListener("click", () => {
      const heading = button.parentElement;
      const at = [...heading.parentElement.children].indexOf(heading);
      const body = heading.closest("table").tBodies[0];
      const number = button.dataset.kind === "number";
      const was = heading.getAttribute("aria-sort");
      const up = was ? was === "descending" : !number;
      for (const other of heading.parentElement.children) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      const order = new Intl.Collator("en", { numeric: true }).compare;
      const key = (row) => row.children[at].dataset.key;
      const rows = [...body.rows].sort((one, other) => {
        const [a, b] = [key(one), key(other)];
        if (a === "" || b === "") return (a === "") - (b === "");
        return (number ? a - b : order(a, b)) * (up ? 1 : -1);
      });
      body.append(...rows);
    });
  }
  // The theme: that of the system, until the button is pressed.
  const theme = document.getElementById("theme");
  const root = document.documentElement;
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  // The words of a point, beside the pointer.
  const hint = document.getElementById("hint");
  const show = (event) => {
    const point = event.target.closest?.("figure path[aria-label]");
    hint.hidden = !point;
    if (!point) return;
    hint.textContent = point.getAttribute("aria-label");
    const left = Math.min(event.clientX + 12, innerWidth - hint.offsetWidth - 8);
    hint.style.left = `${Math.max(8, left)}px`;
    const below = event.clientY + 16 + hint.offsetHeight < innerHeight;
    hint.style.top = `${below ? event.clientY + 16 : event.clientY - hint.offsetHeight - 12}px`;
  };
  document.addEventListener("pointermove", show);
  document.addEventListener("pointerdown", show);
})();
