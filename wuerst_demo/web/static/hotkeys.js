// Ctrl or Cmd + Enter generates, wherever the focus is; Esc stops, unless it closes something that is open; Alt + 1 to 5
// choose a tab; Ctrl or Cmd + / opens and closes the list of keys.
() => {
  const STOP_BUTTONS = ["stop", "compare-stop", "explain-stop", "words-stop", "guidance-stop"];
  // The visible one of these buttons that is enabled: each tab has its own.
  const press = (...ids) => {
    const usable = (each) => each?.checkVisibility() && !each.disabled;
    const button = ids.map((id) => document.getElementById(id)).find(usable);
    button?.click();
    return Boolean(button);
  };
  const chooseTab = (number) => {
    const tab = document.querySelectorAll("#tabs [role=tab][data-tab-id]")[number - 1];
    tab?.click();
    tab?.focus();
    return Boolean(tab);
  };
  const toggleKeys = () => {
    const list = document.getElementById("keys");
    if (list?.open) list.close();
    else list?.showModal();
    return Boolean(list);
  };
  const shortcut = (event) => {
    const command = event.ctrlKey || event.metaKey;
    if (event.key === "/" && command && !event.altKey) return toggleKeys();
    if (document.querySelector("dialog[open]")) return false;
    if (event.key === "Enter" && command) return press("generate", "compare-go");
    // By its place on the keyboard: Option + 1 types another character on a Mac. AltGr counts as Ctrl + Alt.
    const digit = /^(?:Digit|Numpad)([1-5])$/.exec(event.code);
    return Boolean(digit && event.altKey && !command && !event.shiftKey && chooseTab(Number(digit[1])));
  };
  const pressed = (event) => {
    if (shortcut(event)) event.preventDefault();
    if (event.key !== "Escape" || event.isComposing) return;
    // An enlarged image handles Esc only while it has the focus.
    const large = document.activeElement?.closest("#gallery .preview, #history-gallery .preview");
    const open = [...document.querySelectorAll("[role=listbox], [role=dialog], dialog[open], .fullscreen")];
    if (!large && !open.some((each) => each.checkVisibility())) press(...STOP_BUTTONS);
  };
  // In the capture phase: before the gallery closes its image or a list its choices.
  document.addEventListener("keydown", pressed, true);
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("button.show-keys")) toggleKeys();
    // A click beside the list is one on its backdrop.
    if (event.target.id === "keys" && event.target.open) event.target.close();
  });
}
