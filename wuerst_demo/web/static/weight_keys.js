// Ctrl or Cmd + up and down in a prompt: changes the weight of the selected words, or of the word at the cursor, by 0.1,
// in Compel's syntax: (red cat)1.1. A weight of 1 loses its brackets. What is not selected keeps its weight: where the
// selection begins or ends within brackets, its parts are weighted one by one. Needs prompt_syntax.js.
(() => {
  const STEP = 0.1, LEAST = 0, MOST = 2; // of one bracket
  const MAX_WEIGHT = 10; // of nested brackets together; the parser rejects more
  const SEPARATORS = ",;:.!?";

  // The span without spaces and punctuation around it; a point before a digit belongs to a number.
  const trim = (text, from, to) => {
    const outside = (at) => /[\s,;:.!?]/.test(text[at]) && !(text[at] === "." && /[0-9]/.test(text[at + 1]));
    while (from < to && outside(from)) from += 1;
    while (from < to && outside(to - 1)) to -= 1;
    return [from, to];
  };
  // Whether the position belongs to a word, for every position of the text.
  const markWords = (text, characters) => {
    const words = new Array(text.length).fill(false);
    for (const { at, width, character } of characters) {
      const joins = words[at - 1] && /[0-9]/.test(text[at + 1]); // 3:2, 1,000
      if (!'()"\\'.includes(character) && (!SEPARATORS.includes(character) || joins)) words.fill(true, at, at + width);
    }
    return words;
  };
  // The span of the words that lie in [from, to), or the span itself where there are none.
  const wordSpan = (words, from, to) => {
    let first = from, last = to - 1;
    while (first < to && !words[first]) first += 1;
    while (last > first && !words[last]) last -= 1;
    return first < to ? [first, last + 1] : [from, to];
  };
  const innermost = (nodes, matches) => {
    const node = nodes.find(matches);
    return node && (innermost(node.children, matches) ?? node);
  };
  // The span of the words that are selected or at the cursor, or null.
  const findWords = (text, prompts, words, from, to) => {
    if (from === to && words[from - 1]) from -= 1;
    to = Math.max(to, from + 1);
    let [first, last] = wordSpan(words, from, to);
    if (words[first]) {
      while (words[first - 1]) first -= 1;
      while (words[last]) last += 1;
      return [first, last];
    }
    // A bracket or a weight without a word: all that it encloses.
    const nodes = prompts.flatMap((prompt) => prompt.children);
    const node = innermost(nodes, (each) => each.start <= from && Math.min(to, text.length) <= each.end);
    const before = innermost(nodes, (each) => each.end === from);
    const chosen = [node, before].find((each) => each?.kind === "weighted");
    return chosen ? wordSpan(words, chosen.from, chosen.to) : null;
  };
  // The span up to the next spaces or the ends of its prompt.
  const widen = (text, prompts, [first, last]) => {
    const { from, to } = prompts.find((each) => each.from <= first && last <= each.to) ?? { from: first, to: last };
    while (first > from && !/\s/.test(text[first - 1])) first -= 1;
    while (last < to && !/\s/.test(text[last])) last += 1;
    return [first, last];
  };

  const hasWord = (text) => /[^\s\p{P}]/u.test(text);
  const round = (weight) => Math.round(weight * 1e4) / 1e4;
  // Brackets around the same words become one, or a weight that comes to 1 would take the wrong ones with it.
  const reweigh = (text, node, step) => {
    let inmost = node, weight = node.weight, [before, behind] = ["", ""];
    for (;;) {
      const [child, ...more] = inmost.children;
      if (!child || more.length || child.kind === "unmatched") break;
      const sides = [text.slice(inmost.from, child.start), text.slice(child.end, inmost.to)];
      if (sides.some(hasWord)) break;
      const plain = child.kind === "plain";
      before += sides[0] + (plain ? text.slice(child.start, child.from) : "");
      behind = (plain ? text.slice(child.to, child.end) : "") + sides[1] + behind;
      inmost = child;
      weight *= child.weight;
    }
    const [open, close] = text[node.start] === '"' && node.start < node.from ? '""' : "()";
    const inner = before + text.slice(inmost.from, inmost.to) + behind;
    weight = round(weight + step);
    return { from: node.start, to: node.end, inner, open, close, weight, allowed: step > 0 ? weight <= MOST : weight >= LEAST };
  };
  // The changes that weight the words of [from, to) and no others: {from, to, inner, open, close, weight, allowed}.
  // `inside`: brackets that are text, with all that they enclose, stay outside of the new ones.
  const findChanges = (text, words, node, from, to, step, inside) => {
    const changes = [];
    let [at, end] = [Math.max(from, node.from), Math.min(to, node.to)];
    const weigh = (start, stop) => {
      [start, stop] = trim(text, start, stop);
      const whole = node.children.find((child) => child.start === start && child.end === stop);
      if (whole?.kind === "weighted") changes.push(reweigh(text, whole, step));
      else if (whole && inside) changes.push(...findChanges(text, words, whole, whole.from, whole.to, step, inside));
      else if (start < stop && hasWord(text.slice(start, stop))) {
        const inner = text.slice(start, stop);
        changes.push({ from: start, to: stop, inner, open: "(", close: ")", weight: 1 + step, allowed: true });
      }
    };
    for (const child of node.children) {
      const [first, last] = wordSpan(words, child.from, child.to);
      if (child.kind !== "unmatched" && from <= first && to >= last) {
        at = Math.min(at, child.start);
        end = Math.max(end, child.end);
      } else if (child.start < end && child.end > at) {
        weigh(at, child.start);
        changes.push(...findChanges(text, words, child, from, to, step, inside));
        at = child.end;
      }
    }
    weigh(at, end);
    return changes;
  };

  // How brackets of weight 1 go: without a trace, leaving spaces to what was joined to them, or only the weight goes.
  const LEFTOVERS = ["", " ", "brackets"];
  const apply = (text, changes, leftover) => {
    let after = "", at = 0, start = null, stop = 0;
    for (const { from, to, inner, open, close, weight } of changes) {
      const space = (joined) => (leftover === " " && joined && /[^\s,.;:!?]/.test(joined) ? " " : "");
      const [before, behind] =
        weight !== 1 ? [open, close + round(weight)]
        : leftover === "brackets" ? [open, close]
        : [space(text[from - 1]), space(text[to])];
      after += text.slice(at, from) + before;
      start ??= after.length;
      after += inner;
      stop = after.length;
      after += behind;
      at = to;
    }
    return { text: after + text.slice(at), start, stop };
  };
  // Whether exactly the words in the changes have another weight afterwards.
  const isExact = (before, after, changes, step) =>
    after !== null &&
    after.characters.length === before.characters.length &&
    before.characters.every((was, number) => {
      const is = after.characters[number];
      const selected = changes.some(({ from, to }) => from <= was.at && was.at < to);
      const moved = selected ? Math.sign(step) * (is.weight - was.weight) >= 0 : Math.abs(is.weight - was.weight) < 1e-9;
      return is.character === was.character && is.prompt === was.prompt && moved && is.weight <= MAX_WEIGHT;
    });

  // The text after one key, and the span of its words: {text, start, stop}, or null where nothing can be changed.
  const changeWeight = (text, from, to, step) => {
    const read = window.wuerstReadPrompt(text);
    if (!read) return null;
    const words = markWords(text, read.characters);
    const chosen = findWords(text, read.prompts, words, from, to);
    const wide = chosen && widen(text, read.prompts, chosen);
    for (const [span, inside] of chosen ? [[chosen, true], [chosen, false], [wide, false]] : []) {
      const changes = read.prompts.flatMap((prompt) => findChanges(text, words, prompt, ...span, step, inside));
      if (!changes.length) continue;
      if (!changes.every(({ allowed }) => allowed)) return null; // nor in another way
      for (const leftover of LEFTOVERS) {
        const changed = apply(text, changes, leftover);
        if (isExact(read, window.wuerstReadPrompt(changed.text), changes, step)) return { ...changed, changes };
      }
    }
    return null;
  };

  document.addEventListener("keydown", (event) => {
    const field = event.target;
    if (!(event.ctrlKey || event.metaKey) || !["ArrowUp", "ArrowDown"].includes(event.key)) return;
    if (!field.matches?.("#prompt textarea, #negative-prompt textarea")) return;
    event.preventDefault();
    const step = event.key === "ArrowUp" ? STEP : -STEP;
    const changed = changeWeight(field.value, field.selectionStart, field.selectionEnd, step);
    if (!changed || (field.maxLength > 0 && changed.text.length > field.maxLength)) return;
    const from = changed.changes[0].from, to = changed.changes.at(-1).to;
    const inserted = changed.text.slice(from, changed.text.length - (field.value.length - to));
    field.setSelectionRange(from, to);
    document.execCommand("insertText", false, inserted); // keeps the field's undo history
    field.setSelectionRange(changed.start, changed.stop);
  });
})();
