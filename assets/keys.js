// Ctrl or Cmd + Enter draws from wherever the focus is; Esc stops, unless it closes an open picture.
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
    const open = [...document.querySelectorAll("#gallery .preview, #history-gallery .preview")];
    if (event.key === "Escape" && !open.some((each) => each.checkVisibility())) press("stop", "compare-stop");
  };
  // On the way down to the element, when the gallery has not yet closed its picture.
  document.addEventListener("keydown", pressed, true);
}
