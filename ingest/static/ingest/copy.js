// Copy buttons: <button data-copy="id of the element">. Without a clipboard (plain http beyond this machine) the text is
// selected, so that the keyboard's own copy takes it.
"use strict";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  const told = document.getElementById("copy-told");
  const tell = (text) => {
    if (told) told.textContent = text;
  };
  try {
    await navigator.clipboard.writeText(source.textContent);
    tell("Copied.");
  } catch {
    const range = document.createRange();
    range.selectNodeContents(source);
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    tell("Selected: copy it with your keyboard.");
  }
});
