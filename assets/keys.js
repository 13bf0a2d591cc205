// Ctrl or Cmd + Enter draws from wherever the focus is; Esc stops, unless it closes something that is open.
() => {
  // The button of the tab that is open; each has one of its own.
  const press = (...ids) => {
    const button = ids.map((id) => document.getElementById(id)).find((each) => each?.checkVisibility());
    if (!button || button.disabled) return false;
    button.click();
    return true;
  };
  const pressed = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && press("generate", "compare-go")) event.preventDefault();
    if (event.key !== "Escape" || event.isComposing) return;
    // A picture that is open large hears Esc only while the focus is in it.
    const large = document.activeElement?.closest("#gallery .preview, #history-gallery .preview");
    const open = [...document.querySelectorAll("[role=listbox], [role=dialog], .fullscreen")];
    if (!large && !open.some((each) => each.checkVisibility())) press("stop", "compare-stop", "explain-stop");
  };
  // On the way down to the element, before the gallery closes its picture or a list its choices.
  document.addEventListener("keydown", pressed, true);
}
