// Copies this page's address with `link` behind it; the answer is whether that could be done.
async (link) => {
  const address = location.origin + location.pathname + link;
  try {
    await navigator.clipboard.writeText(address);
    return true;
  } catch {
    // Without https there is no clipboard, but there is the old way.
    const field = document.createElement("textarea");
    field.value = address;
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    return copied;
  }
}
