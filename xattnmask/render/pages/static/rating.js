// Ratings: kept in the browser while they are entered, shown as text, saved as a file.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const selects = [...document.querySelectorAll("select[data-clip]")];
  const rater = document.getElementById("rater");
  const text = document.getElementById("text");
  const store = `xattnmask-ratings-${data.study}`;

  function ratings() {
    const clips = data.clips.map((clip) => clip.words.map(() => null));
    for (const select of selects) {
      if (select.value !== "") clips[select.dataset.clip][select.dataset.word] = Number(select.value);
    }
    return { format: "xattnmask/ratings", version: 1, study: data.study, rater: rater.value.trim(), ratings: clips };
  }

  function show() {
    const found = ratings();
    text.value = JSON.stringify(found);
    const done = found.ratings.flat().filter((value) => value !== null).length;
    document.getElementById("count").textContent = `${done} of ${selects.length} words are rated`;
    try {
      localStorage.setItem(store, text.value);
    } catch { /* a browser that keeps nothing for files: the ratings can still be saved */ }
  }

  function restore() {
    try {
      const kept = JSON.parse(localStorage.getItem(store) ?? "null");
      if (kept === null) return;
      rater.value = kept.rater;
      for (const select of selects) select.value = kept.ratings[select.dataset.clip][select.dataset.word] ?? "";
    } catch { /* as above */ }
  }

  function save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text.value + "\n"], { type: "application/json" }));
    link.download = `ratings-${rater.value.trim().replace(/[^\w-]+/g, "-") || "anonymous"}.json`;
    link.click();
    URL.revokeObjectURL(link.href);
  }

  restore();
  show();
  for (const field of [...selects, rater]) field.addEventListener("input", show);
  document.getElementById("save").addEventListener("click", save);
  document.documentElement.dataset.ready = "yes";
})();
