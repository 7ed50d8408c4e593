// Files that are dropped or chosen on a source's page go to the API one after the other, each with its progress.
(function () {
  "use strict";

  document.addEventListener("DOMContentLoaded", () => {
    const zone = document.getElementById("upload");
    if (!zone) return;
    const chooser = zone.querySelector("input[type=file]");
    const list = document.getElementById("upload-progress");
    const token = JSON.parse(document.body.getAttribute("hx-headers"));
    const largest = Number(zone.dataset.largest);
    let refused = 0;

    function line(file) {
      const item = document.createElement("li");
      const name = document.createElement("span");
      const bar = document.createElement("span");
      const said = document.createElement("p");
      name.className = "wrap-anywhere";
      name.textContent = file.name;
      bar.className = "bar";
      bar.append(document.createElement("i"));
      said.className = "small";
      item.append(name, bar, said);
      list.append(item);
      return {
        at: (share) => { bar.firstChild.style.width = `${Math.round(share * 100)}%`; },
        done: () => bar.classList.add("ok"),
        failed: (text) => { refused += 1; bar.classList.add("bad"); said.textContent = text; },
      };
    }

    function send(file, shown) {
      if (file.size > largest) {
        shown.failed(`The file is larger than ${zone.dataset.largestShown}, which is what may be uploaded here. Compress or split it.`);
        return Promise.resolve();
      }
      return new Promise((resolve) => {
        const request = new XMLHttpRequest();
        request.open("PUT", `${zone.dataset.api}${encodeURIComponent(file.name)}/`);
        for (const [name, value] of Object.entries(token)) request.setRequestHeader(name, value);
        request.setRequestHeader("Content-Type", "application/octet-stream");
        request.upload.addEventListener("progress", (event) => shown.at(event.loaded / (event.total || 1)));
        request.addEventListener("load", () => {
          shown.at(1);
          if (request.status === 201) shown.done();
          else shown.failed(reason(request));
          resolve();
        });
        request.addEventListener("error", () => { shown.failed("The server does not answer, or has ended the upload. Try again."); resolve(); });
        request.send(file);
      });
    }

    function reason(request) {
      if (request.status === 401) location.reload();
      try {
        const problem = JSON.parse(request.responseText);
        return problem.errors?.[0]?.message || problem.detail;
      } catch {
        return `The server answered ${request.status}.`;
      }
    }

    async function take(files) {
      list.replaceChildren();
      refused = 0;
      zone.classList.add("busy");
      const shown = files.map(line);
      for (const [place, file] of files.entries()) await send(file, shown[place]);
      zone.classList.remove("busy");
      chooser.value = "";
      // What was refused stays readable; without that the list of files is shown anew.
      if (!refused) location.reload();
    }

    chooser.addEventListener("change", () => take([...chooser.files]));
    zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      if (event.dataTransfer.files.length) take([...event.dataTransfer.files]);
    });
  });
})();
