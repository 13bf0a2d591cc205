// Keeps the settings of this tab in sessionStorage, so that they outlast a reload of the page.
// Returns the settings that were kept for the same address, as JSON by field name, or "". `gradioParameters` are the
// query parameters that belong to Gradio (see share_link.py).
(gradioParameters) => {
  const address = () => {
    const query = new URLSearchParams(location.search);
    const ignored = (name) => name.startsWith("__") || gradioParameters.includes(name);
    for (const name of [...query.keys()].filter(ignored)) query.delete(name);
    return query.toString();
  };
  const kept = () => {
    try {
      const [where, text] = JSON.parse(sessionStorage.getItem("wuerst-draft"));
      return where === address() ? JSON.stringify(text) : "";
    } catch {
      return "";
    }
  };
  if (window.wuerstDraft === undefined) {
    window.wuerstDraft = kept();
    let set = JSON.parse(window.wuerstDraft || "{}");
    const keep = (more) => {
      set = { ...set, ...more };
      try {
        sessionStorage.setItem("wuerst-draft", JSON.stringify([address(), set]));
      } catch {
        // storage is disabled
      }
    };
    window.wuerstKeep = keep;
    // Gradio sends no change events while the connection is lost.
    document.addEventListener("input", (event) => {
      const typed = (field) => event.target.matches(`#${field} textarea`);
      if (typed("prompt")) keep({ prompt: event.target.value });
      if (typed("negative-prompt")) keep({ negative_prompt: event.target.value });
    });
  }
  return window.wuerstDraft;
}
