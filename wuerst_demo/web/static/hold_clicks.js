// Generate and Compare wait until the page has its settings, from its link or from before a reload: a press until then
// counts once, with these settings. `window.wuerstSettled()` says that they are there.
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
})();
