"""How the page looks: colours as tokens with a dark variant, text at a contrast of at least 4.5 to 1."""

from __future__ import annotations

STYLE = """
:root {
  --text: #1b1f24; --muted: #57606a; --ground: #ffffff; --soft: #eef2f6; --rule: #d5dbe1; --bar: #2f6fb0; --negative: #b2182b;
  --point: #4f7fad; --mark: #c2410c; --line: #767d85; color-scheme: light dark;
}
@media (prefers-color-scheme: dark) {
  :root {
    --text: #e8eaed; --muted: #a9b1ba; --ground: #14181e; --soft: #232a33; --rule: #363e48; --bar: #6ea8dc; --negative: #ff8a80;
    --point: #6ea8dc; --mark: #f0995a; --line: #8b949e;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 64rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { margin: 0; font-size: 1.6rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 0 0 0.25rem; font-size: 1.15rem; }
p { margin: 0.25rem 0 0.75rem; max-width: 46rem; overflow-wrap: anywhere; }
header { padding-bottom: 1rem; border-bottom: 1px solid var(--rule); }
header p, .note, figcaption, caption, footer { color: var(--muted); font-size: 0.875rem; }
section { padding: 1.25rem 0; border-bottom: 1px solid var(--rule); }
.missing { padding: 0.5rem 0.75rem; border-left: 3px solid var(--line); background: var(--soft); }
.beside { display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: flex-start; }
.beside > * { flex: 1 1 17rem; min-width: 0; }
.scroll { max-width: 100%; overflow-x: auto; }
.scroll:focus-visible { outline: 3px solid var(--bar); outline-offset: 2px; }
figure { margin: 0; }
figure.picture { max-width: 18rem; }
img { display: block; width: 100%; image-rendering: pixelated; background: #808080; }
svg { display: block; width: 100%; max-width: 26rem; height: auto; }
svg text { fill: var(--muted); font-size: 11px; }
table { border-collapse: collapse; font-size: 0.875rem; }
caption { text-align: left; padding-bottom: 0.25rem; }
th, td { padding: 0.2rem 0.75rem 0.2rem 0; text-align: left; vertical-align: middle; }
thead th, thead td { border-bottom: 1px solid var(--rule); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 400; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.bar { display: inline-block; height: 0.7rem; min-width: 1px; vertical-align: middle; background: var(--bar); }
.bar.negative { background: var(--negative); }
td.track { width: 8rem; min-width: 5rem; }
table.images tbody td, table.images tbody th { padding: 0 0.5rem 0.75rem 0; vertical-align: top; width: 9rem; min-width: 7.5rem; }
table.images tbody p { margin: 0.25rem 0 0; font-size: 0.8125rem; color: var(--muted); }
footer { padding-top: 1rem; }
@media (max-width: 30rem) {
  main { padding: 1rem 0.75rem 2rem; }
  h1 { font-size: 1.3rem; }
  /* a column that is cut in two says that there are more */
  table.images tbody td, table.images tbody th { width: 6.25rem; min-width: 6.25rem; }
}
@media print { :root { color-scheme: light; } section { break-inside: avoid; } }
"""
