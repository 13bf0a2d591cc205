// A file that is dropped anywhere on the page goes where one brings its settings back, in place of leaving the page.
() => {
  const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  const dragged = (event) => {
    if (holdsFiles(event)) event.preventDefault();
  };
  const dropped = (event) => {
    const input = document.querySelector("#drop input[type=file]");
    if (!holdsFiles(event) || event.target.closest("#drop")) return;
    event.preventDefault();
    if (!input) return;
    document.querySelector("#tabs [role=tab][data-tab-id=draw]")?.click();
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };
  document.addEventListener("dragover", dragged);
  document.addEventListener("drop", dropped);
}
