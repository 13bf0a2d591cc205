// Shows progress in the title of the browser's tab, and a check mark when the work ends while the tab is not looked at.
// Runs in Gradio's function for a status line, where `element` is the component.
const NAME = "Würstchen";
const seen = () => {
  if (!document.hidden && document.title.startsWith("✓")) document.title = NAME;
};
document.addEventListener("visibilitychange", seen);
watch("value", () => {
  const bar = element.querySelector("[role=progressbar]");
  if (bar) document.title = `${bar.getAttribute("aria-valuenow")} % · ${NAME}`;
  else if (/^\d+ % /.test(document.title)) {
    document.title = element.querySelector(".done") ? `✓ ${NAME}` : NAME;
    seen();
  }
});
