// The influence explorer, computed in the page from the test images' features: influence.py again, panel by panel, from the same
// whole numbers (influence_numbers.js) and the same sentences.

Object.assign(COMPUTED, {
  influence_accuracy: (data, pick) => accuracyPanels(...chosen(data, pick)),
  influence_histogram: (data, pick) => histogramPanels(...chosen(data, pick)),
  influence_curve: (data, pick) => [sizeCurve(...chosen(data, pick))],
  influence_image: (data, pick) => imagePanels(...chosen(data, pick)),
  influence_overlap: (data, pick) => [overlapPanel(...chosen(data, pick))],
  influence_surface: (data, pick, pause) => surfacePanels(...chosen(data, pick), pause),
  influence_ablation: (data, pick, pause) => ablationPanels(...chosen(data, pick), pause),
});

/** The layer, the pick, and its r: s where the two are linked. */
function chosen(data, pick) {
  return [wholeLayer(data), pick, pick.linked === data.linked ? pick.s : pick.r];
}

function accuracyPanels(layer, { target, rule, s }, r) {
  const { data, d, n, classes, fullRight, ends } = layer;
  const { words: said } = data;
  const { right, agree, total } = countsBySize(layer, rule, r);
  const few = total[s - 1];
  const full = fullRight.reduce((a, b) => a + b, 0);
  const byClass = right.subarray((s - 1) * classes, s * classes);
  const of = ends[target + 1] - ends[target];
  const rowOfRule = rule === "count" ? r - 1 : d + data.rules.indexOf(rule) - 1;
  const apart = layer.apart[rowOfRule * d + s - 1];
  const exact = { few: saidApart(said, apart), full: saidApart(said, data.full_exact - full), exact: saidPercent(data.full_exact, n) };
  const rows = [
    [said.decomposed, saidPercent(few, n), fillIn(said.right, { right: few, n })],
    [said.full, saidPercent(full, n), fillIn(said.right, { right: full, n })],
    [said.eta, saidRatio(few, full), said.eta_note],
    [said.agreement, saidPercent(agree[s - 1], n), said.agreement_note],
    [said.cost, fillIn(said.cost_text, { full: classes * d, few: classes * s }), fillIn(said.cost_note, { classes, d, s })],
    [
      fillIn(said.of_class, { name: data.classes[target] }),
      fillIn(said.of_class_text, { full: saidPercent(fullRight[target], of), few: saidPercent(byClass[target], of) }),
      fillIn(said.of_class_note, { n: of }),
    ],
    [said.exact, saidPercent(few + apart, n), fillIn(said.exact_note, exact)],
  ];
  const shareOfClass = (counts) => data.classes.map((_, c) => (100 * counts[c]) / Math.max(1, ends[c + 1] - ends[c]));
  const series = [
    { name: said.full, values: shareOfClass(fullRight) },
    { name: said.decomposed, values: shareOfClass(byClass) },
  ];
  const note = fillIn(said.accuracy_note, { network: data.network, chosen: fillIn(data.rule_words[rule].chosen, { r, s }) });
  return [
    { kind: "numbers", title: fillIn(said.accuracy, { n }), note, rows },
    barsPanel(said.by_class, "", data.classes, series, { highlight: target, picks: data.classes.map((_, c) => ({ target: c })) }),
  ];
}

function histogramPanels(layer, { target, rule, s }, r) {
  const { data, d } = layer;
  const { words: said, classes } = data;
  const order = orderOf(layer, rule, r);
  const own = [...order.subarray(target * d, (target + 1) * d)];
  const count = Math.min(data.shown, d);
  const name = classes[target];
  const scores = rule === "count" ? votesOf(layer, target, r) : numbersOf(data.scores[rule]).subarray(target * d, (target + 1) * d);
  const rule_said = data.rule_words[rule];
  const note = `${fillIn(rule_said.scored, { images: data.voting[target], r })} ${fillIn(said.cut, { shown: count, d })}`;
  const series = [{ name: rule_said.series, values: own.slice(0, count).map((i) => scores[i]) }];
  const rows = own.slice(0, Math.min(s, data.listed)).map((i) => {
    const users = classes.filter((_, c) => c !== target && order.subarray(c * d, c * d + s).includes(i));
    return [fillIn(said.feature, { i: String(i) }), users.join(", ") || said.nobody, ""];
  });
  const title = fillIn(rule_said.histogram, { name });
  return [
    barsPanel(title, note, own.slice(0, count).map(String), series, { cut: Math.min(s, count) }),
    { kind: "numbers", title: fillIn(said.users, { name }), note: fillIn(said.users_note, { shown: rows.length, s }), rows },
  ];
}

