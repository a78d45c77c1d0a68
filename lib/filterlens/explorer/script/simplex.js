// The simplex explorer, made in the page from shipped filters and shares: simplex_panels.py again, panel by panel, from the same whole
// numbers (simplex_numbers.js) and the same sentences.

Object.assign(COMPUTED, {
  simplex_cloud: (data, pick) => [cloudPanel(data, pick, ...simplexLayer(data, pick))],
  simplex_one: (data, pick) => onePanels(data, pick, ...simplexLayer(data, pick)),
  simplex_ranking: (data, pick) => rankingPanels(data, pick, ...simplexLayer(data, pick)),
  simplex_removal: (data, pick) => removalPanels(data, pick),
  simplex_fabrication: (data, pick) => fabricationPanels(data, pick, ...simplexLayer(data, pick)),
});

function cloudPanel(data, pick, layer, found) {
  const { words: said, parts } = data;
  const [first, second] = layer.variance;
  const shares = { shown: saidPercent(first + second, parts), first: saidPercent(first, parts), second: saidPercent(second, parts) };
  const degenerate = found.degenerate ? fillIn(said.degenerate, { l: layer.l }) : "";
  const residual = saidPercent(found.residual, parts);
  const note = fillIn(said.cloud_note, { ...shares, network: data.network, l: layer.l, residual, degenerate }).trim();
  const values = { l0: found.l0, entropy: found.entropy, norm: layer.norm }[pick.colour];
  const marks = Array.from({ length: found.d }, (_, j) => [found.places[2 * j], found.places[2 * j + 1], fillIn(said.archetype, { j: String(j) })]);
  const [rows, own] = shareColumn(found.codes, pick.filter);
  const filters = Array.from({ length: layer.n }, (_, i) => i);
  return {
    kind: "scatter", title: fillIn(said.cloud, { n: layer.n, layer: pick.layer, d: found.d }), note,
    x: filters.map((i) => layer.points[2 * i]), y: filters.map((i) => layer.points[2 * i + 1]),
    names: filters.map((i) => fillIn(said.filter, { i: String(i) })),
    values: filters.map((i) => (pick.colour === "l0" ? values[i] : values[i] / parts)), value_label: data.colours[pick.colour].value,
    x_label: fillIn(said.component, { i: 1 }), y_label: fillIn(said.component, { i: 2 }), highlight: pick.filter,
    picks: filters.map((i) => ({ filter: i })), marks, mark_label: said.archetypes,
    outline: found.hull.map((j) => marks[j].slice(0, 2)), outline_label: said.hull,
    links: [...rows].map((j, at) => [j, own[at] / WHOLE]), link_label: said.links,
  };
}

function onePanels(data, { filter }, layer, found) {
  const { words: said, parts } = data;
  const { c, h, w } = layer;
  const i = String(filter);
  const nearest = found.nearest[filter];
  const three = [wholeFilter(layer, filter), rebuiltFilter(layer, found, filter), wholeArchetype(layer, found, nearest)];
  const names = [fillIn(said.itself, { i }), said.rebuilt, fillIn(said.nearest, { j: String(nearest) })];
  const peak = largestSize(three);
  const what = fillIn(said[`pictures_${kindOfFilter(layer)}`], { c, h, w });
  const short = [names[0], said.mixture, fillIn(said.archetype, { j: String(nearest) })];
  const pictures = three.map((values, at) => ({ ...filterPicture(data, layer, values, peak, names[at]), label: short[at] }));
  const [rows, own] = shareColumn(found.codes, filter);
  const order = [...own].map((_, at) => at).sort((a, b) => own[b] - own[a]);
  const top = order[0];
  const far = saidRatio(found.far[filter], parts);
  const numbers = [
    [said.l0, fillIn(said.l0_text, { l0: found.l0[filter], d: found.d }), fillIn(said.l0_note, { tau: found.tau })],
    [said.largest, saidPercent(own[top], WHOLE), fillIn(said.largest_note, { j: String(rows[top]) })],
    [said.entropy, saidRatio(found.entropy[filter], parts), fillIn(said.entropy_note, { most: found.most, d: found.d })],
    [said.error, found.error[filter] < 0 ? "–" : saidPercent(found.error[filter], parts), said.error_note],
    [said.distance, fillIn(said.distance_text, { j: String(nearest), far }), said.distance_note],
    [said.norm, saidRatio(layer.norm[filter], parts), said.norm_note],
    [said.place, fillIn(said.place_text, { place: found.position[filter] + 1, n: layer.n }), said.place_note],
  ];
  const shown = order.slice(0, data.shown);
  const code = rows.length === 1 ? said.code_one : rows.length <= data.shown ? said.code_all : said.code_some;
  const series = [{ name: said.code_series, values: shown.map((at) => (100 * own[at]) / WHOLE) }];
  const labels = shown.map((at) => fillIn(said.archetype, { j: String(rows[at]) }));
  return [
    filtersPanel(fillIn(said.pictures, { i }), fillIn(said.pictures_note, { what }), pictures, pictures.length, 104),
    { kind: "numbers", title: fillIn(said.numbers, { i }), note: "", rows: numbers },
    barsPanel(fillIn(said.code, { i }), fillIn(code, { shown: data.shown, l0: rows.length }), labels, series, {
      picks: shown.map((at) => ({ filter: mostOf(found, rows[at]) })),
    }),
  ];
}

