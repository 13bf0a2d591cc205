// Types a word every 200 ms for so many milliseconds, with live pictures on; resolves to the number of pictures shown.
([words, milliseconds]) => new Promise((resolve) => {
    const field = document.querySelector('#prompt textarea'), image = document.querySelector('#live-view img');
    let count = 0, at = 0;
    const observer = new MutationObserver(() => { count += 1; });
    observer.observe(image, {attributes: true, attributeFilter: ['src']});
    const typing = setInterval(() => {
        field.value = `${words[at++ % words.length]} ${words[at % words.length]} ${at} `;
        field.dispatchEvent(new InputEvent('input', {bubbles: true, inputType: 'insertText', data: ' '}));
    }, 200);
    setTimeout(() => {
        clearInterval(typing);
        observer.disconnect();
        resolve(count);
    }, milliseconds);
})
