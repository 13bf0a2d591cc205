// Ctrl or Cmd + Enter draws from wherever the focus is; Esc stops, unless it closes an open picture.
() => {
  const press = (id) => {
    const button = document.getElementById(id);
    if (!button || button.disabled) return false;
    button.click();
    return true;
  };
  const pressed = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && press("generate")) event.preventDefault();
    if (event.key === "Escape" && !document.querySelector("#gallery .preview")) press("stop");
  };
  // On the way down to the element, when the gallery has not yet closed its picture.
  document.addEventListener("keydown", pressed, true);
}
