"use strict";
/* The stack of tracks (wave, spectrogram, words by time) under one playhead, drawn on wavesurfer's canvas. */
const tracks = (() => {
  const WAVE = 40, SPECTROGRAM = 128, GAP = 8, AXIS = 22;
  const row = (count) => Math.max(12, Math.min(24, Math.floor(900 / count)));

  /* Where each track starts and how high it is, in CSS pixels. */
  function layout(count, sound) {
    const heights = sound ? { wave: WAVE, spectrogram: SPECTROGRAM } : { wave: 0, spectrogram: 0 };
    const spectrogram = heights.wave && heights.wave + GAP;
    const heat = spectrogram + (heights.spectrogram && heights.spectrogram + GAP);
    return { ...heights, at: { wave: 0, spectrogram, heat }, row: row(count), rows: count, axis: AXIS, height: heat + count * row(count) + AXIS };
  }

  function bytes(text) {
    const raw = atob(text);
    return Uint8Array.from(raw, (character) => character.charCodeAt(0));
  }

  /* A spectrogram as a canvas of one pixel a cell, in the theme's greys. */
  function picture(image) {
    const canvas = document.createElement("canvas");
    canvas.width = image.columns;
    canvas.height = image.rows;
    const grey = colours.ramp("--grey"), levels = bytes(image.levels);
    const pixels = new ImageData(image.columns, image.rows);
    levels.forEach((level, i) => pixels.data.set([...grey[level], 255], 4 * i));
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    return canvas;
  }

  function drawWave(context, outline, width, height) {
    context.fillStyle = colours.variable("--quiet");
    outline.forEach((peak, i) => {
      const size = Math.max(1, peak * height);
      const left = (i / outline.length) * width, right = ((i + 1) / outline.length) * width;
      context.fillRect(left, (height - size) / 2, Math.max(right - left, 0.5), size);
    });
  }

  /* Cells of ``values`` [frames, columns] as rows, for the columns in ``shown``; frames as long as they are. */
  function drawHeat(context, edges, values, shown, [low, high], width, size) {
    const ramp = colours.ramp("--ramp").map(colours.css);
    const first = edges[0], span = edges[edges.length - 1] - first;
    const scale = context.getTransform().a; // whole pixels of the screen, or seams would show
    const x = edges.map((edge) => Math.round(((edge - first) / span) * width * scale) / scale);
    values.forEach((cells, frame) => shown.forEach((column, index) => {
      context.fillStyle = ramp[colours.level((cells[column] - low) / (high - low))];
      context.fillRect(x[frame], index * size + 0.5, Math.max(x[frame + 1] - x[frame], 1 / scale), size - 1);
    }));
  }

  function drawAxis(context, start, seconds, width) {
    const step = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60].find((one) => (seconds / one) * 52 <= width) ?? 120;
    context.fillStyle = colours.variable("--quiet");
    context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    context.textBaseline = "top";
    for (let tick = Math.ceil(start / step - 1e-9) * step; tick <= start + seconds + 1e-9; tick += step) {
      const place = ((tick - start) / seconds) * width;
      context.fillRect(Math.min(place, width - 1), 0, 1, 4);
      context.textAlign = place < 14 ? "left" : place > width - 14 ? "right" : "center";
      context.fillText(`${Number(tick.toFixed(2))} s`, place, 7);
    }
  }

  /* All tracks on one canvas; ``view`` holds heat, values, shown, range, sound and start. */
  function draw(context, view) {
    const scale = Math.max(1, window.devicePixelRatio || 1), width = context.canvas.width / scale;
    const place = layout(view.shown.length, view.sound);
    const seconds = view.heat.times[view.heat.times.length - 1] - view.start;
    const at = (top, part) => { context.save(); context.translate(0, top); part(); context.restore(); };
    context.save();
    context.scale(scale, scale);
    if (view.sound) {
      const reach = Math.min(width, (width * view.sound.seconds) / seconds);
      at(place.at.wave, () => drawWave(context, view.sound.outline, reach, place.wave));
      at(place.at.spectrogram, () => context.drawImage(view.picture, 0, 0, reach, place.spectrogram));
    }
    at(place.at.heat, () => drawHeat(context, view.heat.times, view.values, view.shown, view.range, width, place.row));
    at(place.height - AXIS + 3, () => drawAxis(context, view.start, seconds, width));
    context.restore();
  }

  /* Labels beside the tracks. */
  function label(gutter, view) {
    const place = layout(view.shown.length, view.sound);
    const parts = view.shown.map((column, index) => {
      const text = document.createElement("span");
      text.textContent = text.title = view.heat.labels[column].text;
      text.className = view.heat.labels[column].special ? "special" : "";
      text.style.height = text.style.lineHeight = `${place.row}px`;
      if (index === 0) text.style.marginTop = `${place.at.heat}px`;
      return text;
    });
    for (const tick of view.sound ? view.sound.ticks : []) {
      const text = document.createElement("span");
      text.textContent = tick.text;
      text.className = "tick";
      text.style.top = `${place.at.spectrogram + place.spectrogram * (1 - tick.height)}px`;
      parts.push(text);
    }
    gutter.replaceChildren(...parts);
  }

  /* Make a canvas as large as it is shown, and draw on it in CSS pixels. */
  function fill(canvas, height, drawOn) {
    const scale = Math.max(1, window.devicePixelRatio || 1), width = canvas.clientWidth;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    drawOn(context, width);
  }

  function thumbnails(sounds) {
    for (const canvas of document.querySelectorAll("canvas.thumbnail")) {
      const sound = sounds.find((one) => one.name === canvas.dataset.sound);
      fill(canvas, 84, (context, width) => context.drawImage(picture(sound.spectrogram), 0, 0, width, 84));
    }
  }

  return { layout, picture, draw, drawHeat, label, fill, thumbnails };
})();
