// The page is complete without this: it folds the samples away, and finds some again.
(() => {
  "use strict";
  const STEP = 100;
  const root = document.documentElement;
  const form = document.querySelector(".filter");
  const more = document.querySelector(".next");
  const count = form.querySelector("output");
  const bodies = [...document.querySelectorAll(".samples tbody")];
  const texts = new Map();
  let limit = STEP;

  const textOf = (body) => {
    if (!texts.has(body)) texts.set(body, body.textContent.toLowerCase());
    return texts.get(body);
  };

  const show = () => {
    const { method, outcome, text, dearer } = form.elements;
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const body of bodies) {
      const fits =
        (!method.value || body.dataset.method === method.value) &&
        (!outcome.value || body.dataset.outcome === outcome.value) &&
        (!dearer.checked || "dearer" in body.dataset) &&
        words.every((word) => textOf(body).includes(word));
      if (fits) found += 1;
      body.hidden = !fits || found > limit;
    }
    const shown = Math.min(found, limit);
    count.textContent = found === 0 ? "no sample fits" : `${shown} of ${found} shown`;
    more.hidden = found <= limit;
  };

  const toggle = (body) => {
    const row = body.querySelector(".more");
    const open = row.classList.toggle("open");
    row.querySelector("details").open = open;
    body.querySelector(".open-button").setAttribute("aria-expanded", String(open));
  };

  bodies.forEach((body, i) => {
    const head = body.querySelector(".head");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "open-button";
    body.querySelector(".more").id = `sample-${i}`;
    button.setAttribute("aria-controls", `sample-${i}`);
    button.setAttribute("aria-expanded", "false");
    button.setAttribute("aria-label", "Prompt, reply and grade");
    head.querySelector("th").prepend(button);
    head.addEventListener("click", () => {
      // A click that ends a selection of text is none.
      if (String(getSelection()) === "") toggle(body);
    });
  });

  form.addEventListener("input", () => { limit = STEP; show(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", () => { limit += STEP; show(); });
  root.classList.add("js");
  form.hidden = false;
  show();
})();
