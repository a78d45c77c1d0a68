// The gates explorer, drawn in the page from the gates of every epoch: gates_panels.py again, panel by panel, from the same numbers
// and the same sentences.

Object.assign(COMPUTED, {
  gates_matrix: (data, pick) => [gateMatrix(data, pick)],
  gates_density: (data, pick) => gateDensity(data, pick, data.networks[pick.network]),
});

function gateMatrix(data, { network, epoch, view }) {
  const { words: said } = data;
  const known = data.networks[network];
  const { classes, order, learned } = known;
  const count = order.length;
  const gates = numbersOf(known.gates).subarray(epoch * classes.length * count, (epoch + 1) * classes.length * count);
  const weight = numbersOf(known.weight);
  const at = { G: (i) => gates[i] / 255, W: (i) => weight[i], WG: (i) => weight[i] * (gates[i] / 255) }[view];
  const values = classes.flatMap((_, c) => order.map((k) => at(c * count + k)));
  const title = fillIn(said[`matrix_${view}`], { network, when: whenGated(said, known, epoch) });
  const note = `${learned ? said.order_gates : said.order_means} ${said[`note_${view}`]}`;
  return { ...matrixPanel(title, note, values, classes, order.map(String), null), signed: view !== "G" };
}

function gateDensity(data, { network, epoch }, known) {
  const { words: said, parts } = data;
  const { density, gated, learned, by_hand: byHand, bounds: [low, high] } = known;
  const flat = (value) => density.map(() => value / parts);
  const series = [{ name: said.series, values: density.map((one) => one / parts) }];
  if (learned) {
    if (!byHand) series.push({ name: said.low, values: flat(low) }, { name: said.high, values: flat(high) });
    series.push({ name: said.comb, values: [0, ...gated].map((one) => (one * low) / (2 * parts)) });
  }
  const numbered = gated.flatMap((one, i) => (one ? [i + 1] : []));
  const bounds = { low: saidRatio(low, parts), high: saidRatio(high, parts) };
  const words = byHand ? said.density_hand : said.density_note;
  const note = learned ? fillIn(words, { ...bounds, gated: saidSpans(numbered) }) : fillIn(said.density_open, { network });
  const labels = { x_label: said.density_x, y_label: said.density_y };
  const owned = [
    { name: said.owner, values: known.owned[epoch] },
    { name: said.own_alone, values: known.alone[epoch] },
  ];
  return [
    { kind: "curve", title: said.density, note, x: density.map((_, i) => i), series, ...labels, highlight: epoch },
    gateNumbers(data, known, network, epoch),
    barsPanel(said.owned, learned ? said.owned_note : said.owned_open, known.classes, owned, {}),
  ];
}

function gateNumbers({ words: said, parts }, known, network, epoch) {
  const { n, right, learned, by_hand: byHand, bounds: [low, high] } = known;
  const here = known.density[epoch];
  const place = !learned ? "no_interval" : byHand ? "hand" : here < low ? "below" : here > high ? "above" : "inside";
  const kind = epoch === 0 ? "start" : known.gated[epoch - 1] ? "gated" : "plain";
  const rows = [
    [said.is_density, saidRatio(here, parts), said[place]],
    [said.this_epoch, epoch === 0 ? "–" : said[kind], said[`${kind}_note`]],
    [said.alone, String(known.alone[epoch].reduce((a, b) => a + b, 0)), fillIn(said.alone_note, { shared: known.shared[epoch] })],
    [said.accuracy, saidPercent(right, n), fillIn(said.accuracy_note, { right, n })],
  ];
  const title = fillIn(said.numbers, { network, when: whenGated(said, known, epoch) });
  return { kind: "numbers", title, note: "", rows };
}

function whenGated(said, { density }, epoch) {
  return epoch ? fillIn(said.after, { epoch: String(epoch), last: String(density.length - 1) }) : said.before;
}

/** Numbers, ascending, in words: "3, 6–8"; more than twelve pieces are cut short. */
function saidSpans(numbers) {
  const runs = [];
  for (const number of numbers) {
    const run = runs.at(-1);
    if (run?.[1] === number - 1) run[1] = number;
    else runs.push([number, number]);
  }
  const said = runs.map(([first, last]) => (first === last ? String(first) : `${first}–${last}`));
  return (said.length <= 12 ? said : [...said.slice(0, 6), "…", ...said.slice(-2)]).join(", ");
}