function sizeCurve(layer, { rule, s }, r) {
  const { data, d, n, fullRight } = layer;
  const { words: said } = data;
  const { total } = countsBySize(layer, rule, r);
  const full = fullRight.reduce((a, b) => a + b, 0);
  const series = [
    { name: said.decomposed, values: total.map((right) => (100 * right) / n) },
    { name: said.full, values: total.map(() => (100 * full) / n) },
  ];
  const numbers = { s, r, few: saidPercent(total[s - 1], n), full: saidPercent(full, n) };
  const note = fillIn(rule === "count" ? said.curve_note_r : said.curve_note, numbers);
  const x = Array.from({ length: d }, (_, i) => i + 1);
  return { kind: "curve", title: said.curve, note, x, series, x_label: "s", y_label: said.curve_y, highlight: s - 1 };
}

function imagePanels(layer, { image, rule, s }, r) {
  const { data, d, n, classes, features } = layer;
  const { words: said } = data;
  const k = data.places[image];
  const title = data.titles[image];
  const order = orderOf(layer, rule, r);
  const [full, few] = [logitsOf(layer, k), logitsOf(layer, k, order, s)];
  const [one, other] = [full, few].map((logits) => firstLargest(logits, 1, 0, classes));
  const is = layer.labels[k];
  const values = Array.from({ length: d }, (_, i) => features[i * n + k] * data.step[i]);
  const top = values.map((_, i) => i).sort((a, b) => Math.abs(values[b]) - Math.abs(values[a])).slice(0, data.shown);
  const verdict = one === other ? (one === is ? "both_right" : "both_wrong") : one === is ? "only_full" : other === is ? "only_few" : "none";
  const rows = [
    [said.is, data.classes[is], ""],
    [said.says_full, data.classes[one], ""],
    [said.says_few, data.classes[other], ""],
    [said.agree, one === other ? said.yes : said.no, said[verdict]],
  ];
  const logits = [
    { name: said.full, values: full.map((logit) => logit / data.scale) },
    { name: said.decomposed, values: few.map((logit) => logit / data.scale) },
  ];
  const votes = rule === "count";
  const shown = [{ name: said.top_series, values: top.map((i) => values[i]) }];
  return [
    ...pictureOfImage(data, image, title),
    { kind: "numbers", title: fillIn(said.one, { row: String(image) }), note: "", rows },
    barsPanel(said.logits, fillIn(said.logits_note, { name: data.classes[is], s }), data.classes, logits, { highlight: is }),
    barsPanel(said.top, votes ? fillIn(said.top_count, { r }) : said.top_other, top.map(String), shown, {
      cut: votes ? Math.min(r, top.length) : null,
    }),
  ];
}

function pictureOfImage(data, image, title) {
  const [count, height, width, channels] = data.pictures?.shape ?? [0];
  if (image >= count) return [];
  const size = height * width * channels;
  const values = { dtype: "uint8", shape: [height, width, channels], data: numbersOf(data.pictures).subarray(image * size, (image + 1) * size) };
  const alt = fillIn(data.words.image_alt, { row: String(image), title });
  const picture = { values, low: 0, high: 1, alt, label: "", pick: null, frame: null };
  return [{ kind: "picture", title: fillIn(data.words.image, { title }), note: "", picture, threshold: null, parts: false }];
}

function overlapPanel(layer, { rule, s }, r) {
  const { data, d, classes } = layer;
  const order = orderOf(layer, rule, r);
  const sets = data.classes.map((_, c) => new Set(order.subarray(c * d, c * d + s)));
  const shared = sets.flatMap((one) => sets.map((other) => [...one].filter((i) => other.has(i)).length));
  const between = shared.reduce((a, b) => a + b, 0) - classes * s;
  const union = new Set(sets.flatMap((set) => [...set])).size;
  const note = fillIn(data.words.overlap_note, { s, mean: saidRatio(between, classes * (classes - 1)), union, d });
  const picks = data.classes.map((_, c) => data.classes.map(() => ({ target: c })));
  return matrixPanel(data.words.overlap, note, shared, data.classes, data.classes, picks);
}

