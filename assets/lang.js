// Says which language the page is in, for screen readers and the style sheet: the one that Gradio chooses from.
document.documentElement.lang = /^de\b/i.test(navigator.language) ? "de" : "en";