function rankingPanels(data, { filter }, layer, found) {
  const { words: said } = data;
  const groups = [...new Set(found.l0)].sort((a, b) => b - a);
  const counts = groups.map((l0) => found.l0.reduce((sum, other) => sum + (other === l0), 0));
  const before = counts.map((_, at) => counts.slice(0, at).reduce((a, b) => a + b, 0));
  const own = groups.indexOf(found.l0[filter]);
  const others = counts[own] - 1;
  const numbers = { groups: groups.length, n: layer.n, i: String(filter), l0: groups[own], others, first: before[own] + 1, last: before[own] + counts[own] };
  const series = [{ name: said.ranking_series, values: counts }];
  const ends = [
    ["redundant", [...found.order.subarray(0, data.ends)]],
    ["needed", [...found.needed]],
  ];
  const peak = largestSize(ends.flatMap(([, some]) => some.map((i) => wholeFilter(layer, i))));
  const shown = ends.map(([name, some]) => {
    const picture = (i) => ({ ...filterPicture(data, layer, wholeFilter(layer, i), peak, fillIn(said.filter, { i: String(i) })), pick: { filter: i } });
    return filtersPanel(said[name], said[`${name}_note`], some.map(picture), null, 56);
  });
  const note = fillIn(others ? said.ranking_note : said.ranking_alone, numbers);
  const picks = before.map((place) => ({ filter: found.order[place] }));
  return [barsPanel(said.ranking, note, groups.map(String), series, { highlight: own, picks }), ...shown];
}

function removalPanels({ words: said, parts, tested: all, uncurved }, { layer, tested, rate }) {
  const { rates, sets, accuracy, seeds, images, baseline } = all[tested];
  const at = rates.indexOf(rate);
  const here = accuracy.map((row) => row[at]);
  const name = (value) => `${sets[here.indexOf(value)]}, ${saidPercent(value, parts)}`;
  const numbers = { baseline: saidPercent(baseline, parts), best: name(Math.max(...here)), worst: name(Math.min(...here)) };
  const series = sets.map((set, i) => ({ name: set, values: accuracy[i].map((part) => part / 100) }));
  const labels = { x_label: said.removal_x, y_label: said.removal_y };
  return [
    { kind: "curve", title: fillIn(said.removal, { tested }), note: fillIn(said.removal_note, { seeds, images, uncurved: uncurved[layer] }), x: rates, series, ...labels, highlight: at },
    barsPanel(fillIn(said.rate, { tested, rate: String(rate) }), fillIn(rate ? said.rate_note : said.rate_none, numbers), sets, [
      { name: said.lost, values: here.map((part) => (baseline - part) / 100) },
    ]),
  ];
}

function fabricationPanels(data, { layer: name, concentration }, layer, found) {
  const { words: said, drawn: n } = data;
  const { originals, c, h, w, l } = layer;
  const { shares, alpha, measured, expected } = found.fabrications[data.concentrations.indexOf(concentration)];
  const made = Array.from({ length: shares.starts.length - 1 }, (_, j) => mixtureOf(shares, j, l, (row) => wholeArchetype(layer, found, row)));
  const values = [...originals.map((i) => wholeFilter(layer, i)), ...made];
  const peak = largestSize(values);
  const what = fillIn(said[`pictures_${kindOfFilter(layer)}`], { c, h, w });
  const note = fillIn(said.fabrication_note, { shown: originals.length, n: layer.n, alpha, d: found.d, what });
  const [whole, stored] = [4 * layer.n * l, 4 * found.d * l];
  const rows = [
    [said.measured, measured, fillIn(said.measured_note, { n })],
    [said.expected, expected, fillIn(said.expected_note, { d: found.d, alpha })],
    [said.whole_layer, fillIn(said.bytes, { bytes: whole }), fillIn(said.whole_layer_note, { n: layer.n, l })],
    [said.stored, fillIn(said.bytes, { bytes: stored }), fillIn(said.stored_note, { saved: saidPercent(whole - stored, whole) })],
  ];
  const pictures = values.map((one, at) => {
    const i = at - originals.length;
    if (i < 0) return filterPicture(data, layer, one, peak, fillIn(said.filter, { i: String(originals[at]) }));
    const label = fillIn(said.new, { i: String(i + 1) });
    return { ...filterPicture(data, layer, one, peak, fillIn(said.fabricated, { i: String(i + 1) })), label };
  });
  return [
    filtersPanel(fillIn(said.fabrication, { layer: name }), note, pictures, originals.length, 72),
    { kind: "numbers", title: said.variance, note: said.variance_note, rows },
  ];
}

// ----------------------------------------------------------------------------------------------------------------- pictures

function kindOfFilter({ c }) {
  return { 1: "grey", 3: "colour" }[c] ?? "mosaic";
}

/** A filter's whole numbers as a picture whose scale ends at `peak`. */
function filterPicture({ words: said }, layer, values, peak, label) {
  const kind = kindOfFilter(layer);
  const { c, h, w } = layer;
  const limit = peak * layer.step;
  const alt = fillIn(said.alt, { what: label, kind: fillIn(said[`alt_${kind}`], { c, h, w }) });
  const low = kind === "colour" ? (-limit * 128) / STEPS : -limit;
  return { values: filterSteps(layer, values, peak), low, high: limit, alt, label, pick: null, frame: null };
}

function filtersPanel(title, note, pictures, columns, size) {
  return { kind: "pictures", title, note, pictures, columns, arrows: false, size };
}

/** The filter that archetype j has most of. */
function mostOf(found, j) {
  const [rows, parts] = shareColumn(found.made, j);
  return rows[parts.indexOf(Math.max(...parts))];
}