async function surfacePanels(layer, { rule, linked, s }, r, pause) {
  const { data, n } = layer;
  const { words: said } = data;
  const votes = rule === "count";
  const withPresent = (present) => [...new Set([...data.grid, present])].sort((a, b) => a - b);
  const [rs, ss] = [votes ? withPresent(r) : [0], withPresent(s)];
  const values = [];
  for (const row of rs) {
    if (!layer.rows.has(orderKey(rule, row))) await pause();
    const { total } = countsBySize(layer, rule, row);
    values.push(...ss.map((column) => (100 * total[column - 1]) / n));
  }
  const picks = rs.map((row) => ss.map((column) => surfaceCell(data, rule, linked, row, column)));
  const rows = votes ? rs.map((row) => fillIn(said.row, { r: row })) : [said.any_r];
  const columns = ss.map((column) => fillIn(said.column, { s: column }));
  return [matrixPanel(said.surface, votes ? fillIn(said.surface_note, { n }) : said.surface_other, values, rows, columns, picks)];
}

/** What a click on the surface sets. */
function surfaceCell(data, rule, linked, r, s) {
  if (rule !== "count" || (linked === data.linked && r === s)) return { s };
  return linked === data.free ? { r, s } : { linked: data.free, r, s };
}

async function ablationPanels(layer, { rule, s, noise }, r, pause) {
  const { data, d, n } = layer;
  const { words: said } = data;
  const { few, rest } = await ablationCounts(layer, rule, r, noise, pause);
  const by = fillIn(data.noise_words[noise], { source: data.source });
  const note = fillIn(said.ablation_note, { noise: by, s, few: saidPercent(few[s], n), rest: saidPercent(rest[s], n) });
  const series = [
    { name: said.ablation_few, values: [...few].map((right) => (100 * right) / n) },
    { name: said.ablation_rest, values: [...rest].map((right) => (100 * right) / n) },
  ];
  const x = Array.from({ length: d + 1 }, (_, i) => i);
  return [{ kind: "curve", title: said.ablation, note, x, series, x_label: "s", y_label: said.curve_y, highlight: s }];
}

// ----------------------------------------------------------------------------------------------------- panels and sentences

function barsPanel(title, note, labels, series, options) {
  return { kind: "bars", title, note, labels, series, highlight: null, picks: null, cut: null, ...options };
}

function matrixPanel(title, note, numbers, rows, columns, picks) {
  const data = new Uint8Array(Float32Array.from(numbers).buffer);
  const values = { dtype: "float32", shape: [rows.length, columns.length], data };
  return { kind: "matrix", title, note, values, rows, columns, signed: false, picks };
}

/** A sentence with its numbers, whole ones in groups of three digits. */
function fillIn(sentence, values) {
  const grouped = (value) => (typeof value === "number" ? String(value).replace(/\B(?=(\d{3})+$)/g, ",") : value);
  return sentence.replace(/\{(\w+)\}/g, (_, name) => grouped(values[name]));
}

/** A share in percent with two digits, rounded by whole numbers: half up, wherever it is computed. */
function saidPercent(part, whole) {
  if (!whole) return "–";
  const hundredths = Math.floor((20000 * part + whole) / (2 * whole));
  return `${Math.floor(hundredths / 100)}.${String(hundredths % 100).padStart(2, "0")} %`;
}

/** A ratio with four digits, rounded likewise. */
function saidRatio(part, whole) {
  if (!whole) return "–";
  const parts = Math.floor((20000 * part + whole) / (2 * whole));
  return `${Math.floor(parts / 10000)}.${String(parts % 10000).padStart(4, "0")}`;
}

/** By how many images full precision decides otherwise. */
function saidApart(said, images) {
  if (images === 0) return said.same;
  const name = images > 0 ? "more" : "fewer";
  return Math.abs(images) === 1 ? said[`one_${name}`] : fillIn(said[name], { n: Math.abs(images) });
}
