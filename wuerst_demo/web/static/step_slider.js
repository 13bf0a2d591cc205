// Slider over the steps: shows the frames of the step in every strip, and its label. Runs in Gradio's function for a
// component, where `element` is the component.
const show = (range) => {
  const at = Number(range.value);
  const steps = JSON.parse(range.dataset.steps);
  const account = range.closest(".account");
  for (const [name, frame] of Object.entries(steps[at].frames)) {
    account.style.setProperty(`--${name}`, frame);
  }
  account.dataset.stage = steps[at].stage;
  const caption = account.querySelectorAll(".captions li")[at].textContent;
  range.setAttribute("aria-valuetext", caption);
  account.querySelector("output").textContent = caption;
};
element.addEventListener("input", (event) => {
  if (event.target.matches(".scrub input")) show(event.target);
});
element.addEventListener("click", (event) => {
  if (!event.target.matches("button.play")) return;
  const range = element.querySelector(".scrub input");
  clearInterval(element.playing);
  range.value = 0;
  show(range);
  element.playing = setInterval(() => {
    if (!range.isConnected || range.value === range.max) return clearInterval(element.playing);
    range.value = Number(range.value) + 1;
    show(range);
  }, 180);
});
// A new report starts at its last step; a range input would keep its old position.
watch("value", () => {
  clearInterval(element.playing);
  const range = element.querySelector(".scrub input");
  if (range) range.value = range.max;
});
