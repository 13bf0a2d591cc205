// Cells of a region are painted with a pointer, or with arrow keys and Space. Runs in Gradio's function for a component,
// where `element` is the component.
const grid = () => element.querySelector("[role=grid]");
const cells = () => [...element.querySelectorAll("[role=gridcell]")];
const painted = (cell) => cell.getAttribute("aria-selected") === "true";
const paint = (cell, on) => cell.setAttribute("aria-selected", on);
const focus = (cell) => {
  for (const each of cells()) each.tabIndex = each === cell ? 0 : -1;
  cell.focus({ preventScroll: true });
};
const build = () => {
  const { rows, columns, label } = grid().dataset;
  for (let row = 1; row <= rows; row++) {
    const line = document.createElement("div");
    line.role = "row";
    for (let column = 1; column <= columns; column++) {
      const cell = document.createElement("div");
      cell.role = "gridcell";
      cell.tabIndex = row + column === 2 ? 0 : -1;
      cell.ariaLabel = label.replace("{column}", column).replace("{row}", row);
      paint(cell, false);
      line.append(cell);
    }
    grid().append(line);
  }
};
let brush = null; // whether the pointer paints or wipes, while it is down
const under = (event) => document.elementFromPoint(event.clientX, event.clientY)?.closest("#region [role=gridcell]");
element.addEventListener("pointerdown", (event) => {
  const cell = event.button === 0 && event.target.closest("[role=gridcell]");
  if (!cell) return;
  event.preventDefault();
  brush = !painted(cell);
  paint(cell, brush);
  focus(cell);
});
element.addEventListener("pointermove", (event) => {
  if (brush === null || !event.buttons) return;
  const cell = under(event);
  if (cell) paint(cell, brush);
});
for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => (brush = null));
element.addEventListener("keydown", (event) => {
  const cell = event.target.closest("[role=gridcell]");
  if (!cell || event.ctrlKey || event.metaKey || event.altKey) return;
  const all = cells(), { columns, rows } = grid().dataset, at = all.indexOf(cell);
  if (event.key === " ") {
    event.preventDefault();
    paint(cell, !painted(cell));
  }
  const next = window.wuerstMoveInGrid(event, [at % columns, Math.floor(at / columns)], [columns, rows].map(Number));
  if (!next) return;
  const there = all[next[1] * columns + next[0]];
  focus(there);
  if (event.shiftKey) paint(there, painted(cell)); // goes on with what is here
});
element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.matches(".clear")) for (const cell of cells()) paint(cell, false);
  const data = button.matches(".redraw") && {
    image: Number(grid().dataset.image),
    cells: cells().map((cell) => (painted(cell) ? "1" : "0")).join(""),
  };
  if (button.matches(".close")) trigger("click", { close: true });
  if (data) trigger("click", data);
});
let open = false;
watch("value", () => {
  const begins = grid() && !grid().children.length;
  if (begins) build();
  if (begins && document.activeElement?.id === "redraw") {
    element.scrollIntoView({ block: "nearest" });
    focus(cells()[0]);
  }
  if (open && !grid() && document.activeElement === document.body) document.getElementById("redraw")?.focus();
  open = Boolean(grid());
});
