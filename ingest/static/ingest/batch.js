// A batch that is on its way: look again every two seconds until it is settled, unless somebody has opened something.
"use strict";
const status = document.querySelector("[data-follow]");
if (status) {
  const seconds = 2;
  const look = () => {
    const isReading = document.hidden || document.querySelector("#content-main details[open]");
    if (isReading) {
      setTimeout(look, seconds * 1000);
    } else {
      // Without what a form sent: a reload must not ask to send it again.
      window.location.replace(window.location.pathname + window.location.search);
    }
  };
  setTimeout(look, seconds * 1000);
}
