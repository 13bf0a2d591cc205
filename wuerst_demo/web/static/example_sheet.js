// A click on an example triggers the component's click event with its number, unless a picture is being generated.
element.addEventListener("click", (event) => {
  const button = event.target.closest("button.sample");
  if (button && !document.getElementById("generate").disabled) trigger("click", { example: Number(button.dataset.example) });
});
