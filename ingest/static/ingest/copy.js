// Copy buttons: <button data-copy="id of the element">. Browsers offer no clipboard over plain http, except on localhost.
// The text is selected then, so that the user can copy it with the keyboard.
"use strict";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  const status = document.getElementById("copy-status");
  const report = (text) => {
    if (status) status.textContent = text;
  };
  try {
    await navigator.clipboard.writeText(source.textContent);
    report("Copied.");
  } catch {
    const range = document.createRange();
    range.selectNodeContents(source);
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    report("Selected: copy it with your keyboard.");
  }
});
