// Keeps what is typed in this tab until the tab is closed: a page that comes back after a lost connection is a new one.
// Says what had been typed at the same address before, as JSON, or "".
() => {
  const address = () => {
    const asked = new URLSearchParams(location.search);
    const passing = (name) => name.startsWith("__") || name === "view"; // themes, languages, Gradio's own panels
    for (const name of [...asked.keys()].filter(passing)) asked.delete(name);
    return asked.toString();
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
    window.wuerstDraft = kept(); // what is typed from now on is written over it
    window.wuerstKeep = (prompt, negative) => {
      try {
        sessionStorage.setItem("wuerst-draft", JSON.stringify([address(), { prompt, negative_prompt: negative }]));
      } catch {
        // a browser that keeps nothing
      }
    };
    // While the connection is lost, Gradio hears nothing of what is typed.
    const [prompt, negative] = ["#prompt textarea", "#negative-prompt textarea"];
    document.addEventListener("input", (event) => {
      if (!event.target.matches(`${prompt}, ${negative}`)) return;
      window.wuerstKeep(...[prompt, negative].map((field) => document.querySelector(field)?.value ?? ""));
    });
  }
  return window.wuerstDraft;
}
