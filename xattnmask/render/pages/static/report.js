"use strict";
/* Wires a page up: what is shown follows from one state (playing, stretch, step), and ``show`` shows it. */
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (id) => document.getElementById(id);

  const legend = () => {
    const stops = [0, 64, 128, 191, 255].map((level) => colours.css(colours.ramp("--ramp")[level]));
    document.documentElement.style.setProperty("--legend", `linear-gradient(90deg, ${stops.join(",")})`);
  };

  /* Sounds of one page do not play over each other. */
  function takeTurns() {
    const all = [...document.querySelectorAll("audio")];
    for (const one of all) one.addEventListener("play", () => all.forEach((other) => other !== one && other.pause()));
  }

  /* Two explanations: prompts shaded side by side, and their heat maps. */
  function compare() {
    const show = () => {
      legend();
      for (const side of ["first", "second"]) {
        const { heat } = data[side], shown = heat.labels.flatMap((label, i) => (label.special ? [] : [i]));
        const values = words.mean(heat, heat.times[0], heat.times[heat.times.length - 1]);
        words.shade(document.querySelector(`.prompt[data-side=${side}]`), values, [Math.min(0, ...values), Math.max(...shown.map((i) => values[i]))]);
        tracks.fill(find(`heat-${side}`), 22 * shown.length, (context, width) =>
          tracks.drawHeat(context, heat.times, heat.values, shown, words.range(heat.values), width, 22));
        tracks.label(find(`gutter-${side}`), { heat, shown, sound: null });
        for (const text of find(`gutter-${side}`).children) text.style.height = text.style.lineHeight = "22px";
      }
      tracks.thumbnails(data.sounds);
    };
    show();
    colours.onChange(show);
    addEventListener("resize", show);
  }

  function explain() {
    const { heat, steps } = data, sound = data.sounds[0] ?? null;
    const start = heat.times[0], end = heat.times[heat.times.length - 1];
    const state = { playing: false, stretch: null, step: null, special: false };
    const view = { heat, sound, start, picture: null, values: heat.values, shown: [], range: words.range(heat.values) };
    const media = sound && find(`sound-${sound.name}`);
    const prompt = document.querySelector(".prompt"), body = find("bars").tBodies[0];
    const regions = WaveSurfer.Regions.create();
    const wave = WaveSurfer.create({
      container: find("tracks"), ...(media ? { media } : {}), peaks: [sound ? sound.outline : [0]], duration: end - start,
      height: tracks.layout(heat.labels.length, sound).height, renderFunction: (_, context) => tracks.draw(context, view),
      cursorWidth: 2, hideScrollbar: true, progressColor: "transparent", plugins: [regions],
    });
    let region = null, anchor = null;

    const seconds = (time) => time.toFixed(2);
    const now = () => start + (media ? media.currentTime : wave.getCurrentTime());
    /* By the sound itself where there is one: wavesurfer's setTime forgets all but the first of quick calls. */
    const go = (time) => { if (media) media.currentTime = time - start; else wave.setTime(time - start); };
    const byFrame = () => (state.step !== null && steps.frames ? steps.frames[state.step] : heat.values);
    const noiseText = (step) => (steps.noise ? `, ${Math.round(100 * steps.noise[step])} % noise` : "");
    const stepText = (step) => `step ${step + 1} of ${steps.steps.length} (${Number(steps.steps[step].toPrecision(4))}${noiseText(step)})`;

    /* What is shown: numbers by word, the range they are shaded over, and how to say it. */
    function current() {
      const shownHeat = { ...heat, values: byFrame() };
      const inStep = state.step !== null && steps.frames ? `, ${stepText(state.step)}` : "";
      if (state.playing) {
        const frame = words.frameAt(heat.times, now());
        return { values: shownHeat.values[frame], range: words.range(shownHeat.values), text: `Importance at ${seconds(now())} s${inStep}, against the highest of all moments` };
      }
      if (state.step !== null && !steps.frames && !state.stretch) {
        return { values: steps.values[state.step], text: `Importance in ${stepText(state.step)}` };
      }
      const [from, to] = state.stretch ?? [start, end];
      const text = state.stretch ? `Importance from ${seconds(from)} to ${seconds(to)} s` : "Importance over the whole clip";
      return { values: words.mean(shownHeat, from, to), spreads: heat.labels.map((_, i) => words.spread(shownHeat, i, from, to)), text: text + inStep };
    }

    function show() {
      const { values, range, spreads, text } = current();
      const visible = values.filter((_, i) => state.special || !heat.labels[i].special);
      words.shade(prompt, values, range ?? [Math.min(0, ...visible), Math.max(...visible)]);
      words.bars(body, heat.labels, values, spreads, state.special);
      find("mode").textContent = find("bars-caption").textContent = text;
      find("clock").textContent = `${seconds(now())} / ${seconds(end)} s`;
      find("interval").textContent = state.stretch ? `${seconds(state.stretch[0])} – ${seconds(state.stretch[1])} s` : "";
      find("clear").hidden = !state.stretch;
      find("play").textContent = state.playing ? "Pause" : state.stretch ? "Play stretch" : "Play";
      const slider = find("tracks");
      slider.setAttribute("aria-valuemin", start);
      slider.setAttribute("aria-valuemax", end);
      slider.setAttribute("aria-valuenow", seconds(now()));
      slider.setAttribute("aria-valuetext", state.stretch ? `${seconds(now())} seconds, selected ${find("interval").textContent}` : `${seconds(now())} seconds`);
    }

    /* Draw anew what depends on the theme, the size, the step or which rows are shown. */
    function redraw() {
      legend();
      view.shown = heat.labels.flatMap((label, i) => (label.special && !state.special ? [] : [i]));
      view.values = byFrame();
      view.range = words.range(view.values);
      view.picture = sound && tracks.picture(sound.spectrogram);
      tracks.label(find("gutter"), view);
      wave.setOptions({ height: tracks.layout(view.shown.length, sound).height, cursorColor: colours.variable("--playhead") });
      if (region) region.setOptions({ color: colours.variable("--pick") });
      tracks.thumbnails(data.sounds);
      if (steps) drawSteps();
      show();
    }

    function drawSteps() {
      const edges = Array.from({ length: steps.steps.length + 1 }, (_, i) => i), canvas = find("step-map");
      tracks.fill(canvas, 22 * view.shown.length, (context, width) => {
        tracks.drawHeat(context, edges, steps.values, view.shown, words.range(steps.values), width, 22);
        if (state.step === null) return;
        context.strokeStyle = colours.variable("--playhead");
        context.lineWidth = 2;
        const cell = width / steps.steps.length;
        context.strokeRect(state.step * cell + 1, 1, Math.max(cell - 2, 1), 22 * view.shown.length - 2);
      });
      tracks.label(find("step-gutter"), { ...view, sound: null });
      for (const text of find("step-gutter").children) text.style.height = text.style.lineHeight = "22px";
    }

    function select(from, to) {
      region?.remove();
      region = regions.addRegion({ start: from - start, end: to - start, color: colours.variable("--pick"), drag: true, resize: true });
      follow(region);
    }

    function follow(one) {
      const take = () => { state.stretch = [start + Math.max(0, one.start), Math.min(end, start + one.end)]; show(); };
      one.on("update", take);
      one.on("update-end", take);
      take();
    }

    function clear() {
      region?.remove();
      region = anchor = null;
      state.stretch = null;
      show();
    }

    const toggle = () => {
      if (wave.isPlaying()) return wave.pause();
      return state.stretch ? wave.play(state.stretch[0] - start, state.stretch[1] - start) : wave.play();
    };

    function move(to, selecting) {
      const from = now(), time = Math.min(Math.max(to, start), end);
      anchor = selecting ? anchor ?? from : null;
      go(time);
      if (selecting && Math.abs(time - anchor) > 1e-6) select(Math.min(anchor, time), Math.max(anchor, time));
      show();
    }

    regions.enableDragSelection({ color: colours.variable("--pick") }, 3);
    regions.on("region-initialized", (one) => { if (region && one !== region) region.remove(); region = one; follow(one); });
    wave.on("play", () => { state.playing = true; show(); });
    wave.on("pause", () => { state.playing = false; show(); });
    wave.on("finish", () => { state.playing = false; show(); });
    wave.on("timeupdate", show);
    find("play").addEventListener("click", toggle);
    find("clear").addEventListener("click", clear);
    find("special").addEventListener("change", (event) => {
      state.special = event.target.checked;
      for (const word of document.querySelectorAll(".word.special")) word.hidden = !state.special;
      redraw();
    });
    find("tracks").addEventListener("keydown", (event) => {
      const stride = Math.max((end - start) / 100, heat.times[1] - heat.times[0]);
      const aims = { ArrowLeft: () => now() - stride, ArrowRight: () => now() + stride, Home: () => start, End: () => end };
      if (event.key in aims) move(aims[event.key](), event.shiftKey);
      else if (event.key === " ") toggle();
      else if (event.key === "Escape") clear();
      else return;
      event.preventDefault();
    });
    if (steps) {
      const choose = (step) => {
        state.step = step;
        if (step !== null && !steps.frames && state.stretch) clear();
        find("step-text").textContent = step === null ? "all steps" : stepText(step);
        find("all-steps").hidden = step === null;
        redraw();
      };
      find("step").addEventListener("input", (event) => choose(Number(event.target.value)));
      find("all-steps").addEventListener("click", () => choose(null));
      find("step-text").textContent = "all steps";
    }
    redraw();
    colours.onChange(redraw);
    let width = innerWidth;
    addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; redraw(); } });
  }

  takeTurns();
  if (data.first) compare();
  else if (data.heat) explain();
  else if (data.sounds) {
    const show = () => { legend(); tracks.thumbnails(data.sounds); };
    show();
    colours.onChange(show);
    addEventListener("resize", show);
  }
  document.documentElement.dataset.ready = "yes";
})();
