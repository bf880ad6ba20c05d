// Gives accessible names to widgets that Django's libraries build without one.
(function () {
  "use strict";
  function nameOf(select) {
    const label = select.id && document.querySelector('label[for="' + CSS.escape(select.id) + '"]');
    return (label && label.textContent.trim()) || select.name;
  }
  function name() {
    for (const box of document.querySelectorAll(".select2-container")) {
      const select = box.previousElementSibling;
      if (!select || select.tagName !== "SELECT") continue;
      for (const part of box.querySelectorAll('[role="combobox"], [role="textbox"], [role="searchbox"]')) {
        part.setAttribute("aria-label", nameOf(select));
      }
    }
    for (const hint of document.querySelectorAll("span.help-tooltip[aria-label]")) hint.setAttribute("role", "img");
  }
  window.addEventListener("load", function () {
    name();
    new MutationObserver(name).observe(document.body, { childList: true, subtree: true });
  });
})();
