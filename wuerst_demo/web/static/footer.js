// Copies the report of how the server runs, with the browser's name. Runs in Gradio's function for the foot.
element.addEventListener("click", async (event) => {
  const button = event.target.closest("button.report");
  if (!button) return;
  const [report, copied, blocked] = JSON.parse(button.dataset.report);
  const text = `${report}Browser: ${navigator.userAgent}\n`;
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without https there is no clipboard API; execCommand still works.
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    done = document.execCommand("copy");
    field.remove();
  }
  button.textContent = done ? copied : blocked;
});
