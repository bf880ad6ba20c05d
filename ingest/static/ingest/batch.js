// Reloads the page of an unsettled batch every two seconds, unless the tab is hidden or the reader has opened a detail.
// The page itself opens the attempts of failed files, and marks them with data-opened.
"use strict";
const status = document.querySelector("[data-follow]");
if (status) {
  const seconds = 2;
  const refresh = () => {
    const isReading = document.hidden || document.querySelector("#content-main details[open]:not([data-opened])");
    if (isReading) {
      setTimeout(refresh, seconds * 1000);
    } else {
      // After a POST, `location.reload()` would ask whether to send the form again.
      window.location.replace(window.location.pathname + window.location.search);
    }
  };
  setTimeout(refresh, seconds * 1000);
}
