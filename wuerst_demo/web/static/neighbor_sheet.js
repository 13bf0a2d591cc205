// A click on an image of the sheet makes it the middle, one on the way back shows what was there before. While pictures are
// being generated, it stops them first. Runs in Gradio's function for a component, where `element` is the component.
const choose = (data) => {
  if (document.getElementById("generate").disabled) document.getElementById("stop").click();
  window.wuerstWhenReady(() => trigger("click", data));
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
element.addEventListener("keydown", (event) => {
  const cells = [...element.querySelectorAll(".cells li")];
  const at = cells.indexOf(event.target.closest(".cells li"));
  const next = at >= 0 && window.wuerstMoveInGrid(event, [at % 3, Math.floor(at / 3)], [3, 3]);
  if (next) cells[3 * next[1] + next[0]].querySelector("button")?.focus();
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
