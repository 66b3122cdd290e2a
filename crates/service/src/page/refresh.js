"use strict";
// Asks for this page again and shows what is new. Everything is there without it.
(() => {
  const button = document.getElementById("pause");
  const trouble = document.getElementById("trouble");
  let paused = false;
  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Go on refreshing" : "Pause refreshing";
  });

  // What the reader does with the page outlives the old content: focus, and how far tables are scrolled.
  function show(fresh) {
    const old = document.getElementById("page");
    const next = fresh.getElementById("page");
    if (!next) throw new Error("another page");
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    const scrolled = new Map([...old.querySelectorAll(".scroll")].map((table) => [table.id, table.scrollLeft]));
    old.replaceWith(next);
    document.title = fresh.title;
    for (const [id, left] of scrolled) {
      const table = document.getElementById(id);
      if (table) table.scrollLeft = left;
    }
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  async function refresh() {
    const selecting = !(getSelection()?.isCollapsed ?? true);
    if (paused || selecting || document.hidden) return;
    try {
      const answer = await fetch(location.pathname + location.search, { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      show(new DOMParser().parseFromString(await answer.text(), "text/html"));
      if (trouble.textContent) trouble.textContent = "";
    } catch {
      if (!trouble.textContent) trouble.textContent = "The daemon does not answer; what is shown is old.";
    }
  }

  async function loop() {
    await refresh();
    setTimeout(loop, 2000);
  }
  setTimeout(loop, 2000);
})();
