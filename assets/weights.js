// Ctrl or Cmd + up and down, in a prompt: changes the weight of the selected words, or of the word at the cursor, by a
// tenth, in the form that Compel reads: (red cat)1.1. A weight that comes back to 1 loses its brackets.
(() => {
  const LEAST = 0.1, MOST = 2;
  const weighted = /\(([^()]*)\)(\d+(?:\.\d+)?)?/g;

  // The stretch to weigh, [start, end], its words and the weight that it has now.
  const found = (text, from, to) => {
    for (const each of text.matchAll(weighted)) {
      const [start, end] = [each.index, each.index + each[0].length];
      if (from >= start && to <= end) return { start, end, words: each[1], weight: each[2] ? Number(each[2]) : 1.1 };
    }
    const inWord = (at) => at >= 0 && at < text.length && /[^\s,.;:!?()"]/.test(text[at]);
    let [start, end] = [from, to];
    while (inWord(start - 1)) start -= 1;
    while (inWord(end)) end += 1;
    while (start < end && /\s/.test(text[start])) start += 1;
    while (end > start && /\s/.test(text[end - 1])) end -= 1;
    const words = text.slice(start, end);
    return /[()"]/.test(words) ? null : { start, end, words, weight: 1 };
  };

  document.addEventListener("keydown", (event) => {
    const field = event.target;
    if (!(event.ctrlKey || event.metaKey) || !["ArrowUp", "ArrowDown"].includes(event.key)) return;
    if (!field.matches?.("#prompt textarea, #negative-prompt textarea")) return;
    event.preventDefault();
    const seen = found(field.value, field.selectionStart, field.selectionEnd);
    if (!seen || !seen.words) return;
    const tenths = Math.round(seen.weight * 10) + (event.key === "ArrowUp" ? 1 : -1);
    const weight = Math.min(MOST, Math.max(LEAST, tenths / 10));
    const now = weight === 1 ? seen.words : `(${seen.words})${weight}`;
    field.setSelectionRange(seen.start, seen.end);
    document.execCommand("insertText", false, now); // the one way that the field's own undo knows of
    const inside = seen.start + (weight === 1 ? 0 : 1);
    field.setSelectionRange(inside, inside + seen.words.length);
  });
})();
