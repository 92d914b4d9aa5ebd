"use strict";
/* Numbers by word, and showing them: the shaded prompt and the table with bars. */
const words = (() => {
  const format = (value) => (value === 0 || Math.abs(value) >= 0.001 ? value.toFixed(3) : value.toExponential(1));

  /* Mean of each column over the frames that overlap [start, end), weighted by duration: Explanation.interval's. */
  function mean(heat, start, end) {
    const touch = 1e-6;
    const total = new Array(heat.labels.length).fill(0);
    let weight = 0;
    heat.values.forEach((row, frame) => {
      if (!(heat.times[frame] < end - touch && heat.times[frame + 1] > start + touch)) return;
      const length = heat.times[frame + 1] - heat.times[frame];
      weight += length;
      row.forEach((value, column) => (total[column] += value * length));
    });
    return total.map((value) => value / (weight || 1));
  }

  /* Index of the frame in which a time lies. */
  function frameAt(times, time) {
    let low = 0, high = times.length - 2;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (times[middle] <= time) low = middle; else high = middle - 1;
    }
    return low;
  }

  /* 10 % and 90 % quantiles of a column over the frames in a stretch. */
  function spread(heat, column, start, end) {
    const found = heat.values.filter((_, f) => heat.times[f] < end - 1e-6 && heat.times[f + 1] > start + 1e-6)
      .map((row) => row[column]).sort((a, b) => a - b);
    const at = (share) => found[Math.round(share * (found.length - 1))] ?? 0;
    return [at(0.1), at(0.9)];
  }

  /* Lowest and highest of all cells; the lowest is 0 at most. */
  function range(values) {
    let low = 0, high = 0;
    for (const row of values) for (const value of row) { low = Math.min(low, value); high = Math.max(high, value); }
    return [low, high > low ? high : low + 1];
  }

  /* Shade a prompt's words by ``values``, which run from ``low`` to ``high``. */
  function shade(prompt, values, [low, high]) {
    const ramp = colours.ramp("--ramp");
    const best = Math.max(...values);
    for (const word of prompt.querySelectorAll(".word")) {
      const value = values[Number(word.dataset.index)];
      const colour = ramp[colours.level((value - low) / (high - low || 1))];
      const text = word.querySelector(".text");
      text.style.backgroundColor = colours.css(colour);
      text.style.color = colours.ink(colour);
      word.querySelector(".score").textContent = format(value);
      word.classList.toggle("top", value === best);
    }
  }

  /* Fill the table's body: label, bar with the spread where there is one, number. */
  function bars(body, labels, values, spreads, showSpecial) {
    const top = Math.max(1e-12, ...values.map((value, i) => (labels[i].special && !showSpecial ? 0 : Math.max(value, spreads ? spreads[i][1] : 0))));
    const share = (value) => `${100 * Math.min(Math.max(value / top, 0), 1)}%`;
    body.replaceChildren(...labels.map((label, index) => {
      const row = document.createElement("tr");
      row.hidden = label.special && !showSpecial;
      row.className = label.special ? "special" : "";
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = head.title = label.text;
      const line = document.createElement("div");
      line.className = "line";
      const bar = line.appendChild(document.createElement("b"));
      bar.style.width = share(values[index]);
      if (spreads) {
        const [low, high] = spreads[index];
        const whisker = line.appendChild(document.createElement("i"));
        whisker.style.left = share(low);
        whisker.style.width = `max(2px, calc(${share(high)} - ${share(low)}))`;
      }
      const cell = document.createElement("td");
      cell.append(line);
      const number = document.createElement("td");
      number.className = "number";
      number.textContent = format(values[index]);
      row.append(head, cell, number);
      return row;
    }));
  }

  return { mean, frameAt, spread, range, shade, bars, format };
})();
