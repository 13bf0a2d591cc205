// Shows on the login page why a login has to wait: Gradio's page says nothing for any status but 400.
(() => {
  const send = window.fetch;
  window.fetch = async (...request) => {
    const response = await send(...request);
    if (!/\/login\/?$/.test(new URL(response.url).pathname)) return response;
    document.getElementById("login-delay")?.remove();
    if (response.status !== 429) return response;
    const note = document.createElement("p");
    note.id = "login-delay";
    note.setAttribute("role", "alert");
    note.style.cssText = "margin: var(--spacing-lg) 0; color: var(--error-text-color); font-weight: 600";
    note.textContent = await response.clone().text();
    document.querySelector("h2")?.after(note);
    return response;
  };
})();
