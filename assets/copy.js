// Copies this page's address with `link` behind it; the answer is what the button says then.
async (link) => {
  const address = location.origin + location.pathname + link;
  try {
    await navigator.clipboard.writeText(address);
    return "Link copied";
  } catch {
    // Without https there is no clipboard, but there is the old way.
    const field = document.createElement("textarea");
    field.value = address;
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    return copied ? "Link copied" : "The browser forbids it";
  }
}
