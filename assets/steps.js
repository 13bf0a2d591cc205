// The slider over the steps: moves every strip to the frame that belongs to it, and says which step that is.
// Runs in Gradio's function for a component, where `element` is the component.
const show = (range) => {
  const at = Number(range.value);
  const steps = JSON.parse(range.dataset.steps);
  const account = range.closest(".account");
  for (const [name, frame] of Object.entries(steps[at].frames)) {
    account.style.setProperty(`--${name}`, frame);
  }
  account.dataset.stage = steps[at].stage;
  const said = account.querySelectorAll(".sayings li")[at].textContent;
  range.setAttribute("aria-valuetext", said);
  account.querySelector("output").textContent = said;
};
element.addEventListener("input", (event) => {
  if (event.target.matches("input[type=range]")) show(event.target);
});
element.addEventListener("click", (event) => {
  if (!event.target.matches("button.play")) return;
  const range = element.querySelector("input[type=range]");
  clearInterval(element.playing);
  range.value = 0;
  show(range);
  element.playing = setInterval(() => {
    if (!range.isConnected || range.value === range.max) return clearInterval(element.playing);
    range.value = Number(range.value) + 1;
    show(range);
  }, 180);
});
// An account that takes another's place begins at its end, as its text does; a slider keeps where it was moved to.
watch("value", () => {
  clearInterval(element.playing);
  const range = element.querySelector("input[type=range]");
  if (range) range.value = range.max;
});
