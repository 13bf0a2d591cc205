// Says who asks, before anything else that an event hands to the server: the browser's name, which outlives its tabs,
// and this tab's, which outlives a refresh. Both are made here, so that the first event of a page has them already.
async (owner, tab, ...rest) => {
  const fresh = () => Array.from(crypto.getRandomValues(new Uint32Array(6)), (part) => part.toString(36)).join("-");
  const browser = () => {
    try {
      const name = localStorage.getItem("wuerst-owner") || fresh();
      localStorage.setItem("wuerst-owner", name);
      return name;
    } catch {
      return fresh(); // a browser that keeps nothing finds nothing again
    }
  };
  // A tab that is duplicated has the name of the one it was made from: whoever holds the name's lock keeps it.
  const free = (name) =>
    new Promise((answer) => {
      navigator.locks.request(`wuerst-tab-${name}`, { ifAvailable: true }, (lock) => {
        answer(lock !== null);
        return lock && new Promise(() => {}); // held for as long as the page is there
      }).catch(() => answer(true)); // where a browser gives no locks, names are as they are
    });
  const seat = async () => {
    try {
      let name = sessionStorage.getItem("wuerst-tab") || fresh();
      // For three seconds: the page before a refresh may still be on its way out. Without https there are no locks.
      for (let tries = 0; navigator.locks && !(await free(name)); tries++) {
        if (tries < 30) await new Promise((on) => setTimeout(on, 100));
        else name = fresh();
      }
      sessionStorage.setItem("wuerst-tab", name);
      return name;
    } catch {
      return fresh();
    }
  };
  window.wuerstOwner ??= browser(); // more than one event of the page asks
  if (window.wuerstTab === undefined) {
    window.wuerstTab = seat();
    // Gradio counts a press once its script is through; of several until then, it would begin as many drawings.
    const pressed = new Set();
    const early = (event) => {
      const button = event.target.closest("#generate, #compare-go");
      if (!button) return;
      event.stopImmediatePropagation();
      pressed.add(button);
    };
    document.addEventListener("click", early, true);
    window.wuerstTab.then(() => {
      document.removeEventListener("click", early, true);
      for (const button of pressed) button.click();
    });
  }
  return [window.wuerstOwner, await window.wuerstTab, ...rest];
}
