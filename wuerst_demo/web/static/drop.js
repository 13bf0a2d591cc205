// Sends a file that is dropped anywhere on the page to the drop area, instead of letting the browser open it. A file that
// is too large is not sent, but named in the notes. Runs in Gradio's function for the notes, which are `props.value`.
const INPUT = "#drop input[type=file]";
const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
const rejects = (event, files) => {
  const tooLarge = [...files].some((file) => file.size > props.max_file_bytes);
  if (tooLarge) {
    event.preventDefault();
    event.stopImmediatePropagation();
    props.value = props.too_large[document.documentElement.lang];
  }
  return tooLarge;
};
// The style sheet frames the page while a file is dragged over it, which is an event every few tenths of a second.
let framed;
const dragged = (event) => {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  document.body.classList.add("dropping");
  clearTimeout(framed);
  framed = setTimeout(() => document.body.classList.remove("dropping"), 600);
};
const dropped = (event) => {
  const input = document.querySelector(INPUT);
  if (!holdsFiles(event)) return;
  if (event.target.closest("#drop")) {
    rejects(event, event.dataTransfer.files);
    return;
  }
  event.preventDefault();
  if (!input) return;
  document.querySelector("#tabs [role=tab][data-tab-id=draw]")?.click();
  input.files = event.dataTransfer.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
};
const chosen = (event) => {
  if (event.target.matches?.(INPUT) && rejects(event, event.target.files)) event.target.value = "";
};
document.addEventListener("dragover", dragged);
document.addEventListener("drop", dropped, true);
document.addEventListener("change", chosen, true);
