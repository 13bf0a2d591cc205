// Clicks Generate; resolves to the milliseconds until the new picture can be seen.
() => new Promise((resolve) => {
    const shown = () => document.querySelector('#gallery .thumbnail-lg img');
    const before = shown()?.src, start = performance.now();
    const look = () => {
        const image = shown();
        if (image && image.src !== before && image.complete && image.naturalWidth) resolve(performance.now() - start);
        else requestAnimationFrame(look);
    };
    document.getElementById('generate').click();
    look();
})
