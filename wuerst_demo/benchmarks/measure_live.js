// Types one character that ends a word, with live pictures on; resolves to the milliseconds until its picture is shown.
(text) => new Promise((resolve) => {
    const field = document.querySelector('#prompt textarea'), image = document.querySelector('#live-view img');
    const start = performance.now();
    const look = () => {
        if (image.alt === text && image.complete) resolve(performance.now() - start);
        else requestAnimationFrame(look);
    };
    field.value = text;
    field.dispatchEvent(new InputEvent('input', {bubbles: true, inputType: 'insertText', data: ' '}));
    look();
})
