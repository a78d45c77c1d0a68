// Panels that hold beside some picks only, and two pictures with their difference: cases.py in the page.

Object.assign(DRAWN, { compared: drawCompared });

/** The panels to draw for a pick: of cases those that hold, everything else as it is. */
function chosenPanels(panels, pick) {
  return panels.flatMap((panel) => {
    if (panel.kind !== "cases") return [panel];
    const chosen = panel.cases.filter(([wanted]) => Object.entries(wanted).every(([axis, value]) => pick[axis] === value));
    return chosenPanels(chosen.flatMap(([, some]) => withArrays(some, panel.arrays)), pick);
  });
}

/** A copy in which the number of every shared array is replaced by the array. */
function withArrays(value, arrays) {
  if (Array.isArray(value)) return value.map((item) => withArrays(item, arrays));
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return value;
  if (Number.isInteger(value.array)) return arrays[value.array];
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, withArrays(item, arrays)]));
}

function drawCompared({ pictures, size, threshold, label }, context) {
  const readout = makeReadout();
  const share = threshold === null ? 0 : Number(context.pick[threshold]) || 0;
  const [a, b] = pictures;
  const { values, peak } = differenceOf(numbersOf(a.values), numbersOf(b.values), a.values.shape[2] ?? 1, share);
  const third = {
    ...b, values: { ...b.values, data: values }, low: 0, high: (peak / 255) * (b.high - b.low), label,
    alt: `${label} of the two, black where there is none`, pick: null, frame: null,
  };
  const row = make("div", { class: "fl-row" });
  for (const picture of [a, b, third]) row.append(thumbnail(picture, context, { size, readout, focusable: true }));
  return [row, readout];
}

/** |a - b| as a share of the largest, rounded half up to steps of 1/255; pixels below a share of it are zero. */
function differenceOf(a, b, channels, share) {
  const apart = Int32Array.from(a, (step, i) => Math.abs(step - b[i]));
  const peak = apart.reduce((most, step) => Math.max(most, step), 0);
  const values = new Uint8Array(apart.length);
  for (let at = 0; peak > 0 && at < apart.length; at += channels) {
    const pixel = apart.subarray(at, at + channels);
    if (Math.max(...pixel) < share * peak) continue;
    pixel.forEach((step, channel) => (values[at + channel] = Math.floor((510 * step + peak) / (2 * peak))));
  }
  return { values, peak };
}
