// Reads Compel's prompt syntax as wuerst_demo/prompts/parser.py does, for scripts that edit a prompt.
// window.wuerstReadPrompt(text) returns null where brackets are nested too deep, otherwise
//   prompts     trees of the prompts: one, or those in ("a", "b").blend() or .and()
//   characters  what is encoded, without spaces: {at, width, character, weight, prompt}, in the order of the text
// A node of a tree encloses text[from, to), stands at text[start, end) with its brackets and weight, and has a `kind`:
// "prompt", "weighted" (bracket, quote or word with signs), "plain" (without a weight, or behind backslashes) or
// "unmatched" (one bracket).
(() => {
  const MAX_DEPTH = 10;
  const OPERATOR = /\s*\.(?:blend|and|add)\(/y;
  const SIGNS = String.raw`(?:\+{2,}|-{2,})(?![\p{L}\p{N}_+\-])|[+\-](?![\p{L}\p{N}_+\-\(])`;
  const NUMBER = String.raw`(?:[0-9]+\.[0-9]+|\.[0-9]+|[0-9]+(?!,[0-9]))`;
  const WEIGHT = new RegExp(String.raw`(?<signs>${SIGNS})|(?<number>${NUMBER})(?![\p{L}\p{N}_%]|[.\-][0-9])`, "uy");
  const PLAIN = String.raw`[^\s\(\)",.=+\-\\]+`;
  const SIGNED = new RegExp(`(?<word>${PLAIN}(?:[+\\-]+${PLAIN})*)(?<signs>\\++|-+)(?=[\\s,.;:!?'"\\)]|$)(?!\\.[0-9])`, "uy");

  const matchAt = (pattern, text, at) => {
    pattern.lastIndex = at;
    return pattern.exec(text);
  };
  const alphanumericBefore = (text, at) => /[\p{L}\p{N}]$/u.test(text.slice(Math.max(0, at - 2), at));
  const isEscape = (text, at) => text[at] === "\\" && at + 1 < text.length && '()"+-'.includes(text[at + 1]);
  const parseWeight = ({ signs, number }) => (signs ? (signs[0] === "+" ? 1.1 : 0.9) ** signs.length : Number(number));

  // Opening -> closing position of brackets and quotes, and the brackets without a partner.
  const matchBrackets = (text) => {
    const closing = new Map(), unmatched = new Set(), opened = [];
    let depth = 0;
    for (let at = 0; at < text.length; at++) {
      if (isEscape(text, at)) at++;
      else if (text[at] === "(") {
        opened.push(at);
        if (++depth > MAX_DEPTH) return null;
      } else if (text[at] === ")" && depth) {
        if (text[opened.at(-1)] === '"') opened.pop();
        closing.set(opened.pop(), at);
        depth -= 1;
      } else if (text[at] === ")") unmatched.add(at);
      else if (text[at] === '"') {
        if (opened.length && text[opened.at(-1)] === '"') closing.set(opened.pop(), at);
        else if (!alphanumericBefore(text, at)) opened.push(at);
      }
    }
    for (const at of opened) if (text[at] === "(") unmatched.add(at);
    return { closing, unmatched };
  };

  // The spans [from, to) of the prompts.
  const findPrompts = (text, closing) => {
    const start = text.length - text.trimStart().length, end = text.trimEnd().length;
    const close = text[start] === "(" ? closing.get(start) : undefined;
    const operator = close === undefined ? null : matchAt(OPERATOR, text, close + 1);
    if (!operator || closing.get(OPERATOR.lastIndex - 1) !== end - 1) return [[0, text.length]];
    const spans = [];
    let from = start + 1;
    for (let at = from; at <= close; at = (closing.get(at) ?? at) + 1) {
      if (at < close && text[at] !== ",") continue;
      spans.push([from, at]);
      from = at + 1;
    }
    return spans.map(([from, to]) => {
      while (from < to && /\s/.test(text[from])) from += 1;
      while (from < to && /\s/.test(text[to - 1])) to -= 1;
      return closing.get(from) === to - 1 ? [from + 1, to - 1] : [from, to];
    });
  };

  const readSpan = (whole, [from, to], prompt, { closing, unmatched }, characters) => {
    const text = whole.slice(0, to); // what follows the prompt is not looked at
    const root = { kind: "prompt", start: from, from, to, end: to, weight: 1, total: 1, children: [] };
    const open = [root], escaped = new Map(); // node -> positions of its escaped brackets that are open
    let at = from, afterWeight = from;
    const put = (position, width = 1) => {
      const character = text[position + width - 1];
      if (/\s/.test(character)) return;
      characters.push({ at: position, width, character, weight: open.at(-1).total, prompt });
    };
    const add = (node) => {
      const parent = open.at(-1);
      parent.children.push({ children: [], total: parent.total * node.weight, ...node });
      return parent.children.at(-1);
    };
    // Moves what stands between escaped brackets into a node of its own.
    const closeEscaped = () => {
      const node = open.at(-1), start = escaped.get(node)?.pop();
      if (start === undefined) return;
      const children = node.children.filter((child) => child.start > start);
      node.children.length -= children.length;
      add({ kind: "plain", start, from: start + 2, to: at, end: at + 2, weight: 1, children });
    };
    const weightBehind = (close) => {
      if (at > afterWeight && (alphanumericBefore(text, at) || text[at - 1] === "_")) return null;
      return text.slice(at + 1, close).trim() ? matchAt(WEIGHT, text, close + 1) : null;
    };
    const signedWord = () => {
      if (at > from && !/[\s(",]/.test(text[at - 1])) return null;
      const match = matchAt(SIGNED, text, at);
      const end = at + (match?.[0].length ?? 0);
      return match && /[\p{L}\p{N}]/u.test(match.groups.word) && !(text[end] === ")" && unmatched.has(end)) ? match : null;
    };
    while (at < to) {
      const node = open.at(-1), close = closing.get(at) ?? to;
      let match = null;
      if (node !== root && at === node.to) {
        open.pop();
        if (node.kind === "plain") put(at);
        else afterWeight = node.end;
        at = node.end;
      } else if (isEscape(text, at)) {
        put(at, 2);
        if (text[at + 1] === "(") escaped.set(node, [...(escaped.get(node) ?? []), at]);
        if (text[at + 1] === ")") closeEscaped();
        at += 2;
      } else if (close < to) {
        match = weightBehind(close);
        if (!match) put(at);
        const end = close + 1 + (match?.[0].length ?? 0), weight = match ? parseWeight(match.groups) : 1;
        open.push(add({ kind: match ? "weighted" : "plain", start: at, from: at + 1, to: close, end, weight }));
        at += 1;
      } else if ((match = signedWord())) {
        const word = at + match.groups.word.length, end = at + match[0].length;
        open.push(add({ kind: "weighted", start: at, from: at, to: word, end, weight: parseWeight(match.groups) }));
        while (at < word) put(at++);
        open.pop();
        at = end;
      } else {
        if (unmatched.has(at)) add({ kind: "unmatched", start: at, from: at + 1, to: at + 1, end: at + 1, weight: 1 });
        put(at++);
      }
    }
    return root;
  };

  window.wuerstReadPrompt = (text) => {
    const brackets = matchBrackets(text), characters = [];
    if (!brackets) return null;
    const spans = findPrompts(text, brackets.closing);
    const prompts = spans.map((span, number) => readSpan(text, span, number, brackets, characters));
    return { prompts, characters };
  };
})();
