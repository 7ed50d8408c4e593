// The page of a service that is away: it looks every few seconds whether that is back, and only then loads itself anew.
(function () {
  "use strict";
  const pause = 1000 * Number(document.currentScript.dataset.seconds);

  async function look() {
    const back = await fetch(location.href, { cache: "no-store", redirect: "manual" }).then(
      (answer) => answer.status !== 503,
      () => false,
    );
    if (back) location.reload();
    else setTimeout(look, pause);
  }

  setTimeout(look, pause);
})();
