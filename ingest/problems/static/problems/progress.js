// Updates the progress of a running retry on the page of a problem, until the retry has finished.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const section = document.querySelector("[data-progress][data-running]");
  if (!section) {
    return;
  }
  const show = (job) => {
    section.querySelector("progress").value = job.percent;
    section.querySelector("[data-text]").textContent = job.text;
    section.querySelector("[data-error]").textContent = job.error;
    section.querySelector("[data-reasons]").replaceChildren(
      ...job.reasons.map((reason) => Object.assign(document.createElement("li"), { textContent: reason })),
    );
  };
  const poll = async () => {
    let isFinished = false;
    try {
      const answer = await fetch(section.dataset.progress, { headers: { Accept: "application/json" } });
      if (answer.redirected || answer.status === 403) {
        return; // logged out, or no longer allowed
      }
      if (answer.ok) {
        const { job } = await answer.json();
        show(job);
        isFinished = job.isFinished;
      }
    } catch {
      // The server does not answer at the moment: poll again.
    }
    if (!isFinished) {
      setTimeout(poll, 1500);
    }
  };
  poll();
});
