"use strict";
/* Colours of the page's theme: ramps that run evenly from dark to light, so that they are read without hue. */
const colours = (() => {
  const style = getComputedStyle(document.documentElement);
  const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const stops = (name) => style.getPropertyValue(name).trim().split(/\s+/).map(channels);

  /* A table of 256 colours [red, green, blue] through the stops of a custom property. */
  function ramp(name) {
    const found = stops(name);
    return Array.from({ length: 256 }, (_, level) => {
      const place = (level / 255) * (found.length - 1);
      const from = Math.min(Math.floor(place), found.length - 2);
      return found[from].map((value, c) => Math.round(value + (found[from + 1][c] - value) * (place - from)));
    });
  }

  const level = (share) => Math.round(255 * Math.min(Math.max(share, 0), 1));
  const css = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;

  /* Relative luminance, WCAG 2. */
  function luminance(colour) {
    const [red, green, blue] = colour.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  }

  /* Black or white, whichever stands out more on a colour. */
  const ink = (colour) => (luminance(colour) > 0.179 ? "#0b0d10" : "#ffffff");
  const variable = (name) => style.getPropertyValue(name).trim();
  const onChange = (redraw) => matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  return { ramp, level, css, ink, variable, onChange };
})();
