"""The page's style sheet: light and dark by the reader's own setting, and nothing from outside."""

CSS = """
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --dim: #57606a; --rule: #d0d7de;
  --good: #116329; --bad: #a40e26; --mark: #0550ae; --soft: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --back: #0d1117; --text: #e6edf3; --dim: #9198a1;
  --rule: #3d444d; --good: #56d364; --bad: #ff8a80; --mark: #79c0ff; --soft: #161b22; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 80rem; padding: 1.5rem; background: var(--back);
  color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
h1, p, figcaption { overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
.lead { font-size: 1.1rem; } .dim, figcaption, caption { color: var(--dim); }
figure { margin: 1rem 0; }
svg { display: block; width: 100%; height: auto; min-width: 36rem; max-width: 60rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
caption { text-align: left; padding: .3rem 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem;
  border-bottom: 1px solid var(--rule); overflow-wrap: anywhere; }
thead th { overflow-wrap: break-word; }
thead th { background: var(--soft); } th.figure, td.figure { text-align: right; }
td.figure { font-variant-numeric: tabular-nums; white-space: nowrap; }
tbody th { min-width: 9rem; } td.word { white-space: nowrap; }
td.reason { min-width: 18rem; } tr.chosen th, tr.chosen td { background: var(--soft);
  font-weight: 600; } tr.chosen td.reason { font-weight: 400; }
pre { background: var(--soft); border: 1px solid var(--rule); padding: .8rem; overflow-x: auto; }
.warning { border-left: 4px solid var(--bad); padding-left: .8rem; }
svg text { fill: var(--text); font: 12px system-ui, sans-serif; text-anchor: middle; }
svg .name, svg text.demand { paint-order: stroke; stroke: var(--back); stroke-width: 4px; }
svg .name, svg .start { text-anchor: start; } svg .end { text-anchor: end; }
svg .tick, svg .axis { fill: var(--dim); } svg text.demand { fill: var(--bad); }
svg line.grid { stroke: var(--rule); stroke-width: .5; }
svg line.demand { stroke: var(--bad); stroke-width: 1.2; stroke-dasharray: 7 4; }
svg line.bounds { stroke: var(--dim); stroke-width: 1.2; }
svg .front { fill: none; stroke: var(--mark); stroke-dasharray: 2 4; }
svg .original { fill: var(--dim); } svg .chosen { fill: var(--good); }
svg .passed { fill: var(--mark); }
svg .refused { fill: var(--back); stroke: var(--bad); stroke-width: 2; }
@media (max-width: 48rem) { body { padding: 1rem; } .list thead { display: none; }
  .list, .list caption, .list tbody, .list tr, .list th, .list td { display: block; }
  .list tr { border-bottom: 1px solid var(--rule); padding: .4rem 0; }
  .list tbody th, .list tbody td { border: 0; padding: .1rem .6rem; text-align: left; }
  .list td:empty, .list td.none { display: none; }
  .list td:not(.reason)::before { content: attr(data-of) ": "; color: var(--dim); } }
@media print { body { max-width: none; } }
""".strip()
