// Keeps what is set in this tab until the tab is closed: a page that comes back after a lost connection is a new one.
// Says what had been set at the same address before, by the names of the fields, as JSON, or "". `notOurs` are the
// parameters of an address that are Gradio's (see links.py).
(notOurs) => {
  const address = () => {
    const asked = new URLSearchParams(location.search);
    const passing = (name) => name.startsWith("__") || notOurs.includes(name);
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
    window.wuerstDraft = kept();
    let set = JSON.parse(window.wuerstDraft || "{}");
    const keep = (more) => {
      set = { ...set, ...more };
      try {
        sessionStorage.setItem("wuerst-draft", JSON.stringify([address(), set]));
      } catch {
        // a browser that keeps nothing
      }
    };
    window.wuerstKeep = (names, values) => keep(Object.fromEntries(names.map((name, at) => [name, values[at]])));
    // While the connection is lost, Gradio hears nothing of what is typed.
    document.addEventListener("input", (event) => {
      const typed = (field) => event.target.matches(`#${field} textarea`);
      if (typed("prompt")) keep({ prompt: event.target.value });
      if (typed("negative-prompt")) keep({ negative_prompt: event.target.value });
    });
  }
  return window.wuerstDraft;
}
