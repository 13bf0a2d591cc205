// Panels that are folded away until they are used: a `button.fold` names its panel in aria-controls. Once opened, by a
// click or because something in it was set, a panel stays open until it is clicked shut.
(() => {
  const button = (panel) => document.querySelector(`button.fold[aria-controls="${panel}"]`);
  const turn = (each, open) => {
    each.setAttribute("aria-expanded", open);
    document.getElementById(each.getAttribute("aria-controls"))?.classList.toggle("open", open);
  };
  document.addEventListener("click", (event) => {
    const each = event.target.closest?.("button.fold");
    if (each) turn(each, each.getAttribute("aria-expanded") !== "true");
  });
  window.wuerstUnfold = (panel) => {
    const each = button(panel);
    if (each) turn(each, true);
  };
  // Marks the shape of the size that is set, and shows the size beside "Exact size"; a size of another shape unfolds it.
  window.wuerstShowSize = (width, height, shapes) => {
    let known = false;
    for (const [id, size] of Object.entries(shapes)) {
      const chosen = size[0] === width && size[1] === height;
      known ||= chosen;
      document.getElementById(id)?.setAttribute("aria-pressed", chosen);
    }
    const now = document.querySelector("#size-fold .now");
    if (now && width && height) now.textContent = `${width} × ${height}`;
    if (!known && width && height) window.wuerstUnfold("exact-size");
  };
})();
