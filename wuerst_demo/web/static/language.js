// Sets the language of the page, for screen readers and the style sheet, as Gradio chooses it.
document.documentElement.lang = /^de\b/i.test(navigator.language) ? "de" : "en";
