// A click on an image of the sheet makes it the middle, one on the way back shows what was there before. While pictures are
// being generated, it stops them first. Runs in Gradio's function for a component, where `element` is the component.
const generate = () => document.getElementById("generate");
const choose = (data) => {
  clearInterval(element.waiting);
  if (!generate().disabled) return trigger("click", data);
  document.getElementById("stop").click();
  element.waiting = setInterval(() => {
    if (generate().disabled) return;
    clearInterval(element.waiting);
    trigger("click", data);
  }, 100);
};
const enlarge = (large) => {
  document.getElementById("pictures").classList.toggle("large", large);
  element.querySelector(".large")?.setAttribute("aria-pressed", large);
};
element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.matches(".large")) return enlarge(button.getAttribute("aria-pressed") !== "true");
  const { image, back } = button.dataset;
  choose(image === undefined ? { back: Number(back) } : { image: Number(image) });
});
// Arrow keys go from cell to cell.
const STEPS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -3, ArrowDown: 3 };
element.addEventListener("keydown", (event) => {
  const cells = [...element.querySelectorAll(".cells li")];
  const at = cells.indexOf(event.target.closest(".cells li"));
  if (at < 0 || !(event.key in STEPS)) return;
  event.preventDefault();
  const column = (at % 3) + (event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0);
  if (column >= 0 && column < 3) cells[at + STEPS[event.key]]?.querySelector("button")?.focus();
});
// An update replaces the buttons: the focus stays on the same one, or goes to the middle.
let focused = null;
const remember = ({ target }) => {
  const button = element.contains(target) ? target.closest("button") : null;
  if (!button) focused = null;
  else if (button.dataset.image) focused = `[data-image="${button.dataset.image}"]`;
  else focused = button.matches(".large") ? ".large" : ".middle button";
};
document.addEventListener("focusin", remember);
document.addEventListener("pointerdown", remember);
let shown = false;
watch("value", () => {
  const middle = element.querySelector(".middle button");
  const begins = middle && !shown;
  shown = Boolean(middle);
  enlarge(shown && document.getElementById("pictures").classList.contains("large"));
  if (begins && document.activeElement?.id === "neighbors") middle.focus();
  if (middle && focused && document.activeElement === document.body) (element.querySelector(focused) ?? middle).focus();
});
