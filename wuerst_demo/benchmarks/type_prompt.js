// Types a prompt like a user who then pauses; resolves to the milliseconds until the text under the prompt has changed.
text => new Promise(resolve => {
    const field = document.querySelector('#prompt textarea'), report = document.querySelector('#summary');
    const shown = () => report.querySelector('.prose')?.innerText ?? '';
    const before = shown(), start = performance.now();
    new MutationObserver((_, observer) => {
        if (!shown() || shown() === before) return;
        observer.disconnect();
        resolve(performance.now() - start);
    }).observe(report, {childList: true, subtree: true, characterData: true});
    field.value = text;
    field.dispatchEvent(new Event('input', {bubbles: true}));
})
