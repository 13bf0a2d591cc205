// Generate and Compare wait until the page has its settings, from its link or from before a reload: a press until then
// counts once, with these settings. `window.wuerstSettled()` says that they are there.
//
// `window.wuerstWhenReady(act)` acts as soon as Generate is enabled: Gradio ignores a press between the last answer of an
// event and its end. What was waiting before is forgotten. `window.wuerstGenerate()` presses Generate then.
(() => {
  const pressed = new Set();
  const early = (event) => {
    const button = event.target.closest("#generate, #compare-go");
    if (!button) return;
    event.stopImmediatePropagation();
    pressed.add(button);
  };
  document.addEventListener("click", early, true);
  window.wuerstSettled = async () => {
    await window.wuerstTab; // events without it would wait for it one by one
    document.removeEventListener("click", early, true);
    for (const button of pressed) button.click();
    pressed.clear();
  };
  const generate = () => document.getElementById("generate");
  let waiting = null;
  window.wuerstWhenReady = (act) => {
    clearInterval(waiting);
    if (!generate().disabled) return act();
    waiting = setInterval(() => {
      if (generate().disabled) return;
      clearInterval(waiting);
      act();
    }, 50);
  };
  window.wuerstGenerate = () => window.wuerstWhenReady(() => generate().click());
})();
