// What had been typed in this tab at the same address before the page was loaded anew (see draft.js), as JSON, or "".
() => {
  const typed = () => {
    try {
      const [address, text] = JSON.parse(sessionStorage.getItem("wuerst-draft"));
      return address === location.search ? JSON.stringify(text) : "";
    } catch {
      return "";
    }
  };
  window.wuerstDraft ??= typed(); // what is typed from now on is written over it
  return window.wuerstDraft;
}
